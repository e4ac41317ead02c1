//! The files of a session, found and read.

use super::Client;
use super::database::Database;
use crate::Error;
use ::import::limits::MAX_TORRENTS;
use ::import::{Categories, Item, Refused, deluge, qbittorrent, rtorrent, transmission};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of a file of a session that are read: as many as a torrent file may have. A longer one counts as not there.
const MAX_FILE: u64 = 64 << 20;

/// A session that can be read.
pub(super) struct Source {
    client: Client,
    /// Where a torrent's own files lie.
    dir: PathBuf,
    kind: Kind,
    categories: Categories,
}

enum Kind {
    /// Some files for each torrent; places in the queue, where they are kept apart.
    Files(BTreeMap<String, i64>),
    /// The list of torrents; resume data and labels by info-hash.
    Deluge(BTreeMap<String, deluge::Listed>, BTreeMap<Vec<u8>, Vec<u8>>, BTreeMap<String, String>),
    Database(Database),
}

impl Source {
    /// Finds the session's files in a folder, or in the one below that the client makes for them.
    pub(super) fn open(client: Client, dir: &Path) -> Result<Source, Error> {
        let none = |hint: &'static str| Error::NoSession { dir: dir.into(), hint };
        let first = |names: &[&str], is: &dyn Fn(&Path) -> bool| {
            names.iter().map(|name| dir.join(name)).find(|path| is(path))
        };
        let mut categories = Categories::default();
        let (dir, kind) = match client {
            Client::Qbittorrent => {
                let hint = "give the folder BT_backup, or the one that torrents.db is in";
                let is_backup = |path: &Path| has(path, |name| qbittorrent::id_of(name).is_some());
                let backup =
                    first(&["", "BT_backup", "data/BT_backup", "qBittorrent/data/BT_backup"], &is_backup);
                let database = first(&["torrents.db", "data/torrents.db"], &|path| path.is_file());
                categories = categories_near(dir, backup.as_deref().or(database.as_deref()).unwrap_or(dir));
                match (backup, database) {
                    (Some(backup), _) => {
                        let queue = read(&backup.join("queue")).unwrap_or_default();
                        let queue = String::from_utf8_lossy(&queue).into_owned();
                        let places = qbittorrent::queue(&queue).take(MAX_TORRENTS);
                        let places = places.map(|(id, place)| (id.to_owned(), place)).collect();
                        (backup, Kind::Files(places))
                    }
                    (None, Some(path)) => {
                        let database = Database::open(&path)
                            .map_err(|reason| Error::SessionDamaged { path: path.clone(), reason })?;
                        (path, Kind::Database(database))
                    }
                    (None, None) => return Err(none(hint)),
                }
            }
            Client::Transmission => {
                let is_session = |path: &Path| path.join("resume").is_dir();
                let found = first(&["", "transmission-daemon", "transmission"], &is_session);
                let hint = "give the folder that has torrents and resume in it";
                (found.ok_or_else(|| none(hint))?, Kind::Files(BTreeMap::new()))
            }
            Client::Rtorrent => {
                let is_session = |path: &Path| has(path, |name| name.ends_with(".rtorrent"));
                let found = first(&["", ".session", "session"], &is_session);
                let hint = "give the folder that session.path is set to";
                (found.ok_or_else(|| none(hint))?, Kind::Files(BTreeMap::new()))
            }
            Client::Deluge => {
                let is_session = |path: &Path| path.join("torrents.state").is_file();
                let found = first(&["", "state"], &is_session);
                let dir = found.ok_or_else(|| none("give the folder that torrents.state is in"))?;
                let state = dir.join("torrents.state");
                let listed = read(&state).ok_or(Refused::Damaged("torrents.state"));
                let listed = listed
                    .and_then(|bytes| deluge::list(&bytes))
                    .map_err(|refused| Error::SessionDamaged { path: state, reason: refused.to_string() })?;
                let resume = read(&dir.join("torrents.fastresume")).unwrap_or_default();
                let listed = listed.into_iter().map(|listed| (listed.id.clone(), listed)).collect();
                // Of the plugin Label, beside the folder with the state.
                let conf = read(&dir.join("../label.conf")).or_else(|| read(&dir.join("label.conf")));
                let labels = deluge::labels(&conf.unwrap_or_default());
                (dir, Kind::Deluge(listed, deluge::resume_data(&resume), labels))
            }
        };
        Ok(Source { client, dir, kind, categories })
    }

