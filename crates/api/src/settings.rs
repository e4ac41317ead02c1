//! What is wanted of a torrent, and of all of them; and how that is changed: as RFC 7396 has it, what is not named stays, and
//! `null` takes a limit, goal or category away.

use crate::{AlternativeChange, AlternativeLimits};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// How much a file is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// It is not downloaded.
    Skip,
    /// After others.
    Low,
    /// As most are.
    #[default]
    Normal,
    /// Before others.
    High,
}

impl Priority {
    /// As JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Priority::Skip => "skip",
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "high",
        }
    }
}

/// What becomes of a torrent whose seed goal is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GoalAction {
    /// It stops; after a restart it goes on, and so does the count for its goal.
    #[default]
    Stop,
    /// It is paused.
    Pause,
    /// It is removed; its files stay.
    Remove,
    /// It is removed, and its files with it.
    RemoveData,
    /// It goes on without a goal, and super seeds (BEP 16).
    SuperSeed,
}

impl GoalAction {
    /// All of them.
    pub const ALL: [GoalAction; 5] = [
        GoalAction::Stop,
        GoalAction::Pause,
        GoalAction::Remove,
        GoalAction::RemoveData,
        GoalAction::SuperSeed,
    ];

    /// As JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            GoalAction::Stop => "stop",
            GoalAction::Pause => "pause",
            GoalAction::Remove => "remove",
            GoalAction::RemoveData => "remove_data",
            GoalAction::SuperSeed => "super_seed",
        }
    }
}

/// What is wanted of a torrent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TorrentSettings {
    /// Of its files, in their order: one for each, or none if all are `normal`.
    pub priorities: Vec<Priority>,
    /// It is fetched from its beginning to its end.
    pub sequential: bool,
    /// Bytes per second that it may receive, 1 or more; `null`: no limit of its own.
    pub max_down: Option<u64>,
    /// Bytes per second that it may send; likewise.
    pub max_up: Option<u64>,
    /// It is seeded until it was sent this many times.
    pub seed_ratio: Option<f64>,
    /// It is seeded for this long, in seconds.
    pub seed_seconds: Option<u64>,
    /// It is seeded until nobody has asked for it for this long, in seconds.
    pub idle_seconds: Option<u64>,
    /// What becomes of it when one of these goals is reached.
    pub goal_action: GoalAction,
    /// It super seeds (BEP 16): peers are told of a piece once others have the one before from them.
    pub super_seed: bool,
    /// One word to sort it by.
    pub category: Option<String>,
    /// Further words.
    pub tags: BTreeSet<String>,
}

/// What is to be otherwise of a torrent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TorrentChange {
    /// See [`TorrentSettings::priorities`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priorities: Option<Vec<Priority>>,
    /// See [`TorrentSettings::sequential`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequential: Option<bool>,
    /// See [`TorrentSettings::max_down`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<u64>)]
    pub max_down: Option<Option<u64>>,
    /// See [`TorrentSettings::max_up`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<u64>)]
    pub max_up: Option<Option<u64>>,
    /// See [`TorrentSettings::seed_ratio`]; 0 or more.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<f64>)]
    pub seed_ratio: Option<Option<f64>>,
    /// See [`TorrentSettings::seed_seconds`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<u64>)]
    pub seed_seconds: Option<Option<u64>>,
    /// See [`TorrentSettings::idle_seconds`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<u64>)]
    pub idle_seconds: Option<Option<u64>>,
    /// See [`TorrentSettings::goal_action`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal_action: Option<GoalAction>,
    /// See [`TorrentSettings::super_seed`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub super_seed: Option<bool>,
    /// See [`TorrentSettings::category`]; 1 to 255 bytes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<String>)]
    pub category: Option<Option<String>>,
    /// See [`TorrentSettings::tags`]; all of them, 64 at most, of 1 to 255 bytes each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeSet<String>>,
}

