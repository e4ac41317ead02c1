//! What a byte costs on its way: messages decoded, pieces hashed, blocks written.
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros make functions; its loads are our own

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use metainfo::Metainfo;
use metainfo::create::Builder;
use pollster::block_on;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::mpsc::channel;
use storage::{DiskEvent, DiskPool, Layout, OpenOptions, PoolSettings, TorrentDisk};
use types::PieceIndex;
use wire::{Limits, Message};

const PIECE: usize = 1 << 20;
const PIECES: u8 = 16;

/// What a peer says while it gives: blocks, and now and then what it has.
fn parse(c: &mut Criterion) {
    let data = vec![7; 16_384];
    let mut said = Vec::new();
    for index in 0..64 {
        Message::Have(index).encode(&mut said);
        Message::Piece { index, begin: 16_384, data: (&data[..]).into() }.encode(&mut said);
        Message::Request(wire::Request { index, begin: 0, length: 16_384 }).encode(&mut said);
    }
    let limits = Limits::for_pieces(1000);
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(3 * 64));
    group.bench_function("a message", |b| {
        b.iter(|| {
            let (mut rest, mut messages) = (&said[..], 0);
            while let Ok(wire::Decoded::Message { message, consumed }) = wire::decode(rest, &limits) {
                black_box(message);
                messages += 1;
                rest = &rest[consumed..];
            }
            assert_eq!(messages, 3 * 64);
        });
    });
}

fn hash(c: &mut Criterion) {
    let pieces: Vec<Vec<u8>> = (0..PIECES).map(|n| vec![n; PIECE]).collect();
    let mut group = c.benchmark_group("hash, 1 MiB");
    for abreast in [1, 2, 4, 8, 16] {
        group.throughput(Throughput::Bytes((abreast * PIECE) as u64));
        group.bench_function(format!("SHA-1, {abreast} abreast"), |b| {
            let mut digests = vec![[0; 20]; abreast];
            b.iter(|| {
                let each = pieces.iter().map(Vec::as_slice).zip(&mut digests);
                hash::sha1_many(each);
                black_box(&digests);
            });
        });
    }
}

/// Blocks into files of the page cache, and the pieces hashed, until all are verified.
fn write(c: &mut Criterion) {
    let content = Bytes::from(vec![9; PIECE * usize::from(PIECES)]);
    let digests: Vec<u8> = content.chunks(PIECE).flat_map(hash::sha1).collect();
    let builder = Builder::file("x", content.len() as u64).piece_length(1 << 20).pieces(digests);
    let torrent = builder.build().expect("a torrent");
    let torrent = Arc::new(Metainfo::parse(&torrent).expect("a torrent"));
    let pool = DiskPool::new(PoolSettings::default()).expect("threads");
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Bytes(content.len() as u64));
    group.bench_function("16 MiB, verified", |b| {
        b.iter_batched(
            || tempfile::tempdir().expect("a folder"),
            |dir| {
                let (tell, told) = channel();
                let options = OpenOptions::new(dir.path(), dir.path().join("parts"), move |events| {
                    _ = tell.send(events);
                });
                let layout = Layout::new(torrent.clone()).expect("a layout");
                let lengths = layout.lengths();
                let disk = block_on(TorrentDisk::open(&pool, layout, options)).expect("a folder");
                block_on(disk.prepare()).expect("room");
                for piece in (0..PIECES).map(|n| PieceIndex::new(n.into())) {
                    for block in (0..lengths.block_count(piece)).filter_map(|n| lengths.block(piece, n)) {
                        let at = piece.index() * PIECE + block.offset as usize;
                        let data = content.slice(at..at + block.len as usize);
                        block_on(disk.write_block(block, data, 0)).expect("it is taken");
                    }
                }
                disk.tell();
                let verified = |events: &Vec<DiskEvent>| {
                    events.iter().filter(|event| matches!(event, DiskEvent::PieceVerified { .. })).count()
                };
                let mut left = usize::from(PIECES);
                while left > 0 {
                    left -= verified(&told.recv().expect("events"));
                }
                dir
            },
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, parse, hash, write);
criterion_main!(benches);
