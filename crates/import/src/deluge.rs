//! Deluge: `state/torrents.state`, `state/torrents.fastresume` and `state/ID.torrent` (from 2.0 on).

use crate::assemble::strings;
use crate::libtorrent::{self, label};
use crate::limits::MAX_TORRENTS;
use crate::pickle::{self, Node, Pickle};
use crate::{Found, Item, Link, Refused, Wishes};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bencode::Value;
use swarm::Priority;

const STATE: &str = "torrents.state";
/// What Deluge calls a KiB per second.
const KIB: f64 = 1024.0;

/// A torrent of Deluge's list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its info-hash, which its torrent file is named after.
    pub id: String,
    dir: String,
    dir_when_complete: Option<String>,
    magnet: Option<String>,
    is_paused: bool,
    is_sequential: bool,
    is_finished: bool,
    priorities: Vec<i64>,
    max_down: Option<f64>,
    max_up: Option<f64>,
    stop_ratio: Option<f64>,
    removes_at_ratio: bool,
    queue: i64,
}

/// What the plugin Label calls torrents, by info-hash; `conf` is its file `label.conf`. Damaged: none.
pub fn labels(conf: &[u8]) -> BTreeMap<String, String> {
    let Ok(text) = core::str::from_utf8(conf) else { return BTreeMap::new() };
    // The file is two objects, of which the first tells its version.
    let Some((_, rest)) = text.split_once("\"torrent_labels\"") else { return BTreeMap::new() };
    let Some(inner) =
        rest.trim_start().strip_prefix(':').and_then(|rest| rest.trim_start().strip_prefix('\u{7b}'))
    else {
        return BTreeMap::new();
    };
    let mut strings = Strings(inner);
    let mut labels = BTreeMap::new();
    while labels.len() < MAX_TORRENTS
        && let (Some(id), Some(name)) = (strings.next(), strings.next())
    {
        labels.extend(label(name.as_bytes()).map(|name| (id, name)));
    }
    labels
}

const QUOTE: char = '\u{22}';

/// The strings of a JSON object that has no other values, until it ends.
struct Strings<'a>(&'a str);

impl Iterator for Strings<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let start = self.0.find([QUOTE, '\u{7d}']).filter(|&at| self.0[at..].starts_with(QUOTE))?;
        let mut chars = self.0[start + 1..].char_indices();
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                QUOTE => {
                    self.0 = &self.0[start + at + 2..];
                    return Some(text);
                }
                // Labels are lower-case letters, digits, `_` and `-`: what is escaped is none.
                '\u{5c}' => drop(chars.next()),
                c => text.push(c),
            }
        }
        None
    }
}

/// Reads the list of torrents.
///
/// # Errors
/// [`Refused::Damaged`], [`Refused::TooOld`].
pub fn list(state: &[u8]) -> Result<Vec<Listed>, Refused> {
    let pickle = Pickle::read(state).map_err(|err| match err {
        pickle::Error::Text => Refused::TooOld(STATE),
        pickle::Error::Damaged | pickle::Error::TooLarge => Refused::Damaged(STATE),
    })?;
    let torrents = pickle.root().get("torrents").ok_or(Refused::Damaged(STATE))?;
    Ok(torrents.list().filter_map(listed).take(MAX_TORRENTS).collect())
}

fn listed(torrent: Node<'_>) -> Option<Listed> {
    let text = |key: &str| torrent.get(key).and_then(Node::text);
    let flag = |key: &str| torrent.get(key).and_then(Node::flag).unwrap_or(false);
    // What is not limited is -1.
    let positive = |key: &str| torrent.get(key).and_then(Node::float).filter(|&n| n > 0.0 && n.is_finite());
    let priorities = torrent.get("file_priorities").into_iter().flat_map(Node::list);
    Some(Listed {
        id: text("torrent_id")?.to_owned(),
        dir: text("save_path").unwrap_or_default().to_owned(),
        dir_when_complete: text("move_completed_path")
            .filter(|_| flag("move_completed"))
            .map(ToOwned::to_owned),
        magnet: text("magnet").map(ToOwned::to_owned),
        is_paused: flag("paused"),
        is_sequential: flag("sequential_download"),
        is_finished: flag("is_finished"),
        priorities: priorities.map(|priority| priority.int().unwrap_or(4)).collect(),
        max_down: positive("max_download_speed"),
        max_up: positive("max_upload_speed"),
        stop_ratio: positive("stop_ratio").filter(|_| flag("stop_at_ratio")),
        removes_at_ratio: flag("remove_at_ratio"),
        queue: torrent.get("queue").and_then(Node::int).unwrap_or(-1),
    })
}

