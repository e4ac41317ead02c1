//! The files of a session, found and read.

use super::Client;
use super::database::{Database, log_of};
use crate::Error;
use ::import::limits::MAX_TORRENTS;
use ::import::{Categories, Item, Refused, deluge, qbittorrent, rtorrent, transmission};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
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
    /// The folder that the client was started in, if that is known.
    started_in: Option<PathBuf>,
    /// What of the session was read instead of something else, a line each.
    pub(super) notes: Vec<String>,
}

enum Kind {
    /// Some files for each torrent; places in the queue, where they are kept apart.
    Files(BTreeMap<String, i64>),
    Deluge(Deluge),
    Database(Database),
}

struct Deluge {
    listed: BTreeMap<String, deluge::Listed>,
    /// By info-hash, and the file that it is from.
    resume: BTreeMap<Vec<u8>, Vec<u8>>,
    resume_file: PathBuf,
    /// By info-hash.
    labels: BTreeMap<String, String>,
}

impl Source {
    /// Finds the session's files in a folder, or in the one below that the client makes for them; or is given one of them.
    pub(super) fn open(client: Client, dir: &Path, started_in: Option<&Path>) -> Result<Source, Error> {
        let none = |hint: &'static str| Error::NoSession { dir: dir.into(), hint };
        let first = |names: &[&str], is: &dyn Fn(&Path) -> bool| {
            names.iter().map(|name| dir.join(name)).find(|path| is(path))
        };
        let (mut categories, mut notes) = (Categories::default(), Vec::new());
        let (dir, kind) = match client {
            Client::Qbittorrent => {
                let missing =
                    || none("give the folder that BT_backup or torrents.db is in, or one of these itself");
                let found = Places::below(dir).ok_or_else(missing)?;
                let near = found.backup.as_deref().or(found.database.as_deref()).unwrap_or(dir);
                let [list, conf] = settings_near(dir, near).unwrap_or_default();
                categories = Categories::read(&list, &conf);
                let (path, note) = found.which(qbittorrent::is_in_database(&conf)).ok_or_else(missing)?;
                notes.extend(note);
                let kind = match path.is_dir() {
                    true => {
                        let queue = read(&path.join("queue")).unwrap_or_default();
                        let queue = String::from_utf8_lossy(&queue).into_owned();
                        let places = qbittorrent::queue(&queue).take(MAX_TORRENTS);
                        Kind::Files(places.map(|(id, place)| (id.to_owned(), place)).collect())
                    }
                    false => Kind::Database(
                        Database::open(&path)
                            .map_err(|reason| Error::SessionDamaged { path: path.clone(), reason })?,
                    ),
                };
                (path, kind)
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
                let is_session =
                    |path: &Path| path.join(STATE).is_file() || path.join(backup_of(STATE)).is_file();
                let is_list = dir.is_file() && dir.file_name().is_some_and(|name| name == STATE);
                let dir = match dir.parent().filter(|_| is_list) {
                    Some(folder) => folder.to_owned(),
                    None => first(&["", "state"], &is_session)
                        .ok_or_else(|| none("give the folder that torrents.state is in"))?,
                };
                let state = |bytes: Option<Vec<u8>>| deluge::list(&bytes.ok_or(Refused::Damaged(STATE))?);
                let (listed, _) = or_its_backup(&dir, STATE, &mut notes, state).map_err(|refused| {
                    Error::SessionDamaged { path: dir.join(STATE), reason: refused.to_string() }
                })?;
                let listed = listed.into_iter().map(|listed| (listed.id.clone(), listed)).collect();
                let resume = |bytes: Option<Vec<u8>>| deluge::resume_data(&bytes.ok_or(())?).ok_or(());
                // Without any, nothing is claimed.
                let (resume, resume_file) =
                    or_its_backup(&dir, RESUME, &mut notes, resume).unwrap_or_default();
                // Of the plugin Label, beside the folder with the state.
                let conf = read(&dir.join("../label.conf")).or_else(|| read(&dir.join("label.conf")));
                let labels = deluge::labels(&conf.unwrap_or_default());
                (dir, Kind::Deluge(Deluge { listed, resume, resume_file, labels }))
            }
        };
        let started_in = started_in.map(Path::to_owned);
        Ok(Source { client, dir, kind, categories, started_in, notes })
    }

