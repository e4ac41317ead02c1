//! `set`: what is wanted of torrents, and of all.

use super::{client, each, find, told};
use crate::args::{Each, Maybe, Set};
use crate::console::{Console, joined, json_line};
use crate::failure::{Exit, Failure, kind};
use crate::runtime;
use crate::select;
use crate::text::printable;
use crate::units::{Rate, Span};
use api::{Client, Priority, Settings, SettingsChange, Torrent, TorrentChange, TorrentSettings};
use serde_json::json;
use std::fmt::Write;
use std::time::Duration;

pub(crate) fn run(args: &Set, console: &Console) -> Result<Exit, Failure> {
    let client = client(&args.remote)?;
    if args.torrents.is_empty() {
        return runtime()?.block_on(set_all(&client, args, console));
    }
    if !args.all.is_empty() {
        return Err(Failure::new(kind::SETTING, "how many may run is said of all torrents; name none"));
    }
    runtime()?.block_on(async {
        each(&args.torrents, console, async |name| {
            let torrent = find(&client, name).await?;
            let change = change(&client, args, &torrent).await?;
            let settings = match change == TorrentChange::default() {
                true => client.torrent_settings(&torrent.id).await,
                false => client.set_torrent(&torrent.id, &change).await,
            };
            let settings = settings.map_err(told)?;
            if args.remote.json {
                return console.print(json_line(&joined(json!({"id": torrent.id}), &settings)));
            }
            console.print(text(&torrent, &settings))
        })
        .await
    })
}

async fn set_all(client: &Client, args: &Set, console: &Console) -> Result<Exit, Failure> {
    if !args.each.is_empty() {
        return Err(Failure::new(kind::SETTING, "that is said of a torrent; name one, or several"));
    }
    let change = SettingsChange {
        max_down: taken(args.max_down.as_ref()),
        max_up: taken(args.max_up.as_ref()),
        max_active_downloads: taken(args.all.max_active_downloads.as_ref()),
        max_active_seeds: taken(args.all.max_active_seeds.as_ref()),
        max_active: taken(args.all.max_active.as_ref()),
    };
    let settings = match change == SettingsChange::default() {
        true => client.settings().await,
        false => client.set(&change).await,
    };
    let settings = settings.map_err(told)?;
    console.print(if args.remote.json { json_line(&settings) } else { text_of_all(&settings) })?;
    Ok(Exit::Done)
}

async fn change(client: &Client, args: &Set, torrent: &Torrent) -> Result<TorrentChange, Failure> {
    let Each { seed_ratio, seed_time, idle_time, sequential, priority, category, tags } = &args.each;
    let seconds =
        |time: &Option<Maybe<Duration>>| time.as_ref().map(|Maybe(time)| time.map(|time| time.as_secs()));
    let mut priorities = None;
    if !priority.is_empty() {
        let files = client.files(&torrent.id).await.map_err(told)?;
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let mut wanted: Vec<Priority> = files.iter().map(|file| file.priority).collect();
        for (selection, how) in priority {
            let chosen = select::wanted(std::slice::from_ref(selection), &paths);
            let chosen = chosen.map_err(|error| Failure::new(kind::SELECTION, error))?;
            wanted
                .iter_mut()
                .zip(chosen)
                .filter(|(_, chosen)| *chosen)
                .for_each(|(wanted, _)| *wanted = *how);
        }
        priorities = Some(wanted);
    }
    let tags = tags.as_ref().map(|tags| match tags.as_str() {
        "none" => Default::default(),
        tags => tags.split(',').map(|tag| tag.trim().to_owned()).collect(),
    });
    Ok(TorrentChange {
        priorities,
        sequential: *sequential,
        max_down: taken(args.max_down.as_ref()),
        max_up: taken(args.max_up.as_ref()),
        seed_ratio: taken(seed_ratio.as_ref()),
        seed_seconds: seconds(seed_time),
        idle_seconds: seconds(idle_time),
        category: taken(category.as_ref()),
        tags,
    })
}

fn taken<T: Clone>(value: Option<&Maybe<T>>) -> Option<Option<T>> {
    value.map(|Maybe(value)| value.clone())
}

fn text(torrent: &Torrent, settings: &TorrentSettings) -> String {
    let rate = |rate: Option<u64>| or_none(rate.map(Rate));
    let time = |time: Option<u64>| or_none(time.map(|time| Span(Duration::from_secs(time))));
    let priorities = |how| settings.priorities.iter().filter(|&&priority| priority == how).count();
    let (skip, low, high) =
        (priorities(Priority::Skip), priorities(Priority::Low), priorities(Priority::High));
    let tags: Vec<_> = settings.tags.iter().map(|tag| printable(tag)).collect();
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // A string takes everything.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("id", torrent.id.clone());
    line("max down", rate(settings.max_down));
    line("max up", rate(settings.max_up));
    line("seed ratio", or_none(settings.seed_ratio));
    line("seed time", time(settings.seed_seconds));
    line("idle time", time(settings.idle_seconds));
    line("sequential", if settings.sequential { "yes" } else { "no" }.into());
    line("files", format!("{skip} skipped, {low} low, {high} high, the rest normal"));
    line(
        "category",
        settings.category.as_ref().map_or_else(|| "none".into(), |name| printable(name).to_string()),
    );
    line("tags", if tags.is_empty() { "none".into() } else { tags.join(", ") });
    text
}

fn text_of_all(settings: &Settings) -> String {
    let rate = |rate: Option<u64>| or_none(rate.map(Rate));
    format!(
        "max down              {}\nmax up                {}\nmax active downloads  {}\nmax active seeds      {}\n\
         max active            {}\n",
        rate(settings.max_down),
        rate(settings.max_up),
        or_none(settings.max_active_downloads),
        or_none(settings.max_active_seeds),
        or_none(settings.max_active),
    )
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".into(), |value| value.to_string())
}
