//! The binary from outside: what it prints, what it writes, how it exits.
#![allow(clippy::unwrap_used)] // a test may fail that way, in its helpers too

mod create;
mod dht;
mod discord;
mod download;
mod input;
mod lsd;
mod magnet;
mod manual;
mod network;
mod scrape;
mod seeder;
mod sim;
mod streams;
mod support;
mod trackerless;
mod transfer;
mod usage;
mod verify;
mod web_seed;
mod web_server;
