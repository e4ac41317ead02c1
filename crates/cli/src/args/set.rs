//! `set`: what is wanted of torrents of the daemon, and of all of them.

use super::{Remote, ratio, switch};
use crate::select::Selection;
use crate::units;
use api::{Clock, Day, GoalAction};
use clap::Args;
use std::collections::BTreeSet;
use std::time::Duration;

/// Change what is wanted of torrents of the daemon; without TORRENT, what all of them share; without options, show it
///
/// 'none' takes a limit, a goal or a category away.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Their ids, or the beginnings of them, or their names; none for what all torrents share
    #[arg(value_name = "TORRENT")]
    pub(crate) torrents: Vec<String>,
    /// What each, or all together, may receive
    #[arg(long, value_name = "RATE", env = "RAWTORRENT_SET_MAX_DOWN", value_parser = rate)]
    pub(crate) max_down: Option<Maybe<u64>>,
    /// What each, or all together, may send
    #[arg(long, value_name = "RATE", env = "RAWTORRENT_SET_MAX_UP", value_parser = rate)]
    pub(crate) max_up: Option<Maybe<u64>>,
    #[command(flatten)]
    pub(crate) each: Each,
    #[command(flatten)]
    pub(crate) all: All,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// What makes sense of one torrent only.
#[derive(Debug, Args)]
pub(crate) struct Each {
    /// Seed until this many times the torrent's size is uploaded
    #[arg(long, value_name = "R", env = "RAWTORRENT_SET_SEED_RATIO", value_parser = ratio_or_none)]
    #[arg(allow_negative_numbers = true)] // refused with a better line
    pub(crate) seed_ratio: Option<Maybe<f64>>,
    /// Seed for this long: 90s, 30m, 1h30m
    #[arg(long, value_name = "TIME", env = "RAWTORRENT_SET_SEED_TIME", value_parser = time)]
    pub(crate) seed_time: Option<Maybe<Duration>>,
    /// Seed until nobody has asked for it for this long
    #[arg(long, value_name = "TIME", env = "RAWTORRENT_SET_IDLE_TIME", value_parser = time)]
    pub(crate) idle_time: Option<Maybe<Duration>>,
    /// What becomes of it when one of these is reached: stop, pause, remove, remove_data or super_seed
    #[arg(long, value_name = "HOW", env = "RAWTORRENT_SET_GOAL_ACTION", value_parser = goal_action)]
    pub(crate) goal_action: Option<GoalAction>,
    /// Tell peers of a piece once others have the one before (BEP 16), or not
    #[arg(long, value_name = "YES", env = "RAWTORRENT_SET_SUPER_SEED", value_parser = switch)]
    pub(crate) super_seed: Option<bool>,
    /// Fetch it from its beginning to its end, or not
    #[arg(long, value_name = "YES", env = "RAWTORRENT_SET_SEQUENTIAL", value_parser = switch)]
    pub(crate) sequential: Option<bool>,
    /// How much files are wanted, as 0,3-5=skip or '*.iso'=high: skip, low, normal or high; may be repeated
    #[arg(long, value_name = "FILES=HOW", value_delimiter = '\n', env = "RAWTORRENT_SET_PRIORITY", value_parser = priority)]
    pub(crate) priority: Vec<(Selection, api::Priority)>,
    /// One word to sort it by
    #[arg(long, value_name = "NAME", env = "RAWTORRENT_SET_CATEGORY", value_parser = word)]
    pub(crate) category: Option<Maybe<String>>,
    /// Its tags, all of them, with commas; 'none' for none
    #[arg(long, value_name = "NAMES", env = "RAWTORRENT_SET_TAGS")]
    pub(crate) tags: Option<String>,
}

/// What makes sense of all torrents only.
#[derive(Debug, Default, PartialEq, Args)]
pub(crate) struct All {
    /// How many may download at a time
    #[arg(long, value_name = "N", env = "RAWTORRENT_SET_MAX_ACTIVE_DOWNLOADS", value_parser = count)]
    pub(crate) max_active_downloads: Option<Maybe<usize>>,
    /// How many may seed at a time
    #[arg(long, value_name = "N", env = "RAWTORRENT_SET_MAX_ACTIVE_SEEDS", value_parser = count)]
    pub(crate) max_active_seeds: Option<Maybe<usize>>,
    /// How many may run at a time
    #[arg(long, value_name = "N", env = "RAWTORRENT_SET_MAX_ACTIVE", value_parser = count)]
    pub(crate) max_active: Option<Maybe<usize>>,
    /// When other limits hold, by the clock on the wall: 22:00-06:00 every day, or mon,fri-sun=22:00-06:00
    #[arg(long, value_name = "WHEN", env = "RAWTORRENT_SET_HOURS", value_parser = hours)]
    pub(crate) hours: Option<Maybe<Hours>>,
    /// What all may receive together at these hours
    #[arg(long, value_name = "RATE", env = "RAWTORRENT_SET_HOURS_MAX_DOWN", value_parser = rate)]
    pub(crate) hours_max_down: Option<Maybe<u64>>,
    /// What all may send together at these hours
    #[arg(long, value_name = "RATE", env = "RAWTORRENT_SET_HOURS_MAX_UP", value_parser = rate)]
    pub(crate) hours_max_up: Option<Maybe<u64>>,
    /// The folder of a category, for torrents that are added in it without one; below one of the daemon's roots; may be repeated
    #[arg(long, value_name = "CATEGORY=DIR", value_delimiter = '\n', env = "RAWTORRENT_SET_SAVE_PATH", value_parser = save_path)]
    pub(crate) save_path: Vec<(String, Maybe<String>)>,
    /// Where torrents that are added lie until they are complete; below one of the daemon's roots
    #[arg(long, value_name = "DIR", env = "RAWTORRENT_SET_INCOMPLETE_DIR", value_parser = word)]
    pub(crate) incomplete_dir: Option<Maybe<String>>,
    /// Whether their files have .part behind their names until then
    #[arg(long, value_name = "YES", env = "RAWTORRENT_SET_PART_SUFFIX", value_parser = switch)]
    pub(crate) part_suffix: Option<bool>,
}

