//! Names from strangers, made fit for a file system.
//!
//! A name may hold anything: separators, `..`, control characters, text that runs from right to left, bytes that are
//! not text at all. What comes out is one path element that stays where it is put and looks like what it is.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use icu_normalizer::DecomposingNormalizerBorrowed;

/// The longest name in bytes, an extension of up to [`MAX_EXTENSION_LEN`] bytes not counted. Longer ones are cut.
///
/// File systems allow 255; what is left is for a number that tells two files apart.
pub const MAX_ELEMENT_LEN: usize = 240;

/// How many bytes of extension, its dot included, survive when a name is cut.
pub const MAX_EXTENSION_LEN: usize = 9;

/// Which characters a file system refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Anything but `/` and NUL will do.
    Posix,
    /// Neither `<>:"|?*` nor a dot or space at the end, nor `nul.txt`.
    Windows,
}

impl Rules {
    /// The rules of the platform that this was built for.
    pub const NATIVE: Rules = if cfg!(windows) { Rules::Windows } else { Rules::Posix };
}

/// One element of a path, made safe: `None` if nothing is left of it, as of `..` or `/`.
///
/// - bytes that are not UTF-8 become `_` ([`repair_utf8`]), as do control characters;
/// - separators of either kind and invisible characters (text direction, zero width) are dropped;
/// - names of Windows' devices (`con`, `COM1`) get a `_` in front on every platform, since torrents travel;
/// - long names are cut, but keep their extension;
/// - an empty name becomes `_`.
pub fn safe_element(raw: &[u8], rules: Rules) -> Option<String> {
    if raw.is_empty() {
        return Some("_".to_owned());
    }
    let text = repair_utf8(raw);
    let visible = text.chars().filter(|&c| !is_dropped(c));
    let mut name: String = visible.map(|c| replaced(c, rules)).collect();
    if matches!(name.as_str(), "" | "." | "..") {
        return None;
    }
    if is_device(&name, rules) {
        name.insert(0, '_');
    }
    name = shortened(name);
    if rules == Rules::Windows {
        name.truncate(name.trim_end_matches(['.', ' ']).len());
        if name.is_empty() {
            name.push('_');
        }
    }
    Some(name)
}

/// A path as the file systems see it that take most names for the same: two paths that are equal in this form may lead to
/// one file somewhere.
///
/// Upper and lower case are one, also where one letter becomes two (`ß`, `SS`) or has several small forms (`σ`, `ς`); so are
/// letters in one piece and with their marks apart (Unicode's canonical caseless matching, as APFS, HFS+, and ext4 and f2fs
/// with `casefold` do it), and what is not seen at all counts for nothing (`Default_Ignorable_Code_Point`, as the latter do).
///
/// No two characters on both sides of a `/` are taken together: of a path, each element has a form of its own.
pub fn folded(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    let apart = DecomposingNormalizerBorrowed::new_nfd();
    // By way of upper case, small letters that have one capital become the same; `ẞ` is one of its own, but not in lower case.
    let in_one_case = |c: char| {
        let upper = c.to_lowercase().flat_map(char::to_uppercase);
        upper.flat_map(char::to_lowercase)
    };
    let seen = path.chars().filter(|&c| !types::is_ignorable(c));
    apart.normalize_iter(apart.normalize_iter(seen).flat_map(in_one_case)).collect()
}

/// Folds one path after another ([`folded`]), of each only what differs from the one before: the paths of a torrent may be
/// far longer together than the torrent, which names each folder once.
#[derive(Debug, Default)]
pub struct Folding {
    path: String,
    folded: String,
    /// Where elements end, in both.
    ends: Vec<(usize, usize)>,
}

impl Folding {
    /// What [`folded`] says of a path.
    pub fn fold(&mut self, path: &str) -> &str {
        let common = self.path.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count();
        let is_common = |&&(end, _): &&(usize, usize)| {
            end <= common && path.as_bytes().get(end).is_none_or(|&next| next == b'/')
        };
        let kept = self.ends.iter().take_while(is_common).count();
        self.ends.truncate(kept);
        let (mut at, folded_to) = self.ends.last().copied().unwrap_or_default();
        self.folded.truncate(folded_to);
        self.path.truncate(at);
        self.path.push_str(&path[at..]);
        while at < path.len() {
            if !self.ends.is_empty() {
                self.folded.push('/');
                at += 1;
            }
            let end = path[at..].find('/').map_or(path.len(), |len| at + len);
            self.folded.push_str(&folded(&path[at..end]));
            self.ends.push((end, self.folded.len()));
            at = end;
        }
        &self.folded
    }
}

/// Text with one `_` for each run of bytes that is not UTF-8 (a false start and the continuation bytes after it).
pub fn repair_utf8(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut after_invalid = false;
    for chunk in raw.utf8_chunks() {
        text.push_str(chunk.valid());
        let continues =
            after_invalid && chunk.valid().is_empty() && chunk.invalid().iter().all(is_continuation);
        after_invalid = !chunk.invalid().is_empty();
        if after_invalid && !continues {
            text.push('_');
        }
    }
    text
}

