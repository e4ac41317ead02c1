//! The engine as its owner sees it: start, add, watch, shut down.

use crate::dht;
use crate::driver::{Driver, Fetching};
use crate::events::{Events, Filter};
use crate::kept::InStore;
use crate::listen::Callers;
use crate::shared::Shared;
use crate::torrent::{Ends, Torrent};
use crate::{
    AddMagnet, AddTorrent, Error, Fetch, Settings, listen, lsd, memory, presence, scrub, steward, threads,
};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use types::Time;

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
        Engine::start_in(settings, None)
    }

    /// The same for a session, which has a store.
    pub(crate) fn start_in(settings: Settings, kept: Option<InStore>) -> Result<Engine, Error> {
        let tasks = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        threads::ensure(tasks + 3 * settings.disk_threads + threads::BLOCKING)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("rawtorrent-net")
            .enable_all()
            .build()
            .map_err(|err| Error::Start(err.to_string()))?;
        let _inside = runtime.enter();
        let listeners = listen::open(&settings.listen)?;
        let addrs = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect::<Vec<_>>();
        let open_dht = |dht| dht::Host::open(dht, &addrs, &settings.state_dir, kept);
        let dht = settings.dht.as_ref().map(open_dht).transpose()?;
        let lsd = if settings.lsd { lsd::Host::open(&addrs) } else { None };
        let (dht_part, lsd_part) = (dht.as_ref().map(dht::Host::dht), lsd.as_ref().map(lsd::Host::lsd));
        let shared = Arc::new(Shared::new(settings, &addrs, dht_part, lsd_part)?);
        if let Some(dht) = dht {
            shared.spawn(dht.run(shared.clone()));
        }
        if let Some(lsd) = lsd {
            shared.spawn(lsd.run(shared.clone()));
        }
        let callers = Arc::new(Mutex::new(Callers::new(shared.greeting, listeners.len())));
        for listener in listeners {
            runtime.spawn(listen::run(listener, callers.clone(), shared.clone()));
        }
        drop(callers);
        runtime.spawn(steward::run(shared.clone()));
        runtime.spawn(presence::run(shared.clone()));
        runtime.spawn(memory::run(shared.clone()));
        if let Some(rate) = shared.settings.scrub {
            runtime.spawn(scrub::run(shared.clone(), rate));
        }
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
        self.on_runtime(async move { begin(&shared, add).await }).await
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

    /// What is said and done from now on, addresses included: for the eyes of who runs it. Costs nothing while nobody
    /// listens.
    pub fn events(&self) -> Events {
        self.listen(Filter::all()).with_addresses()
    }

    /// What of it a filter lets pass, without addresses (see [`Events::with_addresses`]). What no listener wants is not made.
    pub fn listen(&self, filter: Filter) -> Events {
        self.shared.hub.listen(filter)
    }

    /// Tells from now on that torrents end; one listens for all of them.
    pub fn ends(&self) -> Ends {
        Ends(self.shared.ended.1.clone())
    }

    /// How long it runs: the time that events have.
    pub fn uptime(&self) -> Duration {
        self.shared.now().since(Time::ZERO)
    }

    /// How many tasks its threads have: one for each torrent and each connection, and a few others.
    pub fn tasks(&self) -> usize {
        self.shared.tasks()
    }

    /// How many torrents are asleep: all of each is there, nobody has asked for any of it for some seconds, and nothing of it is
    /// open until somebody does.
    pub fn asleep(&self) -> usize {
        self.shared.sleepers.count()
    }

    /// Waits until so many are.
    pub async fn until_asleep(&self, count: usize) {
        self.shared.sleepers.until(count).await;
    }

    /// Stops every torrent: peers are hung up on, trackers are told, state and the DHT's nodes are saved. Takes less than three seconds
    /// whatever trackers and disks do.
    pub async fn shutdown(self) {
        let shared = self.shared.clone();
        let work = async move {
            end(&shared).await;
            Ok(())
        };
        self.on_runtime(work).await.unwrap_or(());
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Runs something on the engine's own threads, whatever executor waits for it.
    pub(crate) async fn on_runtime<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let runtime = self.runtime.as_ref().ok_or(Error::ShutDown)?;
        runtime.spawn(work).await.unwrap_or(Err(Error::ShutDown))
    }
}

/// Opens a torrent and begins its work; on the engine's threads.
pub(crate) async fn begin(shared: &Arc<Shared>, add: AddTorrent) -> Result<Torrent, Error> {
    if shared.is_closing() {
        return Err(Error::ShutDown);
    }
    let (driver, calls, torrent) = Driver::open(shared.clone(), add).await?;
    shared.spawn(driver.run(calls));
    Ok(torrent)
}

/// Stops every torrent; on the engine's threads.
pub(crate) async fn end(shared: &Shared) {
    shared.close();
    let all = async {
        loop {
            let mut torrents = shared.take_tasks();
            if torrents.is_empty() {
                break;
            }
            while torrents.join_next().await.is_some() {}
        }
    };
    let _ = tokio::time::timeout(SHUTDOWN_DEADLINE, all).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test]
    async fn a_torrent_that_comes_to_no_end_is_not_waited_for_longer() {
        let dir = tempfile::tempdir().unwrap();
        let shared = Shared::new(Settings::new(dir.path()), &[], None, None).unwrap();
        tokio::time::pause();
        let begun = Instant::now();
        end(&shared).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "there is none");
        shared.spawn(std::future::pending());
        end(&shared).await;
        let late = begun.elapsed() - SHUTDOWN_DEADLINE;
        assert!(late < Duration::from_millis(10), "{late:?}");
    }
}
