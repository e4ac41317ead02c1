//! `daemon`: a session that is kept, behind an API.

mod embedded;
pub(crate) mod owner;
mod reload;
mod supervisor;

use crate::args::{Daemon as Args, template};
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::{interrupt, losses, transfer};
pub(crate) use embedded::Embedded;

use daemon::{Daemon, Inherited, Options};
use engine::{Choices, Kept, Session};
use sd_notify::NotifyState;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) fn run(args: &Args, console: &Console) -> Result<Exit, Failure> {
    if args.print_config {
        console.print(template())?;
        return Ok(Exit::Done);
    }
    let Some(state_dir) = args.session.state_dir() else {
        let message = "there is no home to keep state in; choose a folder (--state-dir)";
        return Err(Failure::new(kind::STARTUP, message));
    };
    let inherited = supervisor::inherited()?;
    let mut interrupt = interrupt::graceful(console)?;
    let runtime = threads()?;
    let outcome = runtime.block_on(async {
        let is_passed = !inherited.tcp.is_empty() || !inherited.unix.is_empty();
        let (listen, socket) =
            if is_passed { (Vec::new(), None) } else { (args.api.clone(), args.socket()) };
        let (session, kept, daemon) = open(args, &state_dir, listen, socket, inherited, console).await?;
        let peers: Vec<_> = session.engine().listen_addrs().iter().map(ToString::to_string).collect();
        console.note(format_args!("{} torrents; serving the API at {}", kept.torrents, daemon.addrs().join(", ")));
        if args.session.json {
            let ready = json!({
                "event": "ready", "torrents": kept.torrents, "lost": kept.lost, "listen": peers, "api": daemon.addrs(),
            });
            console.print(json_line(&ready))?;
        }
        let hangups = signal(SignalKind::hangup()).or_fail(kind::STARTUP, "cannot listen for SIGHUP")?;
        let (session, control) = (Arc::new(session), daemon.control());
        supervisor::tell(&[NotifyState::Ready]);
        let end = async {
            interrupt.asked().await;
            supervisor::tell(&[NotifyState::Stopping]);
        };
        tokio::select! {
            () = daemon.serve(session.clone(), end) => {}
            () = reload::follow(hangups, args, &session, &control, console) => {}
            () = supervisor::watchdog() => {}
        }
        if let Some(session) = Arc::into_inner(session) {
            session.shutdown().await;
        }
        Ok(Exit::Done)
    });
    runtime.shutdown_background();
    outcome
}

/// What a daemon and its clients in this process run on.
pub(crate) fn threads() -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .thread_name("rawtorrent-api")
        .enable_all()
        .build()
        .or_fail(kind::STARTUP, "cannot start")
}

/// Opens the session, and what will serve it.
async fn open(
    args: &Args,
    state_dir: &Path,
    listen: Vec<SocketAddr>,
    socket: Option<PathBuf>,
    inherited: Inherited,
    console: &Console,
) -> Result<(Session, Kept, Daemon), Failure> {
    let mut options = Options::new(state_dir);
    options.listen = listen;
    options.socket = socket;
    options.inherited = inherited;
    options.roots = args.roots();
    options.hosts.clone_from(&args.allow_host);
    options.hooks.clone_from(&args.hooks);
    options.usual = Choices { peers: args.session.peer.clone(), ..Choices::new("") };
    // The session first: if another process has it, that one's socket stays.
    let opened = Session::open(transfer::settings(&args.session, state_dir.to_owned())).await;
    let (session, kept) = opened.map_err(|error| transfer::engine_failure(&error))?;
    let daemon = match Daemon::open(options).await {
        Ok(daemon) => daemon,
        Err(error) => {
            session.shutdown().await;
            return Err(Failure::new(kind::STARTUP, error));
        }
    };
    losses::tell(&kept, console);
    Ok((session, kept, daemon))
}