fn is_continuation(byte: &u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Separators, and characters that are not seen but change how the others look.
fn is_dropped(c: char) -> bool {
    matches!(c, '/' | '\\' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn replaced(c: char, rules: Rules) -> char {
    let refused = rules == Rules::Windows && matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*');
    if c.is_control() || refused { '_' } else { c }
}

fn shortened(mut name: String) -> String {
    if name.len() <= MAX_ELEMENT_LEN {
        return name;
    }
    let dot = name.rfind('.').filter(|dot| name.len() - dot <= MAX_EXTENSION_LEN);
    let extension = name.split_off(dot.unwrap_or(name.len()));
    let whole_chars = (0..=MAX_ELEMENT_LEN).rev().find(|&len| name.is_char_boundary(len));
    name.truncate(whole_chars.unwrap_or(0));
    name + &extension
}

/// `CON` and the like, which Windows takes for devices in every folder and, of old, with any extension.
fn is_device(name: &str, rules: Rules) -> bool {
    let stem = if rules == Rules::Windows { name.split('.').next().unwrap_or(name).trim_end() } else { name };
    let is = |device: &str| stem.eq_ignore_ascii_case(device);
    let numbered = |port: &str| {
        stem.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(port))
            && matches!(
                &stem[3..],
                "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
            )
    };
    ["con", "prn", "aux", "nul", "conin$", "conout$"].into_iter().any(is)
        || numbered("com")
        || numbered("lpt")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn posix(raw: &str) -> Option<String> {
        safe_element(raw.as_bytes(), Rules::Posix)
    }

    #[test]
    fn devices_are_renamed() {
        for device in ["con", "NUL", "Com1", "lpt9", "COM²", "CONIN$"] {
            assert_eq!(posix(device).unwrap(), std::format!("_{device}"));
        }
        for harmless in ["console", "com", "com10", "aux.c", "nul.txt", "c\u{f6}m1", "комп"] {
            assert_eq!(posix(harmless).unwrap(), harmless);
        }
        assert_eq!(safe_element(b"nul.tar.gz", Rules::Windows).unwrap(), "_nul.tar.gz");
        assert_eq!(safe_element(b"aux .c", Rules::Windows).unwrap(), "_aux .c");
        assert_eq!(posix("c\u{200b}on").unwrap(), "_con", "seen as it will be, not as it was");
    }

    #[test]
    fn long_names_keep_their_extension() {
        let cut = |stem: usize, rest: &str| posix(&("x".repeat(stem) + rest)).unwrap();
        assert_eq!(cut(240, ""), "x".repeat(240));
        assert_eq!(cut(241, ""), "x".repeat(240));
        assert_eq!(cut(300, ".flac"), "x".repeat(240) + ".flac");
        assert_eq!(cut(300, ".longextension"), "x".repeat(240));
        assert_eq!(cut(239, "éé").len(), 239, "no half characters");
    }

    #[test]
    fn names_that_some_file_system_takes_for_one_are_one() {
        for same in [
            &["Read.me", "READ.ME"][..],
            &["stra\u{df}e", "STRASSE", "stra\u{1e9e}e", "stra\u{17f}se"],
            &["\u{e9}t\u{e9}", "e\u{301}te\u{301}", "E\u{301}T\u{c9}"],
            &["\u{3c3}\u{3bf}\u{3c2}", "\u{3a3}\u{39f}\u{3a3}", "\u{3c3}\u{3bf}\u{3c3}"],
            &["\u{fb01}n", "fin", "FIN"],
            &["\u{212b}", "\u{e5}", "A\u{30a}"],
            &["\u{1fb3}", "\u{3b1}\u{3b9}", "\u{3b1}\u{345}"],
            &["q\u{307}\u{323}", "q\u{323}\u{307}"],
            &["\u{d55c}", "\u{1112}\u{1161}\u{11ab}"],
            &["a\u{ad}b", "ab", "a\u{fe0f}b"],
        ] {
            for name in same {
                assert_eq!(folded(name), folded(same[0]), "{name} of {same:?}");
            }
        }
        for [a, b] in
            [["a", "b"], ["e", "\u{e9}"], ["o", "\u{f6}"], ["\u{ff41}", "a"], ["1", "\u{b9}"], ["s", "ss"]]
        {
            assert_ne!(folded(a), folded(b));
        }
    }

    #[test]
    fn what_is_deep_down_is_folded_once() {
        // 90 MiB of paths, which to fold by themselves would take ten seconds.
        let folder = ["\u{390}".repeat(120).as_str(); 80].join("/");
        let mut folding = Folding::default();
        let one = folding.fold(&folder).len();
        for n in 0..5_000 {
            assert!(folding.fold(&alloc::format!("{folder}/{n}")).len() > one);
        }
    }

    proptest! {
        #[test]
        fn paths_are_folded_as_one_by_one(paths in proptest::collection::vec("[aAß/\u{345}]{0,9}", 0..9)) {
            let mut folding = Folding::default();
            for path in paths {
                prop_assert_eq!(folding.fold(&path), folded(&path));
            }
        }

        #[test]
        fn what_is_folded_stays_so(text: String) {
            let once = folded(&text);
            prop_assert_eq!(folded(&once), once);
        }

        #[test]
        fn what_is_safe_stays_safe(raw in proptest::collection::vec(prop_oneof![
            3 => any::<u8>(),
            2 => proptest::sample::select(b"./\\: con\xe2\x80\xae".to_vec()),
        ], 0..300), windows: bool) {
            let rules = if windows { Rules::Windows } else { Rules::Posix };
            if let Some(name) = safe_element(&raw, rules) {
                prop_assert!(!name.is_empty() && name != "." && name != "..");
                prop_assert!(!name.contains(['/', '\\']) && !name.chars().any(char::is_control));
                prop_assert!(name.len() <= MAX_ELEMENT_LEN + MAX_EXTENSION_LEN);
                prop_assert!(!is_device(&name, rules));
                prop_assert_eq!(safe_element(name.as_bytes(), rules), Some(name), "once is enough");
            }
        }

        #[test]
        fn text_is_left_alone(text: String) {
            prop_assert_eq!(repair_utf8(text.as_bytes()), text);
        }
    }
}
