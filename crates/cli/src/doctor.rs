//! `doctor` and `export`: a session that does not run, looked at and written into a file.

use crate::args::{Doctor, Export, State};
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, kind};
use crate::text::{counted, printable};
use crate::{interrupt, transfer};
use engine::{doctor, export};
use serde_json::json;
use std::path::PathBuf;

pub(crate) fn run(args: &Doctor, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let state_dir = state_dir(&args.state)?;
    let examined = doctor::examine(&state_dir).map_err(|error| transfer::engine_failure(&error))?;
    for finding in &examined.findings {
        if args.state.json {
            console.print(json_line(&json!({"torrent": finding.torrent, "finding": finding.what})))?;
        } else {
            let about = finding.torrent.as_deref().unwrap_or("the session");
            console.print(format!("{}: {}\n", printable(about), printable(&finding.what)))?;
        }
    }
    let torrents = counted(examined.torrents as u64, "torrent");
    match examined.findings.len() as u64 {
        0 => console.note(format_args!("{torrents}: all is well")),
        found => console.note(format_args!("{torrents}: {}", counted(found, "finding"))),
    }
    Ok(if examined.findings.is_empty() { Exit::Done } else { Exit::Failed })
}

pub(crate) fn export(args: &Export, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let state_dir = state_dir(&args.state)?;
    let exported = export::export(&state_dir, &args.file);
    let exported = exported.map_err(|error| transfer::engine_failure(&error))?;
    if args.state.json {
        console.print(json_line(&json!({"torrents": exported.torrents, "lost": exported.lost})))?;
    } else {
        console.note(format_args!("{} exported", counted(exported.torrents as u64, "torrent")));
    }
    if exported.lost > 0 {
        let line = format_args!("{} torrents or rows that are lost or damaged are not in it", exported.lost);
        console.error(&Failure::new(kind::SOURCE, line));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

/// Where the session is.
pub(crate) fn state_dir(state: &State) -> Result<PathBuf, Failure> {
    let none = "there is no home to keep state in; choose a folder (--state-dir)";
    state.dir().ok_or_else(|| Failure::new(kind::STARTUP, none))
}
