//! The Discord bot: a client of the daemon's API that lets people of a channel download torrents of an allow-list, and watch.
//!
//! [`config`] is what it may do, [`access`] who may ask for it, [`commands`] what can be asked, [`show`] and [`picture`] how
//! it answers, [`bot`] what runs, [`inert`] what keeps a stranger's words from being more than words.
#![forbid(unsafe_code)]

pub mod access;
pub mod allow;
pub mod book;
pub mod bot;
pub mod commands;
pub mod config;
pub mod inert;
pub mod limits;
mod live;
mod orders;
mod pace;
pub mod picture;
#[cfg(feature = "planted")]
mod planted;
mod rest;
mod said;
mod say;
pub mod show;
pub mod token;
