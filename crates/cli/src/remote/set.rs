//! `set`: what is wanted of torrents, and of all.

use super::{client, each, find, told};
use crate::args::{All, Each, Hours, Maybe, Set};
use crate::console::{Console, joined, json_line};
use crate::failure::{Exit, Failure, kind};
use crate::runtime;
use crate::select;
use crate::text::printable;
use crate::units::{Rate, Span};
use api::{
    AlternativeChange, AlternativeLimits, Client, Day, Priority, Settings, SettingsChange, Torrent,
    TorrentChange, TorrentSettings,
};
use serde_json::json;
use std::fmt::Write;
use std::time::Duration;

pub(crate) fn run(args: &Set, console: &Console) -> Result<Exit, Failure> {
    let client = client(&args.remote)?;
    if args.torrents.is_empty() {
        return runtime()?.block_on(set_all(&client, args, console));
    }
    if args.all != All::default() {
        return Err(Failure::new(kind::SETTING, "that is said of all torrents; name none"));
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
        alternative: alternative(&args.all),
        save_paths: (!args.all.save_path.is_empty()).then(|| {
            let paths = args.all.save_path.iter();
            paths.map(|(category, Maybe(dir))| (category.clone(), dir.clone())).collect()
        }),
        incomplete_dir: taken(args.all.incomplete_dir.as_ref()),
        part_suffix: args.all.part_suffix,
    };
    let settings = match change == SettingsChange::default() {
        true => client.settings().await,
        false => client.set(&change).await,
    };
    let settings = settings.map_err(told)?;
    console.print(if args.remote.json { json_line(&settings) } else { text_of_all(&settings) })?;
    Ok(Exit::Done)
}

fn alternative(args: &All) -> Option<Option<AlternativeChange>> {
    let (max_down, max_up) = (taken(args.hours_max_down.as_ref()), taken(args.hours_max_up.as_ref()));
    let change = match &args.hours {
        None if max_down.is_none() && max_up.is_none() => return None,
        None => AlternativeChange { max_down, max_up, ..AlternativeChange::default() },
        Some(Maybe(None)) => return Some(None),
        Some(Maybe(Some(Hours { days, from, to }))) => {
            let (days, from, to) = (Some(days.clone()), Some(*from), Some(*to));
            AlternativeChange { max_down, max_up, days, from, to }
        }
    };
    Some(Some(change))
}

async fn change(client: &Client, args: &Set, torrent: &Torrent) -> Result<TorrentChange, Failure> {
    let Each {
        seed_ratio,
        seed_time,
        idle_time,
        goal_action,
        super_seed,
        sequential,
        priority,
        category,
        tags,
    } = &args.each;
    let seconds =
        |time: &Option<Maybe<Duration>>| time.as_ref().map(|Maybe(time)| time.map(|time| time.as_secs()));
    let mut priorities = None;
    if !priority.is_empty() {
        let files = client.files(&torrent.id).await.map_err(told)?;
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let mut wanted: Vec<Priority> = files.iter().map(|file| file.priority).collect();
        for (selection, how) in priority {
            let see = format!("'rawtorrent files {}'", torrent.id);
            let chosen = select::wanted(std::slice::from_ref(selection), &paths, &see);
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
        goal_action: *goal_action,
        super_seed: *super_seed,
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
    line("when reached", settings.goal_action.name().into());
    line("super seed", if settings.super_seed { "yes" } else { "no" }.into());
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
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // A string takes everything.
        let _ = writeln!(text, "{name:<21} {value}");
    };
    line("max down", rate(settings.max_down));
    line("max up", rate(settings.max_up));
    line("max active downloads", or_none(settings.max_active_downloads));
    line("max active seeds", or_none(settings.max_active_seeds));
    line("max active", or_none(settings.max_active));
    match &settings.alternative {
        Some(AlternativeLimits { max_down, max_up, days, from, to }) => {
            let days: Vec<&str> = days.iter().copied().map(Day::name).collect();
            line("hours", format!("{} {from}-{to}", or_none((!days.is_empty()).then(|| days.join(",")))));
            line("hours max down", rate(*max_down));
            line("hours max up", rate(*max_up));
        }
        None => line("hours", "none".into()),
    }
    for (category, dir) in &settings.save_paths {
        line("save path", format!("{}={}", printable(category), printable(dir)));
    }
    line("incomplete dir", or_none(settings.incomplete_dir.as_deref().map(printable)));
    line("part suffix", if settings.part_suffix { "yes" } else { "no" }.into());
    text
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".into(), |value| value.to_string())
}
