//! `session`: torrents that are kept over restarts, ordered about by lines of JSON until there is an API.

use crate::args::{self, Keep};
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::{interrupt, runtime, source, transfer};
use engine::{Choices, Error, InfoHash, Session, TorrentState};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::{self, BufRead, Read as _};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Bytes of an order. A longer one ends the session.
const MAX_ORDER: u64 = 64 * 1024;
/// Orders that are carried out beside each other. Further ones are not read yet.
const AT_ONCE: usize = 256;

/// What is to be done.
#[derive(Debug, Deserialize)]
struct Order {
    /// Comes back in the answer, whatever it is.
    #[serde(default)]
    id: Value,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum What {
    Add {
        torrent: PathBuf,
        dir: PathBuf,
        #[serde(default)]
        paused: bool,
    },
    Remove {
        info_hash: String,
    },
    Pause {
        info_hash: String,
    },
    Resume {
        info_hash: String,
    },
    /// Answers once all of it is verified and safely on disk.
    Wait {
        info_hash: String,
    },
    List,
}

/// What came of an order.
#[derive(Debug, Serialize)]
struct Answer {
    id: Value,
    ok: bool,
    #[serde(flatten)]
    told: Value,
}

pub(crate) fn run(args: &Keep, console: &Console) -> Result<Exit, Failure> {
    let Some(state_dir) = args.session.state_dir() else {
        return Err(Failure::new(
            kind::STARTUP,
            "there is no home to keep state in; choose a folder (--state-dir)",
        ));
    };
    let mut interrupt = interrupt::graceful(console)?;
    let settings = transfer::settings(&args.session, state_dir);
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let opened = Session::open(settings).await;
        let (session, kept) = opened.map_err(|error| transfer::engine_failure(&error))?;
        if let Some(aside) = &kept.put_aside {
            console.note(format_args!(
                "the state was damaged; what could be read was kept, the rest is in {}",
                aside.display()
            ));
        }
        if let Some(older) = &kept.upgraded {
            console.note(format_args!(
                "the state is of this version now; the older one is in {}",
                older.display()
            ));
        }
        let addrs: Vec<_> = session.engine().listen_addrs().iter().map(ToString::to_string).collect();
        let ready = json!({"event": "ready", "torrents": kept.torrents, "lost": kept.lost, "listen": addrs});
        console.print(json_line(&ready))?;
        let (session, usual) = (Arc::new(session), Arc::new(usual(&args.session)));
        let serve = serve(&session, &usual, console);
        tokio::select! {
            served = serve => served?,
            () = interrupt.asked() => {}
        }
        if let Some(session) = Arc::into_inner(session) {
            session.shutdown().await;
        }
        Ok(Exit::Done)
    });
    // Standard input may still be waited for: nobody waits for that.
    runtime.shutdown_background();
    outcome
}

fn usual(session: &args::Session) -> Choices {
    Choices {
        peers: session.peer.clone(),
        trackers: !session.no_trackers,
        web_seeds: !session.no_web_seeds,
        ..Choices::new("")
    }
}