    /// What the client calls its torrents, in the order in which they stand there; and how many more there are than are read.
    pub(super) fn in_order(&self) -> (Vec<String>, usize) {
        let mut ids = match &self.kind {
            Kind::Files(_) => self.ids_of_files(),
            Kind::Deluge(listed, ..) => listed.keys().cloned().collect(),
            Kind::Database(database) => database.ids(),
        };
        let beyond = ids.len().saturating_sub(MAX_TORRENTS);
        ids.truncate(MAX_TORRENTS);
        // Those that cannot be read come last.
        ids.sort_by_cached_key(|id| self.read(id).map_or(i64::MAX, |item| item.wishes().place));
        (ids, beyond)
    }

    fn ids_of_files(&self) -> Vec<String> {
        let (dir, id_of): (_, fn(&str) -> Option<String>) = match self.client {
            Client::Transmission => (self.dir.join("resume"), transmission::id_of),
            Client::Rtorrent => (self.dir.clone(), rtorrent::id_of),
            _ => (self.dir.clone(), qbittorrent::id_of),
        };
        let mut ids: Vec<_> = names(&dir).filter_map(|name| id_of(&name)).collect();
        ids.sort();
        ids
    }

    pub(super) fn read(&self, id: &str) -> Result<Item, Refused> {
        let mut item = self.read_alone(id)?;
        self.follow_category(&mut item);
        Ok(item)
    }

    /// Has a torrent that is not complete go to the folder of its category, if it is to: what is complete is where the client
    /// wants it.
    fn follow_category(&self, item: &mut Item) {
        let is_complete = matches!(item, Item::Torrent(found) if found.have.is_all());
        let wishes = item.wishes_mut();
        if is_complete || !wishes.follows_category {
            return;
        }
        if let Some(dir) = self.categories.dir_of(wishes.category.as_deref()) {
            let lies_in = std::mem::replace(&mut wishes.dir, dir.into_bytes());
            wishes.dir_until_complete.get_or_insert(lies_in);
        }
    }

    /// Folders of categories, for a session that has none for them.
    pub(super) fn save_paths(&self) -> Vec<(String, PathBuf)> {
        self.categories.all().map(|(category, dir)| (category.to_owned(), dir.into())).collect()
    }

    fn read_alone(&self, id: &str) -> Result<Item, Refused> {
        let read = |name: String| read(&self.dir.join(name));
        match &self.kind {
            Kind::Deluge(listed, resume, labels) => {
                let category = labels.get(id).cloned();
                let listed = listed.get(id).ok_or(Refused::Missing("its entry"))?;
                let resume = resume.get(id.as_bytes()).map(Vec::as_slice);
                let torrent = safe(id).and_then(|id| read(format!("{id}.torrent")));
                let mut item = listed.read(resume, torrent.as_deref())?;
                item.wishes_mut().category = category;
                Ok(item)
            }
            Kind::Database(database) => {
                let row = database.row(id).ok_or(Refused::Damaged("its row"))?;
                qbittorrent::read_row(&row)
            }
            Kind::Files(places) => match self.client {
                Client::Transmission => {
                    let resume = read(format!("resume/{id}.resume"));
                    let resume = resume.ok_or(Refused::Missing("its resume file"))?;
                    let torrent = read(format!("torrents/{id}.torrent"));
                    let torrent = torrent.or_else(|| read(format!("torrents/{id}.magnet")));
                    transmission::read(id, &resume, torrent.as_deref())
                }
                Client::Rtorrent => {
                    let torrent = read(format!("{id}.torrent"));
                    let torrent = torrent.ok_or(Refused::Missing("its torrent file"))?;
                    let state = read(format!("{id}.torrent.rtorrent"));
                    let resume = read(format!("{id}.torrent.libtorrent_resume"));
                    rtorrent::read(id, &torrent, state.as_deref(), resume.as_deref())
                }
                _ => {
                    let resume = read(format!("{id}.fastresume"));
                    let resume = resume.ok_or(Refused::Missing("its resume data"))?;
                    let torrent = read(format!("{id}.torrent"));
                    let mut item = qbittorrent::read(id, &resume, torrent.as_deref())?;
                    item.wishes_mut().place = places.get(id).copied().unwrap_or(0);
                    Ok(item)
                }
            },
        }
    }

    /// When the client wrote down what it claims of a torrent, in nanoseconds since 1970.
    pub(super) fn written(&self, id: &str) -> i64 {
        let file = match (&self.kind, self.client) {
            (Kind::Database(_), _) => self.dir.clone(),
            (Kind::Deluge(..), _) => self.dir.join("torrents.fastresume"),
            (_, Client::Transmission) => self.dir.join(format!("resume/{id}.resume")),
            (_, Client::Rtorrent) => self.dir.join(format!("{id}.torrent.libtorrent_resume")),
            _ => self.dir.join(format!("{id}.fastresume")),
        };
        let nanos =
            |found: fs::Metadata| found.mtime().checked_mul(1_000_000_000)?.checked_add(found.mtime_nsec());
        fs::metadata(file).ok().and_then(nanos).unwrap_or(0)
    }

