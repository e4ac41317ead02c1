//! A peer that says what it is told to say, and a seed that serves as far as it is told to.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::metafile::PIECE_LEN;

/// Message ids of BEP 3, 6 and 10.
pub mod id {
    #![allow(missing_docs)]
    pub const CHOKE: u8 = 0;
    pub const UNCHOKE: u8 = 1;
    pub const INTERESTED: u8 = 2;
    pub const NOT_INTERESTED: u8 = 3;
    pub const HAVE: u8 = 4;
    pub const BITFIELD: u8 = 5;
    pub const REQUEST: u8 = 6;
    pub const PIECE: u8 = 7;
    pub const CANCEL: u8 = 8;
    pub const PORT: u8 = 9;
    pub const SUGGEST: u8 = 13;
    pub const HAVE_ALL: u8 = 14;
    pub const HAVE_NONE: u8 = 15;
    pub const REJECT: u8 = 16;
    pub const ALLOWED_FAST: u8 = 17;
    pub const EXTENDED: u8 = 20;
    pub const HASH_REQUEST: u8 = 21;
    pub const HASHES: u8 = 22;
    pub const HASH_REJECT: u8 = 23;
}

/// Reserved bytes that say nothing.
pub const PLAIN: [u8; 8] = [0; 8];
/// Reserved bytes with the fast extension (BEP 6).
pub const FAST: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0x04];
/// Reserved bytes with extended messages (BEP 10).
pub const EXTENDED: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0];
/// Reserved bytes with the fast extension and extended messages.
pub const FAST_EXTENDED: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0x04];

/// Bytes of a block.
pub const BLOCK_LEN: usize = 16_384;

/// How long a read waits before it is an error.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// A message as it came. `id` is absent in a keepalive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub id: Option<u8>,
    /// What follows the id.
    pub payload: Vec<u8>,
}

/// The bytes of a message.
#[must_use]
pub fn message(id: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len() + 1).unwrap_or(u32::MAX);
    [&len.to_be_bytes()[..], &[id], payload].concat()
}

/// The payload of a request, and of what rejects or cancels it.
#[must_use]
pub fn request(piece: u32, begin: u32, len: u32) -> Vec<u8> {
    [piece.to_be_bytes(), begin.to_be_bytes(), len.to_be_bytes()].concat()
}

/// The bytes of a handshake.
#[must_use]
pub fn handshake(reserved: [u8; 8], info_hash: [u8; 20], peer_id: [u8; 20]) -> Vec<u8> {
    [&b"\x13BitTorrent protocol"[..], &reserved, &info_hash, &peer_id].concat()
}

/// A connection to somebody, after both handshakes.
#[derive(Debug)]
pub struct RawPeer {
    stream: TcpStream,
    /// What the other side's handshake said that it can.
    pub reserved: [u8; 8],
    /// What it calls itself.
    pub peer_id: [u8; 20],
}

impl RawPeer {
    /// Connects, sends a handshake and reads the other side's.
    ///
    /// # Errors
    /// Nobody listens, or closes before its handshake is complete.
    pub fn connect(addr: SocketAddr, reserved: [u8; 8], info_hash: [u8; 20]) -> io::Result<RawPeer> {
        RawPeer::greet(TcpStream::connect(addr)?, reserved, info_hash)
    }

    /// The same under a name of one's choice.
    ///
    /// # Errors
    /// Nobody listens, or closes before its handshake is complete.
    pub fn connect_as(
        addr: SocketAddr,
        reserved: [u8; 8],
        info_hash: [u8; 20],
        peer_id: [u8; 20],
    ) -> io::Result<RawPeer> {
        RawPeer::greet_as(TcpStream::connect(addr)?, reserved, info_hash, peer_id)
    }

    /// Answers somebody who has connected: sends a handshake and reads the other side's.
    ///
    /// # Errors
    /// The other side closes before its handshake is complete, or asks for another torrent.
    pub fn greet(stream: TcpStream, reserved: [u8; 8], info_hash: [u8; 20]) -> io::Result<RawPeer> {
        let own = own_id(&stream)?;
        RawPeer::greet_as(stream, reserved, info_hash, own)
    }

