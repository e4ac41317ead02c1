//! A node for the time of one command: it asks and is not asked (BEP 43).

use super::Item;
use super::secret::random;
use super::step::{HEADER, Line, rounded};
use crate::args::{DhtOptions, Nodes};
use crate::console::{Console, json_line};
use crate::failure::{Failure, OrFail, kind};
use crate::paint::Paint;
use crate::text::counted;
use dht::{Command, Config, Input, LookupEvent, LookupKey, Node, Outcome, Output, Scrape};
use net::dht::Driver;
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use types::InfoHashV1;

/// How often a lookup is begun if nobody answers: a datagram may get lost.
const ATTEMPTS: u32 = 3;

/// How long one bootstrap node may be looked up, or half of the time that there is for everything.
const NAME_TIMEOUT: Duration = Duration::from_secs(10);

/// To whom the steps of lookups are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// To programs, on stdout.
    Json,
    /// To people, who asked for nothing else.
    Picture,
    /// To people, beside what they asked for.
    Talk,
    /// To nobody.
    Nothing,
}

pub(super) struct Walker<'a> {
    driver: Driver,
    console: &'a Console,
    view: View,
    bootstrap: usize,
    started: Instant,
    timeout: Duration,
    lookups: u64,
}

/// What a lookup found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) peers: BTreeSet<SocketAddr>,
    pub(super) torrents: BTreeSet<InfoHashV1>,
    pub(super) item: Option<Item>,
    /// How many refusals there were, and the last of them.
    pub(super) refusals: usize,
    pub(super) refusal: Option<(i64, String)>,
    pub(super) outcome: Outcome,
    /// Leading bits that the closest node has in common with the target.
    pub(super) bits: Option<usize>,
    /// Since the start of the command.
    pub(super) at: Duration,
}

impl Found {
    /// What a scrape came to; nothing if nobody knows the torrent.
    pub(super) fn scrape(&self) -> Scrape {
        self.outcome.scrape.unwrap_or(Scrape { seeds: 0.0, peers: 0.0, nodes: 0 })
    }
}

impl<'a> Walker<'a> {
    pub(super) async fn new(
        options: &DhtOptions,
        view: View,
        console: &'a Console,
    ) -> Result<Walker<'a>, Failure> {
        let (started, timeout) = (Instant::now(), options.timeout);
        let bootstrap = resolve(&Nodes::all(&options.bootstrap), timeout, net::bind::look_up, |host| {
            console.note(format_args!("{host} has no address"));
        })
        .await;
        if bootstrap.is_empty() {
            let message = "no bootstrap node has an address: check the network, or name one with --bootstrap";
            return Err(Failure::new(kind::DHT, message));
        }
        let count = bootstrap.len();
        let driver = bind(&options.listen, &bootstrap)?;
        Ok(Walker { driver, console, view, bootstrap: count, started, timeout, lookups: 0 })
    }

    /// Looks something up or stores it, and shows how it goes.
    pub(super) async fn look_up(&mut self, command: &Command) -> Result<Found, Failure> {
        if self.view == View::Picture {
            self.console.print(HEADER)?;
        }
        for _ in 0..ATTEMPTS {
            let found = self.attempt(command).await?;
            if found.outcome.answers > 0 {
                self.done(command, &found)?;
                return Ok(found);
            }
        }
        Err(self.unreachable())
    }

    pub(super) fn show(&self, line: &Line) -> Result<(), Failure> {
        match self.view {
            View::Json => self.console.print(json_line(line))?,
            View::Picture => {
                if let Some(row) = line.row(Paint::of_stdout()) {
                    self.console.print(row)?;
                }
            }
            View::Talk => {
                if let Some(row) = line.row(Paint::of_stderr()) {
                    self.console.stderr(&row);
                }
            }
            View::Nothing => {}
        }
        Ok(())
    }

    async fn attempt(&mut self, command: &Command) -> Result<Found, Failure> {
        let key = LookupKey(self.lookups);
        self.lookups += 1;
        self.driver.input(Input::Start { key, command: command.clone() });
        let (mut found, mut answers) = (Found::default(), 0);
        loop {
            let Ok(output) = timeout_at(self.started + self.timeout, self.driver.next()).await else {
                return Err(if answers > 0 { self.late() } else { self.unreachable() });
            };
            let Output::Lookup { event, .. } = output else { continue };
            let at = self.started.elapsed();
            if let Some(line) = Line::of(at, &event) {
                self.show(&line)?;
            }
            answers += usize::from(matches!(event, LookupEvent::Answered { .. }));
            match event {
                LookupEvent::Peers { peers, .. } => found.peers.extend(peers),
                LookupEvent::Sample { samples, .. } => found.torrents.extend(samples),
                LookupEvent::Immutable { item, .. } => found.item = Some(item.into()),
                LookupEvent::Mutable { item, .. } => found.item = Some(item.into()),
                LookupEvent::Refused { code, text, .. } => {
                    found.refusals += 1;
                    found.refusal = Some((code, text));
                }
                LookupEvent::Done(outcome) => {
                    let target = command.target();
                    found.bits = outcome.closest.iter().map(|near| near.id.common_bits(&target)).max();
                    return Ok(Found { outcome, at, ..found });
                }
                _ => {}
            }
        }
    }

    /// What it came to, and that it is over.
    fn done(&self, command: &Command, found: &Found) -> Result<(), Failure> {
        let Outcome { peers, hops, queries, answers, stored, copies, .. } = found.outcome;
        let (time, target) = (rounded(found.at), command.target().to_string());
        if let Some(item) = &found.item {
            self.show(&Line::item(found.at, &command.target(), item))?;
        }
        if matches!(command, Command::Scrape { .. }) {
            let Scrape { seeds, peers: downloaders, nodes } = found.scrape();
            self.show(&Line::Scrape { seeds, downloaders, nodes })?;
        }
        self.show(&Line::Done {
            time,
            target,
            peers,
            hops,
            queries,
            answers,
            stored,
            copies,
            bits: found.bits,
        })
    }

    fn unreachable(&self) -> Failure {
        let nodes = counted(self.bootstrap as u64, "bootstrap node");
        Failure::new(
            kind::DHT,
            format_args!(
                "nobody answered, of {nodes}: check that UDP gets out, or name another node with --bootstrap HOST:PORT"
            ),
        )
    }

    fn late(&self) -> Failure {
        let seconds = self.timeout.as_secs();
        Failure::new(kind::DHT, format_args!("not done within {seconds} s; --timeout gives it longer"))
    }
}

