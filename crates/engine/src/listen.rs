//! Where peers come in.

use crate::Error;
use crate::meet;
use crate::settings::CUSTOMARY_PORTS;
use crate::shared::Shared;
use net::bind::tcp_listener;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How many callers may be in their handshake at once; further ones wait in the kernel's queue.
pub(crate) const MAX_GREETING: usize = 200;

/// How long the listener rests after an accept failed, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens every address that was asked for, or the customary ones.
pub(crate) fn open(asked: &[SocketAddr]) -> Result<Vec<TcpListener>, Error> {
    if asked.is_empty() {
        return customary();
    }
    asked.iter().map(|&addr| listen(addr)).collect()
}

fn listen(addr: SocketAddr) -> Result<TcpListener, Error> {
    tcp_listener(addr).map_err(|err| Error::Listen { addr, reason: err.to_string() })
}

/// Both families on the first customary port that is free; on a machine without IPv6, IPv4 alone.
fn customary() -> Result<Vec<TcpListener>, Error> {
    let mut last = None;
    for port in CUSTOMARY_PORTS.chain([0]) {
        match listen((Ipv4Addr::UNSPECIFIED, port).into()) {
            Ok(v4) => {
                let port = v4.local_addr().map_or(port, |addr| addr.port());
                let v6 = tcp_listener((Ipv6Addr::UNSPECIFIED, port).into()).ok();
                return Ok(std::iter::once(v4).chain(v6).collect());
            }
            Err(err) => last = Some(err),
        }
    }
    Err(last.unwrap_or_else(|| Error::Start("no port to listen on".into())))
}

/// Answers callers until the engine shuts down.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let greeting = Arc::new(Semaphore::new(MAX_GREETING));
    let mut callers = JoinSet::new();
    loop {
        let Ok(permit) = greeting.clone().acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, addr)) => {
                    let shared = shared.clone();
                    callers.spawn(async move {
                        meet::caller(&shared, stream, addr).await;
                        drop(permit);
                    });
                }
                Err(err) => {
                    tracing::warn!("cannot accept connections: {err}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = shared.closed() => return,
        }
        while callers.try_join_next().is_some() {}
    }
}