    fn greet_as(
        mut stream: TcpStream,
        reserved: [u8; 8],
        info_hash: [u8; 20],
        own: [u8; 20],
    ) -> io::Result<RawPeer> {
        stream.set_read_timeout(Some(READ_LIMIT))?;
        stream.set_nodelay(true)?;
        stream.write_all(&handshake(reserved, info_hash, own))?;
        let mut theirs = [0; 68];
        stream.read_exact(&mut theirs)?;
        if theirs[..20] != b"\x13BitTorrent protocol"[..] || theirs[28..48] != info_hash {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a handshake for this torrent"));
        }
        let (mut reserved, mut peer_id) = ([0; 8], [0; 20]);
        reserved.copy_from_slice(&theirs[20..28]);
        peer_id.copy_from_slice(&theirs[48..]);
        Ok(RawPeer { stream, reserved, peer_id })
    }

    /// Answers somebody who has connected with the handshake of whatever torrent it asks for, and says which one.
    ///
    /// # Errors
    /// The other side closes before its handshake is complete.
    pub fn answer(stream: TcpStream, reserved: [u8; 8]) -> io::Result<(RawPeer, [u8; 20])> {
        let mut asked = [0; 48];
        stream.set_read_timeout(Some(READ_LIMIT))?;
        while stream.peek(&mut asked)? < asked.len() {
            thread::yield_now();
        }
        let mut info_hash = [0; 20];
        info_hash.copy_from_slice(&asked[28..]);
        Ok((RawPeer::greet(stream, reserved, info_hash)?, info_hash))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The other side has closed.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends as much of `bytes` as the other side takes, until it takes nothing for `patience`; says how much that was,
    /// which is less than all of it if it reads no more or has closed.
    ///
    /// # Errors
    /// As the system says.
    pub fn push(&mut self, bytes: &[u8], patience: Duration) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(patience))?;
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(more) if more > 0 => sent += more,
                _ => break,
            }
        }
        self.stream.set_write_timeout(None)?;
        Ok(sent)
    }

    /// Says that nothing more comes.
    ///
    /// # Errors
    /// The other side has closed.
    pub fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// The same connection once more, so that one thread reads while another sends.
    ///
    /// # Errors
    /// As the system says.
    pub fn twin(&self) -> io::Result<RawPeer> {
        Ok(RawPeer { stream: self.stream.try_clone()?, reserved: self.reserved, peer_id: self.peer_id })
    }

    /// Waits this long for each message; for as long as it takes by `None`.
    ///
    /// # Errors
    /// As the system says.
    pub fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(patience)
    }

    /// The next message; `None` once the other side has closed.
    ///
    /// # Errors
    /// Nothing came for ten seconds.
    pub fn read(&mut self) -> io::Result<Option<Frame>> {
        match self.read_frame() {
            Ok(frame) => Ok(Some(frame)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(error)
            }
            Err(_) => Ok(None),
        }
    }

    fn read_frame(&mut self) -> io::Result<Frame> {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len)?;
        let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
        if len == 0 {
            return Ok(Frame { id: None, payload: Vec::new() });
        }
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body)?;
        let payload = body.split_off(1);
        Ok(Frame { id: Some(body[0]), payload })
    }

    /// Reads until a message that `wanted` accepts; `None` if the other side closes before.
    ///
    /// # Errors
    /// Nothing came for ten seconds.
    pub fn read_until(&mut self, wanted: impl Fn(&Frame) -> bool) -> io::Result<Option<Frame>> {
        loop {
            match self.read()? {
                Some(frame) if wanted(&frame) => return Ok(Some(frame)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Whether the other side closes the connection within `limit`; messages until then are dropped.
    ///
    /// # Errors
    /// As the system says.
    pub fn closes_within(&mut self, limit: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut [0; 4096]) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(_) => return Ok(true),
            }
        }
    }

    /// Asks for a block of a seed that may choke at first, and reads it.
    ///
    /// # Errors
    /// Nothing came for ten seconds, or the other side closed.
    pub fn fetch(&mut self, piece: u32, begin: u32, len: u32) -> io::Result<Vec<u8>> {
        let closed = || io::Error::new(io::ErrorKind::ConnectionAborted, "closed before the block came");
        self.send(&message(id::INTERESTED, &[]))?;
        self.read_until(|frame| frame.id == Some(id::UNCHOKE))?.ok_or_else(closed)?;
        self.fetch_unchoked(piece, begin, len)
    }

    /// Asks for a block of a seed that has unchoked us, and reads it.
    ///
    /// # Errors
    /// Nothing came for ten seconds, or the other side closed.
    pub fn fetch_unchoked(&mut self, piece: u32, begin: u32, len: u32) -> io::Result<Vec<u8>> {
        let closed = || io::Error::new(io::ErrorKind::ConnectionAborted, "closed before the block came");
        self.send(&message(id::REQUEST, &request(piece, begin, len)))?;
        let head = [piece.to_be_bytes(), begin.to_be_bytes()].concat();
        let block = self
            .read_until(|frame| frame.id == Some(id::PIECE) && frame.payload.starts_with(&head))?
            .ok_or_else(closed)?;
        Ok(block.payload[head.len()..].to_vec())
    }
}

