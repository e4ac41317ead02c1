//! `discord`: a bot that lets people of a channel download torrents of an allow-list.

use crate::args::{
    Allow, Daemon, Discord, DiscordAction, DiscordConfig, Remote, default_state_dir, usage_line, usual_config,
};
use crate::console::Console;
use crate::daemon::Embedded;
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::remote::client;
use crate::source::Source;
use crate::text::printable;
use crate::units::Size;
use crate::{daemon, interrupt, runtime, transfer};
use ::discord::bot::{EDIT_EVERY, Options};
use ::discord::config::{self, Entry};
use ::discord::limits::MAX_TORRENT;
use ::discord::token::Token;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

pub(crate) fn run(args: &Discord, console: &Console) -> Result<Exit, Failure> {
    match &args.action {
        Some(DiscordAction::Allow(args)) => allow(args, console),
        None => bot(args, console),
    }
}

fn bot(args: &Discord, console: &Console) -> Result<Exit, Failure> {
    let state_dir = args.state_dir.clone().or_else(|| default_state_dir(|name| std::env::var_os(name)));
    let state_dir = state_dir
        .ok_or_else(|| Failure::new(kind::STARTUP, "there is no home to keep state in (--state-dir)"))?;
    let embedded = args.embedded.then(|| embed(&state_dir)).transpose()?;
    let host = embedded.as_ref().map(|(_, socket)| format!("unix:{}", socket.display()));
    let remote =
        Remote { host: host.or(args.host.clone()), token_file: args.daemon_token_file.clone(), json: false };
    let options = Options {
        token: token(args)?,
        config: config_of(&args.config)?,
        book: state_dir.join("discord.json"),
        daemon: client(&remote)?,
        edit_every: EDIT_EVERY,
        thread_after: args.thread_after,
        stand_in: args.rest.clone().zip(args.gateway.clone()),
    };
    let mut interrupt = interrupt::graceful(console)?;
    let runtime = daemon::threads()?;
    let ran = runtime.block_on(async {
        ignore_hangups(console.clone())?;
        let Some((args, socket)) = embedded else {
            return Ok(::discord::bot::run(options, interrupt.asked()).await);
        };
        let embedded = Embedded::open(&args, &state_dir, &socket, console).await?;
        Ok(embedded.beside(::discord::bot::run(options, interrupt.asked())).await)
    });
    runtime.shutdown_background();
    ran?.map_err(|error| Failure::new(kind::DISCORD, error))?;
    Ok(Exit::Done)
}

/// SIGHUP asks a daemon to read its configuration again; the bot reads its own whenever it is asked something.
fn ignore_hangups(console: Console) -> Result<(), Failure> {
    let mut hangups = signal(SignalKind::hangup()).or_fail(kind::STARTUP, "cannot listen for SIGHUP")?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            console.note(format_args!(
                "the bot's configuration is read at each question; that of a daemon of its own takes a restart"
            ));
        }
    });
    Ok(())
}

/// How a daemon of the bot's own is set up, and the socket that it is asked at.
fn embed(state_dir: &Path) -> Result<(Daemon, PathBuf), Failure> {
    let args =
        Daemon::in_process(state_dir).map_err(|error| Failure::new(kind::SETTING, usage_line(&error)))?;
    let socket = args.socket().unwrap_or_else(|| state_dir.join("api.sock"));
    Ok((args, socket))
}

fn token(args: &Discord) -> Result<Token, Failure> {
    let token = match (&args.token_file, std::env::var("DISCORD_TOKEN")) {
        (Some(file), _) => Token::read(file),
        (None, Ok(text)) => Token::new(&text).map_err(|_| "DISCORD_TOKEN holds no token of a bot".into()),
        (None, Err(_)) => {
            Err("there is no token of a bot: set DISCORD_TOKEN, or name a file (--token-file)".into())
        }
    };
    token.map_err(|what| Failure::new(kind::TOKEN, what))
}

fn allow(args: &Allow, console: &Console) -> Result<Exit, Failure> {
    let config = config_of(&args.config)?;
    let torrent = runtime()?.block_on(Source::File(&args.torrent).load(transfer::fetch_alone))?;
    let unfound = format_args!("cannot find {}", args.torrent.display());
    let path = std::path::absolute(&args.torrent).or_fail(kind::SOURCE, unfound)?;
    let bytes = std::fs::metadata(&path).or_fail(kind::SOURCE, unfound)?.len();
    if bytes > MAX_TORRENT {
        let (file, bytes, most) = (args.torrent.display(), Size(bytes), Size(MAX_TORRENT));
        return Err(Failure::new(
            kind::SOURCE,
            format!("{file} has {bytes}; the bot takes torrent files of {most} at most"),
        ));
    }
    let entry = Entry {
        // By which the daemon calls it.
        info_hash: torrent.info_hash().wire().to_string(),
        name: args.name.clone(),
        licence: args.licence.clone(),
        size: Some(torrent.payload_len()),
        path: Some(path),
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
