//! `discord`: a bot that lets people of a channel download torrents of an allow-list.

use crate::args::{Allow, Discord, DiscordAction, DiscordConfig, usual_config};
use crate::console::Console;
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::source::Source;
use crate::text::printable;
use crate::{runtime, transfer};
use ::discord::config::{self, Entry};
use std::path::PathBuf;

pub(crate) fn run(args: &Discord, console: &Console) -> Result<Exit, Failure> {
    match &args.action {
        DiscordAction::Allow(args) => allow(args, console),
    }
}

fn allow(args: &Allow, console: &Console) -> Result<Exit, Failure> {
    let config = config_of(&args.config)?;
    let torrent = runtime()?.block_on(Source::File(&args.torrent).load(transfer::fetch_alone))?;
    let path = std::path::absolute(&args.torrent)
        .or_fail(kind::SOURCE, format_args!("cannot find {}", args.torrent.display()))?;
    let entry = Entry {
        // By which the daemon calls it.
        info_hash: torrent.info_hash().wire().to_string(),
        name: args.name.clone(),
        licence: args.licence.clone(),
        size: torrent.payload_len(),
        path,
    };
    config::allow(&config, &entry).map_err(|error| Failure::new(kind::SETTING, error))?;
    console.print(format!("{} may be downloaded: {}\n", entry.info_hash, printable(&entry.line())))?;
    Ok(Exit::Done)
}

fn config_of(args: &DiscordConfig) -> Result<PathBuf, Failure> {
    let usual = || usual_config("discord.toml", |name| std::env::var_os(name));
    args.config.clone().or_else(usual).ok_or_else(|| {
        Failure::new(kind::STARTUP, "there is no home to look for the configuration in; name it (--config)")
    })
}