    /// What the client calls its torrents, in the order in which they stand there; and how many more there are than are read.
    pub(super) fn in_order(&self) -> (Vec<String>, usize) {
        let mut ids = match &self.kind {
            Kind::Files(_) => self.ids_of_files(),
            Kind::Deluge(deluge) => deluge.listed.keys().cloned().collect(),
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
            Kind::Deluge(Deluge { listed, resume, labels, .. }) => {
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
                    let started_in = self.started_in.as_deref().map(|dir| dir.as_os_str().as_bytes());
                    rtorrent::read(id, &torrent, state.as_deref(), resume.as_deref(), started_in)
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
            (Kind::Deluge(deluge), _) => deluge.resume_file.clone(),
            (_, Client::Transmission) => self.dir.join(format!("resume/{id}.resume")),
            (_, Client::Rtorrent) => self.dir.join(format!("{id}.torrent.libtorrent_resume")),
            _ => self.dir.join(format!("{id}.fastresume")),
        };
        changed(&file).unwrap_or(0)
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

/// Deluge's list of torrents, and what it knows of each. Beside both it keeps what was there before.
const STATE: &str = "torrents.state";
const RESUME: &str = "torrents.fastresume";

fn backup_of(name: &str) -> String {
    format!("{name}.bak")
}

/// What a file of Deluge's says, or, as Deluge does it, the one from before if that is damaged or not there; and which one it
/// was. If neither says anything, it is told why the first one does not.
fn or_its_backup<T, E>(
    dir: &Path,
    name: &str,
    notes: &mut Vec<String>,
    understand: impl Fn(Option<Vec<u8>>) -> Result<T, E>,
) -> Result<(T, PathBuf), E> {
    let look = |path: PathBuf| understand(read(&path)).map(|understood| (understood, path));
    look(dir.join(name)).or_else(|err| {
        let found = look(dir.join(backup_of(name))).map_err(|_: E| err)?;
        let (read, damaged) = (found.1.display(), dir.join(name));
        notes.push(format!("{} cannot be read; what was there before was: {read}", damaged.display()));
        Ok(found)
    })
}

/// When a file was changed, in nanoseconds since 1970.
fn changed(file: &Path) -> Option<i64> {
    let found = fs::metadata(file).ok()?;
    found.mtime().checked_mul(1_000_000_000)?.checked_add(found.mtime_nsec())
}

const BACKUP: &str = "BT_backup";
const DATABASE: &str = "torrents.db";

/// Where qBittorrent has kept torrents: when its user has it keep them in the other place, it leaves what is in this one.
struct Places {
    /// A folder with files for each.
    backup: Option<PathBuf>,
    database: Option<PathBuf>,
    /// The one that was given, which is read whatever the other one is.
    given: Option<PathBuf>,
}

impl Places {
    /// What is in a folder or below it, if anything; or what is given itself, and what is beside it.
    fn below(dir: &Path) -> Option<Places> {
        let backup = |dir: &Path| Some(dir.join(BACKUP)).filter(|path| is_backup(path));
        let database = |dir: &Path| Some(dir.join(DATABASE)).filter(|path| path.is_file());
        let (given, above) = (Some(dir.to_owned()), dir.parent());
        if dir.is_file() {
            return Some(Places { backup: above.and_then(backup), database: given.clone(), given });
        }
        if is_backup(dir) {
            return Some(Places { database: above.and_then(database), backup: given.clone(), given });
        }
        ["", "data", "qBittorrent/data"].into_iter().find_map(|below| {
            let dir = dir.join(below);
            let places = Places { backup: backup(&dir), database: database(&dir), given: None };
            (places.backup.is_some() || places.database.is_some()).then_some(places)
        })
    }

    /// Which one is read, and if there are two, a line on that: what was given, else what qBittorrent uses according to its
    /// settings, else what was changed last.
    fn which(self, is_in_database: Option<bool>) -> Option<(PathBuf, Option<String>)> {
        let (backup, database) = match (self.backup, self.database) {
            (Some(backup), Some(database)) => (backup, database),
            (backup, database) => return Some((backup.or(database)?, None)),
        };
        let of_backup = names(&backup).filter(|name| qbittorrent::id_of(name).is_some());
        let of_backup = of_backup.filter_map(|name| changed(&backup.join(name))).max();
        let of_database = [database.clone(), log_of(&database)].iter().filter_map(|path| changed(path)).max();
        let why = if is_in_database.is_some() { "is what qBittorrent uses" } else { "was changed last" };
        let (used, other) = match is_in_database.unwrap_or(of_database > of_backup) {
            true => (database, backup),
            false => (backup, database),
        };
        if self.given.as_ref() == Some(&other) {
            let note = format!("{} was read, but {} {why}", other.display(), used.display());
            return Some((other, Some(note)));
        }
        let note = format!("{} was read, which {why}, and not {}", used.display(), other.display());
        Some((used, Some(note)))
    }
}

fn is_backup(dir: &Path) -> bool {
    has(dir, |name| qbittorrent::id_of(name).is_some())
}

/// The settings of qBittorrent: they lie beside its session or below the folder that was given, or where systems have those of
/// a user whose session is where they have data.
fn settings_near(given: &Path, session: &Path) -> Option<[Vec<u8>; 2]> {
    let above = |levels: usize| session.ancestors().nth(levels).map(Path::to_path_buf);
    let beside = [above(1), above(1).map(|dir| dir.join("config")), above(2).map(|dir| dir.join("config"))];
    let below = ["", "config", "qBittorrent/config"].map(|name| Some(given.join(name)));
    let lies_in = above(1).unwrap_or_default();
    let below_home = [".local/share/qBittorrent", ".local/share/data/qBittorrent"].map(Path::new);
    let below_home = below_home.into_iter().find(|data| lies_in.ends_with(data));
    let home = below_home.and_then(|data| lies_in.ancestors().nth(data.components().count()));
    let user = home.map(|home| home.join(".config/qBittorrent"));
    let mut dirs = below.into_iter().chain(beside).chain([user]).flatten();
    let dir = dirs.find(|dir| SETTINGS.iter().any(|name| dir.join(name).is_file()))?;
    Some(SETTINGS.map(|name| read(&dir.join(name)).unwrap_or_default()))
}

/// Of categories, and of all else.
const SETTINGS: [&str; 2] = ["categories.json", "qBittorrent.conf"];

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
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
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
            assert!(matches!(Source::open(client, dir.path(), None), Err(Error::NoSession { .. })));
        }
        fs::write(dir.path().join("torrents.state"), "x").unwrap();
        assert!(matches!(Source::open(Client::Deluge, dir.path(), None), Err(Error::SessionDamaged { .. })));
        fs::write(dir.path().join("torrents.db"), "x").unwrap();
        assert!(matches!(
            Source::open(Client::Qbittorrent, dir.path(), None),
            Err(Error::SessionDamaged { .. })
        ));
    }

