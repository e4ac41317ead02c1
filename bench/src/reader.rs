//! A downloader that costs as little as one can: the same partner for every seed.
//!
//! It keeps nothing. It asks for blocks in order, with a fixed number of requests in flight, and compares what comes with
//! what should come while that is still in the core's cache.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::net::{AddressFamily, SocketType};
use tests::peer::{BLOCK_LEN, FAST, full_bitfield, handshake, id, message, request};

use crate::content::Torrent;
use crate::seeder::HEADER;

/// Requests in flight: 8 MiB.
pub(crate) const IN_FLIGHT: u64 = 500;
/// Requests that are sent with one system call.
const REFILL: u64 = 32;
const READ: usize = 256 << 10;
/// A seed that sends nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(30);
/// The same of one that is only asked whether it is there.
const PROBE_SILENCE: Duration = Duration::from_secs(5);
/// Between two looks whether a seed has everything by now.
const RETRY: Duration = Duration::from_millis(50);

/// A connection to a seed that has everything and lets us have it.
#[derive(Debug)]
pub(crate) struct NullReader<'a> {
    stream: TcpStream,
    torrent: &'a Torrent,
    buffer: Vec<u8>,
}

impl<'a> NullReader<'a> {
    /// Connects from an address of ours, again and again, until the seed says that it has all pieces, and unchokes.
    pub(crate) fn connect(
        from: Ipv4Addr,
        addr: SocketAddr,
        torrent: &'a Torrent,
        deadline: Instant,
    ) -> Result<NullReader<'a>> {
        loop {
            let error = match Self::try_connect(from, addr, torrent) {
                Ok(reader) => return Ok(reader),
                Err(error) => error,
            };
            ensure!(Instant::now() < deadline, "the seed is not ready: {error:#}");
            thread::sleep(RETRY);
        }
    }

    fn try_connect(from: Ipv4Addr, addr: SocketAddr, torrent: &'a Torrent) -> Result<NullReader<'a>> {
        let mut stream = meet(from, addr, torrent.info_hash, SILENCE)?;
        stream.write_all(&message(id::INTERESTED, &[]))?;
        wait_until_complete(&mut stream, torrent.content.pieces())?;
        while next_message(&mut stream)?.0 != id::UNCHOKE {}
        Ok(NullReader { stream, torrent, buffer: vec![0; READ] })
    }

    /// Reads every block once, from `first` to the end and then from the beginning; returns how long it took, from the
    /// first request to the last byte.
    pub(crate) fn read_all(&mut self, first: u64) -> Result<Duration> {
        let blocks = self.torrent.content.blocks();
        let started = Instant::now();
        let mut taking = Taking::new(self.torrent);
        let mut asked = 0;
        while taking.blocks < blocks {
            self.step(first, &mut asked, &mut taking)?;
        }
        Ok(started.elapsed())
    }

    /// Reads blocks in order; returns how many bytes a second came from `warm_up` after the first request on, for a `time`.
    pub(crate) fn measure(&mut self, warm_up: Duration, time: Duration) -> Result<f64> {
        let mut taking = Taking::new(self.torrent);
        let (mut asked, started) = (0, Instant::now());
        let mut counted_from = None;
        while started.elapsed() < warm_up + time {
            ensure!(taking.blocks < self.torrent.content.blocks(), "there is no more to be read");
            self.step(0, &mut asked, &mut taking)?;
            if started.elapsed() >= warm_up {
                counted_from.get_or_insert((Instant::now(), taking.blocks));
            }
        }
        let (since, before) = counted_from.context("nothing came in time")?;
        #[allow(clippy::cast_precision_loss, reason = "far less than 2^52 bytes")]
        let bytes = ((taking.blocks - before) * BLOCK_LEN as u64) as f64;
        Ok(bytes / since.elapsed().as_secs_f64())
    }

    /// Asks for more if it is time for that, and takes in what has come.
    fn step(&mut self, first: u64, asked: &mut u64, taking: &mut Taking<'_>) -> Result<()> {
        let blocks = self.torrent.content.blocks();
        let room = (taking.blocks + IN_FLIGHT).min(blocks) - *asked;
        if room >= REFILL || *asked + room == blocks && room > 0 {
            let mut refill = Vec::new();
            for block in *asked..*asked + room {
                self.ask((first + block) % blocks, &mut refill)?;
            }
            *asked += room;
            self.stream.write_all(&refill)?;
        }
        let read = self.stream.read(&mut self.buffer).context("the seed sends nothing")?;
        ensure!(read > 0, "the seed has closed after {} blocks", taking.blocks);
        taking.take(&self.buffer[..read])
    }

    fn ask(&self, block: u64, out: &mut Vec<u8>) -> Result<()> {
        let per_piece = (self.torrent.content.piece_len / BLOCK_LEN) as u64;
        let piece = u32::try_from(block / per_piece)?;
        let begin = u32::try_from(block % per_piece)? * u32::try_from(BLOCK_LEN)?;
        out.extend(message(id::REQUEST, &request(piece, begin, u32::try_from(BLOCK_LEN)?)));
        Ok(())
    }
}

