//! `import`: the torrents of another client's session, or of one that was exported.

use crate::args::{Client, Import};
use crate::console::{Console, json_line};
use crate::doctor::state_dir;
use crate::failure::{Exit, Failure, kind};
use crate::text::{counted, printable};
use crate::{interrupt, losses, transfer};
use engine::export;
use engine::import::{self, Taken, Told};
use serde_json::{Value, json};

pub(crate) fn run(args: &Import, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let state_dir = state_dir(&args.state)?;
    let client = args.from.map(|from| match from {
        Client::Qbittorrent => import::Client::Qbittorrent,
        Client::Transmission => import::Client::Transmission,
        Client::Rtorrent => import::Client::Rtorrent,
        Client::Deluge => import::Client::Deluge,
    });
    let mut unsaid = Ok(());
    let tell = |told: Told| {
        if unsaid.is_ok() {
            unsaid = say(&told, args.state.json, console);
        }
    };
    let imported = match client {
        Some(client) => {
            let started_in = args.started_in.as_deref().map(std::path::absolute).transpose();
            let started_in = started_in.map_err(|err| Failure::new(kind::SOURCE, err))?;
            import::import(&state_dir, client, &args.source, started_in.as_deref(), tell)
        }
        None if args.source.is_dir() => {
            return Err(Failure::new(
                kind::SOURCE,
                "whose session is it? say --from qbittorrent, or another client",
            ));
        }
        None => export::import(&state_dir, &args.source, tell),
    };
    let imported = imported.map_err(|error| transfer::engine_failure(&error))?;
    unsaid?;
    losses::tell(&imported.kept, console);
    imported.notes.iter().for_each(|line| console.note(printable(line)));
    if imported.beyond > 0 {
        let line = format_args!("{} more than can be read were left out", imported.beyond);
        console.error(&Failure::new(kind::SOURCE, line));
    }
    if !args.state.json {
        console.note(format_args!("{} taken over", counted(imported.taken as u64, "torrent")));
    }
    Ok(if imported.refused + imported.beyond == 0 { Exit::Done } else { Exit::Failed })
}

fn say(told: &Told, as_json: bool, console: &Console) -> Result<(), Failure> {
    let name = printable(&told.name);
    match &told.outcome {
        Ok(taken) if as_json => console.print(json_line(&taken_json(&told.name, taken))),
        Ok(taken) => console.print(format!("{name}: {}\n", summary(taken))),
        Err(reason) => {
            if as_json {
                console.print(json_line(&json!({"name": told.name, "error": reason})))?;
            }
            console.error(&Failure::new(kind::SOURCE, format_args!("{name}: not taken over: {reason}")));
            Ok(())
        }
    }
}

fn taken_json(name: &str, taken: &Taken) -> Value {
    json!({
        "name": name,
        "info_hash": taken.info_hash.wire().to_string(),
        "metadata": taken.pieces > 0,
        "pieces": taken.pieces,
        "believed": taken.believed,
        "to_check": taken.doubted,
        "renamed": taken.renamed,
        "paused": taken.paused,
    })
}

fn summary(taken: &Taken) -> String {
    let mut said = match (taken.believed, taken.doubted) {
        _ if taken.pieces == 0 => "taken over as a magnet link".to_owned(),
        (0, 0) => "taken over, nothing of it is there".to_owned(),
        (believed, 0) => format!("taken over with {believed} of {}", counted(taken.pieces.into(), "piece")),
        (0, doubted) => format!("taken over, {} to be checked", counted(doubted.into(), "piece")),
        (believed, doubted) => format!(
            "taken over with {believed} of {}, {doubted} to be checked",
            counted(taken.pieces.into(), "piece")
        ),
    };
    if taken.renamed > 0 {
        said.push_str(&format!(", {} renamed", counted(taken.renamed as u64, "file")));
    }
    if taken.paused {
        said.push_str(", paused");
    }
    said
}
