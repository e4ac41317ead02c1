//! Metadata of a magnet link: looked for, shown while it is, and saved as a torrent file where that is all that is wanted.

use crate::console::{Console, Event};
use crate::create::Output;
use crate::failure::{Failure, kind};
use crate::progress::{Phase, Snapshot};
use crate::text::{counted, printable};
use crate::units::Size;
use engine::metainfo::Version;
use engine::{FetchStats, Fetched, Magnet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What people call the torrent until it is known.
pub(crate) fn name(magnet: &Magnet) -> String {
    magnet.name.clone().unwrap_or_else(|| magnet.info_hash.to_string())
}

pub(crate) fn snapshot(stats: FetchStats) -> Snapshot {
    let phase = match stats.queued {
        true => Phase::Waiting,
        false => Phase::Metadata { sources: stats.sources, bytes: stats.bytes },
    };
    Snapshot { phase, done: 0, total: 0, rate_down: 0, rate_up: 0, uploaded: 0, peers: stats.peers }
}

/// `3 files, 1.2 GiB`
pub(crate) fn summary(fetched: &Fetched) -> String {
    let torrent = fetched.metainfo();
    let files = torrent.files().iter().filter(|file| file.is_regular()).count();
    let private = if torrent.is_private() { ", private" } else { "" };
    format!("{}, {}{private}", counted(files as u64, "file"), Size(torrent.payload_len()))
}

/// Writes the torrent file: `given` is a file, a folder, or - for standard output.
pub(crate) fn save(
    fetched: &Fetched,
    given: &Path,
    took: Duration,
    console: &Console,
) -> Result<(), Failure> {
    let torrent = fetched.metainfo();
    let name = printable(torrent.name());
    if torrent.version() == Version::V2 && fetched.lacks_piece_layers() {
        let message = "a v2 torrent needs piece layers (BEP 52), which cannot be fetched from peers yet";
        return Err(Failure::new(kind::UNSUPPORTED, format_args!("{name}: {message}")));
    }
    let in_folder = given.is_dir().then(|| given.join(format!("{}.torrent", torrent.name())));
    let path: PathBuf = in_folder.unwrap_or_else(|| given.to_owned());
    let output = Output::choose(Some(&path), None, torrent.name())?;
    let bytes = fetched.torrent_file();
    output.write(&bytes, console)?;
    if fetched.lacks_piece_layers() {
        console.note(format_args!(
            "{name}: saved without the piece layers of its v2 half: clients use the v1 half"
        ));
    }
    let seconds = (took.as_secs_f64() * 1000.0).round() / 1000.0;
    let (info_hash, shown) = (torrent.info_hash().to_string(), output.to_string());
    let len = bytes.len() as u64;
    console.event(&Event::Finished { info_hash: &info_hash, path: &shown, bytes: len, seconds });
    console.note(format_args!(
        "{name}: {}; torrent saved in {seconds:.1} s: {}",
        summary(fetched),
        printable(&shown)
    ));
    Ok(())
}
