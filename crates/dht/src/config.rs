//! What the owner of a node decides.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// Settings of one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Takes part in the DHT over IPv4.
    pub v4: bool,
    /// Takes part in the DHT over IPv6 (BEP 32).
    pub v6: bool,
    /// Whom to ask while a table has hardly any nodes. Those on the Internet serve everybody and get into no table (BEP 5);
    /// to name ordinary nodes there is [`Input::Nodes`](crate::Input::Nodes).
    pub bootstrap: Vec<SocketAddr>,
    /// Asks and does not answer, and says so (BEP 43): for who cannot be reached, or pays for traffic.
    pub read_only: bool,
    /// Keeps nodes whose ids do not fit their addresses (BEP 42) out of tables and lookups. They are answered all the
    /// same. Our own id fits our address as soon as that is known, whatever is chosen here.
    pub enforce_ids: bool,
    /// Our addresses as others see them, if they are known; else what most nodes say is taken.
    pub external: Vec<IpAddr>,
    /// Nodes of one address that a table holds, at most. Local addresses are not counted.
    pub nodes_per_ip: usize,
    /// Nodes of one /24 (IPv4) or /56 (IPv6) that a bucket holds, and that count among the closest of a lookup, at most:
    /// so whoever owns a network does not own a target. Local addresses are not counted.
    pub nodes_per_subnet: usize,
    /// Queries that are sent in a second, at most; lookups wait for their turn. 0 is taken as 1.
    pub queries_per_sec: u32,
    /// Queries that are answered in a second, at most; others are dropped. 0 is taken as 1.
    pub answers_per_sec: u32,
    /// A fault: whoever knows a transaction's id may answer it.
    #[cfg(feature = "planted")]
    pub any_answer: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            v4: true,
            v6: true,
            bootstrap: Vec::new(),
            read_only: false,
            enforce_ids: false,
            external: Vec::new(),
            nodes_per_ip: 1,
            nodes_per_subnet: 1,
            queries_per_sec: 200,
            answers_per_sec: 1000,
            #[cfg(feature = "planted")]
            any_answer: false,
        }
    }
}
