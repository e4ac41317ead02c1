//! What this machine can do at most, measured beside everything else.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::lab::Lab;
use crate::reader::NullReader;
use crate::report::Spread;
use crate::seeder::NullSeeder;

/// Bytes that each measurement moves, each time.
const AMOUNT: usize = 1 << 30;
/// How often each is measured; the best counts, since it is a limit.
const TIMES: usize = 3;

/// MiB a second.
#[derive(Clone, Debug)]
pub(crate) struct Limits(Vec<(&'static str, f64)>);

impl Limits {
    pub(crate) fn measure(lab: &Lab) -> Result<Limits> {
        Ok(Limits(vec![
            ("memory copy, one core", best(|| Ok(copy()))?),
            ("SHA-1, one core, pieces of 1 MiB", best(|| Ok(sha1()))?),
            ("loopback TCP, one stream", best(loopback)?),
            ("null seeder to null reader, every byte compared", null_to_null(lab)?),
        ]))
    }

    pub(crate) fn to_json(&self) -> Value {
        self.0.iter().map(|(what, rate)| json!({ "what": what, "mib_per_s": rate })).collect()
    }

    pub(crate) fn to_markdown(&self) -> String {
        let mut text = String::from("| limit of this machine | MiB/s |\n|---|---|\n");
        for (what, rate) in &self.0 {
            text.push_str(&format!("| {what} | {rate:.0} |\n"));
        }
        text
    }
}

fn best(mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    let rates: Vec<f64> = (0..TIMES).map(|_| measure()).collect::<Result<_>>()?;
    Ok(Spread::of(rates).map_or(0.0, |spread| spread.max))
}

/// MiB a second.
#[allow(clippy::cast_precision_loss, reason = "far less than 2^52 bytes")]
pub(crate) fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / f64::from(1 << 20) / took.as_secs_f64()
}

fn copy() -> f64 {
    const BUFFER: usize = 64 << 20;
    let (from, mut to) = (vec![1_u8; BUFFER], vec![2_u8; BUFFER]);
    let started = Instant::now();
    for _ in 0..AMOUNT / BUFFER {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
    }
    rate(AMOUNT as u64, started.elapsed())
}

fn sha1() -> f64 {
    let piece = vec![7_u8; 1 << 20];
    let started = Instant::now();
    for _ in 0..AMOUNT / piece.len() {
        black_box(Sha1::digest(black_box(&piece)));
    }
    rate(AMOUNT as u64, started.elapsed())
}

fn loopback() -> Result<f64> {
    const BUFFER: usize = 256 << 10;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let sender = thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let buffer = vec![3; BUFFER];
        for _ in 0..2 * AMOUNT / BUFFER {
            stream.write_all(&buffer)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(addr)?;
    let mut buffer = vec![0; BUFFER];
    let started = Instant::now();
    let mut received = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            read => received += read as u64,
        }
    }
    let took = started.elapsed();
    sender.join().ok().context("the sender panicked")??;
    Ok(rate(received, took))
}

/// The harness against itself: if this is not far more than a client does, it measures the harness.
fn null_to_null(lab: &Lab) -> Result<f64> {
    let torrent = Arc::new(lab.torrent(2 << 30, 1 << 20)?);
    let seeder = NullSeeder::start(lab.seeder_addr(0), &torrent)?;
    best(|| {
        let mut reader = NullReader::connect(lab.reader_addr(0), seeder.addr, &torrent, Instant::now())?;
        Ok(rate(torrent.content.total, reader.read_all(0)?))
    })
}

/// The best rate at which some threads read a file that is in memory, with buffers of any sensible size, in MiB/s.
pub(crate) fn read_only(path: &Path, len: u64, threads: u64) -> Result<f64> {
    let mut best: f64 = 0.0;
    for buffer in [64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20] {
        let started = Instant::now();
        thread::scope(|scope| -> Result<()> {
            let share = len / threads;
            let readers: Vec<_> = (0..threads)
                .map(|number| scope.spawn(move || read_range(path, number * share, share, buffer)))
                .collect();
            readers.into_iter().try_for_each(|reader| reader.join().ok().context("a reader panicked")?)
        })?;
        best = best.max(rate(len, started.elapsed()));
    }
    Ok(best)
}

fn read_range(path: &Path, from: u64, len: u64, buffer: usize) -> Result<()> {
    let file = File::open(path)?;
    let mut buffer = vec![0; buffer];
    for offset in (from..from + len).step_by(buffer.len()) {
        let left = usize::try_from(from + len - offset).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact_at(&mut buffer[..left], offset)?;
        black_box(&mut buffer);
    }
    Ok(())
}
