//! Folders from which torrents are added: files that appear there, and links in files.

use super::mounts::{KeptFor, Mounts, folders_of};
use super::record::is_label;
use super::{Choices, Given, Room, Session};
use crate::shared::lock;
use crate::{Error, Metainfo};
use bencode::{DictEncoder, Value, encode_dict};
use metainfo::Magnet;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Table};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// The row's name.
const KEY: &[u8] = b"watch";
/// How often folders are looked at. A file is read when it looks as it did the last time: nobody writes to it any more.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Folders that are watched. One more is refused.
const MAX_WATCHED: usize = 64;
/// Files of a folder that are looked at; those behind them, by name, have their turn when these are gone.
const MAX_FILES_LOOKED_AT: usize = 1000;
/// Bytes of a file; a longer one is left alone.
const MAX_FILE: u64 = 64 << 20;
/// Files that were added and could not be renamed; with one more, the oldest is forgotten, and may be added again.
const MAX_REMEMBERED: usize = 10_000;
/// What is behind the name of a file that was added.
const ADDED: &str = "added";

/// A folder that is watched, and what is done with torrents that appear there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchFolder {
    /// From the root on.
    pub dir: PathBuf,
    /// Where the torrents' files go; if it is not said, to the folder of the category, or else `dir` itself.
    pub to: Option<PathBuf>,
    /// See [`Choices::category`].
    pub category: Option<String>,
    /// See [`Choices::tags`].
    pub tags: BTreeSet<String>,
    /// See [`Choices::paused`].
    pub paused: bool,
}

/// One that is watched, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedFolder {
    /// What is done.
    pub folder: WatchFolder,
    /// Why nothing can be taken from it now, or nothing go from it to where it is to; that passes by itself. In one line.
    pub away: Option<String>,
}

/// What is kept.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Watch {
    folders: Vec<WatchFolder>,
    remembered: VecDeque<Mark>,
}

/// What tells a file, as it was, from all others.
type Mark = [u8; 20];

/// What a file looks like: its size and the time of its last change.
type Look = (u64, i64, i64);

impl Session {
    /// The folders that are watched, as they were at the last look, a second ago at most.
    pub async fn watched(&self) -> Vec<WatchedFolder> {
        let watch = self.room.watch.lock().await;
        let away = lock(&self.room.watched_away);
        let told = |folder: &WatchFolder| WatchedFolder {
            away: away.get(&folder.dir).cloned(),
            folder: folder.clone(),
        };
        watch.folders.iter().map(told).collect()
    }

    /// Watches a folder from now on, also after a restart, or does otherwise with what appears there. Files that end in
    /// `.torrent` and those that end in `.magnet` and hold a link are added, then renamed (`.added`), or remembered if that
    /// cannot be. One that is not whole yet is tried again when it has changed.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unsaved`].
    pub async fn watch(&self, folder: WatchFolder) -> Result<(), Error> {
        folder.check()?;
        self.edit_watched(move |folders| {
            folders.retain(|other| other.dir != folder.dir);
            folders.push(folder);
        })
        .await
    }

    /// Watches a folder no longer. One that is not watched is no error.
    ///
    /// # Errors
    /// [`Error::Unsaved`].
    pub async fn unwatch(&self, dir: impl Into<PathBuf>) -> Result<(), Error> {
        let dir = dir.into();
        self.edit_watched(move |folders| folders.retain(|folder| folder.dir != dir)).await
    }

    async fn edit_watched(
        &self,
        change: impl FnOnce(&mut Vec<WatchFolder>) + Send + 'static,
    ) -> Result<(), Error> {
        let room = self.room.clone();
        let work = async move {
            let mut held = room.watch.lock().await;
            let mut folders = held.folders.clone();
            change(&mut folders);
            if folders.len() > MAX_WATCHED {
                return Err(Error::Refused("64 folders are watched at most".into()));
            }
            let before = std::mem::replace(&mut held.folders, folders);
            let row = Change::put(Table::Session, KEY, held.encode());
            let kept = folders_of(&held.folders);
            let saved = room.save_with_mounts(KeptFor::Watched, kept, vec![row]).await;
            if saved.is_err() {
                held.folders = before;
            }
            saved
        };
        self.engine.on_runtime(work).await
    }
}