/// Whether a seed takes a peer of this torrent in, and says that it has all of it.
pub(crate) fn probe(from: Ipv4Addr, addr: SocketAddr, info_hash: [u8; 20], pieces: usize) -> Result<()> {
    let mut stream = meet(from, addr, info_hash, PROBE_SILENCE)?;
    wait_until_complete(&mut stream, pieces)
}

/// Connects from an address of ours, and exchanges handshakes.
fn meet(from: Ipv4Addr, addr: SocketAddr, info_hash: [u8; 20], silence: Duration) -> Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(from, 0))?;
    rustix::net::connect(&socket, &addr)?;
    let mut stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(silence))?;
    let port = stream.local_addr()?.port();
    let own: [u8; 20] = format!("-XX0002-{port:012}").as_bytes().try_into()?;
    stream.write_all(&handshake(FAST, info_hash, own))?;
    let mut theirs = [0; 68];
    stream.read_exact(&mut theirs)?;
    ensure!(theirs[28..48] == info_hash, "not a handshake for this torrent");
    Ok(stream)
}

/// Reads until a seed says that it has all pieces, which it does at once or never.
fn wait_until_complete(stream: &mut TcpStream, pieces: usize) -> Result<()> {
    loop {
        let (id, payload) = next_message(stream)?;
        let complete = id == id::HAVE_ALL || id == id::BITFIELD && payload == full_bitfield(pieces);
        if complete {
            return Ok(());
        }
        ensure!(id == id::EXTENDED, "it does not have everything");
    }
}

/// The next message but keep-alives.
fn next_message(stream: &mut TcpStream) -> Result<(u8, Vec<u8>)> {
    loop {
        let mut len = [0; 4];
        stream.read_exact(&mut len)?;
        let len = usize::try_from(u32::from_be_bytes(len))?;
        ensure!(len <= 1 << 20, "a message that is too long");
        let mut body = vec![0; len];
        stream.read_exact(&mut body)?;
        if let Some((id, payload)) = body.split_first() {
            return Ok((*id, payload.to_vec()));
        }
    }
}

/// Where in the stream of messages we are. A message is a head (length, id, and of a block its place), then its rest.
struct Taking<'a> {
    torrent: &'a Torrent,
    head: [u8; HEADER],
    /// Bytes of the head that are there.
    filled: usize,
    /// Bytes of the rest that are not.
    left: usize,
    /// Where in the content the rest lies; `None` if it is no block.
    offset: Option<u64>,
    /// Blocks that are complete.
    blocks: u64,
    seen: Vec<bool>,
}