    fn set_changed(path: &Path, seconds: u64) {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn torrents_of_qbittorrent_are_read_where_it_keeps_them() {
        for below in ["", "data", "qBittorrent/data"] {
            let top = tempfile::tempdir().unwrap();
            let data = top.path().join(below);
            let (backup, database) = (data.join("BT_backup"), data.join("torrents.db"));
            fs::create_dir_all(&backup).unwrap();
            let resume = backup.join("ab.fastresume");
            let which = |dir: &Path, said: Option<bool>| Places::below(dir).unwrap().which(said).unwrap();
            fs::write(&resume, "").unwrap();
            assert_eq!(which(top.path(), Some(true)), (backup.clone(), None), "there is no other");
            fs::write(&database, "").unwrap();
            for (said, changed, read) in [
                (Some(true), [2000, 1000], &database),
                (Some(false), [1000, 2000], &backup),
                (None, [1000, 2000], &database),
                (None, [2000, 1000], &backup),
            ] {
                set_changed(&resume, changed[0]);
                set_changed(&database, changed[1]);
                let (path, note) = which(top.path(), said);
                assert_eq!(&path, read, "{said:?} {changed:?}");
                assert!(note.unwrap().starts_with(&format!("{} was read", path.display())));
            }
            fs::write(log_of(&database), "").unwrap();
            assert_eq!(which(top.path(), None).0, database, "its log is new");
            for given in [&backup, &database] {
                for said in [true, false] {
                    let (path, note) = which(given, Some(said));
                    assert_eq!(&path, given);
                    let is_other = said == (given == &backup);
                    assert_eq!(note.unwrap().contains(", but "), is_other, "{said} {}", given.display());
                }
            }
            fs::remove_file(&resume).unwrap();
            assert_eq!(which(top.path(), Some(false)), (database, None));
        }
        assert!(Places::below(tempfile::tempdir().unwrap().path()).is_none());
    }

    #[test]
    fn what_deluge_had_before_is_read_where_it_is_damaged() {
        const LIST: &[u8] =
            b"\x80\x02}X\x08\x00\x00\x00torrents](}X\x0a\x00\x00\x00torrent_idX\x01\x00\x00\x00ases.";
        const NONE: &[u8] = b"\x80\x02}X\x08\x00\x00\x00torrents]s.";
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        let open = |path: &Path| {
            let source = Source::open(Client::Deluge, path, None).unwrap();
            let Kind::Deluge(Deluge { listed, resume, .. }) = &source.kind else { panic!("another client") };
            let found = (listed.len(), resume.len(), source.notes.len());
            (found, source.written("a"))
        };
        put("torrents.state", LIST);
        put("torrents.state.bak", NONE);
        put("torrents.fastresume", b"d1:a1:xe");
        put("torrents.fastresume.bak", b"d1:a1:x1:b1:xe");
        set_changed(&dir.path().join("torrents.fastresume"), 2000);
        set_changed(&dir.path().join("torrents.fastresume.bak"), 1000);
        assert_eq!(open(dir.path()), ((1, 1, 0), 2000 * 1_000_000_000));
        assert_eq!(open(&dir.path().join("torrents.state")).0, (1, 1, 0));
        put("torrents.state", b"");
        assert_eq!(open(dir.path()).0, (0, 1, 1));
        fs::remove_file(dir.path().join("torrents.state")).unwrap();
        put("torrents.fastresume", b"d1:a1:x");
        assert_eq!(open(dir.path()), ((0, 2, 2), 1000 * 1_000_000_000));
        put("torrents.fastresume.bak", b"");
        assert_eq!(open(dir.path()), ((0, 0, 1), 0));
        put("torrents.state.bak", b"");
        let damaged = Source::open(Client::Deluge, dir.path(), None).err().unwrap().to_string();
        assert!(damaged.contains("torrents.state cannot be read"), "{damaged}");
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
            let found = settings_near(session.parent().unwrap(), &session);
            assert_eq!(found.is_some(), is_users, "{}", session.display());
        }
    }

    #[test]
    fn names_do_not_lead_out_of_the_folder() {
        assert_eq!(safe("abc0"), Some("abc0"));
        assert_eq!(safe("../x"), None);
    }
}
