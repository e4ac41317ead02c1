//! The categories of qBittorrent: `categories.json` and what `qBittorrent.conf` says of the folder that they are below.

use crate::libtorrent::label;
use crate::limits::{MAX_CATEGORIES, MAX_JSON_DEPTH};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::str::CharIndices;

/// Folders of categories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Categories {
    /// Where torrents without a category go.
    default: Option<String>,
    /// Whether `films/hd` is below the folder of `films`.
    nested: bool,
    /// As they are written: absolute, below the default one, or empty for that and the category's name.
    dirs: BTreeMap<String, String>,
}

impl Categories {
    /// Reads them from `categories.json` and `qBittorrent.conf`. What is damaged says nothing.
    pub fn read(categories: &[u8], conf: &[u8]) -> Categories {
        let mut dirs = BTreeMap::new();
        if let Ok(text) = core::str::from_utf8(categories) {
            // What was read before it turns out to be damaged is good all the same.
            let _ = Json { rest: text, depth: 0 }.object(|name, json| {
                let mut dir = String::new();
                json.object_or_other(|key, json| match json.string() {
                    Some(text) if key == "save_path" => {
                        dir = text;
                        Some(())
                    }
                    Some(_) => Some(()),
                    None => json.skip(),
                })?;
                if let Some(name) = label(name.as_bytes()).filter(|_| dirs.len() < MAX_CATEGORIES) {
                    dirs.insert(name, dir);
                }
                Some(())
            });
        }
        let nested = setting(conf, "Session\\SubcategoriesEnabled") == Some("true");
        Categories { default: default_dir(conf), nested, dirs }
    }

    /// The absolute path of the folder that torrents of a category, or of none, go to, if it is known.
    pub fn dir_of(&self, category: Option<&str>) -> Option<String> {
        let Some(category) = category else { return self.default.clone() };
        self.dirs.contains_key(category).then(|| self.dir_of_name(category))?
    }

    /// The same; of a category that is not there, as one above another may be, what its name makes of it.
    fn dir_of_name(&self, category: &str) -> Option<String> {
        match self.dirs.get(category).map_or("", String::as_str) {
            "" => {
                let (parent, own) = match category.rsplit_once('/').filter(|_| self.nested) {
                    Some((parent, own)) => (self.dir_of_name(parent)?, own),
                    None => (self.default.clone()?, category),
                };
                let leads_out = own.split('/').any(|part| part == "..");
                (!leads_out).then(|| below(&parent, &valid(own)))
            }
            dir if dir.contains('\0') => None,
            dir if is_absolute(dir) => Some(dir.to_owned()),
            dir => Some(below(self.default.as_deref()?, dir)),
        }
    }

    /// All categories whose folder is known.
    pub fn all(&self) -> impl Iterator<Item = (&str, String)> {
        self.dirs.keys().filter_map(|category| Some((category.as_str(), self.dir_of(Some(category))?)))
    }
}

fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0')
}

fn below(dir: &str, path: &str) -> String {
    format!("{}/{path}", dir.strip_suffix('/').unwrap_or(dir))
}

/// The name of a folder, as qBittorrent makes it of the name of a category (`toValidPath`).
fn valid(name: &str) -> String {
    name.replace([':', '?', '"', '*', '<', '>', '|'], " ")
}

pub(crate) fn setting<'a>(conf: &'a [u8], key: &str) -> Option<&'a str> {
    let conf = core::str::from_utf8(conf).ok()?;
    conf.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))
}

/// The newer of the two keys that it has had.
fn default_dir(conf: &[u8]) -> Option<String> {
    let of = |key: &str| {
        let value = setting(conf, key)?;
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        // What is escaped is not worth guessing at.
        Some(bare.to_owned()).filter(|dir| is_absolute(dir) && !dir.contains('\\'))
    };
    of("Session\\DefaultSavePath").or_else(|| of("Downloads\\SavePath"))
}

