//! A DHT on loopback for a test to ask.

use dht::{Command, Config, Input, LookupEvent, LookupKey, Node, Output};
use net::dht::Driver;
use std::net::SocketAddr;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// Nodes that know each other; they live as long as this does.
pub(crate) struct Network {
    first: SocketAddr,
    _runtime: Runtime,
}

impl Network {
    pub(crate) fn new(nodes: u64) -> Network {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let first = runtime.block_on(async {
            let first = node(0, &[]);
            let addr = first.local_addrs().next().unwrap();
            drop(live(first));
            for seed in 1..nodes {
                // Each finds its place before the next one comes.
                live(node(seed, &[addr])).await.unwrap();
            }
            addr
        });
        Network { first, _runtime: runtime }
    }

    /// The node that others begin with.
    pub(crate) fn bootstrap(&self) -> String {
        self.first.to_string()
    }
}

fn node(seed: u64, known: &[SocketAddr]) -> Driver {
    let config = Config { v6: false, ..Config::default() };
    let mut driver = Driver::bind(&[([127, 0, 0, 1], 0).into()], |now| Node::new(config, seed, now)).unwrap();
    driver.input(Input::Nodes { addrs: known });
    let target = driver.node().id(dht::Family::V4).unwrap();
    driver.input(Input::Start { key: LookupKey(0), command: Command::FindNode { target } });
    driver
}

/// Lets a node live; tells when it has looked around.
fn live(mut driver: Driver) -> oneshot::Receiver<()> {
    let (looked, has_looked) = oneshot::channel();
    tokio::spawn(async move {
        let mut looked = Some(looked);
        loop {
            if let Output::Lookup { event: LookupEvent::Done(_), .. } = driver.next().await {
                looked.take().map(|looked| looked.send(()));
            }
        }
    });
    has_looked
}
