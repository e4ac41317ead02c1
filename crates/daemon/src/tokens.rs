//! Tokens: who may do what. The file has their SHA-256, never the tokens: 256 random bits need no slow hash.

use crate::Error;
use api::units::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many tokens there may be. One more is refused.
pub(crate) const MAX_TOKENS: usize = 256;
/// The longest name of a token, in bytes. A longer one is refused.
pub(crate) const MAX_NAME: usize = 64;
/// The most bytes of the file that are read. A longer one is refused.
const MAX_FILE: u64 = 256 * 1024;
/// Where they are.
pub(crate) const FILE: &str = "tokens.json";
/// What tokens begin with, so that tools that look for leaked secrets know them.
const PREFIX: &str = "rawtorrent_";

/// What a token allows. Each allows what those before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See everything.
    Read,
    /// Add, remove and order torrents.
    Manage,
    /// Change the daemon itself.
    Admin,
}

/// A token, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// What its owner called it.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    sha256: String,
}

impl TokenInfo {
    /// What it is kept as.
    pub(crate) fn digest(&self) -> &str {
        &self.sha256
    }

    pub(crate) fn is(&self, digest: &str) -> bool {
        self.sha256 == digest
    }
}

/// The tokens in a state directory.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    path: PathBuf,
    tokens: Vec<TokenInfo>,
    /// Whether somebody has made one, be it gone by now.
    were_made: bool,
}

impl Tokens {
    /// Reads them; none are there if there is no file.
    ///
    /// # Errors
    /// [`Error::Tokens`]: the file cannot be read, or is broken. Nobody is let in then by mistake.
    pub fn open(state_dir: &Path) -> Result<Tokens, Error> {
        Tokens::read(state_dir.join(FILE))
    }

    fn read(path: PathBuf) -> Result<Tokens, Error> {
        let fail = |reason: String| Error::Tokens { path: path.clone(), reason };
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Tokens { path, tokens: Vec::new(), were_made: false });
            }
            Err(error) => return Err(fail(error.to_string())),
            Ok(found) if found.len() > MAX_FILE => return Err(fail("it is too long".into())),
            Ok(_) => {}
        }
        let text = std::fs::read(&path).map_err(|error| fail(error.to_string()))?;
        let tokens = serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?;
        Ok(Tokens { path, tokens, were_made: true })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether one was ever made. Until then everybody on this machine is let in; whoever removes the last one does not mean
    /// that.
    pub fn were_made(&self) -> bool {
        self.were_made
    }

    /// All of them.
    pub fn all(&self) -> &[TokenInfo] {
        &self.tokens
    }

    /// Makes a token and keeps its hash; the token itself is told this once.
    ///
    /// # Errors
    /// [`Error::Token`], [`Error::Tokens`].
    pub fn add(&mut self, name: &str, scope: Scope) -> Result<String, Error> {
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(Error::Token(format!(
                "a token's name has 1 to {MAX_NAME} bytes, without control characters"
            )));
        }
        let _lock = self.lock()?;
        if self.tokens.iter().any(|token| token.name == name) {
            return Err(Error::Token(format!(
                "there is a token '{name}' already; remove it first, or choose another name"
            )));
        }
        if self.tokens.len() >= MAX_TOKENS {
            return Err(Error::Token(format!("there are {MAX_TOKENS} tokens already; remove one first")));
        }
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| Error::Token(format!("no random numbers: {error}")))?;
        let token = format!("{PREFIX}{}", hex(&secret));
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let info = TokenInfo { name: name.to_owned(), scope, created, sha256: digest(&token) };
        self.tokens.push(info);
        self.save()?;
        Ok(token)
    }

    /// Forgets a token; who has it is let in no more.
    ///
    /// # Errors
    /// [`Error::Token`] if there is none of that name, [`Error::Tokens`].
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        let _lock = self.lock()?;
        let before = self.tokens.len();
        self.tokens.retain(|token| token.name != name);
        if self.tokens.len() == before {
            return Err(Error::Token(format!("there is no token '{name}'")));
        }
        self.save()
    }

    /// Whose token this is. What is compared are digests, so that the time it takes tells nothing.
    pub(crate) fn find(&self, token: &str) -> Option<&TokenInfo> {
        let digest = digest(token);
        self.tokens.iter().find(|info| info.sha256 == digest)
    }

    /// Keeps others from changing the file, and takes over what they have changed since.
    fn lock(&mut self) -> Result<File, Error> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let lock = || {
            let mut made = std::fs::DirBuilder::new();
            made.recursive(true).mode(0o700).create(dir)?;
            let dir = File::open(dir)?;
            dir.lock()?;
            Ok(dir)
        };
        let locked = lock().map_err(|error| self.failed(&error))?;
        *self = Tokens::read(self.path.clone())?;
        Ok(locked)
    }

    /// Replaces the file as a whole; nobody but its owner can read it. That is the folder's owner, if it is root who does this:
    /// the daemon may be somebody else.
    fn save(&mut self) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(&self.tokens).map_err(|error| self.failed(&error.into()))?;
        let new = self.path.with_extension("json.new");
        let write = || {
            let dir = File::open(self.path.parent().unwrap_or(Path::new(".")))?;
            let mut file = File::options();
            let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            let (ours, owner) = (file.metadata()?, dir.metadata()?);
            if ours.uid() == 0 && owner.uid() != 0 {
                std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
            }
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            dir.sync_all()
        };
        write().map_err(|error| self.failed(&error))?;
        self.were_made = true;
        Ok(())
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::Tokens { path: self.path.clone(), reason: error.to_string() }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Scope, String> {
        match text {
            "read" => Ok(Scope::Read),
            "manage" => Ok(Scope::Manage),
            "admin" => Ok(Scope::Admin),
            _ => Err("there are read, manage and admin".into()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Read => "read",
            Scope::Manage => "manage",
            Scope::Admin => "admin",
        })
    }
}