/// The addresses of hosts, each looked up within a limit; who has none is told of.
async fn resolve<L>(
    hosts: &[String],
    for_all: Duration,
    look_up: impl Fn(String) -> L,
    has_none: impl Fn(&str),
) -> Vec<SocketAddr>
where
    L: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    let limit = NAME_TIMEOUT.min(for_all / 2);
    let lookups: Vec<_> =
        hosts.iter().map(|host| tokio::spawn(timeout(limit, look_up(host.clone())))).collect();
    let mut addrs: Vec<SocketAddr> = Vec::new();
    for (host, lookup) in hosts.iter().zip(lookups) {
        match lookup.await.map_err(io::Error::other).and_then(|found| found?) {
            Ok(found) => addrs.extend(found),
            Err(_) => has_none(host),
        }
    }
    addrs
}

/// A node at the addresses that were given, or at any of each family that this machine has.
fn bind(listen: &[SocketAddr], bootstrap: &[SocketAddr]) -> Result<Driver, Failure> {
    let any: [SocketAddr; 2] = [(Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::UNSPECIFIED, 0).into()];
    let seed = u64::from_be_bytes(random()?);
    let bind = |addrs: &[SocketAddr]| {
        let has = |is_v4: bool| addrs.iter().any(|addr| addr.is_ipv4() == is_v4);
        let (v4, v6, bootstrap) = (has(true), has(false), bootstrap.to_vec());
        let config = Config { v4, v6, bootstrap, read_only: true, ..Config::default() };
        Driver::bind(addrs, |now| Node::new(config, seed, now))
    };
    match listen {
        [] => bind(&any).or_else(|_| bind(&any[..1])).or_fail(kind::STARTUP, "cannot open a UDP socket"),
        given => {
            let shown: Vec<_> = given.iter().map(ToString::to_string).collect();
            bind(given).or_fail(kind::STARTUP, format_args!("cannot listen at {}", shown.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[tokio::test]
    async fn a_name_that_is_not_looked_up_in_time_takes_no_other_along() {
        let hosts = ["slow:1", "127.0.0.1:2", "none:3"].map(String::from);
        let nameless = RefCell::new(Vec::new());
        let look_up = |host: String| async move {
            if host.starts_with("slow") {
                std::future::pending::<()>().await;
            }
            host.parse().map(|addr| vec![addr]).map_err(io::Error::other)
        };
        let found =
            resolve(&hosts, Duration::ZERO, look_up, |host| nameless.borrow_mut().push(host.to_owned()));
        assert_eq!(found.await, ["127.0.0.1:2".parse().unwrap()]);
        assert_eq!(*nameless.borrow(), ["slow:1", "none:3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_given_up_in_time() {
        let never = |_| std::future::pending();
        for (for_all, expected) in [(NAME_TIMEOUT * 4, NAME_TIMEOUT), (NAME_TIMEOUT, NAME_TIMEOUT / 2)] {
            let begun = tokio::time::Instant::now();
            assert_eq!(resolve(&["slow:1".to_owned()], for_all, never, |_| ()).await, []);
            assert_eq!(begun.elapsed(), expected);
        }
    }
}
