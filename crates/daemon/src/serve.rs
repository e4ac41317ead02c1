//! The daemon as its owner sees it: start, serve, end.

use crate::access::{Access, From, network};
use crate::audit::Audit;
use crate::board::{Board, LOOK_EVERY};
use crate::events::{MAX_LISTENERS, MAX_LISTENERS_EACH};
use crate::guard::guard;
use crate::hooks::{Bell, Callers, Hooks};
use crate::routes::stream::{MAX_STREAMS, MAX_STREAMS_EACH};
use crate::routes::{self, MAX_ORDERS, MAX_UPLOADS, State};
use crate::shares::{Room, Share, Shares};
use crate::trace::{MAX_TRACES, MAX_TRACES_EACH};
use crate::{Error, Tokens, tokens};
use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn;
use engine::{Choices, Session};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

/// Connections over TCP at a time. Further ones wait to be accepted.
pub(crate) const MAX_CLIENTS: usize = 512;
/// Those of one address, of IPv6 of one network (/64); further ones are closed. This machine, where a proxy may be, has more,
/// but not all.
pub(crate) const MAX_CLIENTS_EACH: usize = 64;
/// See [`MAX_CLIENTS_EACH`].
pub(crate) const MAX_CLIENTS_HERE: usize = 384;
/// Connections through unix sockets at a time, whatever comes over TCP. Further ones wait to be accepted.
pub(crate) const MAX_OWNERS: usize = 128;
/// How long a client may take none of what it is sent. Then it is hung up on.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Headers of a request. One with more is refused with 431.
pub(crate) const MAX_HEADERS: usize = 64;
/// Bytes of a request's line and headers. One with more, by more than one read takes, is refused with 431.
pub(crate) const MAX_HEAD: usize = 32 * 1024;
/// How long a request's line and headers may take, or a connection be idle. Then it is closed.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long requests under way have when the daemon ends.
const END_WAIT: Duration = Duration::from_secs(2);
/// How long disks are waited for that may lie below its roots, when it begins.
const ROOTS_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether tokens changed.
const TOKENS_EVERY: Duration = Duration::from_secs(1);

/// How a daemon is started.
#[derive(Debug)]
pub struct Options {
    /// Addresses to serve on. One that is not loopback needs a token.
    pub listen: Vec<SocketAddr>,
    /// A unix socket to serve on, for its owner alone; what is left of an older one is replaced.
    pub socket: Option<PathBuf>,
    /// Sockets to serve on that somebody else opened, and opens to whom they like: who reaches a unix socket may do everything.
    pub inherited: Inherited,
    /// Where tokens and the audit log are.
    pub state_dir: PathBuf,
    /// The folders that torrents may go into; the first is where they go if nothing is said.
    pub roots: Vec<PathBuf>,
    /// Names by which the daemon may be called, beside `localhost` and addresses.
    pub hosts: Vec<String>,
    /// How torrents are added, where a request does not say; its folder is not looked at.
    pub usual: Choices,
    /// What is called when something happens to a torrent.
    pub hooks: Hooks,
}

impl Options {
    /// Serves nowhere yet.
    pub fn new(state_dir: impl Into<PathBuf>) -> Options {
        Options {
            listen: Vec::new(),
            socket: None,
            inherited: Inherited::default(),
            state_dir: state_dir.into(),
            roots: Vec::new(),
            hosts: Vec::new(),
            usual: Choices::new(""),
            hooks: Hooks::default(),
        }
    }
}

/// Sockets that were opened already, as systemd does for services (`LISTEN_FDS`).
#[derive(Debug, Default)]
pub struct Inherited {
    /// Those of TCP. One that is not on loopback needs a token.
    pub tcp: Vec<std::net::TcpListener>,
    /// Those of this machine.
    pub unix: Vec<std::os::unix::net::UnixListener>,
}

/// A daemon that is ready to serve.
#[derive(Debug)]
pub struct Daemon {
    tcp: Vec<TcpListener>,
    /// With the path of one that is ours.
    unix: Vec<(UnixListener, Option<PathBuf>)>,
    state_dir: PathBuf,
    usual: Choices,
    hooks: Callers,
    audit: Audit,
    control: Control,
}

/// What may become another while the daemon serves.
#[derive(Clone, Debug)]
pub struct Control {
    access: Arc<Access>,
    roots: Arc<RwLock<Vec<PathBuf>>>,
    hooks: Bell,
}

impl Control {
    /// Names by which the daemon may be called from now on; see [`Options::hosts`].
    pub fn set_hosts(&self, hosts: &[String]) {
        self.access.set_hosts(hosts);
    }

