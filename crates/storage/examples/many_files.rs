//! What a torrent of many small files costs: `cargo run --release --example many_files -- [FOLDER] [FILES] [BYTES_EACH]`.

use bytes::Bytes;
use pollster::block_on;
use sha1::{Digest, Sha1};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;
use storage::{DiskEvent, DiskPool, Layout, OpenOptions, PoolSettings, TorrentDisk};
use types::Bitfield;

const PIECE: u32 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "/dev/shm".to_owned());
    let files: usize = args.next().map_or(Ok(20_000), |n| n.parse())?;
    let len: usize = args.next().map_or(Ok(100), |n| n.parse())?;
    let dir = tempfile::TempDir::new_in(folder)?;
    // One byte more, since a torrent has at least one.
    let content = Bytes::from((0..=files * len).map(|n| n.to_le_bytes()[1]).collect::<Vec<u8>>());

    let layout = torrent(&content, files, len)?;
    let lengths = layout.lengths();
    let pool = DiskPool::new(PoolSettings::default())?;
    let (tell, events) = std::sync::mpsc::channel();
    let options = OpenOptions::new(dir.path(), dir.path().join("parts"), move |event| drop(tell.send(event)));
    let disk = timed("open", || block_on(TorrentDisk::open(&pool, layout, options)))?;
    timed("prepare", || block_on(disk.prepare()))?;
    timed("write and verify", || -> Result<(), Box<dyn Error>> {
        for piece in lengths.pieces() {
            for block in (0..lengths.block_count(piece)).filter_map(|n| lengths.block(piece, n)) {
                let start = usize::try_from(lengths.piece_offset(piece))? + block.offset as usize;
                let data = content.slice(start..start + block.len as usize);
                block_on(disk.write_block(block, data, 0))?;
            }
        }
        let mut left = lengths.piece_count();
        while left > 0 {
            for event in events.recv()? {
                match event {
                    DiskEvent::BlockTaken { .. } => {}
                    DiskEvent::PieceVerified { .. } => left -= 1,
                    other => return Err(format!("{other:?}").into()),
                }
            }
        }
        Ok(())
    })?;
    timed("sync", || block_on(disk.sync()))?;
    timed("sync of nothing", || block_on(disk.sync()))?;
    let full = Bitfield::full(lengths.piece_count());
    assert!(timed("check", || block_on(disk.check(&full, |_| {})))?.is_full());
    assert!(timed("verify", || block_on(disk.verify(|_| {})))?.pieces.is_full());
    timed("close", || block_on(disk.close()))?;
    Ok(())
}

fn torrent(content: &[u8], files: usize, len: usize) -> Result<Layout, Box<dyn Error>> {
    let mut list = String::new();
    for n in 0..files {
        list += &format!("d6:lengthi{len}e4:pathl4:d{:03}7:f{n:06}ee", n % 1000);
    }
    list += "d6:lengthi1e4:pathl4:lastee";
    let pieces: Vec<u8> = content.chunks(PIECE as usize).flat_map(Sha1::digest).collect();
    let head = format!("d4:infod5:filesl{list}e4:name7:content12:piece lengthi{PIECE}e");
    let torrent = [head.as_bytes(), format!("6:pieces{}:", pieces.len()).as_bytes(), &pieces, b"ee"].concat();
    Ok(Layout::new(Arc::new(metainfo::Metainfo::parse(&torrent)?))?)
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    println!("{what:<20} {:8.3} s", start.elapsed().as_secs_f64());
    done
}