impl WatchFolder {
    /// Into the folder itself.
    pub fn new(dir: impl Into<PathBuf>) -> WatchFolder {
        WatchFolder { dir: dir.into(), to: None, category: None, tags: BTreeSet::new(), paused: false }
    }

    fn check(&self) -> Result<(), Error> {
        if !self.to.iter().chain([&self.dir]).all(|dir| dir.is_absolute()) {
            return Err(Error::Refused("a folder is given from the root on".into()));
        }
        if !self.category.iter().all(|category| is_label(category)) {
            return Err(Error::Refused("the name of a category has 1 to 255 bytes".into()));
        }
        let choices = Choices { tags: self.tags.clone(), ..Choices::new(&self.dir) };
        choices.check(None)
    }
}

/// Watches until the engine shuts down. Each folder is looked at by itself: one on a disk that hangs keeps no other waiting.
pub(super) async fn run(room: Arc<Room>) {
    let mut scans: BTreeMap<PathBuf, Scan> = BTreeMap::new();
    // Those that are being looked at have no scan here.
    let mut looks: JoinSet<(PathBuf, Scan)> = JoinSet::new();
    let mut looking = BTreeSet::new();
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closed = std::pin::pin!(room.shared.closed());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(looked) = looks.join_next() => {
                let Ok((dir, scan)) = looked else { break };
                looking.remove(&dir);
                scans.insert(dir, scan);
                continue;
            }
            () = &mut closed => break,
        }
        let (folders, remembered) = {
            let watch = room.watch.lock().await;
            (watch.folders.clone(), watch.remembered.iter().copied().collect::<BTreeSet<_>>())
        };
        scans.retain(|dir, _| folders.iter().any(|folder| folder.dir == *dir));
        lock(&room.watched_away).retain(|dir, _| folders.iter().any(|folder| folder.dir == *dir));
        let remembered = Arc::new(remembered);
        for folder in folders.into_iter().filter(|folder| !looking.contains(&folder.dir)).collect::<Vec<_>>()
        {
            looking.insert(folder.dir.clone());
            let scan = scans.remove(&folder.dir).unwrap_or_default();
            looks.spawn(room.clone().look_into(folder, scan, remembered.clone()));
        }
    }
    // What is being added is added; and nobody has the session when this has ended.
    while looks.join_next().await.is_some() {}
}

impl Room {
    /// Adds what has appeared in a folder.
    async fn look_into(
        self: Arc<Self>,
        folder: WatchFolder,
        mut scan: Scan,
        known: Arc<BTreeSet<Mark>>,
    ) -> (PathBuf, Scan) {
        let dir = folder.dir.clone();
        let look = move || {
            let found = scan.look(&dir, &known);
            (scan, found)
        };
        let looked = tokio::select! {
            looked = tokio::task::spawn_blocking(look) => looked,
            () = self.shared.closed() => return (folder.dir, Scan::default()),
        };
        let Ok((mut scan, found)) = looked else { return (folder.dir, Scan::default()) };
        self.learn_of_watched(&folder).await;
        self.note_away(&folder, scan.away.take()).await;
        for (path, given) in found {
            if self.shared.is_closing() {
                break;
            }
            self.add_from(&folder, &mut scan, path, given).await;
        }
        (folder.dir, scan)
    }

    /// Takes down why nothing can be taken from a folder, or no more why; that is told once.
    async fn note_away(&self, folder: &WatchFolder, unread: Option<String>) {
        let (from, to) = (
            self.missing_mount(&folder.dir).await,
            match &folder.to {
                Some(to) => self.missing_mount(to).await,
                None => None,
            },
        );
        let away = why_away(folder, from.as_deref(), to.as_deref(), unread.as_deref());
        let before = match away.clone() {
            Some(away) => lock(&self.watched_away).insert(folder.dir.clone(), away),
            None => lock(&self.watched_away).remove(&folder.dir),
        };
        match away {
            Some(away) if before.as_ref() != Some(&away) => tracing::warn!("{away}"),
            None if before.is_some() => {
                tracing::info!(path = %folder.dir.display(), "a watched folder is there again");
            }
            _ => {}
        }
    }

