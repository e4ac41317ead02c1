//! The engine as its owner sees it: start, add, watch, shut down.

use crate::driver::{Driver, Fetching};
use crate::events::Events;
use crate::shared::Shared;
use crate::torrent::Torrent;
use crate::{AddMagnet, AddTorrent, Error, Fetch, Settings, listen, steward};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long [`Engine::shutdown`] waits for trackers to hear of it and for state to be saved.
pub(crate) const SHUTDOWN_DEADLINE: Duration = Duration::from_millis(2800);

/// Torrents, the threads that drive them, and the sockets where peers come in.
///
/// Dropping it without [`shutdown`](Engine::shutdown) ends everything at once: trackers are not told, and what was
/// not yet durable is checked at the next start.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    addrs: Vec<SocketAddr>,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

impl Engine {
    /// Starts the threads and opens the sockets.
    ///
    /// # Errors
    /// [`Error::Listen`] if an address cannot be listened on, [`Error::Start`] if threads cannot be had.
    pub fn start(settings: Settings) -> Result<Engine, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("rawtorrent-net")
            .enable_all()
            .build()
            .map_err(|err| Error::Start(err.to_string()))?;
        let _inside = runtime.enter();
        let listeners = listen::open(&settings.listen)?;
        let addrs = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect::<Vec<_>>();
        let shared = Arc::new(Shared::new(settings, &addrs)?);
        for listener in listeners {
            runtime.spawn(listen::run(listener, shared.clone()));
        }
        runtime.spawn(steward::run(shared.clone()));
        drop(_inside);
        Ok(Engine { shared, addrs, runtime: Some(runtime) })
    }

    /// Where the engine listens.
    pub fn listen_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Adds a torrent and begins its work. When this returns, its files have been looked at but not yet checked. If it
    /// is not waited for, the torrent is added all the same, without a handle on it.
    ///
    /// # Errors
    /// [`Error::V2Only`], [`Error::AlreadyAdded`], [`Error::NothingSelected`], [`Error::InUse`], [`Error::State`], and
    /// [`Error::Disk`] if something that is not a file stands where one of the torrent's goes.
    pub async fn add(&self, add: AddTorrent) -> Result<Torrent, Error> {
        let shared = self.shared.clone();
        self.on_runtime(async move {
            if shared.is_closing() {
                return Err(Error::ShutDown);
            }
            let (driver, calls, torrent) = Driver::open(shared.clone(), add).await?;
            shared.spawn(driver.run(calls));
            Ok(torrent)
        })
        .await
    }

    /// Looks for the metadata that a magnet link names (BEP 9). What an earlier download found is at hand at once.
    ///
    /// # Errors
    /// [`Error::AlreadyAdded`] if the torrent is here already.
    pub async fn fetch_metadata(&self, add: AddMagnet) -> Result<Fetch, Error> {
        let shared = self.shared.clone();
        self.on_runtime(async move {
            if shared.is_closing() {
                return Err(Error::ShutDown);
            }
            let (fetching, fetch) = Fetching::open(shared.clone(), add).await?;
            if let Some(fetching) = fetching {
                shared.spawn(fetching.run());
            }
            Ok(fetch)
        })
        .await
    }

    /// Fetches a torrent file over HTTP or HTTPS (whose certificate is checked): 64 MiB at most.
    ///
    /// # Errors
    /// [`Error::Fetch`] says in one line why there is none.
    pub async fn fetch(&self, url: &str) -> Result<Vec<u8>, Error> {
        let (shared, url) = (self.shared.clone(), url.to_owned());
        self.on_runtime(async move { shared.web.fetch(&url).await }).await
    }

    /// What is said and done from now on. Costs nothing while nobody listens.
    pub fn events(&self) -> Events {
        self.shared.hub.listen()
    }

    /// Stops every torrent: peers are hung up on, trackers are told, state is saved. Takes less than three seconds
    /// whatever trackers and disks do.
    pub async fn shutdown(self) {
        let shared = self.shared.clone();
        self.on_runtime(async move {
            shared.close();
            let mut torrents = shared.take_tasks();
            let all = async { while torrents.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(SHUTDOWN_DEADLINE, all).await;
            Ok(())
        })
        .await
        .unwrap_or(());
    }

    /// Runs something on the engine's own threads, whatever executor waits for it.
    async fn on_runtime<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let runtime = self.runtime.as_ref().ok_or(Error::ShutDown)?;
        runtime.spawn(work).await.unwrap_or(Err(Error::ShutDown))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.close();
        // Waiting is not allowed where another runtime may be running us.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
