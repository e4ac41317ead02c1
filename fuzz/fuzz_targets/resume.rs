//! What a run left to the next, as anybody may have changed it: a record is refused or within the torrent, and what was
//! saved comes back.
#![no_main]

use common::{Parts, dict_of, plant};
use libfuzzer_sys::fuzz_target;
use resume::{Place, Record};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;
use storage::{FileStamp, Snapshot};
use tokio::runtime::Runtime;
use types::{Bitfield, InfoHashV1, Lengths, PieceIndex};

#[allow(dead_code, reason = "the engine uses more of it")]
#[path = "../../crates/engine/src/resume.rs"]
mod resume;

/// As the engine's, which is its whole public face.
#[allow(dead_code, reason = "looked at by people alone")]
#[derive(Debug)]
enum Error {
    InUse(PathBuf),
    State { path: PathBuf, reason: String },
    StateFull(String),
    Unsaved(String),
    ShutDown,
}

impl Error {
    fn unsaved(err: store::CommitError) -> Error {
        Error::Unsaved(err.to_string())
    }
}

const FILES: usize = 3;
const KEYS: [&str; 7] = ["clean", "downloaded", "files", "ours", "partial", "pieces", "uploaded"];

/// In memory where that can be.
static PLACE: LazyLock<(Place, PathBuf)> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let dir = parent.join(format!("rawtorrent-fuzz-{}", std::process::id()));
    let place = Place::lock(&dir, InfoHashV1([1; 20]), Path::new("/")).expect("a place");
    let record = place.parts().with_extension("resume");
    (place, record)
});

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().expect("a runtime"));

fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

fn load(place: &Place, lengths: Lengths) -> Option<Record> {
    wait(place.load(lengths, FILES)).expect("it can be read")
}

fn write(path: &Path, magic: &[u8], body: &[u8]) {
    let place = path.file_stem().expect("it has a name").as_encoded_bytes();
    let checksum = hash::sha1(&[place, body].concat());
    fs::write(path, [magic, &checksum, body].concat()).expect("it can be written");
}

fn check(place: &Place, lengths: Lengths) {
    let Some(record) = load(place, lengths) else { return };
    assert_eq!(record.disk.pieces.len(), lengths.piece_count());
    assert_eq!((record.disk.ours.len(), record.disk.files.len()), (FILES, FILES));
    for (piece, blocks) in &record.disk.partial {
        assert!(piece.get() < lengths.piece_count());
        assert!(blocks.iter().all(|&block| block < lengths.block_count(*piece)));
    }
    wait(place.save(&record)).expect("it can be written");
    assert_eq!(load(place, lengths).as_ref(), Some(&record));
    plant(|| !record.disk.partial.is_empty() && record.disk.files[1].is_some() && !record.clean);
}

fuzz_target!(|data: &[u8]| {
    let lengths = Lengths::new(1_000_000, 65_536).expect("a torrent");
    let (place, path) = &*PLACE;
    let note = path.with_extension("blocks");
    let magic = b"rawtorrent resume 1\n";
    wait(place.forget());
    fs::write(path, data).expect("it can be written");
    check(place, lengths);
    write(path, magic, data);
    check(place, lengths);
    write(path, magic, &dict_of(&KEYS, data));
    check(place, lengths);

    let mut parts = Parts(data);
    let partial = |parts: &mut Parts<'_>| {
        parts.list(3, |parts| {
            let piece = PieceIndex::new(u32::from(parts.byte() % 17));
            (piece, parts.list(5, |parts| u32::from(parts.byte() % 5)))
        })
    };
    let mut pieces = Bitfield::new(lengths.piece_count());
    for piece in lengths.pieces().filter(|_| parts.bit()) {
        pieces.insert(piece);
    }
    let stamp = |parts: &mut Parts<'_>| {
        let stamp =
            FileStamp { size: parts.u64(), mtime_nanos: parts.u64().cast_signed(), inode: parts.u64() };
        parts.bit().then_some(stamp)
    };
    let record = Record {
        clean: parts.bit(),
        disk: Snapshot {
            pieces,
            partial: partial(&mut parts),
            ours: (0..FILES).map(|_| parts.bit()).collect(),
            files: (0..FILES).map(|_| stamp(&mut parts)).collect(),
        },
        downloaded: parts.u64(),
        uploaded: parts.u64(),
        seeded: Duration::from_secs(parts.u64()),
        mount: parts.bit().then(|| Path::new("/mnt").into()),
        peers: parts.list(3, |parts| SocketAddr::from((parts.array::<4>(), parts.u16()))),
    };
    let fits = |list: &[(PieceIndex, Vec<u32>)]| {
        let of_piece = |(piece, blocks): &(PieceIndex, Vec<u32>)| {
            piece.get() < lengths.piece_count()
                && blocks.iter().all(|&block| block < lengths.block_count(*piece))
        };
        list.iter().all(of_piece)
    };
    wait(place.save(&record)).expect("it can be written");
    let loaded = load(place, lengths);
    assert_eq!(loaded.as_ref(), Some(&record).filter(|record| fits(&record.disk.partial)));
    check(place, lengths);
    // A note that fits counts, one that is damaged does not harm.
    wait(place.save(&record)).expect("it can be written");
    let noted = partial(&mut parts);
    wait(place.note(&noted)).expect("it can be written");
    if loaded.is_some() && fits(&noted) {
        assert_eq!(load(place, lengths).map(|record| record.disk.partial), Some(noted));
    }
    write(&note, b"rawtorrent blocks 1\n", parts.0);
    assert_eq!(load(place, lengths), loaded);
});
