//! What is wanted, as the API has it and as the engine does.

use api::{AlternativeChange, Clock, Day, Settings, SettingsChange, TorrentChange, TorrentSettings};
use engine::{AlternativeLimits, Choices, GoalAction, Priority, SessionSettings};
use std::path::Path;
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
    put(change.goal_action.map(goal_action), &mut choices.goal_action);
    put(change.super_seed, &mut choices.super_seed);
    put(change.category, &mut choices.category);
    put(change.tags, &mut choices.tags);
}

/// Makes what all torrents share what the change says.
pub fn change_settings(change: SettingsChange, settings: &mut SessionSettings) {
    put(change.max_down, &mut settings.max_down);
    put(change.max_up, &mut settings.max_up);
    put(change.max_active_downloads, &mut settings.max_active_downloads);
    put(change.max_active_seeds, &mut settings.max_active_seeds);
    put(change.max_active, &mut settings.max_active);
    match change.alternative {
        Some(Some(change)) => {
            let limits =
                settings.alternative.get_or_insert(AlternativeLimits { days: [true; 7], ..<_>::default() });
            change_alternative(&change, limits);
        }
        Some(None) => settings.alternative = None,
        None => {}
    }
    for (category, dir) in change.save_paths.into_iter().flatten() {
        match dir {
            Some(dir) => settings.save_paths.insert(category, dir.into()),
            None => settings.save_paths.remove(&category),
        };
    }
    put(change.incomplete_dir.map(|dir| dir.map(Into::into)), &mut settings.incomplete_dir);
    put(change.part_suffix, &mut settings.part_suffix);
}

fn change_alternative(change: &AlternativeChange, limits: &mut AlternativeLimits) {
    put(change.max_down, &mut limits.max_down);
    put(change.max_up, &mut limits.max_up);
    put(change.days.as_ref().map(|days| Day::ALL.map(|day| days.contains(&day))), &mut limits.days);
    put(change.from.map(Clock::minutes), &mut limits.from);
    put(change.to.map(Clock::minutes), &mut limits.to);
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
        goal_action: told_goal_action(choices.goal_action),
        super_seed: choices.super_seed,
        category: choices.category.clone(),
        tags: choices.tags.clone(),
    }
}

/// What all torrents share.
pub fn settings(settings: &SessionSettings) -> Settings {
    let told = |dir: &Path| dir.to_string_lossy().into_owned();
    let save_paths = settings.save_paths.iter();
    Settings {
        max_down: settings.max_down,
        max_up: settings.max_up,
        max_active_downloads: settings.max_active_downloads,
        max_active_seeds: settings.max_active_seeds,
        max_active: settings.max_active,
        alternative: settings.alternative.map(|limits| told_alternative(&limits)),
        save_paths: save_paths.map(|(category, dir)| (category.clone(), told(dir))).collect(),
        incomplete_dir: settings.incomplete_dir.as_deref().map(told),
        part_suffix: settings.part_suffix,
    }
}

fn told_alternative(limits: &AlternativeLimits) -> api::AlternativeLimits {
    let &AlternativeLimits { max_down, max_up, days, from, to } = limits;
    let days = Day::ALL.into_iter().zip(days).filter(|&(_, is)| is).map(|(day, _)| day).collect();
    api::AlternativeLimits { max_down, max_up, days, from: Clock::new(from), to: Clock::new(to) }
}

fn told_goal_action(action: GoalAction) -> api::GoalAction {
    match action {
        GoalAction::Stop => api::GoalAction::Stop,
        GoalAction::Pause => api::GoalAction::Pause,
        GoalAction::Remove => api::GoalAction::Remove,
        GoalAction::RemoveData => api::GoalAction::RemoveData,
        GoalAction::SuperSeed => api::GoalAction::SuperSeed,
    }
}

fn goal_action(action: api::GoalAction) -> GoalAction {
    match action {
        api::GoalAction::Stop => GoalAction::Stop,
        api::GoalAction::Pause => GoalAction::Pause,
        api::GoalAction::Remove => GoalAction::Remove,
        api::GoalAction::RemoveData => GoalAction::RemoveData,
        api::GoalAction::SuperSeed => GoalAction::SuperSeed,
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
