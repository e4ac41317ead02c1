//! Everything that touches the network.
//!
//! | room | what it does |
//! |---|---|
//! | [`bind`] | makes every socket in the program |
//! | [`handshake`] | says hello on a fresh connection, either way round, within a deadline |
//! | [`conn`] | carries one peer's messages and payload between the socket, the disk and the torrent's brain |
//! | [`http`] | one bounded `GET` at a time, for trackers and `.torrent` files |
//! | [`udp_tracker`] | drives one request to a UDP tracker |
//! | [`announce`] | announces and scrapes, whatever the tracker speaks, over IPv4 and IPv6 |
//! | [`dht`] | drives a node of the DHT over UDP sockets |
//! | [`tracker_server`] | a small HTTP tracker, for the demo and for tests |
//!
//! Nothing here decides anything about BitTorrent: rules live in the sans-IO crates below.
#![forbid(unsafe_code)]

pub mod announce;
pub mod bind;
pub mod conn;
pub mod dht;
pub mod handshake;
pub mod http;
pub mod tracker_server;
pub mod udp_tracker;