/// Carries out orders until there are no more.
async fn serve(session: &Arc<Session>, usual: &Arc<Choices>, console: &Console) -> Result<(), Failure> {
    let mut orders = orders()?;
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = JoinSet::new();
    while let Some(line) = orders.recv().await {
        let permit = room.clone().acquire_owned().await;
        let line = line.or_fail(kind::SOURCE, "cannot read orders")?;
        let (session, usual, console) = (session.clone(), usual.clone(), console.clone());
        under_way.spawn(async move {
            let _permit = permit;
            console.print(json_line(&answer(&session, &usual, &line).await))
        });
        while let Some(done) = under_way.try_join_next() {
            done.unwrap_or(Ok(()))?;
        }
    }
    while let Some(done) = under_way.join_next().await {
        done.unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// Lines of standard input, read by a thread of its own.
fn orders() -> Result<mpsc::Receiver<io::Result<String>>, Failure> {
    let (sender, orders) = mpsc::channel(1);
    let read = move || {
        let mut input = io::stdin().lock();
        while let Some(next) = next_order(&mut input) {
            let ends = next.is_err();
            if sender.blocking_send(next).is_err() || ends {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("orders".into()).spawn(read);
    thread.or_fail(kind::STARTUP, "cannot start")?;
    Ok(orders)
}

/// `None` at the end.
fn next_order(input: &mut impl BufRead) -> Option<io::Result<String>> {
    let mut line = String::new();
    match input.take(MAX_ORDER + 1).read_line(&mut line) {
        Ok(0) => None,
        Ok(_) if line.len() as u64 > MAX_ORDER => Some(Err(io::Error::other("an order is too long"))),
        Ok(_) => Some(Ok(line)),
        Err(err) => Some(Err(err)),
    }
}

async fn answer(session: &Session, usual: &Choices, line: &str) -> Answer {
    let order: Order = match serde_json::from_str(line) {
        Ok(order) => order,
        Err(err) => {
            let told = json!({"kind": "order", "error": format!("not an order: {err}")});
            return Answer { id: Value::Null, ok: false, told };
        }
    };
    let done = carry_out(session, usual, order.what).await;
    let ok = done.is_ok();
    let told = done.unwrap_or_else(|failure| json!({"kind": failure.kind, "error": failure.message}));
    Answer { id: order.id, ok, told }
}

/// `usual`: what is done with every torrent that is added.
async fn carry_out(session: &Session, usual: &Choices, what: What) -> Result<Value, Failure> {
    let done = |info_hash: InfoHash| json!({"info_hash": info_hash.wire().to_string()});
    let failed = |error: Error| Failure::new(error.kind(), error);
    match what {
        What::Add { torrent, dir, paused } => {
            let doing = format!("cannot read {}", torrent.display());
            let read = tokio::task::spawn_blocking(move || source::read_file(&torrent)).await;
            let bytes = read.or_fail(kind::SOURCE, &doing)?.or_fail(kind::SOURCE, &doing)?;
            let dir = std::path::absolute(&dir).or_fail(kind::STORAGE, dir.display())?;
            let choices = Choices { dir, paused, ..usual.clone() };
            session.add(bytes, choices).await.map(done).map_err(failed)
        }
        What::Remove { info_hash } => {
            let info_hash = parse(&info_hash)?;
            session.remove(info_hash).await.map(|()| done(info_hash)).map_err(failed)
        }
        What::Pause { info_hash } => {
            let info_hash = parse(&info_hash)?;
            session.pause(info_hash).await.map(|()| done(info_hash)).map_err(failed)
        }
        What::Resume { info_hash } => {
            let info_hash = parse(&info_hash)?;
            session.resume(info_hash).await.map(|()| done(info_hash)).map_err(failed)
        }
        What::Wait { info_hash } => {
            let info_hash = parse(&info_hash)?;
            let Some(torrent) = session.torrent(info_hash).await.map_err(failed)? else {
                return Err(Failure::new("paused", "the torrent does not run; resume it first"));
            };
            let finished = torrent.wait_finished().await;
            finished.map(|_| done(info_hash)).map_err(|error| Failure::new(error.kind(), error))
        }
        What::List => {
            let torrents = session.list().await.into_iter().map(|listed| {
                json!({
                    "info_hash": listed.info_hash.wire().to_string(),
                    "name": listed.name,
                    "dir": listed.choices.dir.to_string_lossy(),
                    "paused": listed.choices.paused,
                    "state": listed.state.map(state),
                    "error": listed.error,
                })
            });
            Ok(json!({"torrents": torrents.collect::<Vec<_>>()}))
        }
    }
}

fn parse(info_hash: &str) -> Result<InfoHash, Failure> {
    let parsed = info_hash.parse().map(InfoHash::V1);
    parsed.or_fail("order", "the info-hash is 40 digits, 0 to 9 and a to f")
}

fn state(state: TorrentState) -> &'static str {
    match state {
        TorrentState::Checking => "checking",
        TorrentState::Queued => "queued",
        TorrentState::Downloading => "downloading",
        TorrentState::Seeding => "seeding",
        TorrentState::DiskFull => "disk_full",
        TorrentState::Unavailable => "unavailable",
        TorrentState::Stopped => "stopped",
        TorrentState::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_order_has_a_length() {
        let long = usize::try_from(MAX_ORDER).unwrap();
        let lines = format!("{}\nlast", "x".repeat(long - 1));
        let mut input = lines.as_bytes();
        assert_eq!(next_order(&mut input).unwrap().unwrap().len(), long);
        assert_eq!(next_order(&mut input).unwrap().unwrap(), "last");
        assert!(next_order(&mut input).is_none());
        assert!(next_order(&mut "x".repeat(long + 1).as_bytes()).unwrap().is_err());
        assert!(next_order(&mut &b"\xff\n"[..]).unwrap().is_err(), "no text");
    }
}