/// The pieces that whoever listens there claims to have of a torrent.
///
/// # Errors
/// It does not serve the torrent, or hangs up, which one under load may do to any caller.
pub fn claimed(addr: SocketAddr, info_hash: [u8; 20]) -> io::Result<Vec<usize>> {
    let mut peer = RawPeer::connect(addr, PLAIN, info_hash)?;
    let first = peer.read()?.ok_or(io::ErrorKind::ConnectionAborted)?;
    if first.id != Some(id::BITFIELD) {
        return Ok(Vec::new());
    }
    let bit = |piece: &usize| first.payload[piece / 8] & (0x80 >> (piece % 8)) != 0;
    Ok((0..first.payload.len() * 8).filter(bit).collect())
}

/// A peer id that differs from connection to connection.
fn own_id(stream: &TcpStream) -> io::Result<[u8; 20]> {
    let mut own = *b"-XX0000-............";
    let text = format!("{:012}", stream.local_addr()?.port());
    own[8..].copy_from_slice(&text.as_bytes()[..12]);
    Ok(own)
}

/// How a [`FakeSeed`] serves.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The torrent.
    pub info_hash: [u8; 20],
    /// All of its bytes.
    pub content: Arc<Vec<u8>>,
    /// It falls silent once it has sent that many bytes, over all connections; up to a block more.
    pub limit: usize,
    /// Whether every block has one wrong byte.
    pub lying: bool,
    /// Whether it never sends the block that a piece ends with.
    pub withholds_last: bool,
    /// How many bytes of blocks it sends a second at most, over all connections; as many as it can by default.
    pub rate: Option<usize>,
    /// What it sends right after the handshake, before its bit field; none by default.
    pub greeting: Vec<u8>,
}

impl Serving {
    /// Serves all of `content`, honestly.
    #[must_use]
    pub fn all(info_hash: [u8; 20], content: Arc<Vec<u8>>) -> Serving {
        Serving {
            info_hash,
            content,
            limit: usize::MAX,
            lying: false,
            withholds_last: false,
            rate: None,
            greeting: Vec::new(),
        }
    }
}

/// A seed on loopback, written for tests: accepts whoever comes, unchokes, serves, and keeps count.
#[derive(Debug)]
pub struct FakeSeed {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    serving: Serving,
    started: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    served: usize,
    requests: Vec<(u32, u32)>,
}

