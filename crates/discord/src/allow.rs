//! What an admin adds to the allow-list from the chat: a torrent file that is attached, or a link, of which only the info-hash
//! counts.

use crate::bot::Bot;
use crate::config::{self, Config, ConfigError, Entry};
use crate::inert;
use crate::limits::MAX_TORRENT;
use api::units::Size;
use metainfo::{Magnet, Metainfo};
use reqwest::{Client, Url, redirect};
use std::path::{Path, PathBuf};
use std::time::Duration;
use types::InfoHash;

/// Where Discord keeps what people attach; nothing is fetched from anywhere else.
const CDN: &str = "cdn.discordapp.com";
/// How long an attachment may take.
const FETCH_WAIT: Duration = Duration::from_secs(60);

/// Where a torrent is to come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An attachment: its URL, and its bytes as Discord says.
    File(String, u64),
    /// A magnet link, or an info-hash.
    Link(String),
}

/// A torrent for the allow-list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What people are to call it.
    pub name: String,
    /// The licence that lets it be given to everybody.
    pub licence: String,
    /// Where it comes from.
    pub source: Source,
}

/// Adds it, for good; what is told is the entry.
pub(crate) async fn allow(bot: &Bot, config: &Config, wanted: Wanted) -> Result<Entry, String> {
    let (mut entry, file) = match &wanted.source {
        Source::Link(link) => (of_link(link)?, None),
        Source::File(url, size) => {
            let stand_in = bot.options.stand_in.as_ref().map(|(rest, _)| rest.as_str());
            let file = fetch(url, *size, stand_in).await?;
            (of_file(&file)?, Some(file))
        }
    };
    entry.name = wanted.name.trim().to_owned();
    entry.licence = wanted.licence.trim().to_owned();
    config.fits(&entry).map_err(|refused| refused.to_string())?;
    let _alone = bot.adding.lock().await;
    let path = bot.options.config.clone();
    let kept =
        tokio::task::spawn_blocking(move || keep(&path, &entry, file.as_deref()).map(|()| entry)).await;
    kept.unwrap_or_else(|_| Err(UNWRITTEN.to_owned()))
}

const UNWRITTEN: &str = "My configuration can't be written; whoever runs me has to look.";

/// Puts the torrent file beside the configuration, and the entry into it; both or neither.
fn keep(config: &Path, entry: &Entry, file: Option<&[u8]>) -> Result<(), String> {
    let unwritten = |error: String| {
        tracing::error!("{error}");
        UNWRITTEN.to_owned()
    };
    let refused = |error| match error {
        ConfigError::Wrong { reason, .. } => format!("That is not taken: {}.", inert::words(&reason, 500)),
        error => unwritten(error.to_string()),
    };
    // A file that is kept already is written over only with what is taken.
    config::may_allow(config, entry).map_err(refused)?;
    let beside = entry.path.as_ref().map(|path| config.parent().unwrap_or(Path::new("")).join(path));
    let mut is_new = false;
    if let (Some(path), Some(file)) = (&beside, file) {
        is_new = !path.exists();
        let put = || {
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
            config::replace(path, file)
        };
        put().map_err(|error| unwritten(format!("cannot write {}: {error}", path.display())))?;
    }
    let allowed = config::allow(config, entry);
    if let (Err(_), Some(path), true) = (&allowed, &beside, is_new) {
        // One that stays does no harm: it is not on the list.
        let _ = std::fs::remove_file(path);
    }
    allowed.map_err(refused)
}

/// The torrent that a file is of, without name and licence.
fn of_file(file: &[u8]) -> Result<Entry, String> {
    let torrent = Metainfo::parse(file)
        .map_err(|error| format!("That is no torrent file: {}.", inert::words(&error.to_string(), 300)))?;
    let info_hash = torrent.info_hash().wire().to_string();
    let path = PathBuf::from(format!("torrents/{info_hash}.torrent"));
    Ok(Entry { size: Some(torrent.payload_len()), path: Some(path), ..unnamed(info_hash) })
}

/// The torrent that a link or an info-hash names. Trackers and peers that a link names are left out: they are a stranger's.
fn of_link(link: &str) -> Result<Entry, String> {
    let link = link.trim();
    let is_hash = link.len() == 40 && link.bytes().all(|byte| byte.is_ascii_hexdigit());
    let magnet = if is_hash { format!("magnet:?xt=urn:btih:{link}") } else { link.to_owned() };
    let magnet = Magnet::parse(&magnet)
        .map_err(|error| format!("That is no link: {}.", inert::words(&error.to_string(), 300)))?;
    match magnet.info_hash {
        InfoHash::V1(v1) | InfoHash::Hybrid(v1, _) => Ok(unnamed(v1.to_string())),
        InfoHash::V2(_) => Err("That link has no v1 info-hash; attach the torrent file.".into()),
    }
}

fn unnamed(info_hash: String) -> Entry {
    Entry { info_hash, name: String::new(), licence: String::new(), size: None, path: None }
}

/// Fetches an attachment.
async fn fetch(url: &str, size: u64, stand_in: Option<&str>) -> Result<Vec<u8>, String> {
    const FAILED: &str = "The attachment can't be fetched; try again.";
    let most = Size(MAX_TORRENT);
    let large = || format!("That file is too large; I take torrent files of {most} at most.");
    if size > MAX_TORRENT {
        return Err(large());
    }
    let url = Url::parse(url).ok().filter(|url| is_attachment(url, stand_in));
    let url = url.ok_or("That is no attachment of Discord's.")?;
    let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(FETCH_WAIT);
    let client = client.build().map_err(|_| FAILED)?;
    // The error would tell the URL, with which anybody could fetch it.
    let mut answer = client.get(url).send().await.map_err(|_| FAILED)?;
    if answer.status() != 200 {
        return Err(FAILED.into());
    }
    let mut file = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| FAILED)? {
        if (file.len() + chunk.len()) as u64 > MAX_TORRENT {
            return Err(large());
        }
        file.extend_from_slice(&chunk);
    }
    Ok(file)
}

