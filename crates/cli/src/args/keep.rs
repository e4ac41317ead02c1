//! `session`: torrents that are kept over restarts.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Keep torrents over restarts: orders as JSON on standard input, a line each, answers on standard output
///
/// {"do":"add","torrent":"FILE, URL or magnet link","dir":"DIR"}, {"do":"list"}, {"do":"remove","info_hash":"..."}, likewise
/// "pause", "resume", "recheck", "reannounce" and "wait" (until it is complete), {"do":"set","info_hash":"...", and what is to
/// change}, {"do":"session", and limits of all}; an "id" comes back in the answer. What was answered with "ok":true survives a
/// crash. docs/session.md has them all.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Keep {
    #[command(subcommand)]
    pub(crate) order: Option<Order>,
    #[command(flatten)]
    pub(crate) session: super::Session,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Order {
    /// Add torrents to the session: to the one that runs in this state directory, or for the next that does
    Add(Box<Add>),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// A .torrent file, its http(s) URL, or a magnet link
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// The folder that the torrents' files and folders go into
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
    /// Let them rest until they are resumed
    #[arg(long)]
    pub(crate) paused: bool,
    #[command(flatten)]
    pub(crate) session: super::Session,
}
