//! A magnet link of another client's session.

use crate::found::is_called;
use crate::limits::MAX_LINK_TRACKERS;
use crate::{Refused, Wishes};
use alloc::string::String;
use alloc::vec::Vec;
use metainfo::Magnet;
use types::{InfoHash, InfoHashV1};

/// A link whose metadata another client had not found yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The link, in so far as it was kept.
    pub magnet: Magnet,
    /// What was chosen for what it names.
    pub wishes: Wishes,
}

impl Link {
    /// A link as its user gave it.
    pub(crate) fn of_text(text: &[u8], id: &str, wishes: Wishes) -> Result<Link, Refused> {
        Link::of_magnet(Magnet::parse(text.trim_ascii()).map_err(Refused::Link)?, id, wishes)
    }

    /// A link of which only the parts were kept: `id` is an info-hash.
    pub(crate) fn of_parts(
        id: &str,
        name: Option<&[u8]>,
        trackers: Vec<&[u8]>,
        wishes: Wishes,
    ) -> Result<Link, Refused> {
        let hash: InfoHashV1 = id.parse().map_err(|_| Refused::Another)?;
        let text = |bytes: &[u8]| core::str::from_utf8(bytes).ok().map(String::from);
        let mut magnet = Magnet::new(InfoHash::V1(hash));
        magnet.name = name.and_then(text).filter(|name| !name.is_empty());
        magnet.trackers = trackers.into_iter().filter_map(text).collect();
        Link::of_magnet(magnet, id, wishes)
    }

    fn of_magnet(mut magnet: Magnet, id: &str, wishes: Wishes) -> Result<Link, Refused> {
        if !is_called(magnet.info_hash, id) {
            return Err(Refused::Another);
        }
        wishes.check()?;
        let mut bytes = 0;
        magnet.trackers.retain(|url| {
            bytes += url.len();
            bytes <= MAX_LINK_TRACKERS
        });
        Ok(Link { magnet, wishes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;
    use std::vec;

    #[test]
    fn a_link_is_made_of_what_was_kept_of_it() {
        let id = "ab".repeat(20);
        let parts = |name, trackers| Link::of_parts(&id, name, trackers, Wishes::new(b"/x"));
        let link = parts(Some(&b"a b"[..]), vec![&b"http://t/announce"[..], b"\xff"]).unwrap();
        let text = format!("magnet:?xt=urn:btih:{id}&dn=a%20b&tr=http%3A%2F%2Ft%2Fannounce");
        assert_eq!(link.magnet.to_string(), text);
        assert_eq!(Link::of_text(format!("{text}\n").as_bytes(), &id, Wishes::new(b"/x")), Ok(link));
        assert_eq!(parts(Some(b""), Vec::new()).unwrap().magnet.name, None);
        let another = Link::of_text(text.as_bytes(), &"ba".repeat(20), Wishes::new(b"/x"));
        assert_eq!(another, Err(Refused::Another));
        assert!(matches!(Link::of_text(b"x", &id, Wishes::new(b"/x")), Err(Refused::Link(_))));
        assert_eq!(Link::of_text(text.as_bytes(), &id, Wishes::new(b"")), Err(Refused::NoDir));
        assert_eq!(Link::of_parts("x", None, Vec::new(), Wishes::new(b"/x")), Err(Refused::Another));
    }

    #[test]
    fn a_link_can_be_read_again_however_many_trackers_there_are() {
        let id = "ab".repeat(20);
        let url = format!("http://{}", "?".repeat(MAX_LINK_TRACKERS / 100));
        let trackers = vec![url.as_bytes(); 1000];
        let link = Link::of_parts(&id, None, trackers, Wishes::new(b"/x")).unwrap();
        assert!(link.magnet.trackers.len() > 90);
        assert!(Magnet::parse(link.magnet.to_string()).is_ok());
    }
}