    async fn add_from(self: &Arc<Self>, folder: &WatchFolder, scan: &mut Scan, path: PathBuf, given: Given) {
        let of_category = match &folder.category {
            Some(category) => self.settings.lock().await.save_paths.get(category).cloned(),
            None => None,
        };
        if let Some(owner) = self.owner(path.clone()).await {
            let look = scan.seen.get(&path).map(|&(look, _)| look);
            if scan.is_news(&path, look) {
                tracing::warn!(path = %path.display(), "a file in a watched folder is not added: it is one of {owner}");
            }
            return;
        }
        let dir = folder.to.clone().or(of_category).unwrap_or_else(|| folder.dir.clone());
        let choices = Choices {
            paused: folder.paused,
            category: folder.category.clone(),
            tags: folder.tags.clone(),
            ..Choices::new(dir)
        };
        match self.take_in(self.take_place(), given, choices).await {
            Ok(_) | Err(Error::AlreadyAdded(_)) => self.put_away(scan, path).await,
            Err(error) => {
                let look = match error.may_pass() {
                    true => scan.seen.remove(&path),
                    false => scan.seen.get(&path).copied(),
                };
                if scan.is_news(&path, look.map(|(look, _)| look)) {
                    tracing::warn!(%error, path = %path.display(), "a file in a watched folder is not added");
                }
            }
        }
    }

    async fn put_away(&self, scan: &mut Scan, path: PathBuf) {
        let look = scan.seen.remove(&path).map(|(look, _)| look);
        let from = path.clone();
        let renamed = tokio::task::spawn_blocking(move || put_away(&from)).await;
        if let (false, Some(look)) = (matches!(renamed, Ok(Ok(()))), look) {
            let mut watch = self.watch.lock().await;
            watch.remember(mark(&path, look));
            // If it cannot be kept, it is remembered until the end of the process.
            let _ = self.save(vec![Change::put(Table::Session, KEY, watch.encode())]).await;
        }
    }
}

/// Gives a file that was added another name, over nothing that has it already.
fn put_away(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{ADDED}"));
    fs::hard_link(path, &name)?;
    fs::remove_file(path)
}

/// What was seen in a folder.
#[derive(Debug, Default)]
struct Scan {
    /// What files looked like, and whether they were read.
    seen: BTreeMap<PathBuf, (Look, bool)>,
    /// Of those that are seen, what they looked like when it was told that they cannot be read, or added.
    told: BTreeMap<PathBuf, Look>,
    /// Why the folder cannot be read.
    away: Option<String>,
}

impl Scan {
    fn tell_once(&mut self, path: &Path, look: Look, why: &str) {
        if self.is_news(path, Some(look)) {
            tracing::warn!(why, path = %path.display(), "a file in a watched folder cannot be read");
        }
    }

    /// Whether nothing was told of a file that looks like this.
    fn is_news(&mut self, path: &Path, look: Option<Look>) -> bool {
        look.is_none_or(|look| self.told.insert(path.to_owned(), look) != Some(look))
    }

