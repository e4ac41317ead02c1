//! A small tracker of our own, for demonstrations and tests.

use crate::{Error, threads};
use std::net::SocketAddr;
use tokio::runtime::Runtime;

/// An HTTP tracker (BEP 3, 7, 23, 48) that keeps its swarms in memory. It ends when it is dropped.
#[derive(Debug)]
pub struct TrackerServer {
    addr: SocketAddr,
    _server: net::tracker_server::TrackerServer,
    runtime: Option<Runtime>,
}

impl TrackerServer {
    /// Starts a tracker on `addr`; port 0 lets the system choose.
    ///
    /// # Errors
    /// [`Error::Listen`] if the address cannot be listened on, [`Error::Start`] if threads cannot be had.
    pub fn start(addr: SocketAddr) -> Result<TrackerServer, Error> {
        threads::ensure(1 + threads::BLOCKING)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rawtorrent-tracker")
            .enable_all()
            .build()
            .map_err(|err| Error::Start(err.to_string()))?;
        let inside = runtime.enter();
        let server = net::tracker_server::TrackerServer::start(&[addr], fastrand::u64(..))
            .map_err(|err| Error::Listen { addr, reason: err.to_string() })?;
        drop(inside);
        let addr = server.addrs().first().copied().unwrap_or(addr);
        Ok(TrackerServer { addr, _server: server, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL to announce to.
    pub fn announce_url(&self) -> String {
        format!("http://{}/announce", self.addr)
    }
}

impl Drop for TrackerServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
