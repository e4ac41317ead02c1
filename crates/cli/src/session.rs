//! `session`: torrents that are kept over restarts, ordered about by lines of JSON until there is an API.

mod add;
mod files;
mod orders;
mod turns;

use crate::args;
use crate::args::keep::{Keep, Order as Told};
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::{interrupt, losses, runtime, transfer};
use engine::{Choices, QueuePlace, Session};
use orders::{What, carry_out};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::io::{self, BufRead, Read as _};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use turns::{Turn, Turns};

/// Bytes of an order: priorities for the files of the largest torrents, and room. A longer one is refused.
const MAX_ORDER: u64 = 4 << 20;
/// Orders that are carried out beside each other. Further ones are not read yet.
const AT_ONCE: usize = 256;
/// Orders that only wait (`wait`) at the same time: they are not among those. A further one is refused.
const MAX_WAITS: usize = 1024;

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
        losses::tell(&kept, console);
        let addrs: Vec<_> = session.engine().listen_addrs().iter().map(ToString::to_string).collect();
        let ready = json!({"event": "ready", "torrents": kept.torrents, "lost": kept.lost, "listen": addrs});
        console.print(json_line(&ready))?;
        let (session, usual) = (Arc::new(session), Arc::new(usual(&args.session)));
        let mut under_way = JoinSet::new();
        let served = tokio::select! {
            served = serve(&session, &usual, console, &mut under_way) => served,
            () = interrupt.asked() => Ok(()),
        };
        // Nobody else has the session then, which is to end as it should whatever became of its orders.
        under_way.shutdown().await;
        if let Some(session) = Arc::into_inner(session) {
            session.shutdown().await;
        }
        served.map(|()| Exit::Done)
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
async fn serve(
    session: &Arc<Session>,
    usual: &Arc<Choices>,
    console: &Console,
    under_way: &mut JoinSet<Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut orders = orders()?;
    let (room, waits) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(MAX_WAITS)));
    let mut turns = Turns::default();
    while let Some(line) = orders.recv().await {
        let line = line.or_fail(kind::SOURCE, "cannot read orders")?;
        let (id, read) = read_order(line);
        let mut what = read.map_err(|why| Failure::new("order", format_args!("not an order: {why}")));
        let mut permit = None;
        if let Ok(What::Wait { .. }) = &what {
            permit = waits.clone().try_acquire_owned().ok();
            if permit.is_none() {
                let why = format_args!("{MAX_WAITS} orders wait already; give it again when one is answered");
                what = Err(Failure::new("busy", why));
            }
        }
        if permit.is_none() {
            permit = room.clone().acquire_owned().await.ok();
        }
        let mut turn = turns.take(what.as_ref().ok(), |info_hash| session.has(info_hash));
        // What is added has its place in the order of the orders, however long each takes to be read.
        let place = session.take_place();
        let (session, usual, console) = (session.clone(), usual.clone(), console.clone());
        under_way.spawn(async move {
            let _permit = permit;
            console.print(json_line(&answer(&session, &usual, place, id, what, &mut turn).await))
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
fn orders() -> Result<mpsc::Receiver<io::Result<Line>>, Failure> {
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

/// A line of standard input: what may be an order, or what is wrong with it.
type Line = Result<Vec<u8>, &'static str>;

/// `None` at the end. Of a line that is too long nothing is kept.
fn next_order(input: &mut impl BufRead) -> Option<io::Result<Line>> {
    let mut line = Vec::new();
    match input.take(MAX_ORDER + 1).read_until(b'\n', &mut line) {
        Ok(0) => None,
        Ok(_) if line.len() as u64 > MAX_ORDER => Some(skip_line(input).map(|()| Err("it is too long"))),
        Ok(_) => Some(Ok(Ok(line))),
        Err(err) => Some(Err(err)),
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = input.fill_buf()?;
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let (used, is_over) = (end.map_or(bytes.len(), |end| end + 1), end.is_some() || bytes.is_empty());
        input.consume(used);
        if is_over {
            return Ok(());
        }
    }
}

/// What is to be done, and what comes back in the answer, whatever it is.
fn read_order(line: Line) -> (Value, Result<What, String>) {
    let read = line
        .map_err(str::to_owned)
        .and_then(|line| serde_json::from_slice::<Map<String, Value>>(&line).map_err(|err| err.to_string()));
    match read {
        Ok(mut order) => {
            let id = order.remove("id").unwrap_or_default();
            (id, What::deserialize(Value::Object(order)).map_err(|err| err.to_string()))
        }
        Err(why) => (Value::Null, Err(why)),
    }
}

async fn answer(
    session: &Session,
    usual: &Choices,
    place: QueuePlace,
    id: Value,
    what: Result<What, Failure>,
    turn: &mut Turn,
) -> Answer {
    let done = match what {
        Ok(what) => {
            turn.comes().await;
            carry_out(session, usual, place, what, turn).await
        }
        Err(why) => Err(why),
    };
    let ok = done.is_ok();
    let told = done.unwrap_or_else(|failure| json!({"kind": failure.kind, "error": failure.message}));
    Answer { id, ok, told }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_order_has_a_length() {
        let long = usize::try_from(MAX_ORDER).unwrap();
        let lines = format!("{}\n{}\nlast", "x".repeat(long - 1), "x".repeat(3 * long));
        let mut input = lines.as_bytes();
        assert_eq!(next_order(&mut input).unwrap().unwrap().unwrap().len(), long);
        assert!(next_order(&mut input).unwrap().unwrap().is_err());
        assert_eq!(next_order(&mut input).unwrap().unwrap().unwrap(), b"last");
        assert!(next_order(&mut input).is_none());
    }

    #[test]
    fn every_order_refuses_what_it_does_not_know() {
        let orders = [
            r#"{"do":"add","torrent":"x","dir":"/x"}"#,
            r#"{"do":"remove","info_hash":"x","data":true}"#,
            r#"{"do":"pause","info_hash":"x"}"#,
            r#"{"do":"resume","info_hash":"x"}"#,
            r#"{"do":"move","info_hash":"x","dir":"/x"}"#,
            r#"{"do":"rename","info_hash":"x","path":"x","to":"y"}"#,
            r#"{"do":"recheck","info_hash":"x"}"#,
            r#"{"do":"reannounce","info_hash":"x"}"#,
            r#"{"do":"set","info_hash":"x"}"#,
            r#"{"do":"queue","info_hash":"x","to":"top"}"#,
            r#"{"do":"trackers","info_hash":"x","replace":null}"#,
            r#"{"do":"ban","addr":"192.0.2.1"}"#,
            r#"{"do":"unban","addr":"192.0.2.1"}"#,
            r#"{"do":"bans"}"#,
            r#"{"do":"watch","dir":"/x"}"#,
            r#"{"do":"unwatch","dir":"/x"}"#,
            r#"{"do":"watched"}"#,
            r#"{"do":"session"}"#,
            r#"{"do":"wait","info_hash":"x"}"#,
            r#"{"do":"list"}"#,
        ];
        for order in orders {
            assert!(read_order(Ok(order.into())).1.is_ok(), "{order}");
            let more = order.replace('}', r#","dtaa":1}"#);
            let refused = read_order(Ok(more.into())).1.unwrap_err();
            assert!(refused.contains("dtaa") && !refused.contains('\n'), "{order}: {refused}");
        }
    }

    #[test]
    fn what_is_no_order_is_answered_under_its_id() {
        for bad in [
            r#"{"id":7,"do":"none"}"#,
            r#"{"id":7,"do":"set","info_hash":"x","max_down":-1}"#,
            r#"{"id":7,"do":"set","info_hash":"x","max_donw":5}"#,
            r#"{"id":7,"do":"set","info_hash":"x","dir":"/x"}"#,
            r#"{"id":7,"do":"add","torrent":"x","dirr":"/x"}"#,
            r#"{"id":7,"do":"add","torrent":"x","peers":["x"]}"#,
        ] {
            let (id, what) = read_order(Ok(bad.into()));
            assert!(id == 7 && what.is_err(), "{bad}: {what:?}");
        }
        assert!(read_order(Ok(b"\xff\n".to_vec())).1.is_err(), "no text");
        let good =
            r#"{"id":[1],"do":"set","info_hash":"x","max_down":5,"peers":["127.0.0.1:1"],"tags":["t"]}"#;
        let (id, what) = read_order(Ok(good.into()));
        assert!(id == json!([1]) && what.is_ok(), "{what:?}");
    }
}
