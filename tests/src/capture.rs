//! What goes over the wire: every UDP and TCP packet of a network namespace, as a packet socket sees it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::net::{AddressFamily, Protocol, RawProtocol, RecvFlags, SocketFlags, SocketType};

/// The longest packet: on loopback, segments are not cut to what a wire would take.
const MAX_PACKET: usize = 256 * 1024;

/// How much is kept. Beyond that a capture is of no use, and says so when it ends.
const MAX_KEPT: usize = 512 * 1024 * 1024;

/// How much the kernel is asked to keep for a reader that is late.
const KERNEL_BUFFER: usize = 64 * 1024 * 1024;

/// How long the packet that ends a capture may take.
const END_TAKES: Duration = Duration::from_secs(10);

/// A packet with its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where it came from.
    pub from: SocketAddr,
    /// Where it was to go.
    pub to: SocketAddr,
    /// What carried it.
    pub carrier: Carrier,
    /// What it carried.
    pub payload: Vec<u8>,
}

/// What carries a packet's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// UDP.
    Udp,
    /// TCP.
    Tcp {
        /// The sequence number of the payload's first byte; of a SYN, the one before.
        seq: u32,
        /// Whether it begins a connection.
        syn: bool,
    },
}

/// A capture under way: it sees all that goes over loopback in the network namespace in which it was started.
///
/// On loopback a packet is seen twice, as it leaves and as it arrives.
#[derive(Debug)]
pub struct Capture {
    kept: Arc<Kept>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Kept {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    packets: Vec<Packet>,
    bytes: usize,
    /// What a packet holds with which the capture is to end.
    end: Option<Vec<u8>>,
    ended: bool,
    error: Option<io::Error>,
}

impl Capture {
    /// Starts it. Whoever does must be root, or what stands for root in a user namespace.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn start() -> Result<Capture> {
        let socket = packet_socket().context("cannot capture packets (this takes root)")?;
        let kept = Arc::new(Kept::default());
        let of_thread = kept.clone();
        let thread = thread::Builder::new().name("capture".into()).spawn(move || {
            let ended = read_all(&socket, &of_thread);
            let mut state = of_thread.state();
            state.error = ended.err();
            state.ended = true;
            of_thread.changed.notify_all();
        })?;
        Ok(Capture { kept, thread })
    }

    /// Waits until `enough` has seen what it wants; it is shown all packets, those that are new each time. False if that
    /// does not come within `limit`.
    #[must_use]
    pub fn wait_for(&self, limit: Duration, mut enough: impl FnMut(&[Packet]) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut seen = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_idle = |state: &mut State| !state.ended && state.packets.len() == seen;
            let waited = self.kept.changed.wait_timeout_while(self.kept.state(), left, is_idle);
            // Looked at outside the lock, so that the capture goes on meanwhile.
            let new = waited.map_or(Vec::new(), |(state, _)| state.packets[seen..].to_vec());
            if new.is_empty() {
                return false;
            }
            seen += new.len();
            if enough(&new) {
                return true;
            }
        }
    }

    /// Ends it: all that was sent before is in it.
    ///
    /// # Errors
    /// There was more than can be kept, or the kernel took the socket away.
    pub fn finish(self) -> Result<Vec<Packet>> {
        let end = format!("end of capture {:?}", thread::current().id()).into_bytes();
        self.kept.state().end = Some(end.clone());
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.send_to(&end, socket.local_addr()?)?;
        let waited = self.kept.changed.wait_timeout_while(self.kept.state(), END_TAKES, |state| !state.ended);
        ensure!(waited.is_ok_and(|(state, _)| state.ended), "the capture does not end");
        self.thread.join().map_err(|_| anyhow!("the capture panicked"))?;
        let mut state = self.kept.state();
        if let Some(error) = state.error.take() {
            return Err(error).context("the capture broke off");
        }
        ensure!(state.bytes <= MAX_KEPT, "more than {MAX_KEPT} bytes were captured");
        Ok(std::mem::take(&mut state.packets))
    }
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that sees every packet of this network namespace, without what comes before its IP header.
fn packet_socket() -> io::Result<OwnedFd> {
    /// `ETH_P_ALL`, in the order of bytes on the wire.
    const EVERY_PROTOCOL: RawProtocol = RawProtocol::new(3_u16.to_be() as u32).expect("3 is not 0");
    let protocol = Some(Protocol::from_raw(EVERY_PROTOCOL));
    let (family, kind) = (AddressFamily::PACKET, SocketType::DGRAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
    // In a user namespace the kernel gives no more than its usual.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, KERNEL_BUFFER);
    Ok(socket)
}

fn read_all(socket: &OwnedFd, kept: &Kept) -> io::Result<()> {
    let mut buffer = vec![0; MAX_PACKET];
    loop {
        let (_, len) = match rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Err(rustix::io::Errno::INTR) => continue,
            received => received?,
        };
        let Some(packet) = parse(&buffer[..len.min(MAX_PACKET)]) else { continue };
        let mut state = kept.state();
        if state.end.as_ref() == Some(&packet.payload) {
            return Ok(());
        }
        state.bytes += packet.payload.len();
        if state.bytes <= MAX_KEPT {
            state.packets.push(packet);
        }
        drop(state);
        kept.changed.notify_all();
    }
}

