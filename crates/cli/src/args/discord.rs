//! The command line of the Discord bot.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// A Discord bot: people of a channel download torrents of an allow-list, and watch them arrive
#[derive(Debug, Args)]
pub(crate) struct Discord {
    #[command(subcommand)]
    pub(crate) action: DiscordAction,
}

/// What is done about the bot.
#[derive(Debug, Subcommand)]
pub(crate) enum DiscordAction {
    /// Add a torrent to what may be downloaded
    Allow(Allow),
}

/// Add a torrent to what may be downloaded
#[derive(Debug, Args)]
pub(crate) struct Allow {
    /// The .torrent file; it has to stay where it is
    #[arg(value_name = "FILE")]
    pub(crate) torrent: PathBuf,
    /// What people call it
    #[arg(long, value_name = "NAME", env = "RAWTORRENT_DISCORD_NAME")]
    pub(crate) name: String,
    /// The licence that lets it be given to everybody
    #[arg(long, value_name = "LICENCE", env = "RAWTORRENT_DISCORD_LICENCE")]
    pub(crate) licence: String,
    #[command(flatten)]
    pub(crate) config: DiscordConfig,
}

/// Where it is said what the bot may do.
#[derive(Debug, Args)]
pub(crate) struct DiscordConfig {
    /// What the bot may do [default: $XDG_CONFIG_HOME/rawtorrent/discord.toml]
    #[arg(long, value_name = "FILE", env = "RAWTORRENT_DISCORD_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}