    /// Where torrents may go from now on, if that changes; see [`Options::roots`]. Those that are elsewhere stay. And what is
    /// called from now on; the keys of webhooks are read. To be called on a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Root`], [`Error::Hook`], [`Error::HookKey`]; nothing is changed then.
    pub fn set(&self, roots: Option<Vec<PathBuf>>, hooks: Hooks, session: &Session) -> Result<(), Error> {
        check_roots(roots.as_deref().unwrap_or_default())?;
        self.hooks.hang(Callers::new(hooks)?, session.engine().http_post());
        if let Some(roots) = roots {
            drop(session.remember_roots(roots.clone()));
            *self.roots.write().unwrap_or_else(PoisonError::into_inner) = roots;
        }
        Ok(())
    }
}

impl Daemon {
    /// Opens the addresses; those who connect wait until [`Daemon::serve`]. To be called on a tokio runtime.
    ///
    /// # Errors
    /// Those of [`Error`].
    pub async fn open(options: Options) -> Result<Daemon, Error> {
        let tokens = Tokens::open(&options.state_dir)?;
        let given = options.inherited.tcp.iter().filter_map(|listener| listener.local_addr().ok());
        let mut addrs = options.listen.iter().copied().chain(given);
        if let Some(open) = addrs.find(|addr| !addr.ip().is_loopback() && tokens.is_empty()) {
            return Err(Error::Open(open));
        }
        check_roots(&options.roots)?;
        let hooks = Callers::new(options.hooks)?;
        let inherit = |error: io::Error| Error::Listen {
            addr: "a socket that was inherited".into(),
            reason: error.to_string(),
        };
        let mut tcp = Vec::new();
        for listener in options.inherited.tcp {
            listener.set_nonblocking(true).map_err(inherit)?;
            tcp.push(TcpListener::from_std(listener).map_err(inherit)?);
        }
        let mut unix = Vec::new();
        for listener in options.inherited.unix {
            listener.set_nonblocking(true).map_err(inherit)?;
            unix.push((UnixListener::from_std(listener).map_err(inherit)?, None));
        }
        for addr in &options.listen {
            let fail = |error: io::Error| Error::Listen { addr: addr.to_string(), reason: error.to_string() };
            tcp.push(TcpListener::bind(addr).await.map_err(fail)?);
        }
        if let Some(path) = options.socket {
            let fail = |error: io::Error| Error::Listen {
                addr: path.display().to_string(),
                reason: error.to_string(),
            };
            unix.push((open_socket(&path).map_err(fail)?, Some(path)));
        }
        let fail =
            |error: io::Error| Error::Tokens { path: options.state_dir.clone(), reason: error.to_string() };
        std::fs::create_dir_all(&options.state_dir).map_err(fail)?;
        Ok(Daemon {
            tcp,
            unix,
            usual: options.usual,
            hooks,
            control: Control {
                access: Arc::new(Access::new(tokens, &options.hosts)),
                roots: Arc::new(RwLock::new(options.roots)),
                hooks: Bell::default(),
            },
            audit: Audit::start(&options.state_dir).map_err(fail)?,
            state_dir: options.state_dir,
        })
    }

    /// Where it is served.
    pub fn addrs(&self) -> Vec<String> {
        let tcp = self.tcp.iter().filter_map(|listener| listener.local_addr().ok());
        let tcp = tcp.map(|addr| format!("http://{addr}"));
        let path = |listener: &UnixListener| {
            let addr = listener.local_addr().ok()?;
            addr.as_pathname().map(|path| format!("unix:{}", path.display()))
        };
        tcp.chain(self.unix.iter().filter_map(|(listener, _)| path(listener))).collect()
    }

    /// By which some of it can be changed while it serves.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves the session until `end`; requests that are under way then are answered. The session is to be shut down by who
    /// gave it.
    pub async fn serve(self, session: Arc<Session>, end: impl Future<Output = ()>) {
        let (close, closing) = watch::channel(false);
        self.control.hooks.hang(self.hooks, session.engine().http_post());
        let roots = self.control.roots.read().unwrap_or_else(PoisonError::into_inner).clone();
        // A disk that does not answer holds up nobody.
        let _ = timeout(ROOTS_WAIT, session.remember_roots(roots)).await;
        let state = Arc::new(State {
            board: Board::new(&session, self.control.hooks),
            session,
            access: self.control.access,
            audit: self.audit,
            roots: self.control.roots,
            usual: self.usual,
            orders: Semaphore::new(MAX_ORDERS),
            under_way: Shares::default(),
            looks: Shares::default(),
            uploads: Semaphore::new(MAX_UPLOADS),
            listeners: Room::new(MAX_LISTENERS, MAX_LISTENERS_EACH),
            streams: Room::new(MAX_STREAMS, MAX_STREAMS_EACH),
            traces: Room::new(MAX_TRACES, MAX_TRACES_EACH),
            closing: closing.clone(),
        });
        let front = Arc::new(Front::of_daemon(state.clone(), closing));
        let mut tasks = tokio::task::JoinSet::new();
        for listener in self.tcp {
            tasks.spawn(accept_tcp(listener, front.clone()));
        }
        let mut ours = Vec::new();
        for (listener, path) in self.unix {
            tasks.spawn(accept_unix(listener, front.clone()));
            ours.extend(path);
        }
        tasks.spawn(look(state.clone()));
        tasks.spawn(watch_tokens(self.state_dir, state));
        end.await;
        tasks.shutdown().await;
        close.send_replace(true);
        for socket in ours {
            // If somebody has replaced it, there is one of theirs less: the state directory is one process's alone.
            let _ = std::fs::remove_file(socket);
        }
        let _ = timeout(END_WAIT, front.all_gone()).await;
    }
}

