//! Where every socket in the program is made, so that one place decides about addresses, families and options.

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, UdpSocket};

/// How many connections may wait to be accepted; the kernel refuses more.
const BACKLOG: i32 = 256;

/// The addresses that what we send comes from, where the owner chose any: trackers then list us, and peers know us,
/// under the address where we listen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalAddrs {
    /// For IPv4; `None` leaves it to the system.
    pub v4: Option<Ipv4Addr>,
    /// For IPv6; `None` leaves it to the system.
    pub v6: Option<Ipv6Addr>,
}

impl LocalAddrs {
    /// The addresses of these listeners: the first of each family, unless that listens on all addresses.
    pub fn of_listeners(listeners: &[SocketAddr]) -> LocalAddrs {
        let first = |is_v4: bool| listeners.iter().map(SocketAddr::ip).find(|ip| ip.is_ipv4() == is_v4);
        let chosen = |ip: Option<IpAddr>| ip.filter(|ip| !ip.is_unspecified());
        LocalAddrs {
            v4: match chosen(first(true)) {
                Some(IpAddr::V4(ip)) => Some(ip),
                _ => None,
            },
            v6: match chosen(first(false)) {
                Some(IpAddr::V6(ip)) => Some(ip),
                _ => None,
            },
        }
    }

    /// The address to reach `to` from, if it can be reached from there: a loopback address leads nowhere else.
    pub fn towards(&self, to: IpAddr) -> Option<IpAddr> {
        let local = match to {
            IpAddr::V4(_) => self.v4.map(IpAddr::from),
            IpAddr::V6(_) => self.v6.map(IpAddr::from),
        };
        local.filter(|local| !local.is_loopback() || to.is_loopback())
    }
}

/// Listens for TCP connections. A port of 0 lets the system choose; an IPv6 socket takes IPv6 only, so that both
/// families can listen on one port.
///
/// # Errors
/// The address is not ours, the port is taken, or may not be used.
pub fn tcp_listener(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Dials `to`, from one of `local`.
///
/// # Errors
/// As the system says; no deadline of its own.
pub async fn tcp_connect(to: SocketAddr, local: LocalAddrs) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(local) = local.towards(to.ip()) {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    let stream = socket.connect(to).await?;
    set_options(&stream)?;
    Ok(stream)
}

/// The addresses of a host and a port.
///
/// # Errors
/// As the system says; no deadline of its own.
pub async fn look_up(host: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(host).await?.collect())
}

/// Unsent bytes in the kernel up to which it takes more: what it has, no message can overtake.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_IN_KERNEL: u32 = 64 * 1024;

/// What a peer's connection needs: small messages leave at once, and large ones wait here rather than in the kernel.
///
/// # Errors
/// As the system says: the connection is gone.
pub fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_IN_KERNEL)?;
    Ok(())
}

/// A UDP socket on `addr`; port 0 lets the system choose.
///
/// # Errors
/// The address is not ours or the port is taken.
pub fn udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// A UDP socket for what is said to a multicast group, on the group's port at every address of its family. Other programs
/// may have the port at the same time. The socket hears the group where it has joined it and nowhere else; what it sends
/// stays on the local network, and others on this host hear it.
///
/// # Errors
/// Somebody has the port for himself, or there is no such family.
pub fn multicast(group: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    let any: IpAddr = match group {
        SocketAddr::V4(_) => {
            socket.set_multicast_ttl_v4(1)?;
            socket.set_multicast_loop_v4(true)?;
            #[cfg(target_os = "linux")]
            socket.set_multicast_all_v4(false)?;
            Ipv4Addr::UNSPECIFIED.into()
        }
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_hops_v6(1)?;
            socket.set_multicast_loop_v6(true)?;
            #[cfg(target_os = "linux")]
            socket.set_multicast_all_v6(false)?;
            Ipv6Addr::UNSPECIFIED.into()
        }
    };
    socket.bind(&SocketAddr::new(any, group.port()).into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[test]
    fn what_is_sent_comes_from_where_we_listen() {
        let local = LocalAddrs::of_listeners(&["10.77.0.2:1".parse().unwrap(), "[::]:1".parse().unwrap()]);
        assert_eq!(local.towards("10.77.0.1".parse().unwrap()), Some("10.77.0.2".parse().unwrap()));
        assert_eq!(local.towards("2001:db8::1".parse().unwrap()), None, "all IPv6 addresses");
        let local =
            LocalAddrs::of_listeners(&["127.0.0.1:1".parse().unwrap(), "10.0.0.1:1".parse().unwrap()]);
        assert_eq!(local.towards("127.0.0.2".parse().unwrap()), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(local.towards("192.0.2.1".parse().unwrap()), None, "loopback leads nowhere else");
        assert_eq!(LocalAddrs::of_listeners(&[]), LocalAddrs::default());
    }

    #[tokio::test]
    async fn so_many_connections_wait_to_be_accepted() {
        let listener = tcp_listener(([127, 0, 0, 1], 0).into()).unwrap();
        let to = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        // The kernel takes one more than it is told.
        let most = usize::try_from(BACKLOG).unwrap() + 1;
        while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(to)).await {
            waiting.push(stream.unwrap());
            assert!(waiting.len() <= most, "{} of {most}", waiting.len());
        }
        // A system may allow fewer.
        assert!(waiting.len() > 100, "{}", waiting.len());
        listener.accept().await.unwrap();
        assert!(TcpStream::connect(to).await.is_ok(), "there is room again");
    }

    #[tokio::test]
    async fn a_dial_comes_from_the_chosen_address() {
        let listener = tcp_listener(([127, 0, 0, 1], 0).into()).unwrap();
        let to = listener.local_addr().unwrap();
        let local = LocalAddrs { v4: Some(Ipv4Addr::new(127, 0, 0, 9)), v6: None };
        let (_stream, accepted) = tokio::join!(tcp_connect(to, local), listener.accept());
        assert_eq!(accepted.unwrap().1.ip(), Ipv4Addr::new(127, 0, 0, 9));
    }
}
