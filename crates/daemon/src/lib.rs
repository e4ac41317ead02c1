//! The daemon: a session's API over HTTP, to programs on this machine and, with a token, elsewhere.
//!
//! Reads are answered from memory (the board): what a torrent was a quarter of a second ago, whatever its disk does.
//! Orders go to the session through a bounded number of tasks. Every request passes one guard ([`Access`]), which checks
//! `Host`, `Origin`, token and scope before anything is read or done; the routes are one table ([`routes::ROUTES`]), and
//! so is the OpenAPI document that is made from them.
#![forbid(unsafe_code)]

mod access;
mod audit;
mod board;
pub mod change;
mod error;
mod events;
mod file_server;
mod guard;
mod hooks;
mod metrics;
#[cfg(feature = "planted")]
mod planted;
#[doc(hidden)]
pub mod reading;
mod roots;
pub mod routes;
mod serve;
mod shares;
mod tokens;
mod trace;

pub use access::Access;
pub use error::Error;
pub use file_server::{FileServer, Served};
pub use hooks::{Hook, Hooks, Webhook, What};
pub use routes::stream::is_playable;
pub use serve::{Control, Daemon, Inherited, Options};
pub use tokens::{Scope, TokenInfo, Tokens};