    /// What the client puts behind the names of files that are not complete.
    pub(super) fn suffix(&self) -> Option<&'static str> {
        match self.client {
            Client::Qbittorrent => Some(qbittorrent::UNFINISHED),
            Client::Transmission => Some(transmission::UNFINISHED),
            Client::Rtorrent | Client::Deluge => None,
        }
    }
}

/// The categories of qBittorrent: its settings lie beside its session or below the folder that was given, or where systems
/// have those of a user whose session is where they have data.
fn categories_near(given: &Path, session: &Path) -> Categories {
    let above = |levels: usize| session.ancestors().nth(levels).map(Path::to_path_buf);
    let beside = [above(1), above(1).map(|dir| dir.join("config")), above(2).map(|dir| dir.join("config"))];
    let below = ["", "config", "qBittorrent/config"].map(|name| Some(given.join(name)));
    let lies_in = above(1).unwrap_or_default();
    let below_home = [".local/share/qBittorrent", ".local/share/data/qBittorrent"].map(Path::new);
    let below_home = below_home.into_iter().find(|data| lies_in.ends_with(data));
    let home = below_home.and_then(|data| lies_in.ancestors().nth(data.components().count()));
    let user = home.map(|home| home.join(".config/qBittorrent"));
    let mut dirs = below.into_iter().chain(beside).chain([user]).flatten();
    let Some(dir) = dirs.find(|dir| CATEGORIES.iter().any(|name| dir.join(name).is_file())) else {
        return Categories::default();
    };
    let [categories, conf] = CATEGORIES.map(|name| read(&dir.join(name)).unwrap_or_default());
    Categories::read(&categories, &conf)
}

/// The files that say of categories.
const CATEGORIES: [&str; 2] = ["categories.json", "qBittorrent.conf"];

/// A name that is that of a file of this folder.
fn safe(id: &str) -> Option<&str> {
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(id)
}

fn names(dir: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

fn has(dir: &Path, is: impl Fn(&str) -> bool) -> bool {
    names(dir).any(|name| is(&name))
}

/// All of a regular file that is not too long.
fn read(path: &Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let found = file.metadata().ok()?;
    if !found.is_file() || found.len() > MAX_FILE {
        return None;
    }
    let mut bytes = Vec::new();
    let read = file.take(MAX_FILE + 1).read_to_end(&mut bytes).ok()?;
    (read as u64 <= MAX_FILE).then_some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn files_are_read_up_to_a_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_FILE).unwrap();
        assert_eq!(read(&path).map(|bytes| bytes.len() as u64), Some(MAX_FILE));
        file.set_len(MAX_FILE + 1).unwrap();
        assert_eq!(read(&path), None);
        assert_eq!(read(dir.path()), None);
    }

    #[test]
    fn a_folder_without_a_session_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for client in [Client::Qbittorrent, Client::Transmission, Client::Rtorrent, Client::Deluge] {
            assert!(matches!(Source::open(client, dir.path()), Err(Error::NoSession { .. })));
        }
        fs::write(dir.path().join("torrents.state"), "x").unwrap();
        assert!(matches!(Source::open(Client::Deluge, dir.path()), Err(Error::SessionDamaged { .. })));
        fs::write(dir.path().join("torrents.db"), "x").unwrap();
        assert!(matches!(Source::open(Client::Qbittorrent, dir.path()), Err(Error::SessionDamaged { .. })));
    }

    #[test]
    fn settings_of_today_are_not_those_of_an_old_copy() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join(".config/qBittorrent");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("categories.json"), r#"{"films": {"save_path": "/srv/films"}}"#).unwrap();
        for (session, is_users) in [
            (".local/share/qBittorrent/BT_backup", true),
            (".local/share/data/qBittorrent/BT_backup", true),
            (".local/share/qBittorrent/torrents.db", true),
            ("old/pc/BT_backup", false),
            ("share/qBittorrent/BT_backup", false),
            ("old/pc/share/qBittorrent/BT_backup", false),
            ("old/.local/share/qBittorrent/BT_backup", false),
        ] {
            let session = home.path().join(session);
            let found = categories_near(session.parent().unwrap(), &session);
            assert_eq!(found.dir_of(Some("films")).is_some(), is_users, "{}", session.display());
        }
    }

    #[test]
    fn names_do_not_lead_out_of_the_folder() {
        assert_eq!(safe("abc0"), Some("abc0"));
        assert_eq!(safe("../x"), None);
    }
}
