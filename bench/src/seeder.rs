//! A seed that costs as little as one can: the same partner for every downloader.
//!
//! It has no content in memory and reads no disk: a block is sent as its header, its stamp and a part of the pattern, many
//! blocks with one system call. It answers every request, in order, however many are in flight: the socket's buffers
//! are its queue, and a downloader that asks for more than fits there waits.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use tests::peer::{BLOCK_LEN, FAST, FAST_EXTENDED, full_bitfield, handshake, id, message};

use crate::content::Torrent;
use crate::meter::monotonic;

/// What is read at once: thousands of requests.
const READ: usize = 65_536;
/// Blocks that are sent with one system call. Each takes two slices, and the system takes 1,024.
const BATCH: usize = 128;
/// Bytes before the payload of a block: length, id, piece, offset.
pub(crate) const HEADER: usize = 13;
/// Bytes of a request.
const REQUEST: usize = 17;
const MAX_MESSAGE: usize = 32_768;
/// The number that we give to `ut_metadata` (BEP 9).
const UT_METADATA: u8 = 3;

/// When what was sent, in seconds of [`monotonic`].
#[derive(Debug, Default)]
struct Sent {
    first_block: OnceLock<f64>,
    /// The last piece of the metadata (BEP 9).
    metadata: OnceLock<f64>,
}

/// A seed that listens until it is dropped.
#[derive(Debug)]
pub(crate) struct NullSeeder {
    pub(crate) addr: SocketAddr,
    sent: Arc<Sent>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl NullSeeder {
    pub(crate) fn start(addr: SocketAddr, torrent: &Arc<Torrent>) -> io::Result<NullSeeder> {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(Sent::default());
        let (stopped, torrent, at) = (Arc::clone(&stop), Arc::clone(torrent), Arc::clone(&sent));
        let accepting = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (torrent, at) = (Arc::clone(&torrent), Arc::clone(&at));
                // An error is the end of the connection; whoever downloads is seen to finish, or not.
                thread::spawn(move || serve(stream, &torrent, &at));
            }
        });
        Ok(NullSeeder { addr, sent, stop, accepting: Some(accepting) })
    }

    /// When the first blocks were sent, if that has happened, in seconds of [`monotonic`].
    pub(crate) fn first_block(&self) -> Option<f64> {
        self.sent.first_block.get().copied()
    }

    /// When all of the metadata was sent, if that has happened, in seconds of [`monotonic`].
    pub(crate) fn metadata(&self) -> Option<f64> {
        self.sent.metadata.get().copied()
    }
}

impl Drop for NullSeeder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes it up.
        let woken = TcpStream::connect(self.addr).is_ok();
        if let Some(accepting) = self.accepting.take().filter(|_| woken) {
            let _ = accepting.join();
        }
    }
}

