//! What is wanted of all torrents of a session together, and may become another while it runs.

use super::mounts::KeptFor;
use super::record::is_label;
use super::schedule::{AlternativeLimits, LocalTime};
use super::{Mounts, Room, Session};
use crate::steward::shared_by_all;
use crate::{Error, Settings};
use bencode::{Value, encode_dict};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use store::{Change, Table};

/// The row's name.
const KEY: &[u8] = b"settings";

/// Categories with folders. One more is refused.
const MAX_SAVE_PATHS: usize = 1000;

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
    /// Limits that take the place of `max_down` and `max_up` at some hours.
    pub alternative: Option<AlternativeLimits>,
    /// Folders for torrents that are added in a category and without a folder of their own.
    pub save_paths: BTreeMap<String, PathBuf>,
    /// Where torrents that are added lie until all that is wanted of them is there.
    pub incomplete_dir: Option<PathBuf>,
    /// Whether files of torrents that are added have `.part` behind their names until then.
    pub part_suffix: bool,
}

impl Session {
    /// What all torrents share now.
    pub async fn settings(&self) -> SessionSettings {
        self.room.settings.lock().await.clone()
    }

    /// Whether [alternative limits](SessionSettings::alternative) hold now.
    pub fn alternative_holds(&self) -> bool {
        self.room.alternative_holds.load(Ordering::Relaxed)
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
            settings.check()?;
            settings.check_limits(&held)?;
            if settings != *held {
                let row = Change::put(Table::Session, KEY, settings.encode());
                room.save_with_mounts(KeptFor::Settings, settings.folders(), vec![row]).await?;
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
        let alternative = settings.alternative.filter(|limits| limits.hold_at(LocalTime::now()));
        self.alternative_holds.store(alternative.is_some(), Ordering::Relaxed);
        let mut settings = settings.apply(self.shared.settings.clone());
        if let Some(limits) = alternative {
            (settings.max_down, settings.max_up) = (limits.max_down, limits.max_up);
        }
        self.shared.steward.set_settings(self.shared.now(), shared_by_all(&settings));
    }
}

impl Room {
    /// Has alternative limits come into force, or not hold any more, when it is time.
    pub(super) async fn follow_schedule(&self) {
        let settings = self.settings.lock().await;
        let hold = settings.alternative.is_some_and(|limits| limits.hold_at(LocalTime::now()));
        if hold != self.alternative_holds.load(Ordering::Relaxed) {
            self.share(&settings);
        }
    }
}

/// Refuses limits that become 0: as none, it would be a surprise to one, and as a standstill to another.
pub(super) fn refuse_zero<const N: usize>(
    before: [Option<u64>; N],
    after: [Option<u64>; N],
) -> Result<(), Error> {
    match before.iter().zip(&after).any(|(before, after)| *after == Some(0) && before != after) {
        true => Err(Error::Refused(
            "a limit is 1 or more; for none take it away, and what is to stand still is paused".into(),
        )),
        false => Ok(()),
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
            ..kept
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

    /// Refuses what makes no sense.
    fn check(&self) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::Refused(why.into()));
        if self.save_paths.len() > MAX_SAVE_PATHS {
            return refuse("1000 categories have folders at most");
        }
        if !self.save_paths.keys().all(|category| is_label(category)) {
            return refuse("the name of a category has 1 to 255 bytes");
        }
        if !self.save_paths.values().chain(&self.incomplete_dir).all(|dir| dir.is_absolute()) {
            return refuse("a folder is given from the root on");
        }
        match self.alternative.is_none_or(|limits| limits.is_sound()) {
            true => Ok(()),
            false => refuse("a time of the day is from 00:00 to 23:59"),
        }
    }

    /// Refuses limits of 0, unless they were kept before they were refused.
    fn check_limits(&self, before: &SessionSettings) -> Result<(), Error> {
        let alternative = |settings: &SessionSettings| {
            settings.alternative.map_or([None; 2], |limits| [limits.max_down, limits.max_up])
        };
        let count = |count: Option<usize>| count.map(|count| count as u64);
        let limits = |settings: &SessionSettings| {
            let SessionSettings { max_down, max_up, .. } = *settings;
            let [down, up] = alternative(settings);
            let counts = [settings.max_active_downloads, settings.max_active_seeds, settings.max_active];
            let [downloads, seeds, all] = counts.map(count);
            [max_down, max_up, downloads, seeds, all, down, up]
        };
        refuse_zero(limits(before), limits(self))
    }

