//! The command line of the Discord bot.

use super::{seconds, switch};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// A Discord bot: people of a channel download torrents of an allow-list, and watch them arrive
///
/// It is a client of a daemon, or has one of its own (--embedded). The bot's token is what DISCORD_TOKEN says, or a file.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = false)]
pub(crate) struct Discord {
    #[command(subcommand)]
    pub(crate) action: Option<DiscordAction>,
    #[command(flatten)]
    pub(crate) config: DiscordConfig,
    /// A file that holds the bot's token [default: DISCORD_TOKEN]
    #[arg(long, value_name = "FILE", env = "DISCORD_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The daemon: http://HOST:PORT, https://HOST, or unix:PATH [default: its unix socket, else http://127.0.0.1:6880]
    #[arg(long, value_name = "URL", env = "RAWTORRENT_HOST")]
    pub(crate) host: Option<String>,
    /// A file that holds the token to show to the daemon
    #[arg(long, value_name = "FILE", env = "RAWTORRENT_DAEMON_TOKEN_FILE")]
    pub(crate) daemon_token_file: Option<PathBuf>,
    /// Be the daemon too, set up as 'rawtorrent daemon' would be by its configuration and variables; it serves at its unix
    /// socket alone, and ends with the bot
    #[arg(long, env = "RAWTORRENT_DISCORD_EMBEDDED", value_parser = switch, conflicts_with_all = ["host", "daemon_token_file"])]
    pub(crate) embedded: bool,
    /// Where to keep which live messages there are, and an embedded daemon its torrents [default: $XDG_STATE_HOME/rawtorrent]
    #[arg(long, value_name = "DIR", env = "RAWTORRENT_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Seconds that a download is shown in its channel before it goes on in a thread
    #[arg(long, value_name = "SECONDS", env = "RAWTORRENT_DISCORD_THREAD_AFTER", default_value = "600", value_parser = seconds)]
    pub(crate) thread_after: Duration,
    /// What stands in for Discord's REST API, HOST:PORT, in tests
    #[arg(long, hide = true, env = "RAWTORRENT_DISCORD_REST", requires = "gateway")]
    pub(crate) rest: Option<String>,
    /// What stands in for Discord's gateway, ws://HOST:PORT, in tests
    #[arg(long, hide = true, env = "RAWTORRENT_DISCORD_GATEWAY", requires = "rest")]
    pub(crate) gateway: Option<String>,
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