fn serve(mut stream: TcpStream, torrent: &Torrent, sent: &Sent) -> io::Result<()> {
    stream.set_nodelay(true)?;
    greet(&mut stream, torrent)?;
    let mut input = vec![0; READ];
    let mut filled = 0;
    let mut requests = Vec::new();
    let mut metadata = Metadata { info: torrent.info(), theirs: None };
    loop {
        let read = stream.read(&mut input[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut said = Vec::new();
        let used = parse(&input[..filled], &mut requests, &mut said)?;
        for payload in said {
            if let Some((answer, is_last)) = metadata.answer(&payload) {
                stream.write_all(&answer)?;
                if is_last {
                    sent.metadata.get_or_init(monotonic);
                }
            }
        }
        input.copy_within(used..filled, 0);
        filled -= used;
        for batch in requests.chunks(BATCH) {
            send(&mut stream, torrent, batch)?;
            sent.first_block.get_or_init(monotonic);
        }
        requests.clear();
    }
}

fn greet(stream: &mut TcpStream, torrent: &Torrent) -> io::Result<()> {
    let mut theirs = [0; 68];
    stream.read_exact(&mut theirs)?;
    if theirs[1..20] != b"BitTorrent protocol"[..] || theirs[28..48] != torrent.info_hash {
        return Err(invalid("not a handshake for this torrent"));
    }
    // Peer ids have to differ: downloaders may meet many of us.
    let own = format!("-XX0001-{:>12}", stream.local_addr()?.ip().to_string());
    let own: [u8; 20] = own.as_bytes()[..20].try_into().map_err(io::Error::other)?;
    let all = if theirs[27] & FAST[7] == 0 {
        message(id::BITFIELD, &full_bitfield(torrent.content.pieces()))
    } else {
        message(id::HAVE_ALL, &[])
    };
    let speaks_extended = theirs[25] & FAST_EXTENDED[5] != 0;
    let reserved = if speaks_extended { FAST_EXTENDED } else { FAST };
    let offer = format!("\0d1:md11:ut_metadatai{UT_METADATA}ee13:metadata_sizei{}ee", torrent.info().len());
    let offer = if speaks_extended { message(id::EXTENDED, offer.as_bytes()) } else { Vec::new() };
    let hello = [handshake(reserved, torrent.info_hash, own), offer, all, message(id::UNCHOKE, &[])].concat();
    stream.write_all(&hello)
}

/// What is to be had of the metadata (BEP 9).
struct Metadata {
    info: Vec<u8>,
    /// The number that they give to it.
    theirs: Option<u8>,
}

impl Metadata {
    /// The answer to an extended message, and whether it is the last piece; none if nothing is asked.
    fn answer(&mut self, payload: &[u8]) -> Option<(Vec<u8>, bool)> {
        let (&number, dict) = payload.split_first()?;
        if number == 0 {
            self.theirs = u8::try_from(int_of(dict, b"11:ut_metadata")?).ok();
        }
        if number != UT_METADATA || int_of(dict, b"8:msg_type") != Some(0) {
            return None;
        }
        let piece = usize::try_from(int_of(dict, b"5:piece")?).ok()?;
        let data = self.info.chunks(BLOCK_LEN).nth(piece)?;
        let head = format!("d8:msg_typei1e5:piecei{piece}e10:total_sizei{}ee", self.info.len());
        let answer = [&[self.theirs?][..], head.as_bytes(), data].concat();
        Some((message(id::EXTENDED, &answer), piece + 1 == self.info.len().div_ceil(BLOCK_LEN)))
    }
}

/// The integer that follows a key, wherever that is.
fn int_of(dict: &[u8], key: &[u8]) -> Option<u64> {
    let at = dict.windows(key.len()).position(|part| part == key)? + key.len();
    let digits = dict[at..].strip_prefix(b"i")?.split(|&byte| byte == b'e').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    piece: u32,
    begin: u32,
    len: u32,
}

/// Takes the requests, and what extended messages say, out of whole messages; returns how many bytes these were.
fn parse(input: &[u8], requests: &mut Vec<Request>, said: &mut Vec<Vec<u8>>) -> io::Result<usize> {
    let number = |at: usize| u32::from_be_bytes([input[at], input[at + 1], input[at + 2], input[at + 3]]);
    let mut at = 0;
    while input.len() - at >= 4 {
        let whole = 4 + usize::try_from(number(at)).map_err(io::Error::other)?;
        if whole > MAX_MESSAGE {
            return Err(invalid("a message that is too long"));
        }
        if input.len() - at < whole {
            break;
        }
        if whole == REQUEST && input[at + 4] == id::REQUEST {
            requests.push(Request { piece: number(at + 5), begin: number(at + 9), len: number(at + 13) });
        }
        if whole > 5 && input[at + 4] == id::EXTENDED {
            said.push(input[at + 5..at + whole].to_vec());
        }
        at += whole;
    }
    Ok(at)
}

/// Sends what a few requests ask for.
fn send(stream: &mut TcpStream, torrent: &Torrent, requests: &[Request]) -> io::Result<()> {
    let content = &torrent.content;
    let mut heads = [[0; HEADER + 8]; BATCH];
    let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(2 * BATCH);
    for (request, head) in requests.iter().zip(&mut heads) {
        let offset = u64::from(request.piece) * content.piece_len as u64 + u64::from(request.begin);
        let len = usize::try_from(request.len).map_err(io::Error::other)?;
        if len > BLOCK_LEN
            || !offset.is_multiple_of(BLOCK_LEN as u64)
            || offset + u64::from(request.len) > content.total
        {
            return Err(invalid("a request for no block of this torrent"));
        }
        let (stamp, rest) = content.block(offset / BLOCK_LEN as u64);
        head[..4].copy_from_slice(&(request.len + 9).to_be_bytes());
        head[4] = id::PIECE;
        head[5..9].copy_from_slice(&request.piece.to_be_bytes());
        head[9..13].copy_from_slice(&request.begin.to_be_bytes());
        head[13..].copy_from_slice(&stamp);
        slices.push(IoSlice::new(&head[..HEADER + len.min(8)]));
        slices.push(IoSlice::new(&rest[..len.saturating_sub(8)]));
    }
    let mut left = &mut slices[..];
    while !left.is_empty() {
        match stream.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests_of_seeder {
    use super::*;
    use tests::peer::request;

    #[test]
    fn requests_are_taken_out_of_other_messages_and_parts_are_left() {
        let wanted = message(id::REQUEST, &request(3, 16_384, 16_384));
        let extended = message(id::EXTENDED, b"\x03d8:msg_typei0e5:piecei1ee");
        let input = [&[0; 4][..], &message(id::INTERESTED, &[]), &wanted, &extended, &wanted[..9]].concat();
        let (mut requests, mut said) = (Vec::new(), Vec::new());
        assert_eq!(parse(&input, &mut requests, &mut said).unwrap(), input.len() - 9);
        let mut metadata = Metadata { info: vec![7; BLOCK_LEN + 9], theirs: Some(5) };
        let (answer, is_last) = metadata.answer(&said[0]).unwrap();
        let head = format!("\x14\x05d8:msg_typei1e5:piecei1e10:total_sizei{}ee", BLOCK_LEN + 9);
        assert!(is_last);
        assert_eq!(answer[4..], [head.as_bytes(), &[7; 9]].concat());
        assert_eq!(requests, [Request { piece: 3, begin: 16_384, len: 16_384 }]);
        assert!(parse(&[0xff; 8], &mut requests, &mut said).is_err());
    }
}