/// What is left of a text of JSON. Each method takes what it reads; `None`: it is not that, or damaged.
struct Json<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Json<'a> {
    fn take(&mut self, what: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(what)?;
        Some(())
    }

    /// Hands each key to `each`, which takes its value.
    fn object(&mut self, mut each: impl FnMut(String, &mut Json<'a>) -> Option<()>) -> Option<()> {
        self.list('{', '}', |json| {
            let key = json.string()?;
            json.take(':')?;
            each(key, json)
        })
    }

    /// The same; of what is no object nothing.
    fn object_or_other(&mut self, each: impl FnMut(String, &mut Json<'a>) -> Option<()>) -> Option<()> {
        match self.rest.trim_start().starts_with('{') {
            true => self.object(each),
            false => self.skip(),
        }
    }

    fn list(
        &mut self,
        open: char,
        close: char,
        mut each: impl FnMut(&mut Json<'a>) -> Option<()>,
    ) -> Option<()> {
        self.take(open)?;
        self.depth += 1;
        if self.depth > MAX_JSON_DEPTH {
            return None;
        }
        if self.take(close).is_none() {
            loop {
                each(self)?;
                if self.take(',').is_none() {
                    self.take(close)?;
                    break;
                }
            }
        }
        self.depth -= 1;
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        let text = self.rest.trim_start().strip_prefix('"')?;
        let (mut chars, mut found) = (text.char_indices(), String::new());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &text[at + 1..];
                    return Some(found);
                }
                '\\' => match chars.next()?.1 {
                    'u' => {
                        let first = unit(&mut chars)?;
                        let mut units = [first, 0];
                        let is_pair = (0xd800..0xdc00).contains(&first);
                        if is_pair {
                            let ((_, '\\'), (_, 'u')) = (chars.next()?, chars.next()?) else { return None };
                            units[1] = unit(&mut chars)?;
                        }
                        let units = units.into_iter().take(1 + usize::from(is_pair));
                        found.extend(
                            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)),
                        );
                    }
                    'n' => found.push('\n'),
                    't' => found.push('\t'),
                    'r' => found.push('\r'),
                    'b' | 'f' => found.push(' '),
                    c => found.push(c),
                },
                c => found.push(c),
            }
        }
        None
    }

    /// Any value.
    fn skip(&mut self) -> Option<()> {
        match self.rest.trim_start().chars().next()? {
            '"' => self.string().map(drop),
            '{' => self.object(|_, json| json.skip()),
            '[' => self.list('[', ']', Json::skip),
            _ => {
                let text = self.rest.trim_start();
                let end = text.find([',', '}', ']']).filter(|&end| end > 0)?;
                self.rest = &text[end..];
                Some(())
            }
        }
    }
}

