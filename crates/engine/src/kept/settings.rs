//! What is wanted of all torrents of a session together, and may become another while it runs.

use super::{Room, Session};
use crate::steward::shared_by_all;
use crate::{Error, Settings};
use bencode::{Value, encode_dict};
use store::{Change, Table};

/// The row's name.
const KEY: &[u8] = b"settings";

/// What all torrents of a session share. Kept over restarts; what [`Settings`] say when a session is opened takes the place
/// of what was kept. `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionSettings {
    /// See [`Settings::max_down`].
    pub max_down: Option<u64>,
    /// See [`Settings::max_up`].
    pub max_up: Option<u64>,
    /// See [`Settings::max_active_downloads`].
    pub max_active_downloads: Option<usize>,
    /// See [`Settings::max_active_seeds`].
    pub max_active_seeds: Option<usize>,
    /// See [`Settings::max_active`].
    pub max_active: Option<usize>,
}

impl Session {
    /// What all torrents share now.
    pub async fn settings(&self) -> SessionSettings {
        self.room.settings.lock().await.clone()
    }

    /// Changes what all torrents share: durable and in force when this returns, with what holds now.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unsaved`]; nothing is changed then.
    pub async fn edit_settings(
        &self,
        change: impl FnOnce(&mut SessionSettings) + Send + 'static,
    ) -> Result<SessionSettings, Error> {
        let room = self.room.clone();
        let work = async move {
            let mut held = room.settings.lock().await;
            let mut settings = held.clone();
            change(&mut settings);
            if settings != *held {
                room.save(vec![Change::put(Table::Session, KEY, settings.encode())]).await?;
                held.clone_from(&settings);
                room.share(&settings);
            }
            Ok(settings)
        };
        self.engine.on_runtime(work).await
    }
}

impl Room {
    /// Has torrents keep to what they share.
    fn share(&self, settings: &SessionSettings) {
        let settings = settings.apply(self.shared.settings.clone());
        self.shared.steward.set_settings(self.shared.now(), shared_by_all(&settings));
    }
}

impl SessionSettings {
    /// What was kept, but for what is given now.
    pub(super) fn kept_in(rows: &[(Vec<u8>, Vec<u8>)], given: &Settings) -> SessionSettings {
        let row = rows.iter().find(|(key, _)| key == KEY);
        let kept = row.and_then(|(_, row)| SessionSettings::decode(row)).unwrap_or_default();
        SessionSettings {
            max_down: given.max_down.or(kept.max_down),
            max_up: given.max_up.or(kept.max_up),
            max_active_downloads: given.max_active_downloads.or(kept.max_active_downloads),
            max_active_seeds: given.max_active_seeds.or(kept.max_active_seeds),
            max_active: given.max_active.or(kept.max_active),
        }
    }

    pub(super) fn apply(&self, settings: Settings) -> Settings {
        Settings {
            max_down: self.max_down,
            max_up: self.max_up,
            max_active_downloads: self.max_active_downloads,
            max_active_seeds: self.max_active_seeds,
            max_active: self.max_active,
            ..settings
        }
    }

    fn encode(&self) -> Vec<u8> {
        encode_dict(|d| {
            let mut put = |key: &str, value: Option<u64>| {
                if let Some(value) = value {
                    d.bytes(key, value.to_be_bytes());
                }
            };
            let count = |count: Option<usize>| count.map(|count| count as u64);
            put("max active", count(self.max_active));
            put("max active downloads", count(self.max_active_downloads));
            put("max active seeds", count(self.max_active_seeds));
            put("max down", self.max_down);
            put("max up", self.max_up);
        })
    }

    /// `None` if it is no such row; what is unknown is passed over.
    fn decode(bytes: &[u8]) -> Option<SessionSettings> {
        let document = bencode::decode(bytes).ok()?;
        let root = document.root();
        root.as_dict()?;
        let number = |key: &str| {
            let bytes = root.get(key).and_then(Value::as_bytes)?;
            bytes.try_into().ok().map(u64::from_be_bytes)
        };
        let count = |key: &str| number(key).and_then(|number| usize::try_from(number).ok());
        Some(SessionSettings {
            max_down: number("max down"),
            max_up: number("max up"),
            max_active_downloads: count("max active downloads"),
            max_active_seeds: count("max active seeds"),
            max_active: count("max active"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_were_written_and_what_is_given_comes_first() {
        let kept = SessionSettings {
            max_down: Some(u64::MAX),
            max_up: Some(0),
            max_active_downloads: Some(1),
            max_active_seeds: None,
            max_active: Some(usize::MAX),
        };
        assert_eq!(SessionSettings::decode(&kept.encode()), Some(kept.clone()));
        assert_eq!(SessionSettings::decode(b"de"), Some(SessionSettings::default()));
        assert_eq!(SessionSettings::decode(b"le"), None);
        let given = Settings { max_up: Some(7), ..Settings::new("unused") };
        let rows = [(KEY.to_vec(), kept.encode())];
        assert_eq!(SessionSettings::kept_in(&rows, &given), SessionSettings { max_up: Some(7), ..kept });
    }
}
