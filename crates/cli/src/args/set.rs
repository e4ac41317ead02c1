//! `set`: what is wanted of torrents of the daemon, and of all of them.

use super::{Remote, ratio, switch};
use crate::select::Selection;
use crate::units;
use clap::Args;
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
    /// Fetch it from its beginning to its end, or not
    #[arg(long, value_name = "YES", env = "RAWTORRENT_SET_SEQUENTIAL", value_parser = switch)]
    pub(crate) sequential: Option<bool>,
    /// How much files are wanted, as 0,3-5=skip or '*.iso'=high: skip, low, normal or high; may be repeated
    #[arg(long, value_name = "FILES=HOW", value_delimiter = '\n', env = "RAWTORRENT_SET_PRIORITY", value_parser = priority)]
    pub(crate) priority: Vec<(Selection, api::Priority)>,
    /// One word to sort it by
    #[arg(long, value_name = "NAME", env = "RAWTORRENT_SET_CATEGORY", value_parser = category)]
    pub(crate) category: Option<Maybe<String>>,
    /// Its tags, all of them, with commas; 'none' for none
    #[arg(long, value_name = "NAMES", env = "RAWTORRENT_SET_TAGS")]
    pub(crate) tags: Option<String>,
}

/// What makes sense of all torrents only.
#[derive(Debug, Args)]
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

fn category(text: &str) -> Result<Maybe<String>, String> {
    or_none(text, |text| Ok(text.to_owned()))
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
        let Each { seed_ratio, seed_time, idle_time, sequential, priority, category, tags } = self;
        seed_ratio.is_none()
            && seed_time.is_none()
            && idle_time.is_none()
            && sequential.is_none()
            && priority.is_empty()
            && category.is_none()
            && tags.is_none()
    }
}

impl All {
    /// Likewise.
    pub(crate) fn is_empty(&self) -> bool {
        self.max_active_downloads.is_none() && self.max_active_seeds.is_none() && self.max_active.is_none()
    }
}