impl<'a> Taking<'a> {
    fn new(torrent: &'a Torrent) -> Taking<'a> {
        let blocks = usize::try_from(torrent.content.blocks()).expect("blocks fit into memory");
        Taking {
            torrent,
            head: [0; HEADER],
            filled: 0,
            left: 0,
            offset: None,
            blocks: 0,
            seen: vec![false; blocks],
        }
    }

    fn take(&mut self, mut input: &[u8]) -> Result<()> {
        while !input.is_empty() {
            if self.left > 0 {
                let part = &input[..self.left.min(input.len())];
                if let Some(offset) = &mut self.offset {
                    ensure!(self.torrent.content.matches(*offset, part), "wrong bytes near {offset}");
                    *offset += part.len() as u64;
                }
                self.left -= part.len();
                input = &input[part.len()..];
                if self.left == 0 {
                    self.blocks += u64::from(self.offset.take().is_some());
                }
                continue;
            }
            let wanted = self.head_len();
            let part = &input[..(wanted - self.filled).min(input.len())];
            self.head[self.filled..self.filled + part.len()].copy_from_slice(part);
            self.filled += part.len();
            input = &input[part.len()..];
            if self.filled == self.head_len() {
                self.begin()?;
            }
        }
        Ok(())
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.head[at], self.head[at + 1], self.head[at + 2], self.head[at + 3]])
    }

    /// How long the head is, as far as can be told from what is there of it.
    fn head_len(&self) -> usize {
        match self.filled {
            0..4 => 4,
            4 if self.number(0) == 0 => 4,
            4 => 5,
            _ if self.head[4] == id::PIECE => HEADER,
            _ => 5,
        }
    }

    /// A head is complete.
    fn begin(&mut self) -> Result<()> {
        let len = usize::try_from(self.number(0))?;
        if len == 0 {
            self.filled = 0;
            return Ok(());
        }
        match self.head[4] {
            id::CHOKE => bail!("the seed has choked us after {} blocks", self.blocks),
            id::REJECT => bail!("the seed has rejected a request after {} blocks", self.blocks),
            id::PIECE => {
                ensure!(len == BLOCK_LEN + 9, "a block of another length");
                let piece_len = self.torrent.content.piece_len as u64;
                let offset = u64::from(self.number(5)) * piece_len + u64::from(self.number(9));
                let block = usize::try_from(offset / BLOCK_LEN as u64)?;
                let seen = self.seen.get_mut(block).ok_or_else(|| anyhow!("a block that is not there"))?;
                ensure!(!*seen && offset.is_multiple_of(BLOCK_LEN as u64), "a block that was not asked for");
                *seen = true;
                (self.offset, self.left) = (Some(offset), BLOCK_LEN);
            }
            _ => self.left = len - 1,
        }
        self.filled = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests_of_reader {
    use std::sync::Arc;

    use super::*;
    use crate::seeder::NullSeeder;

    const SOON: Duration = Duration::from_secs(20);

    fn torrent(dir: &std::path::Path) -> Arc<Torrent> {
        // The last piece is short, and there are more blocks than requests in flight.
        Arc::new(Torrent::new(1_001 * BLOCK_LEN as u64, 4 * BLOCK_LEN, dir).unwrap())
    }

    #[test]
    fn the_reader_gets_all_from_the_seeder() {
        let dir = tempfile::tempdir().unwrap();
        let torrent = torrent(dir.path());
        let seeder = NullSeeder::start(([127, 0, 0, 1], 0).into(), &torrent).unwrap();
        let mut reader =
            NullReader::connect(Ipv4Addr::LOCALHOST, seeder.addr, &torrent, Instant::now() + SOON).unwrap();
        reader.read_all(0).unwrap();
        reader.read_all(700).unwrap();
    }

    #[test]
    fn a_wrong_byte_a_wrong_length_and_a_block_too_many_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let torrent = torrent(dir.path());
        let mut block = [&[0, 0, 0, 2][..], &[0, 0, 64, 0], &[0; BLOCK_LEN]].concat();
        torrent.content.fill(9 * BLOCK_LEN as u64, &mut block[8..]);
        let good = message(id::PIECE, &block);
        let noise = [message(id::HAVE, &[0; 4]), vec![0; 4]].concat();
        for split in [1, 4, 5, 12, 13, 14, 20, 30, 100, good.len()] {
            let mut taking = Taking::new(&torrent);
            for part in [&noise[..], &good, &noise].concat().chunks(split) {
                taking.take(part).unwrap();
            }
            assert_eq!(taking.blocks, 1, "{split}");
        }

        let mut taking = Taking::new(&torrent);
        taking.take(&good).unwrap();
        assert!(taking.take(&good).is_err());
        let mut wrong = good.clone();
        wrong[5_000] ^= 1;
        assert!(Taking::new(&torrent).take(&wrong).is_err());
        assert!(Taking::new(&torrent).take(&message(id::PIECE, &block[..9_000])).is_err());
        assert!(Taking::new(&torrent).take(&message(id::CHOKE, &[])).is_err());
        assert!(Taking::new(&torrent).take(&message(id::REJECT, &[0; 12])).is_err());
    }

    #[test]
    fn a_seed_of_another_torrent_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let torrent = torrent(dir.path());
        let other = Arc::new(Torrent::new(8 * BLOCK_LEN as u64, BLOCK_LEN, dir.path()).unwrap());
        let seeder = NullSeeder::start(([127, 0, 0, 1], 0).into(), &other).unwrap();
        assert!(NullReader::connect(Ipv4Addr::LOCALHOST, seeder.addr, &torrent, Instant::now()).is_err());
        assert!(probe(Ipv4Addr::LOCALHOST, seeder.addr, torrent.info_hash, 251).is_err());
        probe(Ipv4Addr::LOCALHOST, seeder.addr, other.info_hash, 8).unwrap();
    }
}
