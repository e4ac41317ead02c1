//! What is wanted, as the API has it and as the engine does.

use api::{Settings, SettingsChange, TorrentChange, TorrentSettings};
use engine::{Choices, Priority, SessionSettings};
use std::time::Duration;

/// Makes what is wanted of a torrent what the change says.
pub fn change_torrent(change: TorrentChange, choices: &mut Choices) {
    let seconds = |time: Option<u64>| time.map(Duration::from_secs);
    let priorities = change.priorities.map(|wanted| wanted.into_iter().map(priority).collect());
    put(priorities, &mut choices.priorities);
    put(change.sequential, &mut choices.sequential);
    put(change.max_down, &mut choices.max_down);
    put(change.max_up, &mut choices.max_up);
    put(change.seed_ratio, &mut choices.seed_goal.ratio);
    put(change.seed_seconds.map(seconds), &mut choices.seed_goal.time);
    put(change.idle_seconds.map(seconds), &mut choices.seed_goal.idle);
    put(change.category, &mut choices.category);
    put(change.tags, &mut choices.tags);
}

/// Makes what all torrents share what the change says.
pub fn change_settings(change: &SettingsChange, settings: &mut SessionSettings) {
    put(change.max_down, &mut settings.max_down);
    put(change.max_up, &mut settings.max_up);
    put(change.max_active_downloads, &mut settings.max_active_downloads);
    put(change.max_active_seeds, &mut settings.max_active_seeds);
    put(change.max_active, &mut settings.max_active);
}

/// What is wanted of a torrent.
pub fn torrent_settings(choices: &Choices) -> TorrentSettings {
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
    TorrentSettings {
        priorities: choices.priorities.iter().copied().map(told_priority).collect(),
        sequential: choices.sequential,
        max_down: choices.max_down,
        max_up: choices.max_up,
        seed_ratio: choices.seed_goal.ratio,
        seed_seconds: seconds(choices.seed_goal.time),
        idle_seconds: seconds(choices.seed_goal.idle),
        category: choices.category.clone(),
        tags: choices.tags.clone(),
    }
}

/// What all torrents share.
pub fn settings(settings: &SessionSettings) -> Settings {
    Settings {
        max_down: settings.max_down,
        max_up: settings.max_up,
        max_active_downloads: settings.max_active_downloads,
        max_active_seeds: settings.max_active_seeds,
        max_active: settings.max_active,
    }
}

pub(crate) fn told_priority(priority: Priority) -> api::Priority {
    match priority {
        Priority::Skip => api::Priority::Skip,
        Priority::Low => api::Priority::Low,
        Priority::Normal => api::Priority::Normal,
        Priority::High => api::Priority::High,
    }
}

fn priority(priority: api::Priority) -> Priority {
    match priority {
        api::Priority::Skip => Priority::Skip,
        api::Priority::Low => Priority::Low,
        api::Priority::Normal => Priority::Normal,
        api::Priority::High => Priority::High,
    }
}

fn put<T>(change: Option<T>, to: &mut T) {
    if let Some(change) = change {
        *to = change;
    }
}
