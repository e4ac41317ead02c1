//! `stream`: play what is not here yet.

use crate::args::{Remote, Stream};
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::interrupt::{self, Interrupt};
use crate::remote::{self, NOT_HERE, told};
use crate::source::Source;
use crate::text::printable;
use crate::{runtime, transfer};
use api::{AddQuery, Client, ClientError, State};
use daemon::{FileServer, Served, is_playable};
use engine::{AddMagnet, AddTorrent, Engine, Metainfo, TorrentState};
use serde_json::json;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::sleep;

/// How often it is looked whether a torrent can be read by now.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) fn run(args: &Stream, console: &Console) -> Result<Exit, Failure> {
    let mut interrupt = interrupt::graceful(console)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let source = Source::new(&args.source);
        let is_here = match source {
            Source::Magnet(_) | Source::Url(_) | Source::Stdin => true,
            Source::File(path) => path.exists(),
            Source::OtherUrl(_) => false,
        };
        let remote =
            Remote { host: args.host.clone(), token_file: args.token_file.clone(), json: args.session.json };
        let client = remote::client(&remote)?;
        let daemon = match client.about().await {
            Ok(_) => true,
            // Nobody is there, and nobody was named.
            Err(ClientError::Unreachable { .. }) if is_here && args.host.is_none() => false,
            Err(error @ ClientError::Unreachable { .. }) if args.host.is_none() => {
                let message = format!(
                    "there is no file {} to stream, and nobody to have such a torrent: {error}",
                    printable(&args.source)
                );
                return Err(Failure::new(kind::SOURCE, message));
            }
            Err(error) => return Err(told(error)),
        };
        match daemon {
            true => from_daemon(args, source, is_here, client, &mut interrupt, console).await,
            false => from_here(args, source, &mut interrupt, console).await,
        }
    });
    // Standard input may still be waited for: nobody waits for that.
    runtime.shutdown_background();
    outcome
}

/// Of a torrent that the daemon has, or is given.
async fn from_daemon(
    args: &Stream,
    source: Source<'_>,
    is_here: bool,
    client: Client,
    interrupt: &mut Interrupt,
    console: &Console,
) -> Result<Exit, Failure> {
    let find = async {
        let id = match is_here {
            true => remote::give(&client, source, &AddQuery::default()).await?.id,
            false => match remote::find(&client, &args.source).await {
                Err(none) if none.kind == NOT_HERE => {
                    let message = format!("{}, and no such file", none.message);
                    return Err(Failure::new(none.kind, message));
                }
                found => found?.id,
            },
        };
        loop {
            let torrent = client.torrent(&id).await.map_err(told)?;
            match torrent.state {
                State::Downloading | State::Seeding => break,
                State::Paused | State::Stopped | State::Failed => {
                    let why = torrent.error.unwrap_or_else(|| format!("it is {}", torrent.state.name()));
                    let message =
                        format!("{}: {why}; 'rawtorrent resume' has it go on", printable(&torrent.name));
                    return Err(Failure::new(kind::NOT_RUNNING, message).of(&id));
                }
                _ => sleep(LOOK_EVERY).await,
            }
        }
        let files = client.files(&id).await.map_err(told)?;
        let files =
            files.iter().filter(|file| !file.padding).map(|file| (file.index, &*file.path, file.length));
        let (index, path) = choose(args.file, files)?;
        Ok((id, index, path.to_owned()))
    };
    let (id, index, path) = tokio::select! {
        found = find => found?,
        () = interrupt.asked() => return Ok(Exit::Interrupted),
    };
    play(args, Served::Daemon { client, id, index }, &path, interrupt, console).await
}

/// Of a torrent that runs as long as it is played.
async fn from_here(
    args: &Stream,
    source: Source<'_>,
    interrupt: &mut Interrupt,
    console: &Console,
) -> Result<Exit, Failure> {
    let Some(state_dir) = args.session.state_dir() else {
        let message = "nowhere to keep resume state: set HOME or give --state-dir";
        return Err(Failure::new(kind::STARTUP, message));
    };
    let settings = transfer::settings(&args.session, state_dir);
    let engine = Engine::start(settings).map_err(|error| transfer::engine_failure(&error))?;
    let outcome = tokio::select! {
        begun = begin(&engine, args, source, console) => match begun {
            Ok((served, path)) => play(args, served, &path, interrupt, console).await,
            Err(failure) => Err(failure),
        },
        () = interrupt.asked() => Ok(Exit::Interrupted),
    };
    engine.shutdown().await;
    outcome
}

