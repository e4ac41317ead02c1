//! `session add`: hands torrents to the session that runs, or adds them for the next one.

use super::{state_dir, usual};
use crate::args::keep::Add;
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::source::{self, Source};
use crate::{losses, runtime, transfer};
use engine::{Choices, Error, Given, InfoHash, Session};
use serde_json::json;
use std::time::Duration;

/// How often another process is looked for that has the session and does not take anything yet, or any more.
const TRIES: u32 = 40;
/// How long between two of them.
const BETWEEN_TRIES: Duration = Duration::from_millis(250);

pub(crate) fn run(args: &Add, console: &Console) -> Result<Exit, Failure> {
    let state_dir = state_dir(&args.session)?;
    let dir = std::path::absolute(&args.output).or_fail(kind::STORAGE, args.output.display())?;
    let choices = Choices { dir, paused: args.paused, ..usual(&args.session) };
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let mut exit = Exit::Done;
        for source in &args.sources {
            let added =
                async { add(args, &state_dir, given(source).await?, choices.clone(), console).await }.await;
            let info_hash = match added {
                Ok(info_hash) => info_hash.wire().to_string(),
                Err(failure) if args.sources.len() == 1 => return Err(failure),
                // The others are added all the same.
                Err(failure) => {
                    console.failure(&failure);
                    exit = Exit::Failed;
                    continue;
                }
            };
            if args.session.json {
                console.print(json_line(&json!({"event": "added", "info_hash": info_hash})))?;
            } else {
                console.print(format!("added {info_hash}\n"))?;
            }
        }
        Ok(exit)
    });
    runtime.shutdown_background();
    outcome
}

async fn add(
    args: &Add,
    state_dir: &std::path::Path,
    given: Given,
    choices: Choices,
    console: &Console,
) -> Result<InfoHash, Failure> {
    let mut may_have_it = false;
    for _ in 0..TRIES {
        match engine::hand_over(state_dir, given.clone(), choices.clone()).await {
            Ok(Some(info_hash)) => return Ok(info_hash),
            Ok(None) => {}
            // It ended before it answered, and may have taken it.
            Err(Error::ShutDown) => {
                may_have_it = true;
                tokio::time::sleep(BETWEEN_TRIES).await;
                continue;
            }
            Err(Error::AlreadyAdded(info_hash)) if may_have_it => return Ok(info_hash),
            Err(error) => return Err(transfer::engine_failure(&error)),
        }
        match Session::open(transfer::settings(&args.session, state_dir.to_path_buf())).await {
            Ok((session, kept)) => {
                losses::tell(&kept, console);
                let added = match given {
                    Given::Torrent(bytes) => session.add(bytes, choices).await,
                    Given::Magnet(link) => session.add_magnet(&link, choices).await,
                    Given::Url(url) => session.add_url(&url, choices).await,
                };
                session.shutdown().await;
                return match added {
                    Err(Error::AlreadyAdded(info_hash)) if may_have_it => Ok(info_hash),
                    added => added.map_err(|error| transfer::engine_failure(&error)),
                };
            }
            // It has just begun, or is about to end.
            Err(Error::SessionInUse(_)) => tokio::time::sleep(BETWEEN_TRIES).await,
            Err(error) => return Err(transfer::engine_failure(&error)),
        }
    }
    Err(transfer::engine_failure(&Error::SessionInUse(state_dir.to_path_buf())))
}

/// Reads a file here, where its path means what the user means; what needs the network is left to the session.
pub(super) async fn given(source: &str) -> Result<Given, Failure> {
    match Source::new(source) {
        Source::Url(url) => Ok(Given::Url(url.into())),
        Source::Magnet(link) => Ok(Given::Magnet(link.into())),
        Source::Stdin | Source::OtherUrl(_) => {
            Err(Failure::new(kind::UNSUPPORTED, "give a .torrent file, its http(s) URL, or a magnet link"))
        }
        Source::File(path) => {
            let doing = format!("cannot read {}", path.display());
            let path = path.to_owned();
            let read = tokio::task::spawn_blocking(move || source::read_file(&path)).await;
            Ok(Given::Torrent(read.or_fail(kind::SOURCE, &doing)?.or_fail(kind::SOURCE, &doing)?))
        }
    }
}
