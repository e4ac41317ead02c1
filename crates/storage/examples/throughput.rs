//! How fast blocks go to disk and come back: `cargo run --release --example throughput -- [FOLDER] [MIB] [PIECE_KIB]`.
//!
//! Writes one torrent block by block, verified, then rechecks it and reads it for upload.

use bytes::Bytes;
use pollster::block_on;
use sha1::{Digest, Sha1};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;
use storage::{DiskEvent, DiskPool, Layout, OpenOptions, PoolSettings, TorrentDisk};
use types::Bitfield;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "/dev/shm".to_owned());
    let mib: usize = args.next().map_or(Ok(1024), |n| n.parse())?;
    let piece_kib: usize = args.next().map_or(Ok(1024), |n| n.parse())?;
    let dir = tempfile::TempDir::new_in(folder)?;
    let content = Bytes::from((0..mib << 20).map(|n| ((n >> 14) ^ n).to_le_bytes()[0]).collect::<Vec<u8>>());

    let layout = torrent(&content, piece_kib << 10)?;
    let lengths = layout.lengths();
    let pool = DiskPool::new(PoolSettings::default())?;
    let (tell, events) = std::sync::mpsc::channel();
    let options = OpenOptions::new(dir.path(), dir.path().join("parts"), move |event| drop(tell.send(event)));
    let disk = block_on(TorrentDisk::open(&pool, layout, options))?;
    block_on(disk.prepare())?;

    let blocks = || {
        lengths.pieces().flat_map(|p| (0..lengths.block_count(p)).filter_map(move |n| lengths.block(p, n)))
    };
    let bytes_of = |block: types::BlockRange| {
        let start = usize::try_from(lengths.piece_offset(block.piece)).unwrap_or(0) + block.offset as usize;
        content.slice(start..start + block.len as usize)
    };

    let start = Now::new();
    for block in blocks() {
        block_on(disk.write_block(block, bytes_of(block), 0))?;
    }
    let mut left = lengths.piece_count();
    while left > 0 {
        for event in events.recv()? {
            match event {
                DiskEvent::BlockTaken { .. } => {}
                DiskEvent::PieceVerified { .. } => left -= 1,
                other => return Err(format!("a piece was not verified: {other:?}").into()),
            }
        }
    }
    report("write and verify", mib, &start);

    let start = Now::new();
    let found = block_on(disk.check(&Bitfield::full(lengths.piece_count()), |_| {}))?;
    report("recheck", mib, &start);
    assert!(found.is_full());

    let start = Now::new();
    for block in blocks() {
        let bytes = block_on(disk.read_block(block))?;
        assert_eq!(bytes.len(), block.len as usize);
    }
    report("read for upload", mib, &start);

    let start = Now::new();
    let walk = storage::walk(&dir.path().join("content"))?;
    storage::hash_files(&walk.files, lengths.piece_length(), 2, |_| {})?;
    report("hash for a new torrent", mib, &start);
    block_on(disk.close())?;
    Ok(())
}

fn torrent(content: &[u8], piece_length: usize) -> Result<Layout, Box<dyn Error>> {
    let pieces: Vec<u8> = content.chunks(piece_length).flat_map(Sha1::digest).collect();
    let head = format!("d4:infod6:lengthi{}e4:name7:content12:piece lengthi{piece_length}e", content.len());
    let torrent = [head.as_bytes(), format!("6:pieces{}:", pieces.len()).as_bytes(), &pieces, b"ee"].concat();
    Ok(Layout::new(Arc::new(metainfo::Metainfo::parse(&torrent)?))?)
}

/// Where the clocks stood.
struct Now {
    wall: Instant,
    cpu_ticks: u64,
}

impl Now {
    fn new() -> Now {
        Now { wall: Instant::now(), cpu_ticks: cpu_ticks().unwrap_or(0) }
    }
}

/// User and system time of this process, in hundredths of a second (proc(5): fields 14 and 15).
fn cpu_ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().ok()).sum()
}

fn report(what: &str, mib: usize, start: &Now) {
    let gib = mib as f64 / 1024.0;
    let rate = mib as f64 / start.wall.elapsed().as_secs_f64();
    let cpu = (cpu_ticks().unwrap_or(0) - start.cpu_ticks) as f64 / 100.0 / gib;
    println!("{what:<24} {rate:8.0} MiB/s {cpu:8.2} CPU s/GiB");
}