/// What all torrents share. `null` is no limit; what is one is 1 or more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Settings {
    /// Bytes per second that all may receive together.
    pub max_down: Option<u64>,
    /// Bytes per second that all may send together.
    pub max_up: Option<u64>,
    /// Torrents that download at a time; others are queued.
    pub max_active_downloads: Option<usize>,
    /// Torrents that seed at a time; others are queued.
    pub max_active_seeds: Option<usize>,
    /// Torrents that run at a time; others are queued.
    pub max_active: Option<usize>,
    /// Limits that take the place of `max_down` and `max_up` at some hours.
    pub alternative: Option<AlternativeLimits>,
    /// A folder for each category, for torrents that are added in it and without a folder of their own.
    pub save_paths: BTreeMap<String, String>,
    /// Where torrents that are added lie until all that is wanted of them is there; then they move.
    pub incomplete_dir: Option<String>,
    /// Whether files of torrents that are added have `.part` behind their names until then.
    pub part_suffix: bool,
}

/// What is to be otherwise of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SettingsChange {
    /// See [`Settings::max_down`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<u64>)]
    pub max_down: Option<Option<u64>>,
    /// See [`Settings::max_up`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<u64>)]
    pub max_up: Option<Option<u64>>,
    /// See [`Settings::max_active_downloads`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<usize>)]
    pub max_active_downloads: Option<Option<usize>>,
    /// See [`Settings::max_active_seeds`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<usize>)]
    pub max_active_seeds: Option<Option<usize>>,
    /// See [`Settings::max_active`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<usize>)]
    pub max_active: Option<Option<usize>>,
    /// See [`Settings::alternative`]; of what is there, what is named changes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object_or_null")]
    #[schema(value_type = Option<AlternativeChange>)]
    pub alternative: Option<Option<AlternativeChange>>,
    /// See [`Settings::save_paths`]; each below one of the daemon's roots. Categories that are not named stay, `null` takes a
    /// folder away. 1000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_paths: Option<BTreeMap<String, Option<String>>>,
    /// See [`Settings::incomplete_dir`]; below one of the daemon's roots.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<String>)]
    pub incomplete_dir: Option<Option<String>>,
    /// See [`Settings::part_suffix`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_suffix: Option<bool>,
}

impl TorrentChange {
    /// Whether its files are to be removed when a goal is reached.
    pub fn removes_data(&self) -> bool {
        self.goal_action == Some(GoalAction::RemoveData)
    }
}

impl SettingsChange {
    /// The folders that it names.
    pub fn dirs(&self) -> impl Iterator<Item = &str> {
        let save_paths = self.save_paths.iter().flat_map(BTreeMap::values).flatten();
        save_paths.chain(self.incomplete_dir.iter().flatten()).map(String::as_str)
    }
}

/// What is there is given, even if it is `null`.
pub(crate) fn given_or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Likewise, of something with fields: a list of their values, which serde takes too, is none.
fn object_or_null<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    let object = Option::<Map<String, Value>>::deserialize(from)?;
    object.map(|object| T::deserialize(Value::Object(object))).transpose().map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_not_named_is_not_null() {
        let change: TorrentChange =
            serde_json::from_str(r#"{"max_down": null, "category": "films"}"#).unwrap();
        assert_eq!((change.max_down, change.max_up), (Some(None), None));
        assert_eq!(serde_json::to_string(&change).unwrap(), r#"{"max_down":null,"category":"films"}"#);
        for action in GoalAction::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.name());
        }
        assert!(serde_json::from_str::<TorrentChange>(r#"{"max_dwn": 1}"#).is_err());
        assert!(serde_json::from_str::<SettingsChange>(r#"{"max_up": -1}"#).is_err());
        assert!(serde_json::from_str::<SettingsChange>(r#"{"alternative": [null, null]}"#).is_err());
        let change: SettingsChange = serde_json::from_str(r#"{"alternative": {"max_up": null}}"#).unwrap();
        assert_eq!(change.alternative.unwrap().unwrap().max_up, Some(None));
        let change: SettingsChange = serde_json::from_str(r#"{"alternative": null}"#).unwrap();
        assert_eq!(change.alternative, Some(None));
    }
}
