//! One node of the BitTorrent DHT: routing tables, lookups, tokens, and what it stores for others.
//!
//! BEP 5 with IPv6 (32), scrapes (33), ids tied to addresses (42), read-only nodes (43), items (44), samples (51).
//!
//! [`Node`] does no I/O and reads no clock. The driver hands in datagrams and orders ([`Node::handle`]), lets deadlines
//! pass ([`Node::handle_timeout`]), does what [`Node::poll_output`] says until it says nothing more, and comes back at
//! [`Node::poll_timeout`] at the latest. The same seed and the same inputs at the same times give the same outputs.
//!
//! ```
//! use dht::{Command, Config, Input, LookupKey, Node, Output};
//! use types::{InfoHashV1, Time};
//!
//! let bootstrap = vec!["192.0.2.1:6881".parse().unwrap()];
//! let mut node = Node::new(Config { bootstrap, ..Config::default() }, 1, Time::ZERO);
//! let command = Command::GetPeers { info_hash: InfoHashV1([7; 20]), noseed: false };
//! node.handle(Time::ZERO, Input::Start { key: LookupKey(1), command });
//! let sent = std::iter::from_fn(|| node.poll_output()).find(|output| matches!(output, Output::Send { .. }));
//! assert!(sent.is_some(), "a datagram to the bootstrap node");
//! ```
//!
//! How hostile nodes are held off: only who answered us is in a table or told to others; of one address one node is in a
//! table, of one /24 (IPv6: /56) one in a bucket and one among the closest of a lookup; ids may be tied to addresses;
//! nothing is stored without a token; who asks much is not answered, and no answer is longer than a datagram of BEP 32.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod addr;
mod bloom;
mod config;
mod event;
mod external;
mod hosts;
mod id;
mod item;
mod items;
pub mod krpc;
pub mod limits;
mod lookup;
mod nearest;
mod node;
mod peers;
mod rate;
mod secure;
mod table;
mod token;
mod traversal;

pub use addr::{Contact, Family, is_local};
pub use bloom::{BLOOM_LEN, Bloom};
pub use config::Config;
pub use event::{
    Asked, Command, Exchange, Gave, Hop, Input, LookupEvent, LookupKey, Outcome, Output, Scrape, Stage, Stats,
};
pub use id::{Distance, ID_BITS, NodeId};
pub use item::{
    ImmutableItem, ItemError, MutableItem, immutable_target, mutable_target, public_key, signed_bytes,
};
pub use node::{Node, SavedError};
pub use secure::{id_for, is_valid_id};
pub use table::Status;