fn digest(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn tokens_are_kept_hashed() {
        let dir = tempfile::tempdir().unwrap();
        let mut tokens = Tokens::open(dir.path()).unwrap();
        let token = tokens.add("phone", Scope::Read).unwrap();
        let file = dir.path().join("tokens.json");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&token) && !text.contains(&token[PREFIX.len()..]), "{text}");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

        let mut again = Tokens::open(dir.path()).unwrap();
        assert_eq!(again.find(&token).unwrap().scope, Scope::Read);
        assert!(again.find(&token[..token.len() - 1]).is_none() && again.find("").is_none());
        assert!(again.add("phone", Scope::Admin).is_err());
        again.remove("phone").unwrap();
        assert!(again.remove("phone").is_err());
        let last = Tokens::open(dir.path()).unwrap();
        assert!(last.is_empty() && last.were_made());
    }

    #[test]
    fn whoever_changes_tokens_at_once_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        Tokens::open(dir.path()).unwrap().add("old", Scope::Read).unwrap();
        // Each has read the file before any of them changes it.
        let mut all: Vec<_> = (0..8).map(|_| Tokens::open(dir.path()).unwrap()).collect();
        std::thread::scope(|scope| {
            for (number, tokens) in all.iter_mut().enumerate() {
                scope.spawn(move || match number {
                    0 => tokens.remove("old").unwrap(),
                    _ => drop(tokens.add(&number.to_string(), Scope::Read).unwrap()),
                });
            }
        });
        let mut names: Vec<_> =
            Tokens::open(dir.path()).unwrap().all().iter().map(|token| token.name.clone()).collect();
        names.sort();
        assert_eq!(names, ["1", "2", "3", "4", "5", "6", "7"]);
    }

    #[test]
    fn tokens_and_their_names_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut tokens = Tokens::open(dir.path()).unwrap();
        let info = |n: usize| TokenInfo {
            name: n.to_string(),
            scope: Scope::Read,
            created: 0,
            sha256: String::new(),
        };
        tokens.tokens = (0..MAX_TOKENS - 1).map(info).collect();
        tokens.save().unwrap();
        assert!(tokens.add(&"x".repeat(MAX_NAME + 1), Scope::Read).is_err());
        assert!(tokens.add("", Scope::Read).is_err() && tokens.add("a\nb", Scope::Read).is_err());
        tokens.add(&"x".repeat(MAX_NAME), Scope::Read).unwrap();
        assert!(tokens.add("one more", Scope::Read).is_err());
        let written = dir.path().join("tokens.json").metadata().unwrap().len();
        assert!(written < MAX_FILE, "{written}");
    }

    #[test]
    fn a_broken_or_endless_file_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens.json");
        for text in ["{", "[{\"name\": 1}]", ""] {
            std::fs::write(&file, text).unwrap();
            assert!(Tokens::open(dir.path()).is_err(), "{text}");
        }
        std::fs::write(&file, " ".repeat(usize::try_from(MAX_FILE).unwrap() + 1)).unwrap();
        assert!(Tokens::open(dir.path()).unwrap_err().to_string().contains("too long"));
    }
}