/// Begins to download the file, and waits until it can be read.
async fn begin(
    engine: &Engine,
    args: &Stream,
    source: Source<'_>,
    console: &Console,
) -> Result<(Served, String), Failure> {
    let session = &args.session;
    let fetched = match source.magnet()? {
        Some(magnet) => {
            let add = AddMagnet::new(magnet).peers(session.peer.clone());
            let fetch = engine.fetch_metadata(add).await;
            let mut fetch = fetch.map_err(|error| transfer::engine_failure(&error))?;
            console.note("looking for what the link names");
            Some(fetch.wait().await.map_err(|error| Failure::new(error.kind(), error))?)
        }
        None => None,
    };
    let metainfo: Arc<Metainfo> = match &fetched {
        Some(fetched) => fetched.metainfo().clone(),
        None => Arc::new(source.load(|url| engine.fetch(url)).await?),
    };
    let files = metainfo.files().iter().enumerate().filter(|(_, file)| file.is_regular());
    let files: Vec<_> = files.map(|(index, file)| (index, file.path.to_string(), file.length)).collect();
    let (index, path) =
        choose(args.file, files.iter().map(|(index, path, length)| (*index, &**path, *length)))?;
    let path = path.to_owned();
    let add = match fetched {
        Some(fetched) => fetched.into_add(&args.dir),
        None => AddTorrent::new(metainfo.clone(), &args.dir).peers(session.peer.clone()),
    };
    let only_it = (0..metainfo.files().len()).map(|file| file == index).collect();
    let add = add.files(only_it);
    let torrent = engine.add(add).await.map_err(|error| transfer::engine_failure(&error))?;
    while !matches!(torrent.stats().state, TorrentState::Downloading | TorrentState::Seeding) {
        tokio::select! {
            ended = torrent.wait_stopped() => {
                ended.map_err(|error| Failure::new(error.kind(), error))?;
                return Err(Failure::new(kind::NOT_RUNNING, "the torrent has ended"));
            }
            () = sleep(LOOK_EVERY) => {}
        }
    }
    Ok((Served::Torrent { torrent, metainfo, index }, path))
}

/// The file that was asked for, or the largest that can be played.
fn choose<'a>(
    asked: Option<usize>,
    files: impl Iterator<Item = (usize, &'a str, u64)>,
) -> Result<(usize, &'a str), Failure> {
    let mut files: Vec<_> = files.collect();
    if let Some(asked) = asked {
        let found = files.iter().find(|&&(index, ..)| index == asked);
        let message =
            format_args!("the torrent has no file {asked}; see 'rawtorrent files', or show").to_string();
        return found
            .map(|&(index, path, _)| (index, path))
            .ok_or_else(|| Failure::new(kind::SELECTION, message));
    }
    files.retain(|(_, path, _)| is_playable(path));
    let largest = files.into_iter().max_by_key(|&(index, _, length)| (length, std::cmp::Reverse(index)));
    let none =
        || Failure::new(kind::SELECTION, "no file of the torrent can be played; choose one with --file");
    largest.map(|(index, path, _)| (index, path)).ok_or_else(none)
}

/// Serves the file until the player ends, or somebody has enough.
async fn play(
    args: &Stream,
    served: Served,
    path: &str,
    interrupt: &mut Interrupt,
    console: &Console,
) -> Result<Exit, Failure> {
    let server = FileServer::open().await.or_fail(kind::STARTUP, "cannot serve the file")?;
    let url = server.url(path);
    let line = match args.session.json {
        true => json_line(&json!({"event": "stream", "url": url, "path": path})),
        false => format!("{url}\n"),
    };
    if args.session.json || args.player.is_none() {
        console.print(line)?;
    }
    let Some(player) = &args.player else {
        let mut asked = interrupt.clone();
        server.serve(served, async move { asked.asked().await }).await;
        return Ok(Exit::Interrupted);
    };
    let doing = format!("cannot run {}", player.display());
    // What ends this command ends the player too.
    let child = Command::new(player).args(&args.player_args).arg(&url).kill_on_drop(true).spawn();
    let mut child = child.or_fail(kind::PLAYER, &doing)?;
    let mut ended = None;
    let end = async {
        tokio::select! {
            status = child.wait() => ended = Some(status),
            () = interrupt.asked() => {}
        }
    };
    server.serve(served, end).await;
    match ended {
        None => Ok(Exit::Interrupted),
        Some(status) => match status.or_fail(kind::PLAYER, &doing)? {
            status if status.success() => Ok(Exit::Done),
            status => Err(Failure::new(kind::PLAYER, format_args!("{} {}", player.display(), how(status)))),
        },
    }
}

fn how(status: ExitStatus) -> String {
    status.code().map_or_else(|| "was killed".into(), |code| format!("ended with exit code {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_file_that_can_be_played_is_chosen() {
        let files = [(0, "a.iso", 900), (1, "a.mkv", 500), (2, "b.MP4", 500), (3, "c.mp3", 10)];
        let chosen = |asked| choose(asked, files.into_iter()).map(|(index, _)| index);
        assert_eq!(chosen(None), Ok(1));
        assert_eq!(chosen(Some(0)), Ok(0));
        assert!(chosen(Some(4)).unwrap_err().message.contains("no file 4"));
        let none = choose(None, files.into_iter().take(1)).unwrap_err();
        assert!(none.message.contains("--file"), "{}", none.message);
    }
}