/// Hours of some days.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hours {
    pub(crate) days: BTreeSet<Day>,
    pub(crate) from: Clock,
    pub(crate) to: Clock,
}

/// What `none` takes away.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Maybe<T>(pub(crate) Option<T>);

fn or_none<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Maybe<T>, String> {
    if text == "none" { Ok(Maybe(None)) } else { parse(text).map(|value| Maybe(Some(value))) }
}

fn rate(text: &str) -> Result<Maybe<u64>, String> {
    or_none(text, units::parse_rate)
}

fn ratio_or_none(text: &str) -> Result<Maybe<f64>, String> {
    or_none(text, ratio)
}

fn time(text: &str) -> Result<Maybe<Duration>, String> {
    or_none(text, units::parse_duration)
}

fn count(text: &str) -> Result<Maybe<usize>, String> {
    or_none(text, |text| text.parse().map_err(|_| format!("'{text}' is not a number; write 5, or none")))
}

fn word(text: &str) -> Result<Maybe<String>, String> {
    or_none(text, |text| Ok(text.to_owned()))
}

fn save_path(text: &str) -> Result<(String, Maybe<String>), String> {
    let (category, dir) = text.split_once('=').ok_or("write CATEGORY=DIR, or CATEGORY=none")?;
    Ok((category.to_owned(), word(dir)?))
}

fn goal_action(text: &str) -> Result<GoalAction, String> {
    let found = GoalAction::ALL.into_iter().find(|action| action.name() == text);
    found.ok_or_else(|| format!("'{text}' is none of {}", GoalAction::ALL.map(GoalAction::name).join(", ")))
}

fn hours(text: &str) -> Result<Maybe<Hours>, String> {
    or_none(text, |text| {
        let (days, times) = text.split_once('=').map_or((None, text), |(days, times)| (Some(days), times));
        let (from, to) = times.split_once('-').ok_or("write 22:00-06:00, or mon,fri-sun=22:00-06:00")?;
        let days = days.map_or(Ok(Day::ALL.into()), |days| {
            days.split(',').try_fold(BTreeSet::new(), |mut all, part| {
                all.append(&mut span_of_days(part)?);
                Ok::<_, String>(all)
            })
        })?;
        Ok(Hours { days, from: from.parse()?, to: to.parse()? })
    })
}

/// One day, or all from one to another, over the end of the week if need be.
fn span_of_days(text: &str) -> Result<BTreeSet<Day>, String> {
    let place = |name: &str| {
        let found = Day::ALL.iter().position(|day| day.name() == name);
        found.ok_or_else(|| format!("'{name}' is none of {}", Day::ALL.map(Day::name).join(", ")))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (place(first)?, place(last)?);
    let count = (last + 7 - first) % 7 + 1;
    Ok(Day::ALL.into_iter().cycle().skip(first).take(count).collect())
}

fn priority(text: &str) -> Result<(Selection, api::Priority), String> {
    let (files, how) = text.rsplit_once('=').ok_or("write FILES=HOW, as 0,3-5=skip or '*.iso'=high")?;
    let how = match how {
        "skip" => api::Priority::Skip,
        "low" => api::Priority::Low,
        "normal" => api::Priority::Normal,
        "high" => api::Priority::High,
        _ => return Err(format!("'{how}' is none of skip, low, normal, high")),
    };
    Ok((Selection::parse(files)?, how))
}

impl Each {
    /// Whether nothing of it was given.
    pub(crate) fn is_empty(&self) -> bool {
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
        } = self;
        seed_ratio.is_none()
            && seed_time.is_none()
            && idle_time.is_none()
            && goal_action.is_none()
            && super_seed.is_none()
            && sequential.is_none()
            && priority.is_empty()
            && category.is_none()
            && tags.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_days_are_read() {
        let names = |text: &str| -> Vec<&str> {
            let Maybe(Some(hours)) = hours(text).unwrap() else { unreachable!("it is not none") };
            hours.days.into_iter().map(Day::name).collect()
        };
        assert_eq!(names("22:00-06:00").len(), 7);
        assert_eq!(names("mon=00:00-00:00"), ["mon"]);
        assert_eq!(names("mon,fri-sun=00:00-00:00"), ["mon", "fri", "sat", "sun"]);
        assert_eq!(names("sat-mon=00:00-00:00"), ["mon", "sat", "sun"]);
        assert_eq!(hours("none"), Ok(Maybe(None)));
        for bad in ["", "22:00", "=22:00-06:00", "day=22:00-06:00", "mon-=1:00-2:00", "mon=22:00-24:00"] {
            assert!(hours(bad).is_err(), "{bad}");
        }
    }
}
