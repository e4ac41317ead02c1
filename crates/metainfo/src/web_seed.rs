//! Where a web seed has each file (BEP 19).

use crate::{File, Limits, Metainfo};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bencode::Value;
use core::fmt::Write;

/// Where the files of a torrent lie below the URL of any of its web seeds.
///
/// A web seed has files under the names that stand in the torrent, not under those that were made fit for our disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSeedPaths {
    /// Of each file, its path with every byte escaped that has a meaning in a URL.
    paths: Vec<String>,
    is_multi_file: bool,
}

impl Metainfo {
    /// Where a web seed has each file; a pass over the list of files.
    ///
    /// Of a v2 torrent, and of a file whose path leads nowhere or out of its folder, the safe path is taken; so it is of all
    /// files if the info dictionary is on a shelf that cannot be read.
    pub fn web_seed_paths(&self) -> WebSeedPaths {
        let limits = bencode::Limits {
            max_input: self.info.len(),
            max_values: Limits::DEFAULT.max_values,
            ..bencode::Limits::DEFAULT
        };
        let info = self.info_bytes().ok();
        let document = info.as_deref().and_then(|info| bencode::decode_with(info, limits).ok());
        let info = document.as_ref().map(bencode::Document::root);
        let name = info.and_then(|info| utf8_or_raw(info, "name", Value::as_bytes)).unwrap_or_default();
        let mut list = info.and_then(|info| info.get("files")?.as_list());
        let mut path = |file: &File| {
            let below = list.as_mut().map(|list| {
                let path = list.next().and_then(|entry| utf8_or_raw(entry, "path", Value::as_list));
                path.into_iter().flatten().map(|element| element.as_bytes().unwrap_or_default())
            });
            let elements: Vec<&[u8]> = core::iter::once(name).chain(below.into_iter().flatten()).collect();
            let is_whole = self.is_multi_file == (elements.len() > 1);
            match is_whole && elements.iter().all(|element| !matches!(*element, b"" | b"." | b"..")) {
                true => escaped(&elements),
                false => escaped(&file.path.elements().map(str::as_bytes).collect::<Vec<_>>()),
            }
        };
        let paths = self.files.iter().map(&mut path).collect();
        WebSeedPaths { paths, is_multi_file: self.is_multi_file }
    }
}

impl WebSeedPaths {
    /// The URL of a file at the web seed `base`; `None` for a file that the torrent does not have.
    ///
    /// The URL of a torrent that is a file, not a folder, is `base` itself unless that ends with `/`. Of a folder `base` is
    /// where the folder lies, unless it asks a program for files.
    pub fn url(&self, base: &str, file: usize) -> Option<String> {
        let path = self.paths.get(file)?;
        let is_open = !base.ends_with('/');
        Some(match self.is_multi_file {
            false if is_open => base.to_string(),
            true if is_open && !base.contains(['?', '#']) => [base, "/", path].concat(),
            _ => [base, path].concat(),
        })
    }
}

/// What stands under `key`, as UTF-8 if both are there.
fn utf8_or_raw<'d, T>(dict: Value<'d>, key: &str, is: impl Fn(Value<'d>) -> Option<T>) -> Option<T> {
    dict.get(format!("{key}.utf-8")).and_then(&is).or_else(|| is(dict.get(key)?))
}

/// The elements, joined by `/`; of their bytes only those stand for themselves that never mean anything else (RFC 3986).
fn escaped(elements: &[&[u8]]) -> String {
    let mut path = String::new();
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            path.push('/');
        }
        for &byte in *element {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => path.push(byte.into()),
                _ => write!(path, "%{byte:02X}").expect("a string takes all that is written to it"),
            }
        }
    }
    path
}