fn check_roots(roots: &[PathBuf]) -> Result<(), Error> {
    let wrong = roots.iter().find(|root| !root.is_absolute());
    wrong.map_or(Ok(()), |root| Err(Error::Root(root.clone())))
}

/// What stands before the routes.
pub(crate) struct Front {
    /// The routes, with what guards them.
    router: Box<dyn Fn(From) -> Router + Send + Sync>,
    clients: Arc<Semaphore>,
    owners: Arc<Semaphore>,
    /// How many there are of each address.
    shares: Shares<IpAddr>,
    closing: watch::Receiver<bool>,
}

pub(crate) async fn accept_tcp(listener: TcpListener, front: Arc<Front>) {
    loop {
        let Ok(permit) = front.clients.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, addr)) => {
                let Some(share) = front.share(addr.ip().to_canonical()) else { continue };
                let _ = stream.set_nodelay(true);
                tokio::spawn(front.clone().connection(stream, From::Tcp(addr), (permit, share)));
            }
            Err(error) => rest(&error).await,
        }
    }
}

async fn accept_unix(listener: UnixListener, front: Arc<Front>) {
    loop {
        let Ok(permit) = front.owners.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(front.clone().connection(stream, From::Unix, permit))),
            Err(error) => rest(&error).await,
        }
    }
}

/// There may be no descriptor left; trying at once would find none either.
async fn rest(error: &io::Error) {
    tracing::warn!("a client cannot be accepted: {error}");
    sleep(Duration::from_millis(100)).await;
}

impl Front {
    pub(crate) fn new(
        router: impl Fn(From) -> Router + Send + Sync + 'static,
        closing: watch::Receiver<bool>,
    ) -> Front {
        Front {
            router: Box::new(router),
            clients: Arc::new(Semaphore::new(MAX_CLIENTS)),
            owners: Arc::new(Semaphore::new(MAX_OWNERS)),
            shares: Shares::default(),
            closing,
        }
    }

    /// Room for one more connection of an address, if it has not its share already.
    fn share(&self, addr: IpAddr) -> Option<Share<IpAddr>> {
        let most = if addr.is_loopback() { MAX_CLIENTS_HERE } else { MAX_CLIENTS_EACH };
        self.shares.take(network(addr), most)
    }

    /// Ends when nobody is connected.
    async fn all_gone(&self) {
        for (semaphore, all) in [(&self.clients, MAX_CLIENTS), (&self.owners, MAX_OWNERS)] {
            drop(semaphore.acquire_many(u32::try_from(all).unwrap_or(u32::MAX)).await);
        }
    }

    /// All routes of a daemon, with the guard before them.
    fn of_daemon(state: Arc<State>, closing: watch::Receiver<bool>) -> Front {
        let routes = routes::router(state.clone());
        let router = move |from| {
            let state = state.clone();
            routes.clone().layer(from_fn(move |request, next| guard(state.clone(), from, request, next)))
        };
        Front::new(router, closing)
    }

    async fn connection(
        self: Arc<Front>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        from: From,
        _room: impl Send + 'static,
    ) {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let router = (self.router)(from);
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let mut connection = std::pin::pin!(connection);
        let mut closing = self.closing.clone();
        let asked_to_end = async move { closing.wait_for(|&closing| closing).await.is_ok() };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = asked_to_end => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(?from, "a client is gone: {error}");
        }
    }
}

/// Keeps the board as new as it claims to be.
async fn look(state: Arc<State>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        state.board.look(&state.session);
    }
}

/// Tokens that were made or removed hold within a second.
async fn watch_tokens(state_dir: PathBuf, state: Arc<State>) {
    let changed =
        |dir: &Path| std::fs::metadata(dir.join(tokens::FILE)).and_then(|found| found.modified()).ok();
    let mut known = None;
    let mut ticks = interval(TOKENS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let dir = state_dir.clone();
        let read = tokio::task::spawn_blocking(move || {
            let now = changed(&dir);
            (now, (now != known).then(|| Tokens::open(&dir)))
        });
        let Ok((now, read)) = read.await else { continue };
        known = now;
        match read {
            Some(Ok(tokens)) => state.access.set_tokens(tokens),
            Some(Err(error)) => tracing::warn!("tokens are as they were: {error}"),
            None => {}
        }
    }
}

/// A socket in a folder of its own, which only its owner can enter.
fn open_socket(path: &Path) -> io::Result<UnixListener> {
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon listens there"));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