/// Reads an IP packet; `None` for what is neither UDP nor TCP.
fn parse(packet: &[u8]) -> Option<Packet> {
    let (protocol, from, to, rest) = match packet.first()? >> 4 {
        4 => parse_v4(packet)?,
        6 => parse_v6(packet)?,
        _ => return None,
    };
    let port = |at: usize| Some(u16::from_be_bytes(*rest.get(at..)?.first_chunk()?));
    let (carrier, header) = match protocol {
        17 => (Carrier::Udp, 8),
        6 => {
            let seq = u32::from_be_bytes(*rest.get(4..)?.first_chunk()?);
            let syn = rest.get(13)? & 2 != 0;
            (Carrier::Tcp { seq, syn }, usize::from(rest.get(12)? >> 4) * 4)
        }
        _ => return None,
    };
    Some(Packet {
        from: SocketAddr::new(from, port(0)?),
        to: SocketAddr::new(to, port(2)?),
        carrier,
        payload: rest.get(header..)?.to_vec(),
    })
}

/// The next protocol, the addresses, and what the packet carries.
type Ip<'a> = (u8, IpAddr, IpAddr, &'a [u8]);

fn parse_v4(packet: &[u8]) -> Option<Ip<'_>> {
    let header = usize::from(packet.first()? & 15) * 4;
    let len = usize::from(u16::from_be_bytes(*packet.get(2..)?.first_chunk()?));
    let addr = |at: usize| Some(IpAddr::from(Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?)));
    // Segments that are longer than the field can tell have 0 there.
    let end = if len == 0 { packet.len() } else { len };
    Some((*packet.get(9)?, addr(12)?, addr(16)?, packet.get(header..end)?))
}

fn parse_v6(packet: &[u8]) -> Option<Ip<'_>> {
    let len = usize::from(u16::from_be_bytes(*packet.get(4..)?.first_chunk()?));
    let addr = |at: usize| Some(IpAddr::from(Ipv6Addr::from(*packet.get(at..)?.first_chunk::<16>()?)));
    let end = if len == 0 { packet.len() } else { 40 + len };
    Some((*packet.get(6)?, addr(8)?, addr(24)?, packet.get(40..end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read() {
        let udp = [
            &[0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8][..],
            &[0, 9, 1, 0, 0, 10, 0, 0, b'h', b'i'],
            b"trailer",
        ]
        .concat();
        let read = parse(&udp).unwrap();
        assert_eq!((read.from, read.to), ("1.2.3.4:9".parse().unwrap(), "5.6.7.8:256".parse().unwrap()));
        assert_eq!((read.carrier, &read.payload[..]), (Carrier::Udp, &b"hi"[..]));
        let tcp = [
            &[0x60, 0, 0, 0, 0, 25, 6, 64][..],
            &Ipv6Addr::LOCALHOST.octets(),
            &Ipv6Addr::LOCALHOST.octets(),
            &[0, 9, 1, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0x60, 2, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, b'x'],
        ]
        .concat();
        let read = parse(&tcp).unwrap();
        assert_eq!(read.to, "[::1]:256".parse().unwrap());
        assert_eq!((read.carrier, &read.payload[..]), (Carrier::Tcp { seq: 7, syn: true }, &b"x"[..]));
        for cut in 0..tcp.len() {
            assert_eq!(parse(&tcp[..cut]), None, "{cut}");
        }
        assert_eq!(parse(&[0x45; 20]), None);
    }
}
