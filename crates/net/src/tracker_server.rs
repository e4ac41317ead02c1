//! A small HTTP and UDP tracker over [`tracker::serve::Tracker`], for the demo and for tests.

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::{IncomingStream, Listener};
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};
use tracker::serve::Tracker;
use types::Time;

/// How many connections are served at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 256;

/// How long a connection may last; at the limit it ends.
const CONNECTION_TIME: Duration = Duration::from_secs(20);

/// The longest packet that is read: an announce, or a scrape of as many torrents as are answered, with room to spare.
const MAX_PACKET: usize = 2048;

/// A running tracker: `GET /announce` and `GET /scrape`. It stops when it is dropped.
#[derive(Debug)]
pub struct TrackerServer {
    addrs: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    epoch: Instant,
    tracker: Mutex<Tracker>,
}

impl TrackerServer {
    /// Serves on all of `addrs` (port 0: one that is free), IPv4 and IPv6, as one tracker. `seed` decides which peers are
    /// picked when there are more than asked for. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// An address is not ours, or its port is taken.
    pub fn start(addrs: &[SocketAddr], seed: u64) -> io::Result<TrackerServer> {
        let shared = Arc::new(Shared { epoch: Instant::now(), tracker: Mutex::new(Tracker::new(seed)) });
        let app = Router::new()
            .route("/announce", get(announce))
            .route("/scrape", get(scrape))
            .with_state(shared.clone())
            .into_make_service_with_connect_info::<Origin>();
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut server = TrackerServer { addrs: Vec::new(), tasks: Vec::new(), shared };
        for &addr in addrs {
            let listener = Bounded { listener: crate::bind::tcp_listener(addr)?, permits: permits.clone() };
            server.addrs.push(listener.listener.local_addr()?);
            let serving = axum::serve(listener, app.clone());
            server.tasks.push(tokio::spawn(async move {
                // It never ends by itself: the listener keeps errors of single connections to itself.
                let _ = serving.await;
            }));
        }
        Ok(server)
    }

    /// Serves the same swarms over UDP on `addr` (port 0: one that is free) as well, and tells where. Must be called within
    /// a tokio runtime.
    ///
    /// # Errors
    /// The address is not ours, or its port is taken.
    pub fn serve_udp(&mut self, addr: SocketAddr) -> io::Result<SocketAddr> {
        let socket = crate::bind::udp(addr)?;
        let addr = socket.local_addr()?;
        self.tasks.push(tokio::spawn(serve_packets(socket, self.shared.clone())));
        Ok(addr)
    }

    /// Where it listens for HTTP, in the order of what [`TrackerServer::start`] was given.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// The URLs to announce to, in the same order.
    pub fn announce_urls(&self) -> Vec<String> {
        self.addrs.iter().map(|addr| format!("http://{addr}/announce")).collect()
    }
}

impl Drop for TrackerServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn announce(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(Origin(from)): ConnectInfo<Origin>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    reply(shared.with_tracker(|tracker, now| tracker.announce(now, from.ip(), &query.unwrap_or_default())))
}

async fn scrape(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> impl IntoResponse {
    reply(shared.with_tracker(|tracker, now| tracker.scrape(now, &query.unwrap_or_default())))
}

/// An error of a socket is that of one packet, which is as good as lost.
async fn serve_packets(socket: UdpSocket, shared: Arc<Shared>) {
    let mut buf = [0; MAX_PACKET];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut buf).await else { continue };
        if let Some(answer) = shared.with_tracker(|tracker, now| tracker.packet(now, from, &buf[..len])) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// Clients come once in half an hour: no connection is kept for the next time.
fn reply(body: Vec<u8>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain"), (header::CONNECTION, "close")], Bytes::from(body))
}

impl Shared {
    fn with_tracker<T>(&self, with: impl FnOnce(&mut Tracker, Time) -> T) -> T {
        let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        with(&mut tracker, Time::ZERO + self.epoch.elapsed())
    }
}

/// The address that a connection came from.
#[derive(Clone, Copy, Debug)]
struct Origin(SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Origin {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Origin {
        Origin(*stream.remote_addr())
    }
}

/// A listener that accepts no more than [`MAX_CONNECTIONS`] at once.
struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        // The listener of axum retries by itself what can be retried.
        let (stream, from) = Listener::accept(&mut self.listener).await;
        let deadline = Box::pin(tokio::time::sleep(CONNECTION_TIME));
        (Connection { stream, deadline, _permit: permit }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that counts as long as it lives, and reads nothing more after [`CONNECTION_TIME`].
struct Connection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn check_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_deadline(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check_deadline(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
