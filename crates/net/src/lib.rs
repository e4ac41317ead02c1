//! Everything that touches the network.
//!
//! | room | what it does |
//! |---|---|
//! | [`bind`] | makes every socket in the program |
//! | [`rate`] | one token bucket for many connections |
//! | [`handshake`] | says hello on a fresh connection, either way round, within a deadline |
//! | [`conn`] | carries one peer's messages and payload between the socket, the disk and the torrent's brain |
//!
//! Nothing here decides anything about BitTorrent: rules live in the sans-IO crates below.
#![forbid(unsafe_code)]

pub mod bind;
pub mod conn;
pub mod handshake;
pub mod rate;
