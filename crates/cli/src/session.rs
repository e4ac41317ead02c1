//! `session`: torrents that are kept over restarts, ordered about by lines of JSON until there is an API.

mod add;
mod orders;

use crate::args;
use crate::args::keep::{Keep, Order as Told};
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::{interrupt, runtime, transfer};
use engine::{Choices, Session};
use orders::{What, carry_out};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::{self, BufRead, Read as _};
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

/// What came of an order.
#[derive(Debug, Serialize)]
struct Answer {
    id: Value,
    ok: bool,
    #[serde(flatten)]
    told: Value,
}

pub(crate) fn run(args: &Keep, console: &Console) -> Result<Exit, Failure> {
    if let Some(Told::Add(add)) = &args.order {
        return add::run(add, console);
    }
    let state_dir = state_dir(&args.session)?;
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

fn state_dir(session: &args::Session) -> Result<std::path::PathBuf, Failure> {
    let none =
        || Failure::new(kind::STARTUP, "there is no home to keep state in; choose a folder (--state-dir)");
    session.state_dir().ok_or_else(none)
}

fn usual(session: &args::Session) -> Choices {
    Choices { peers: session.peer.clone(), ..Choices::new("") }
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