impl FakeSeed {
    /// Starts it; it serves until the test ends.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(serving: Serving) -> io::Result<FakeSeed> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            serving,
            started: Instant::now(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&of_thread);
                // An error is the end of this connection; the test looks at what was served.
                thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(FakeSeed { addr, shared })
    }

    /// Waits until that many bytes are served; false if they aren't within `limit`.
    #[must_use]
    pub fn wait_served(&self, bytes: usize, limit: Duration) -> bool {
        self.shared.wait(limit, |state| state.served >= bytes)
    }

    /// Waits until somebody has shaken hands; false if nobody does within `limit`.
    #[must_use]
    pub fn wait_connected(&self, limit: Duration) -> bool {
        self.shared.wait(limit, |state| state.connections > 0)
    }

    /// Bytes sent so far.
    #[must_use]
    pub fn served(&self) -> usize {
        self.shared.state().served
    }

    /// Piece and offset of every block asked for, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<(u32, u32)> {
        self.shared.state().requests.clone()
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut peer = RawPeer::greet(stream, PLAIN, self.serving.info_hash)?;
        peer.stream.set_read_timeout(None)?;
        self.change(|state| state.connections += 1);
        peer.send(&self.serving.greeting)?;
        peer.send(&message(id::BITFIELD, &full_bitfield(self.serving.content.len().div_ceil(PIECE_LEN))))?;
        peer.send(&message(id::UNCHOKE, &[]))?;
        while let Some(frame) = peer.read()? {
            if frame.id == Some(id::REQUEST) {
                self.answer(&mut peer, &frame.payload)?;
            }
        }
        Ok(())
    }

    fn answer(&self, peer: &mut RawPeer, request: &[u8]) -> io::Result<()> {
        let number = |at: usize| {
            request
                .get(at..at + 4)
                .and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)))
                .unwrap_or(0)
        };
        let (piece, begin, len) = (number(0), number(4), number(8) as usize);
        let start = piece as usize * PIECE_LEN + begin as usize;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "asked for bytes outside of the torrent");
        let mut block = self.serving.content.get(start..start + len).ok_or_else(bad)?.to_vec();
        if self.serving.lying {
            block[len / 2] ^= 1;
        }
        let is_last = begin as usize + len >= PIECE_LEN || start + len == self.serving.content.len();
        let withheld = self.serving.withholds_last && is_last;
        let (mut served, mut sent) = (false, 0);
        self.change(|state| {
            state.requests.push((piece, begin));
            served = state.served < self.serving.limit && !withheld;
            state.served += if served { len } else { 0 };
            sent = state.served;
        });
        if let Some(rate) = self.serving.rate {
            // A line of that rate would have taken so long.
            let due = Duration::from_micros(sent as u64 * 1_000_000 / rate as u64);
            thread::sleep(due.saturating_sub(self.started.elapsed()));
        }
        if served {
            peer.send(&message(id::PIECE, &[&request[..8], &block].concat()))?;
        }
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, limit: Duration, wanted: impl Fn(&State) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), limit, |state| !wanted(state));
        waited.is_ok_and(|(_, timeout)| !timeout.timed_out())
    }
}

/// A bit field with `pieces` bits, all set.
#[must_use]
pub fn full_bitfield(pieces: usize) -> Vec<u8> {
    let mut bits = vec![0xff; pieces.div_ceil(8)];
    if let Some(last) = bits.last_mut().filter(|_| !pieces.is_multiple_of(8)) {
        *last = 0xff << (8 - pieces % 8);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fake_seed_serves_up_to_its_limit() {
        let content = Arc::new(crate::content::bytes(1, PIECE_LEN + 100));
        let limit = 2 * BLOCK_LEN;
        let seed = FakeSeed::start(Serving { limit, ..Serving::all([7; 20], Arc::clone(&content)) }).unwrap();
        let mut peer = RawPeer::connect(seed.addr, PLAIN, [7; 20]).unwrap();
        let block = peer.fetch(1, 0, 100).unwrap();
        assert_eq!(block, content[PIECE_LEN..]);
        for begin in [0, 16_384, 32_768, 49_152] {
            peer.send(&message(id::REQUEST, &request(0, begin, 16_384))).unwrap();
        }
        assert!(seed.wait_served(100 + 2 * BLOCK_LEN, Duration::from_secs(5)));
        assert!(!seed.wait_served(100 + 3 * BLOCK_LEN, Duration::from_millis(50)));
        assert!(RawPeer::connect(seed.addr, PLAIN, [8; 20]).is_err());
    }

    #[test]
    fn a_bit_field_has_no_spare_bits() {
        assert_eq!(full_bitfield(8), [0xff]);
        assert_eq!(full_bitfield(11), [0xff, 0b1110_0000]);
    }
}