    /// The files that look as they did the last time and hold a torrent or a link.
    fn look(&mut self, dir: &Path, known: &BTreeSet<Mark>) -> Vec<(PathBuf, Given)> {
        let entries = fs::read_dir(dir);
        self.away = entries.as_ref().err().map(ToString::to_string);
        let entries = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        let mut paths: Vec<_> = entries.filter(|path| Kind::of(path).is_some()).collect();
        paths.sort();
        // Those that were added and could not be renamed are in nobody's way.
        let looks = paths.into_iter().filter_map(|path| {
            let look = fs::symlink_metadata(&path).ok();
            let look = look.filter(|found| found.is_file() || found.is_symlink())?;
            let look: Look = (look.len(), look.mtime(), look.mtime_nsec());
            (!known.contains(&mark(&path, look)) && look.0 <= MAX_FILE).then_some((path, look))
        });
        let paths: BTreeMap<_, _> = looks.take(MAX_FILES_LOOKED_AT).collect();
        self.seen.retain(|path, _| paths.contains_key(path));
        self.told.retain(|path, _| paths.contains_key(path));
        let mut found = Vec::new();
        for (path, look) in paths {
            match self.seen.insert(path.clone(), (look, false)) {
                Some((before, was_read)) if before == look => {
                    self.seen.insert(path.clone(), (look, true));
                    let Some(kind) = Kind::of(&path).filter(|_| !was_read) else { continue };
                    match kind.read(&path) {
                        Ok(given) => found.push((path, given)),
                        Err(Unread::Not(why)) => self.tell_once(&path, look, &why),
                        Err(Unread::Now(why)) => {
                            self.tell_once(&path, look, &why.to_string());
                            self.seen.insert(path, (look, false));
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Torrent,
    Magnet,
}

impl Kind {
    fn of(path: &Path) -> Option<Kind> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "torrent" => Some(Kind::Torrent),
            "magnet" => Some(Kind::Magnet),
            _ => None,
        }
    }

    /// What is in a file, if it is whole.
    fn read(self, path: &Path) -> Result<Given, Unread> {
        // It may lead anywhere.
        if fs::symlink_metadata(path).map_err(Unread::Now)?.is_symlink() {
            return Err(Unread::Not(
                "it is a symbolic link, which is not followed; put the file itself here".into(),
            ));
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(Unread::Now)?;
        file.take(MAX_FILE).read_to_end(&mut bytes).map_err(Unread::Now)?;
        match self {
            Kind::Torrent => match Metainfo::parse(&bytes) {
                Ok(_) => Ok(Given::Torrent(bytes)),
                Err(why) => Err(Unread::Not(why.to_string())),
            },
            Kind::Magnet => {
                let text = String::from_utf8(bytes).map_err(|why| Unread::Not(why.to_string()))?;
                let link = text.trim().to_owned();
                match Magnet::parse(&link) {
                    Ok(_) => Ok(Given::Magnet(link)),
                    Err(why) => Err(Unread::Not(why.to_string())),
                }
            }
        }
    }
}

/// Why there is nothing to add in a file.
#[derive(Debug)]
enum Unread {
    /// It is not what its name says, or not whole yet.
    Not(String),
    /// It cannot be read now.
    Now(io::Error),
}

/// What is to be told of the folders that are watched in a session that does not run.
pub(crate) fn examine(rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<String> {
    let (watch, mounts) = (Watch::kept_in(rows), Mounts::kept_in(rows));
    let missing = |dir: &Path| {
        mounts.get(dir).filter(|mount| storage::must_be_mounted(mount).is_err()).map(PathBuf::as_path)
    };
    let away = |folder: &WatchFolder| {
        let unread = fs::read_dir(&folder.dir).err().map(|err| err.to_string());
        why_away(folder, missing(&folder.dir), folder.to.as_deref().and_then(missing), unread.as_deref())
    };
    watch.folders.iter().filter_map(away).collect()
}

/// In one line, for people: given mount points where nothing is mounted, and why the folder cannot be read.
fn why_away(
    folder: &WatchFolder,
    from: Option<&Path>,
    to: Option<&Path>,
    unread: Option<&str>,
) -> Option<String> {
    let dir = folder.dir.display();
    Some(match (from, to, unread) {
        (Some(mount), _, _) => format!(
            "the watched folder {dir} is away, no disk is mounted at {}: nothing is taken from it until it is",
            mount.display()
        ),
        (None, _, Some(why)) => {
            format!("the watched folder {dir} is not there ({why}): nothing is taken from it until it is")
        }
        (None, Some(mount), None) => format!(
            "what the watched folder {dir} has is not added, no disk is mounted at {}, where it goes: that is done when it is",
            mount.display()
        ),
        (None, None, None) => return None,
    })
}

fn mark(path: &Path, (size, seconds, nanos): Look) -> Mark {
    let numbers = [size.to_be_bytes(), seconds.to_be_bytes(), nanos.to_be_bytes()].concat();
    hash::sha1(&[path.as_os_str().as_bytes(), &[0], &numbers].concat())
}

impl Watch {
    pub(super) fn has(&self, folder: &WatchFolder) -> bool {
        self.folders.contains(folder)
    }

    fn remember(&mut self, mark: Mark) {
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(mark);
    }

    fn encode(&self) -> Vec<u8> {
        encode_dict(|d| {
            d.list("folders", |list| {
                self.folders.iter().for_each(|folder| list.dict(|d| put_folder(d, folder)));
            });
            d.bytes("remembered", self.remembered.iter().flatten().copied().collect::<Vec<_>>());
        })
    }

    /// What cannot be read is passed over.
    pub(super) fn kept_in(rows: &[(Vec<u8>, Vec<u8>)]) -> Watch {
        let Some((_, row)) = rows.iter().find(|(key, _)| key == KEY) else { return Watch::default() };
        let Ok(document) = bencode::decode(row) else { return Watch::default() };
        let root = document.root();
        let folders = root.get("folders").and_then(Value::as_list).into_iter().flatten().filter_map(folder);
        let marks = root.get("remembered").and_then(Value::as_bytes).unwrap_or_default();
        let marks = marks.chunks_exact(20).filter_map(|mark| mark.try_into().ok());
        Watch {
            folders: folders.take(MAX_WATCHED).collect(),
            remembered: marks.take(MAX_REMEMBERED).collect(),
        }
    }
}

fn put_folder(d: &mut DictEncoder<'_>, folder: &WatchFolder) {
    if let Some(category) = &folder.category {
        d.bytes("category", category);
    }
    d.bytes("dir", folder.dir.as_os_str().as_bytes());
    d.int("paused", i64::from(folder.paused));
    d.list("tags", |list| folder.tags.iter().for_each(|tag| list.bytes(tag)));
    if let Some(to) = &folder.to {
        d.bytes("to", to.as_os_str().as_bytes());
    }
}

fn folder(value: Value<'_>) -> Option<WatchFolder> {
    let path = |key: &str| Some(PathBuf::from(OsStr::from_bytes(value.get(key)?.as_bytes()?)));
    let tags = value.get("tags").and_then(Value::as_list).into_iter().flatten();
    let folder = WatchFolder {
        dir: path("dir")?,
        to: path("to"),
        category: value.get("category").and_then(Value::as_str).map(str::to_owned),
        tags: tags.filter_map(Value::as_str).map(str::to_owned).collect(),
        paused: value.get("paused").and_then(Value::as_int) == Some(1),
    };
    folder.check().is_ok().then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use metainfo::create::Builder;

    fn torrent(name: &str) -> Vec<u8> {
        Builder::file(name, 1).piece_length(16384).pieces(vec![7; 20]).build().unwrap()
    }

    fn names(found: &[(PathBuf, Given)]) -> Vec<String> {
        found.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_file_is_taken_once_when_it_is_whole_and_at_rest() {
        let dir = tempfile::tempdir().unwrap();
        let (mut scan, known) = (Scan::default(), BTreeSet::new());
        let mut look = || names(&scan.look(dir.path(), &known));
        let whole = torrent("x");
        let file = dir.path().join("x.torrent");
        fs::write(&file, &whole[..20]).unwrap();
        fs::write(dir.path().join("other.txt"), &whole).unwrap();
        std::os::unix::fs::symlink("other.txt", dir.path().join("link.torrent")).unwrap();
        fs::create_dir(dir.path().join("folder.torrent")).unwrap();
        for _ in 0..4 {
            assert_eq!(look(), [""; 0], "half of it");
        }
        fs::write(&file, &whole).unwrap();
        assert_eq!(look(), [""; 0], "somebody may still write to it");
        assert_eq!(look(), ["x.torrent"]);
        assert_eq!(look(), [""; 0], "once");
        let link = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567\n";
        fs::write(dir.path().join("y.magnet"), link).unwrap();
        fs::write(dir.path().join("z.magnet"), "no link").unwrap();
        assert_eq!([look(), look()].concat(), ["y.magnet"]);
        fs::write(dir.path().join("LOUD.TORRENT"), &whole).unwrap();
        assert_eq!([look(), look()].concat(), ["LOUD.TORRENT"]);
        let told = scan.told.keys().map(|path| path.file_name().unwrap().to_str().unwrap());
        assert_eq!(
            told.collect::<Vec<_>>(),
            ["link.torrent", "x.torrent", "z.magnet"],
            "what is not taken is told"
        );
    }

    #[test]
    fn what_is_remembered_is_not_taken_until_it_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.torrent");
        fs::write(&file, torrent("x")).unwrap();
        let of = fs::metadata(&file).unwrap();
        let known = BTreeSet::from([mark(&file, (of.len(), of.mtime(), of.mtime_nsec()))]);
        let mut scan = Scan::default();
        assert_eq!(names(&[scan.look(dir.path(), &known), scan.look(dir.path(), &known)].concat()), [""; 0]);
        fs::write(&file, torrent("longer")).unwrap();
        assert_eq!(
            names(&[scan.look(dir.path(), &known), scan.look(dir.path(), &known)].concat()),
            ["x.torrent"]
        );
    }

    #[test]
    fn many_files_have_their_turn_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..=MAX_FILES_LOOKED_AT {
            fs::write(dir.path().join(format!("{number:05}.torrent")), "x").unwrap();
        }
        let mut scan = Scan::default();
        scan.look(dir.path(), &BTreeSet::new());
        assert_eq!(scan.seen.len(), MAX_FILES_LOOKED_AT);
        let mark_of = |number: usize| {
            let path = dir.path().join(format!("{number:05}.torrent"));
            let of = fs::metadata(&path).unwrap();
            mark(&path, (of.len(), of.mtime(), of.mtime_nsec()))
        };
        scan.look(dir.path(), &(0..10).map(mark_of).collect());
        assert_eq!(scan.seen.len(), MAX_FILES_LOOKED_AT + 1 - 10, "what is remembered is in nobody's way");
        assert_eq!(scan.told.len(), MAX_FILES_LOOKED_AT - 10);
        let long = fs::File::create(dir.path().join("00000.torrent")).unwrap();
        long.set_len(MAX_FILE + 1).unwrap();
        assert!(scan.look(dir.path(), &BTreeSet::new()).is_empty());
    }

    #[test]
    fn a_file_that_was_added_takes_nobodys_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.torrent");
        fs::write(&file, "x").unwrap();
        put_away(&file).unwrap();
        assert!(!file.exists() && dir.path().join("x.torrent.added").exists());
        fs::write(&file, "y").unwrap();
        put_away(&file).unwrap_err();
        assert_eq!(fs::read(&file).unwrap(), b"y");
    }

    #[test]
    fn what_is_kept_is_read_as_it_was_written() {
        let mut folder = WatchFolder::new("/watched");
        let mut watch = Watch { folders: vec![folder.clone()], remembered: VecDeque::new() };
        (folder.to, folder.category, folder.paused) = (Some("/to".into()), Some("c".into()), true);
        (folder.dir, folder.tags) = ("/other".into(), BTreeSet::from(["t".to_owned()]));
        watch.folders.push(folder);
        (0..=MAX_REMEMBERED).for_each(|n| watch.remember(hash::sha1(&n.to_be_bytes())));
        assert_eq!(watch.remembered.len(), MAX_REMEMBERED);
        assert_eq!(Watch::kept_in(&[(KEY.to_vec(), watch.encode())]), watch);
        for bad in [&b"x"[..], b"de", b"d7:foldersld3:dir1:xeee", b"d7:foldersi1ee"] {
            assert_eq!(Watch::kept_in(&[(KEY.to_vec(), bad.to_vec())]), Watch::default());
        }
    }

    #[tokio::test]
    async fn so_many_folders_are_watched_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { listen: vec!["127.0.0.1:0".parse().unwrap()], ..Settings::new(dir.path()) };
        let (session, _) = Session::open(settings).await.unwrap();
        for number in 0..MAX_WATCHED {
            session.watch(WatchFolder::new(format!("/none/{number}"))).await.unwrap();
        }
        let refused = async |folder| matches!(session.watch(folder).await, Err(Error::Refused(_)));
        assert!(refused(WatchFolder::new("/none/more")).await);
        session.watch(WatchFolder { paused: true, ..WatchFolder::new("/none/0") }).await.unwrap();
        session.unwatch("/none/1").await.unwrap();
        assert_eq!(session.watched().await.len(), MAX_WATCHED - 1);
        assert!(refused(WatchFolder::new("none")).await);
        let category = Some(String::new());
        assert!(refused(WatchFolder { category, ..WatchFolder::new("/x") }).await);
        session.shutdown().await;
    }
}