    /// The row with folders of categories that have none in it, and that with the mount points of all folders; `None` if it has
    /// all of them.
    pub(crate) fn with_save_paths(
        rows: &[(Vec<u8>, Vec<u8>)],
        save_paths: impl IntoIterator<Item = (String, PathBuf)>,
        mounts: &Mounts,
    ) -> Option<[Change; 2]> {
        let row = rows.iter().find(|(key, _)| key == KEY);
        let mut settings = row.and_then(|(_, row)| SessionSettings::decode(row)).unwrap_or_default();
        let before = settings.save_paths.len();
        for (category, dir) in save_paths.into_iter().filter(|(_, dir)| dir.is_absolute()) {
            if settings.save_paths.len() < MAX_SAVE_PATHS && is_label(&category) {
                settings.save_paths.entry(category).or_insert(dir);
            }
        }
        let is_new = settings.save_paths.len() > before;
        let row = || Change::put(Table::Session, KEY, settings.encode());
        is_new.then(|| [row(), mounts.row_of_settings(settings.folders())])
    }

    /// A row as it is written again; `None` if it is none.
    pub(crate) fn again(row: &[u8]) -> Option<Vec<u8>> {
        SessionSettings::decode(row).map(|settings| settings.encode())
    }

    fn encode(&self) -> Vec<u8> {
        encode_dict(|d| {
            if let Some(limits) = self.alternative {
                d.dict("alternative", |d| {
                    d.bytes("days", limits.days.map(u8::from));
                    d.int("from", limits.from);
                    if let Some(rate) = limits.max_down {
                        d.bytes("max down", rate.to_be_bytes());
                    }
                    if let Some(rate) = limits.max_up {
                        d.bytes("max up", rate.to_be_bytes());
                    }
                    d.int("to", limits.to);
                });
            }
            if let Some(dir) = &self.incomplete_dir {
                d.bytes("incomplete dir", dir.as_os_str().as_bytes());
            }
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
            d.int("part suffix", i64::from(self.part_suffix));
            d.dict("save paths", |dict| {
                let paths = self.save_paths.iter();
                paths.for_each(|(category, dir)| dict.bytes(category, dir.as_os_str().as_bytes()));
            });
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
        let path = |value: Value<'_>| Some(PathBuf::from(OsStr::from_bytes(value.as_bytes()?)));
        let save_path = |(category, dir): (&[u8], Value<'_>)| {
            Some((std::str::from_utf8(category).ok()?.to_owned(), path(dir)?))
        };
        let save_paths = root.get("save paths").and_then(Value::as_dict);
        Some(SessionSettings {
            alternative: root.get("alternative").and_then(alternative),
            save_paths: save_paths.into_iter().flatten().filter_map(save_path).collect(),
            incomplete_dir: root.get("incomplete dir").and_then(path),
            part_suffix: root.get("part suffix").and_then(Value::as_int) == Some(1),
            max_down: number("max down"),
            max_up: number("max up"),
            max_active_downloads: count("max active downloads"),
            max_active_seeds: count("max active seeds"),
            max_active: count("max active"),
        })
    }
}

fn alternative(value: Value<'_>) -> Option<AlternativeLimits> {
    let rate = |key: &str| value.get(key)?.as_bytes()?.try_into().ok().map(u64::from_be_bytes);
    let minute = |key: &str| value.get(key)?.as_uint().and_then(|minute| u16::try_from(minute).ok());
    let days: [u8; 7] = value.get("days")?.as_bytes()?.try_into().ok()?;
    let (from, to) = (minute("from")?, minute("to")?);
    let limits = AlternativeLimits {
        max_down: rate("max down"),
        max_up: rate("max up"),
        days: days.map(|day| day != 0),
        from,
        to,
    };
    limits.is_sound().then_some(limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn folders_of_categories_are_bounded() {
        let with = |count: usize| SessionSettings {
            save_paths: (0..count).map(|n| (n.to_string(), "/x".into())).collect(),
            ..SessionSettings::default()
        };
        assert!(with(MAX_SAVE_PATHS).check().is_ok() && with(MAX_SAVE_PATHS + 1).check().is_err());
        for (category, dir) in [("", "/x"), ("x", "x"), ("x", "")] {
            let save_paths = [(category.to_owned(), PathBuf::from(dir))].into();
            assert!(SessionSettings { save_paths, ..SessionSettings::default() }.check().is_err());
        }
        let relative = SessionSettings { incomplete_dir: Some("x".into()), ..SessionSettings::default() };
        assert!(relative.check().is_err());
    }

    #[test]
    fn folders_of_another_clients_categories_take_the_place_of_none() {
        let mine = SessionSettings {
            max_up: Some(7),
            save_paths: [("films".to_owned(), PathBuf::from("/proc/mine"))].into(),
            ..SessionSettings::default()
        };
        let rows = [(KEY.to_vec(), mine.encode())];
        let found = |count: usize| {
            let others = (0..count).map(|n| (n.to_string(), PathBuf::from("/x")));
            let odd = [("films", "/theirs"), ("relative", "x"), ("", "/x")];
            odd.map(|(name, dir)| (name.to_owned(), dir.into())).into_iter().chain(others)
        };
        let with =
            |rows: &[_], count| SessionSettings::with_save_paths(rows, found(count), &Mounts::default());
        assert_eq!(with(&rows, 0), None);
        let [row, mounts] = with(&rows, MAX_SAVE_PATHS).unwrap();
        let after = SessionSettings::decode(&row.value.unwrap()).unwrap();
        assert_eq!((after.max_up, after.save_paths.len()), (Some(7), MAX_SAVE_PATHS));
        assert_eq!(after.save_paths["films"], PathBuf::from("/proc/mine"));
        assert!(after.check().is_ok());
        let mounts = Mounts::kept_in(&[(mounts.key, mounts.value.unwrap())]);
        assert!(mounts.get(Path::new("/proc/mine")).is_some(), "something is mounted there");
        assert!(with(&[], 1).is_some());
    }

    #[test]
    fn no_limit_becomes_zero() {
        let none = SessionSettings::default();
        let with = |change: fn(&mut SessionSettings)| {
            let mut settings = none.clone();
            change(&mut settings);
            settings
        };
        let zero = AlternativeLimits { max_up: Some(0), ..AlternativeLimits::default() };
        for settings in [
            with(|settings| settings.max_down = Some(0)),
            with(|settings| settings.max_up = Some(0)),
            with(|settings| settings.max_active_downloads = Some(0)),
            with(|settings| settings.max_active_seeds = Some(0)),
            with(|settings| settings.max_active = Some(0)),
            SessionSettings { alternative: Some(zero), ..none.clone() },
        ] {
            assert!(settings.check_limits(&none).is_err(), "{settings:?}");
            assert!(settings.check_limits(&settings).is_ok(), "it was kept earlier");
            assert!(none.check_limits(&settings).is_ok());
        }
        assert!(with(|settings| settings.max_active = Some(1)).check_limits(&none).is_ok());
    }

    #[test]
    fn settings_are_read_as_they_were_written_and_what_is_given_comes_first() {
        let kept = SessionSettings {
            max_down: Some(u64::MAX),
            max_up: Some(0),
            max_active_downloads: Some(1),
            max_active_seeds: None,
            max_active: Some(usize::MAX),
            save_paths: [("films".to_owned(), PathBuf::from("/srv/films"))].into(),
            incomplete_dir: Some("/srv/incomplete".into()),
            part_suffix: true,
            alternative: Some(AlternativeLimits {
                max_down: None,
                max_up: Some(u64::MAX),
                days: [true, false, false, false, false, true, true],
                from: 1439,
                to: 0,
            }),
        };
        assert_eq!(SessionSettings::decode(&kept.encode()), Some(kept.clone()));
        assert_eq!(SessionSettings::decode(b"de"), Some(SessionSettings::default()));
        assert_eq!(SessionSettings::decode(b"le"), None);
        let given = Settings { max_up: Some(7), ..Settings::new("unused") };
        let rows = [(KEY.to_vec(), kept.encode())];
        assert_eq!(SessionSettings::kept_in(&rows, &given), SessionSettings { max_up: Some(7), ..kept });
    }
}
