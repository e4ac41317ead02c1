//! What orders may change beside what the API has.

use super::hours::Hours;
use engine::{Choices, GoalAction, QueueMove, Session, SessionSettings};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Of a torrent.
#[derive(Debug, Default, Deserialize)]
pub(super) struct OfTorrent {
    goal_action: Option<Action>,
    super_seed: Option<bool>,
}

/// Of what all torrents share; `null` takes it away.
#[derive(Debug, Default, Deserialize)]
pub(super) struct OfAll {
    /// Limits at some hours.
    #[serde(default, deserialize_with = "given_or_null")]
    alternative: Option<Option<Hours>>,
    /// By category; those that are not named stay.
    #[serde(default)]
    save_paths: BTreeMap<String, Option<PathBuf>>,
    #[serde(default, deserialize_with = "given_or_null")]
    incomplete_dir: Option<Option<PathBuf>>,
    part_suffix: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Direction {
    Top,
    Bottom,
    Up,
    Down,
}

impl From<Direction> for QueueMove {
    fn from(to: Direction) -> QueueMove {
        match to {
            Direction::Top => QueueMove::Top,
            Direction::Bottom => QueueMove::Bottom,
            Direction::Up => QueueMove::Up,
            Direction::Down => QueueMove::Down,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Stop,
    Pause,
    Remove,
    RemoveData,
    SuperSeed,
}

impl From<Action> for GoalAction {
    fn from(action: Action) -> GoalAction {
        match action {
            Action::Stop => GoalAction::Stop,
            Action::Pause => GoalAction::Pause,
            Action::Remove => GoalAction::Remove,
            Action::RemoveData => GoalAction::RemoveData,
            Action::SuperSeed => GoalAction::SuperSeed,
        }
    }
}

/// What is there is given, even if it is `null`.
pub(super) fn given_or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

fn put<T>(change: Option<T>, to: &mut T) {
    if let Some(change) = change {
        *to = change;
    }
}

impl OfTorrent {
    pub(super) fn apply(self, choices: &mut Choices) {
        put(self.goal_action.map(Into::into), &mut choices.goal_action);
        put(self.super_seed, &mut choices.super_seed);
    }
}

impl OfAll {
    pub(super) fn apply(self, settings: &mut SessionSettings) {
        put(self.alternative.map(|hours| hours.map(Into::into)), &mut settings.alternative);
        for (category, dir) in self.save_paths {
            match dir {
                Some(dir) => settings.save_paths.insert(category, dir),
                None => settings.save_paths.remove(&category),
            };
        }
        put(self.incomplete_dir, &mut settings.incomplete_dir);
        put(self.part_suffix, &mut settings.part_suffix);
    }
}

pub(super) fn all(settings: &SessionSettings, session: &Session) -> Value {
    json!({
        "alternative": settings.alternative.map(Hours::from),
        "alternative_holds": session.alternative_holds(),
        "save_paths": settings.save_paths.iter().map(save_path).collect::<BTreeMap<_, _>>(),
        "incomplete_dir": settings.incomplete_dir.as_ref().map(|dir| dir.to_string_lossy()),
        "part_suffix": settings.part_suffix,
    })
}

fn save_path<'a>((category, dir): (&'a String, &'a PathBuf)) -> (&'a str, Cow<'a, str>) {
    (category, dir.to_string_lossy())
}

pub(super) fn goal_action(action: GoalAction) -> &'static str {
    match action {
        GoalAction::Stop => "stop",
        GoalAction::Pause => "pause",
        GoalAction::Remove => "remove",
        GoalAction::RemoveData => "remove_data",
        GoalAction::SuperSeed => "super_seed",
    }
}
