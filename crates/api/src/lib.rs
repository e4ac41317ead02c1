//! The contract of the daemon's API, version 1: what is asked and answered ([`Torrent`], [`ListQuery`], [`Problem`], ...), and
//! a [`Client`] that asks.
//!
//! Everything here is plain data with its OpenAPI schema. Sizes are bytes, rates bytes per second, times seconds.
#![forbid(unsafe_code)]

mod client;
mod hours;
mod problem;
mod settings;
mod torrent;
mod trace;
pub mod units;
mod why;

pub use client::{Changes, Client, ClientError, FileBytes, MAX_ANSWER, SILENCE, Trace};
pub use hours::{AlternativeChange, AlternativeLimits, Clock, Day};
pub use problem::{PROBLEM_JSON, Problem};
pub use settings::{GoalAction, Priority, Settings, SettingsChange, TorrentChange, TorrentSettings};
pub use torrent::{
    About, AddQuery, Added, Cell, Destination, Direction, File, Health, ListQuery, Order, Peer, Pieces,
    RemoveQuery, Resumed, Source, State, Stayed, Torrent, Torrents, Tracker, TrackerState, TrackersChange,
    Turn, Watched, WatchedQuery,
};
pub use trace::{TraceBegan, TraceLost, TraceQuery, Traced};
pub use why::{Cause, Why};

/// Where the API is, below the daemon's address.
pub const BASE: &str = "/api/v1";
/// The media type of requests and answers.
pub const JSON: &str = "application/json";
/// The media type of changes (RFC 7396); [`JSON`] will do as well.
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// The media type of a torrent file.
pub const TORRENT: &str = "application/x-bittorrent";