/// Whether it is where Discord keeps attachments, or its stand-in, at `HOST:PORT`.
fn is_attachment(url: &Url, stand_in: Option<&str>) -> bool {
    let is_bare = url.username().is_empty() && url.password().is_none();
    let at = |scheme: &str, host: &str| {
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        url.scheme() == scheme && format!("{}{port}", url.host_str().unwrap_or_default()) == host
    };
    let is_there = stand_in.map_or_else(|| at("https", CDN), |host| at("http", host));
    let is_kept =
        ["/attachments/", "/ephemeral-attachments/"].iter().any(|kept| url.path().starts_with(kept));
    is_bare && is_there && is_kept
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::fs;

    const HASH: &str = "dd8255ecdc7ca55fb0bbf81323d87062db1f6d1c";

    #[test]
    fn what_is_refused_leaves_the_file_that_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("bot.toml");
        fs::write(&config, "guilds = [1]\n").unwrap();
        let path = Some(PathBuf::from("torrents/x.torrent"));
        let named = |name: &str| {
            let (name, licence) = (name.to_owned(), "MIT".to_owned());
            Entry { name, licence, size: Some(1), path: path.clone(), ..unnamed(HASH.into()) }
        };
        keep(&config, &named("one"), Some(b"first")).unwrap();
        let refused = keep(&config, &named("two"), Some(b"second")).unwrap_err();
        assert!(refused.contains("there already"), "{refused}");
        assert_eq!(fs::read(dir.path().join("torrents/x.torrent")).unwrap(), b"first");
    }

    #[test]
    fn attachments_are_fetched_from_discord_and_from_nowhere_else() {
        let is = |url: &str, stand_in| Url::parse(url).is_ok_and(|url| is_attachment(&url, stand_in));
        assert!(is("https://cdn.discordapp.com/attachments/1/2/x.torrent?ex=3", None));
        assert!(is("https://CDN.discordapp.com:443/ephemeral-attachments/1/2/x", None));
        for other in [
            "http://cdn.discordapp.com/attachments/1/2/x",
            "https://cdn.discordapp.com:8443/attachments/1/2/x",
            "https://cdn.discordapp.com.evil.example/attachments/1/2/x",
            "https://evil.example/attachments/cdn.discordapp.com",
            "https://cdn.discordapp.com@evil.example/attachments/1/2/x",
            "https://a:b@cdn.discordapp.com/attachments/1/2/x",
            "https://cdn.discordapp.com/api/webhooks/1",
            "https://cdn.discordapp.com/attachments/../api",
            "https://127.0.0.1/attachments/1/2/x",
            "https://[::1]/attachments/1/2/x",
            "https://169.254.169.254/attachments/1",
            "file:///attachments/1/2/x",
        ] {
            assert!(!is(other, None), "{other}");
        }
        let stand_in = Some("127.0.0.1:81");
        assert!(is("http://127.0.0.1:81/attachments/1/2/x", stand_in));
        assert!(!is("http://127.0.0.1:82/attachments/1/2/x", stand_in));
        assert!(!is("https://cdn.discordapp.com/attachments/1/2/x", stand_in));
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_asked_for() {
        let url = "https://cdn.discordapp.com/attachments/1/2/x.torrent";
        assert!(fetch(url, MAX_TORRENT + 1, None).await.unwrap_err().contains("too large"));
        assert!(fetch("https://evil.example/x", 1, None).await.unwrap_err().contains("no attachment"));
    }

    #[test]
    fn of_a_link_only_the_hash_is_taken() {
        let link = format!("magnet:?xt=urn:btih:{HASH}&dn=x&tr=http%3A%2F%2F10.0.0.1%2Fpass&x.pe=10.0.0.2:1");
        for link in [HASH, &HASH.to_uppercase(), &link, &format!(" {link} ")] {
            assert_eq!(of_link(link).unwrap(), unnamed(HASH.to_owned()));
        }
        let v2 = format!("magnet:?xt=urn:btmh:1220{}", "ab".repeat(32));
        assert!(of_link(&v2).unwrap_err().contains("no v1"));
        for wrong in ["", "abc", "https://example.org/x.torrent", "magnet:?dn=x"] {
            assert!(of_link(wrong).unwrap_err().contains("no link"), "{wrong}");
        }
    }

    #[test]
    fn a_file_stays_with_its_entry_and_not_without() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("discord.toml");
        fs::write(&config, "guilds = [1]\n").unwrap();
        let file = b"d4:infod6:lengthi5e4:name1:n12:piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhhee";
        assert!(of_file(b"d4:infode").unwrap_err().starts_with("That is no torrent file"));
        let entry = Entry { name: "n".into(), licence: "MIT".into(), ..of_file(file).unwrap() };
        let path = dir.path().join(entry.path.as_ref().unwrap());

        let unnamed = Entry { name: "a\u{202e}".into(), ..entry.clone() };
        assert!(keep(&config, &unnamed, Some(file)).unwrap_err().contains("not seen"));
        assert!(!path.exists(), "what is not taken leaves nothing");
        keep(&config, &entry, Some(file)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), file);
        assert_eq!(Config::read(&config).unwrap().torrents, std::slice::from_ref(&entry));
        assert!(keep(&config, &entry, Some(file)).unwrap_err().contains("there already"));
        assert!(path.exists(), "it belongs to the one that is there");
        let told = keep(&dir.path().join("none.toml"), &entry, None).unwrap_err();
        assert_eq!(told, UNWRITTEN, "nobody is told where it is");
    }
}
