//! Everything that touches the network.
//!
//! | room | what it does |
//! |---|---|
//! | [`bind`] | makes every socket in the program |
//! | [`handshake`] | says hello on a fresh connection, either way round, within a deadline |
//! | [`conn`] | carries one peer's messages and payload between the socket, the disk and the torrent's brain |
//! | [`lookup`] | finds where host names lead, and sees to it that nobody is led where he must not |
//! | [`http`] | one bounded `GET` at a time, for trackers and `.torrent` files |
//! | [`web_seed`] | fetches blocks from a web seed, for the same ends as a peer's connection |
//! | [`udp_tracker`] | drives one request to a UDP tracker |
//! | [`announce`] | announces and scrapes, whatever the tracker speaks, over IPv4 and IPv6 |
//! | [`dht`] | drives a node of the DHT over UDP sockets |
//! | [`lsd`] | finds peers on the local network by multicast |
//! | [`tracker_server`] | a small HTTP and UDP tracker, for the demo and for tests |
//!
//! Nothing here decides anything about BitTorrent: rules live in the sans-IO crates below.
#![forbid(unsafe_code)]

pub mod announce;
pub mod bind;
pub mod conn;
pub mod dht;
pub mod handshake;
pub mod http;
pub mod lookup;
pub mod lsd;
#[cfg(feature = "planted")]
pub mod planted;
pub mod tracker_server;
pub mod udp_tracker;
pub mod web_seed;
