//! The configuration: what may be downloaded, where and by whom it may be asked for, and how much of it.

use crate::inert;
use crate::limits::{MAX_CONFIG, MAX_IDS, MAX_NAME, MAX_TORRENTS};
use api::units::Size;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What the bot may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The guilds (servers) that are listened to, by id; no other one is, and no private message.
    pub guilds: BTreeSet<u64>,
    /// The channels of them that are listened to, by id, with their threads; all if there are none here.
    #[serde(default)]
    pub channels: BTreeSet<u64>,
    /// Who may ask for what.
    #[serde(default)]
    pub roles: Roles,
    /// How much may be asked for.
    #[serde(default)]
    pub limits: Limits,
    /// What may be downloaded, and nothing else.
    #[serde(default, rename = "torrent")]
    pub torrents: Vec<Entry>,
}

/// Who may ask for what, by the ids of Discord's roles. Who may do something may do all that stands above it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roles {
    /// Who may look; everybody in the channel if there are none here.
    pub reader: BTreeSet<u64>,
    /// Who may download, pause and go on; nobody but admins if there are none here.
    pub operator: BTreeSet<u64>,
    /// Who may stop what others began, and add to what may be downloaded.
    pub admin: BTreeSet<u64>,
}

/// How much may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Downloads at a time. Further ones are refused.
    pub downloads: usize,
    /// Bytes of a torrent. Larger ones are refused.
    pub torrent_bytes: u64,
    /// Bytes of all torrents of the allow-list that the daemon has, and of what is on disk of those that were stopped. What
    /// does not fit is refused.
    pub disk_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { downloads: 3, torrent_bytes: 8 << 30, disk_bytes: 32 << 30 }
    }
}

/// A torrent that may be downloaded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its v1 info-hash, or the first 20 bytes of its v2 info-hash: 40 hex digits, the daemon's id of it.
    pub info_hash: String,
    /// What people call it.
    pub name: String,
    /// The licence that lets it be given to everybody.
    pub licence: String,
    /// Bytes of its files; `None` if only its info-hash is known, and then it may be as large as any.
    #[serde(default)]
    pub size: Option<u64>,
    /// The torrent file; a relative path begins at the configuration's folder. Without one peers are asked for what is in it.
    #[serde(default)]
    pub path: Option<PathBuf>,
}