/// Resume data of all torrents, by info-hash; `None` if it is damaged.
pub fn resume_data(fastresume: &[u8]) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let document = bencode::decode(fastresume).ok()?;
    let entries = document.root().as_dict()?.take(MAX_TORRENTS);
    Some(entries.filter_map(|(id, data)| Some((id.to_owned(), data.as_bytes()?.to_owned()))).collect())
}

impl Listed {
    /// Reads what else there is of it. Without resume data nothing is claimed of it; without a torrent file it is a link.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn read(&self, resume: Option<&[u8]>, torrent: Option<&[u8]>) -> Result<Item, Refused> {
        let document = resume.and_then(|resume| libtorrent::decode(resume).ok());
        let resume = document.as_ref().map(bencode::Document::root);
        let Some(torrent) = torrent else { return self.link(resume).map(Item::from) };
        let torrent =
            resume.map_or_else(|| Ok(torrent.to_owned()), |root| libtorrent::torrent(root, torrent))?;
        let mut found = Found::new(torrent, &self.id, self.wishes())?;
        if let Some(root) = resume {
            let path = root.get("save_path").and_then(Value::as_bytes);
            // Of files elsewhere it says nothing.
            let is_here = path.is_none_or(|path| same_folder(path, self.dir.as_bytes()));
            libtorrent::read(&mut found, root, self.is_finished && is_here)?;
            let names = libtorrent::names(&found, root, None);
            found.set_names(names)?;
        }
        found.set_priorities(self.priorities.iter().map(|priority| match priority {
            0 => Priority::Skip,
            1..=3 => Priority::Low,
            5.. => Priority::High,
            _ => Priority::Normal,
        }));
        Ok(found.into())
    }

    fn link(&self, resume: Option<Value<'_>>) -> Result<Link, Refused> {
        if let Some(link) = self.magnet.as_ref().filter(|link| !link.is_empty()) {
            return Link::of_text(link.as_bytes(), &self.id, self.wishes());
        }
        let part = |key: &str| resume.and_then(|root| root.get(key));
        let tiers = part("trackers").and_then(Value::as_list).into_iter().flatten();
        let trackers = tiers.flat_map(|tier| strings(Some(tier))).collect();
        Link::of_parts(&self.id, part("name").and_then(Value::as_bytes), trackers, self.wishes())
    }

    fn wishes(&self) -> Wishes {
        let lies_in = self.dir.as_bytes();
        // Once it is complete it was moved, or lies elsewhere by its user's wish.
        let goes_to = self.dir_when_complete.as_deref().filter(|dir| !self.is_finished && !dir.is_empty());
        Wishes {
            paused: self.is_paused,
            sequential: self.is_sequential,
            place: self.queue,
            seed_ratio: self.stop_ratio,
            removed_when_seeded: self.removes_at_ratio && self.stop_ratio.is_some(),
            max_down: self.max_down.map(bytes),
            max_up: self.max_up.map(bytes),
            ..Wishes::new(goes_to.map_or(lies_in, str::as_bytes)).until_complete(Some(lies_in))
        }
    }
}

fn same_folder(one: &[u8], other: &[u8]) -> bool {
    let bare = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path).to_owned();
    bare(one) == bare(other)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; it saturates")]
fn bytes(kib: f64) -> u64 {
    (kib * KIB) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_or_none() {
        let conf = br#"{"file": 1}{"labels": {"linux": {"auto_add_trackers": []}}, "torrent_labels":
            {"aa": "linux", "bb": "x y", "cc": ""}, "zz": {"dd": "no"}}"#;
        let read = labels(conf);
        assert_eq!(read.get("aa").map(String::as_str), Some("linux"));
        assert_eq!((read.len(), read.contains_key("dd")), (2, false), "{read:?}");
        for end in 0..conf.len() {
            assert!(labels(&conf[..end]).len() <= 2);
        }
        assert!(labels(b"\xff").is_empty() && labels(b"\"torrent_labels\": 1").is_empty());
        let many: String = (0..=MAX_TORRENTS).map(|n| std::format!("\"{n}\":\"x\",")).collect();
        let many = std::format!("\"torrent_labels\":{{{many}}}");
        assert_eq!(labels(many.as_bytes()).len(), MAX_TORRENTS);
    }

    #[test]
    fn so_many_torrents_are_read() {
        let mut pickle =
            b"\x80\x02}X\x08\x00\x00\x00torrents](}X\x0a\x00\x00\x00torrent_idX\x01\x00\x00\x00asq\x00"
                .to_vec();
        pickle.extend(b"h\x00".repeat(MAX_TORRENTS + 1));
        pickle.extend(b"es.");
        assert_eq!(list(&pickle).unwrap().len(), MAX_TORRENTS);
    }
}