/// Four hexadecimal digits.
fn unit(chars: &mut CharIndices<'_>) -> Option<u16> {
    let digits: Option<String> = (0..4).map(|_| Some(chars.next()?.1)).collect();
    u16::from_str_radix(&digits?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const CONF: &[u8] = b"[BitTorrent]\nSession\\DefaultSavePath=/srv/all/\nSession\\Port=1\n[Preferences]\nDownloads\\SavePath=/old\n";

    #[test]
    fn categories_have_folders() {
        let json = br#"{ "films": {"save_path": "/srv/films", "download_path": null, "x": [1, {"y": true}]},
            "series": {"save_path": ""}, "a/b": {"download_path": false, "save_path": "below"},
            "\u00fc\ud83d\ude00\"": {"save_path": "/\n"}, "old": "text", "": {"save_path": "/none"} }"#;
        let categories = Categories::read(json, CONF);
        let dir = |category| categories.dir_of(category);
        assert_eq!(dir(Some("films")).as_deref(), Some("/srv/films"));
        assert_eq!(dir(Some("series")).as_deref(), Some("/srv/all/series"));
        assert_eq!(dir(Some("a/b")).as_deref(), Some("/srv/all/below"));
        assert_eq!(dir(Some("\u{fc}\u{1f600}\"")).as_deref(), Some("/\n"));
        assert_eq!((dir(None).as_deref(), dir(Some("unknown"))), (Some("/srv/all/"), None));
        let all: Vec<_> = categories.all().map(|(category, _)| category).collect();
        assert_eq!(all, ["a/b", "films", "old", "series", "\u{fc}\u{1f600}\""]);
        let older = Categories::read(b"{\"x\":{}}", b"Downloads\\SavePath=\"/old\"\r\n");
        assert_eq!(older.dir_of(Some("x")).as_deref(), Some("/old/x"));
        let without = Categories::read(json, b"Session\\DefaultSavePath=/a\\xe4b\n");
        assert_eq!((without.dir_of(None), without.all().count()), (None, 2));
    }

    #[test]
    fn categories_may_be_below_others() {
        let json = br#"{"films/hd":{}, "films":{"save_path":"/srv/films"}, "a/b/c":{"save_path":""}, "a/b":{"save_path":"in b"},
            "x/y/z":{}, "films/hd/new":{"save_path":"own"}}"#;
        let dirs = |enabled: &str| {
            let conf = format!("Session\\DefaultSavePath=/all\nSession\\SubcategoriesEnabled{enabled}\n");
            let categories = Categories::read(json, conf.as_bytes());
            ["films/hd", "a/b/c", "x/y/z", "films/hd/new"].map(|name| categories.dir_of(Some(name)).unwrap())
        };
        assert_eq!(dirs("=true"), ["/srv/films/hd", "/all/in b/c", "/all/x/y/z", "/all/own"]);
        let flat = ["/all/films/hd", "/all/a/b/c", "/all/x/y/z", "/all/own"];
        assert_eq!((dirs("=false"), dirs("Not=true")), (flat.map(String::from), flat.map(String::from)));
    }

    #[test]
    fn names_of_categories_make_folders_below_the_default_one() {
        let json = br#"{"..":{}, "../../etc":{}, "a/../b":{}, "a/..":{}, "../c":{}, "..d/e..":{}, "a:b?\"*<>|c":{}, "f":{"save_path":"/\u0000"}}"#;
        for nested in ["", "Session\\SubcategoriesEnabled=true\n"] {
            let conf = format!("Session\\DefaultSavePath=/all\n{nested}");
            let categories = Categories::read(json, conf.as_bytes());
            let all: Vec<_> = categories.all().map(|(_, dir)| dir).collect();
            assert_eq!(all, ["/all/..d/e..", "/all/a b      c"], "{nested}");
            assert_eq!(categories.dir_of(Some("../../etc")), None);
        }
    }

    #[test]
    fn what_is_damaged_says_nothing() {
        let json = br#"{"a":{"save_path":"/a"},"b":{"save_path":"/b","c":[[],{}]}}"#;
        for end in 0..json.len() {
            assert!(Categories::read(&json[..end], b"").dirs.len() <= 2);
        }
        for bad in [
            &b"\xff"[..],
            b"",
            b"[]",
            b"{\"a\"}",
            b"{\"a\":}",
            br#"{"a":{"save_path":"\u12"}}"#,
            br#"{"\ud800":{}}"#,
        ] {
            assert_eq!(Categories::read(bad, b"\xff"), Categories::default());
        }
    }

    #[test]
    fn so_many_categories_are_read_and_so_deep() {
        let many = |count: usize| {
            let inner: Vec<_> = (0..count).map(|n| format!("\"{n}\":{{\"save_path\":\"/x\"}}")).collect();
            Categories::read(format!("{{{}}}", inner.join(",")).as_bytes(), b"").dirs.len()
        };
        assert_eq!((many(MAX_CATEGORIES), many(MAX_CATEGORIES + 1)), (MAX_CATEGORIES, MAX_CATEGORIES));
        let deep = |depth: usize| {
            let json = format!("{{\"a\":{{\"x\":{}{}}}}}", "[".repeat(depth - 2), "]".repeat(depth - 2));
            Categories::read(json.as_bytes(), b"").dirs.len()
        };
        assert_eq!((deep(MAX_JSON_DEPTH), deep(MAX_JSON_DEPTH + 1)), (1, 0));
    }
}