/// What is wrong with a configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// There is none.
    #[error("there is no {}; to begin with, one line is enough: guilds = [the id of your server]", .0.display())]
    Missing(PathBuf),
    /// It can't be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// It can't be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// It says what makes no sense.
    #[error("{}: {reason}", path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Where, and what, on one line.
        reason: String,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError::Missing`], [`ConfigError::Read`], [`ConfigError::Wrong`].
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        Config::parse_at(path, &text(path)?)
    }

    /// Reads the text of a configuration.
    ///
    /// # Errors
    /// One line that says where and what is wrong.
    pub fn parse(text: &str) -> Result<Config, String> {
        let mut config: Config = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let what = error.message().lines().map(str::trim).collect::<Vec<_>>().join("; ");
            format!("line {}: {what}", before.matches('\n').count() + 1)
        })?;
        for entry in &mut config.torrents {
            entry.info_hash.make_ascii_lowercase();
        }
        config.check()?;
        Ok(config)
    }

    fn parse_at(path: &Path, text: &str) -> Result<Config, ConfigError> {
        Config::parse(text).map_err(|reason| ConfigError::Wrong { path: path.to_owned(), reason })
    }

    fn check(&self) -> Result<(), String> {
        let Roles { reader, operator, admin } = &self.roles;
        if self.guilds.is_empty() {
            return Err(
                "guilds is empty: name the servers to listen to, as guilds = [123456789012345678]".into()
            );
        }
        for (name, ids) in [
            ("guilds", &self.guilds),
            ("channels", &self.channels),
            ("roles.reader", reader),
            ("roles.operator", operator),
            ("roles.admin", admin),
        ] {
            if ids.len() > MAX_IDS {
                return Err(format!("{name} has more than {MAX_IDS} ids"));
            }
            if ids.contains(&0) {
                return Err(format!("{name} has the id 0, which is nobody's"));
            }
        }
        if self.torrents.len() > MAX_TORRENTS {
            return Err(format!("more than {MAX_TORRENTS} torrents"));
        }
        let (mut hashes, mut names) = (BTreeSet::new(), BTreeSet::new());
        for entry in &self.torrents {
            entry.check()?;
            if !hashes.insert(&entry.info_hash) {
                return Err(format!("the torrent {} is there twice", entry.info_hash));
            }
            if !names.insert(entry.name.to_lowercase()) {
                return Err(format!("two torrents are called '{}'", inert::clean(&entry.name)));
            }
        }
        Ok(())
    }

    /// The torrent that people call so, in whatever case.
    pub fn by_name(&self, name: &str) -> Option<&Entry> {
        let name = name.trim().to_lowercase();
        self.torrents.iter().find(|entry| entry.name.to_lowercase() == name)
    }

    /// The torrent with this id.
    pub fn by_id(&self, id: &str) -> Option<&Entry> {
        self.torrents.iter().find(|entry| entry.info_hash == id)
    }
}

impl Entry {
    fn check(&self) -> Result<(), String> {
        let name = inert::clean(&self.name);
        if self.info_hash.len() != 40 || !self.info_hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("the info_hash of '{name}' is not 40 hex digits"));
        }
        for (what, text) in [("name", &self.name), ("licence", &self.licence)] {
            if text.trim().is_empty() || text.trim() != text {
                return Err(format!("the {what} of {} is empty, or has spaces around it", self.info_hash));
            }
            let id = &self.info_hash;
            if inert::length(text) > MAX_NAME {
                return Err(format!("the {what} of {id} is longer than {MAX_NAME}"));
            }
            if inert::seen(text) != *text {
                return Err(format!("the {what} of {id} has characters that are not seen"));
            }
            if inert::clean(text) != *text {
                let hidden =
                    "has in it what looks like an IP address or a path, neither of which is ever shown";
                return Err(format!("the {what} of {id} {hidden}; write it otherwise, as 12-5 for 12.5.0.1"));
            }
        }
        let is_path = |path: &PathBuf| !path.as_os_str().is_empty();
        if self.size == Some(0)
            || self.path.as_ref().is_some_and(|path| !is_path(path) || self.size.is_none())
        {
            return Err(format!("'{name}' has a size of 0, or a path that is empty or without a size"));
        }
        Ok(())
    }

    /// Name, size and licence in a line.
    pub fn line(&self) -> String {
        let size = self.size.map_or("size not known".into(), |size| Size(size).to_string());
        format!("{}, {size}, {}", self.name, self.licence)
    }
}

/// Whether [`allow`] would take the torrent; nothing is written.
///
/// # Errors
/// Those of [`allow`].
pub fn may_allow(path: &Path, entry: &Entry) -> Result<(), ConfigError> {
    with(path, entry).map(drop)
}

/// Adds a torrent to the allow-list in a file: what stands there stays as it is, comments too. The file is replaced as a
/// whole or not at all.
///
/// # Errors
/// [`ConfigError`]; if the torrent or its name is there already, or it is too large, [`ConfigError::Wrong`].
pub fn allow(path: &Path, entry: &Entry) -> Result<(), ConfigError> {
    let text = with(path, entry)?;
    replace(path, text.as_bytes()).map_err(|reason| ConfigError::Write { path: path.to_owned(), reason })
}

/// The text of a file with one more torrent.
fn with(path: &Path, entry: &Entry) -> Result<String, ConfigError> {
    let mut text = text(path)?;
    let config = Config::parse_at(path, &text)?;
    let wrong = |reason| ConfigError::Wrong { path: path.to_owned(), reason };
    if let Some(known) = config.by_id(&entry.info_hash) {
        let name = inert::clean(&known.name);
        return Err(wrong(format!("the torrent {} is there already, as '{name}'", entry.info_hash)));
    }
    if let Some(size) = entry.size.filter(|_| config.fits(entry).is_err()) {
        let (size, most) = (Size(size), Size(config.limits.torrent_bytes));
        return Err(wrong(format!(
            "the torrent has {size}, and the bot may download {most} at most (limits.torrent_bytes)"
        )));
    }
    let value = |text: &str| toml::Value::String(text.to_owned());
    let utf8 = |file: &PathBuf| {
        let reason = format!("the name of {} is not UTF-8", file.display());
        file.to_str().map(value).ok_or_else(|| wrong(reason))
    };
    let file = entry.path.as_ref().map(utf8).transpose()?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!(
        "\n[[torrent]]\ninfo_hash = {}\nname = {}\nlicence = {}\n",
        value(&entry.info_hash),
        value(&entry.name),
        value(&entry.licence),
    ));
    if let Some(size) = entry.size {
        text.push_str(&format!("size = {size}\n"));
    }
    if let Some(file) = file {
        text.push_str(&format!("path = {file}\n"));
    }
    // What would not be read again is not written.
    Config::parse_at(path, &text)?;
    Ok(text)
}

fn text(path: &Path) -> Result<String, ConfigError> {
    let read = || {
        let mut text = String::new();
        fs::File::open(path)?.take(MAX_CONFIG + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|reason: io::Error| match reason.kind() {
        io::ErrorKind::NotFound => ConfigError::Missing(path.to_owned()),
        _ => ConfigError::Read { path: path.to_owned(), reason },
    })?;
    if text.len() as u64 > MAX_CONFIG {
        let reason = format!("it has more than {MAX_CONFIG} bytes");
        return Err(ConfigError::Wrong { path: path.to_owned(), reason });
    }
    Ok(text)
}

/// Puts a file in its place whole or not at all; a link stays one, to the new file. Who could read the one before can read it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        found => found?,
    };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(dir)?;
    if let Ok(before) = fs::metadata(&path) {
        new.as_file().set_permissions(before.permissions())?;
    }
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    new.persist(&path)?;
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    pub(crate) fn entry(digit: char, name: &str) -> Entry {
        let info_hash = digit.to_string().repeat(40);
        Entry {
            info_hash,
            name: name.into(),
            licence: "CC BY 4.0".into(),
            size: Some(5),
            path: Some("x.torrent".into()),
        }
    }

    fn wrong(text: &str) -> String {
        let reason = Config::parse(text).unwrap_err();
        assert!(!reason.contains('\n'), "{reason}");
        reason
    }

    #[test]
    fn the_example_is_one() {
        let text = include_str!("../../../packaging/discord.toml");
        let config = Config::parse(text).unwrap();
        assert_eq!(config.limits, Limits::default(), "it says what is usual");
        assert_eq!(config.torrents.len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_told_in_a_line() {
        assert!(wrong("guilds = [1]\nguild = 2").contains("line 2: unknown field `guild`"));
        assert!(wrong("").contains("guilds"));
        assert!(wrong("guilds = []").contains("guilds is empty"));
        assert!(wrong("guilds = [-1]").contains("line 1"));
        assert!(wrong("guilds = [0]").contains("nobody's"));
        assert!(wrong("guilds = [1]\n[roles]\nowner = [2]").contains("line 3: unknown field `owner`"));
        assert!(wrong("guilds = [1]\n[limits]\ndownloads = 'many'").contains("line 3"));
        assert!(wrong("guilds = [1]\n[[torrent]]\nname = 'x'").contains("missing field"));
        let torrent = |hash: &str, name: &str| {
            format!(
                "[[torrent]]\ninfo_hash = '{hash}'\nname = \"{name}\"\nlicence = 'MIT'\nsize = 1\npath = 'x'\n"
            )
        };
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let of = |torrents: &[String]| wrong(&format!("guilds = [1]\n{}", torrents.concat()));
        assert!(of(&[torrent("abc", "x")]).contains("40 hex"));
        assert!(of(&[torrent(&a, "x"), torrent(&a.to_uppercase(), "y")]).contains("twice"));
        assert!(of(&[torrent(&a, "x"), torrent(&b, "X")]).contains("two torrents are called"));
        assert!(of(&[torrent(&a, " ")]).contains("empty"));
        assert!(of(&[torrent(&a, "a\\u202eb")]).contains("not seen"));
        for shown_as in ["Debian 12.5.0.1", "films in /srv/x y"] {
            let told = of(&[torrent(&a, shown_as)]);
            assert!(told.contains("looks like an IP address or a path"), "{told}");
        }
        assert!(!of(&[torrent(&a, &"x".repeat(MAX_NAME + 1))]).contains("not seen"));
        assert!(of(&[torrent(&a, &"x".repeat(MAX_NAME + 1))]).contains("longer than 100"));
    }

    #[test]
    fn lists_are_bounded() {
        let ids = |count: usize| (1..=count).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        assert!(Config::parse(&format!("guilds = [{}]", ids(MAX_IDS))).is_ok());
        assert!(wrong(&format!("guilds = [{}]", ids(MAX_IDS + 1))).contains("more than 256 ids"));
        let mut config = Config::parse("guilds = [1]").unwrap();
        let many = |count: usize| {
            let entry = |number: usize| Entry {
                info_hash: format!("{number:040x}"),
                ..entry('0', &number.to_string())
            };
            (0..count).map(entry).collect()
        };
        config.torrents = many(MAX_TORRENTS);
        config.check().unwrap();
        config.torrents = many(MAX_TORRENTS + 1);
        assert!(config.check().unwrap_err().contains("more than 256 torrents"));
    }

    #[test]
    fn a_torrent_is_allowed_once_and_comments_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("discord.toml");
        let before = "# ours\nguilds = [1] # home";
        fs::write(&path, before).unwrap();
        allow(&path, &entry('a', "\"quoted\" \\ name")).unwrap();
        let by_hash = Entry { size: None, path: None, ..entry('b', "other") };
        allow(&path, &by_hash).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(before));
        assert_eq!(Config::read(&path).unwrap().torrents, [entry('a', "\"quoted\" \\ name"), by_hash]);
        let large = Entry { size: Some(Limits::default().torrent_bytes + 1), ..entry('d', "large") };
        for (entry, reason) in [
            (entry('a', "third"), "is there already, as '\"quoted\" \\ name'"),
            (entry('c', "OTHER"), "are called"),
            (large, "8.0 GiB at most"),
        ] {
            assert!(allow(&path, &entry).unwrap_err().to_string().contains(reason));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "what is refused changes nothing");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
        let missing = allow(&dir.path().join("none"), &entry('a', "x")).unwrap_err().to_string();
        assert!(
            missing.ends_with("none; to begin with, one line is enough: guilds = [the id of your server]")
        );
    }

    #[test]
    fn a_link_to_a_configuration_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, link) = (dir.path().join("kept"), dir.path().join("discord.toml"));
        fs::create_dir(&kept).unwrap();
        let file = kept.join("bot.toml");
        fs::write(&file, "guilds = [1]").unwrap();
        std::os::unix::fs::symlink("kept/bot.toml", &link).unwrap();
        allow(&link, &entry('a', "x")).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("kept/bot.toml"));
        assert!(!fs::symlink_metadata(&file).unwrap().is_symlink());
        assert_eq!(Config::read(&file).unwrap().torrents, [entry('a', "x")]);
        for (folder, files) in [(dir.path(), 2), (&*kept, 1)] {
            assert_eq!(fs::read_dir(folder).unwrap().count(), files, "nothing is left behind");
        }
    }

    #[test]
    fn a_configuration_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("discord.toml");
        let text = "guilds = [1]\n";
        let comment = "#".repeat(usize::try_from(MAX_CONFIG).unwrap() - text.len());
        fs::write(&path, format!("{text}{comment}")).unwrap();
        Config::read(&path).unwrap();
        fs::write(&path, format!("{text}{comment}#")).unwrap();
        assert!(Config::read(&path).unwrap_err().to_string().contains("more than 262144 bytes"));
    }

    #[test]
    fn torrents_are_found_by_what_people_write() {
        let mut config = Config::parse("guilds = [1]").unwrap();
        config.torrents = vec![entry('a', "Big Buck Bunny")];
        assert_eq!(config.by_name(" big buck BUNNY ").unwrap().info_hash, "a".repeat(40));
        assert_eq!(config.by_name("big"), None);
        assert_eq!(config.by_id(&"a".repeat(40)).unwrap().name, "Big Buck Bunny");
        assert_eq!(config.torrents[0].line(), "Big Buck Bunny, 5 B, CC BY 4.0");
    }
}
