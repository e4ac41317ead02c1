//! Our nodes, each with a socket of its own, in this process.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use dht::{Command, Config, Family, Input, LookupEvent, LookupKey, Node, Outcome, Output, Stats};
use net::dht::Driver;
use tokio::sync::{mpsc, oneshot};
use types::InfoHashV1;

/// Jobs that may wait for a node.
const WAITING: usize = 128;

/// A node that lives until all of these are dropped.
#[derive(Clone)]
pub(crate) struct Ours {
    pub(crate) addr: SocketAddr,
    jobs: mpsc::Sender<Job>,
}

enum Job {
    LookUp(Box<Command>, oneshot::Sender<Found>),
    /// A lookup of the node's own place.
    Settle(oneshot::Sender<Found>),
    Stats(oneshot::Sender<Stats>),
}

/// What a lookup found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) peers: BTreeSet<SocketAddr>,
    pub(crate) samples: BTreeSet<InfoHashV1>,
    /// The value of an item, and of a mutable one its version.
    pub(crate) item: Option<(Vec<u8>, Option<i64>)>,
    pub(crate) outcome: Outcome,
}

impl Ours {
    /// Starts a node that begins with `router`. It knows its address, and so its id, from the first: others would hold
    /// its address under two ids for a while, and store twice at one node what belongs at two.
    pub(crate) fn start(addr: SocketAddr, seed: u64, router: Option<SocketAddr>) -> Ours {
        let (bootstrap, external) = (router.into_iter().collect(), [addr.ip()].into());
        let config = Config { v6: false, bootstrap, external, ..Config::default() };
        let driver = Driver::bind(&[addr], |now| Node::new(config, seed, now)).unwrap();
        let (jobs, waiting) = mpsc::channel(WAITING);
        tokio::spawn(live(driver, waiting));
        Ours { addr, jobs }
    }

    pub(crate) async fn look_up(&self, command: Command) -> Found {
        self.ask(|answer| Job::LookUp(Box::new(command), answer)).await
    }

    /// Looks around until the node knows its place.
    pub(crate) async fn settle(&self) -> Found {
        self.ask(Job::Settle).await
    }

    pub(crate) async fn stats(&self) -> Stats {
        self.ask(Job::Stats).await
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> T {
        let (answer, answered) = oneshot::channel();
        assert!(self.jobs.send(job(answer)).await.is_ok(), "the node has died");
        answered.await.expect("the node has died")
    }
}

async fn live(mut driver: Driver, mut jobs: mpsc::Receiver<Job>) {
    let mut lookups: Vec<(LookupKey, oneshot::Sender<Found>, Found)> = Vec::new();
    let mut next_key = 0;
    loop {
        let job = tokio::select! {
            job = jobs.recv() => job,
            output = driver.next() => {
                if let Output::Lookup { key, event } = output {
                    hear(&mut lookups, key, event);
                }
                continue;
            }
        };
        let Some(job) = job else { return };
        let (command, answer) = match job {
            Job::LookUp(command, answer) => (*command, answer),
            Job::Settle(answer) => {
                let target = driver.node().id(Family::V4).unwrap();
                (Command::FindNode { target }, answer)
            }
            Job::Stats(answer) => {
                let now = driver.now();
                let _ = answer.send(driver.node().stats(now));
                continue;
            }
        };
        next_key += 1;
        lookups.push((LookupKey(next_key), answer, Found::default()));
        driver.input(Input::Start { key: LookupKey(next_key), command });
    }
}

fn hear(lookups: &mut Vec<(LookupKey, oneshot::Sender<Found>, Found)>, key: LookupKey, event: LookupEvent) {
    let Some(at) = lookups.iter().position(|(of, ..)| *of == key) else { return };
    let found = &mut lookups[at].2;
    match event {
        LookupEvent::Peers { peers, .. } => found.peers.extend(peers),
        LookupEvent::Sample { samples, .. } => found.samples.extend(samples),
        LookupEvent::Immutable { item, .. } => found.item = Some((item.value, None)),
        LookupEvent::Mutable { item, .. } => found.item = Some((item.value, Some(item.seq))),
        LookupEvent::Done(outcome) => {
            found.outcome = outcome;
            let (_, answer, found) = lookups.swap_remove(at);
            // Who asked may be gone.
            let _ = answer.send(found);
        }
        _ => {}
    }
}
