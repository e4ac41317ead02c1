//! Whose turn it is: orders about one torrent are carried out in the order in which they were given, those about different
//! torrents beside each other.
//!
//! Files that are on their way hold up only what cannot be done meanwhile. Which torrent an `add` is about is not known
//! before it has been read: an order about a torrent that is not there waits for those that are being added.

use super::orders::{What, parse};
use engine::{Given, InfoHash, Magnet, Metainfo};
use tokio::sync::watch;

/// The orders that are under way.
#[derive(Debug, Default)]
pub(super) struct Turns(Vec<UnderWay>);

#[derive(Debug)]
struct UnderWay {
    about: About,
    removes: bool,
    begun: watch::Receiver<()>,
    ended: watch::Receiver<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Torrent(InfoHash),
    /// One that is being added.
    New,
}

/// An order's place among the others; the next may go on when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    before: Vec<watch::Receiver<()>>,
    removals: Vec<(InfoHash, watch::Receiver<()>)>,
    begun: Option<watch::Sender<()>>,
    _ended: watch::Sender<()>,
}

impl Turns {
    /// A place behind all orders about the same torrent.
    pub(super) fn take(&mut self, order: Option<&What>, is_here: impl Fn(InfoHash) -> bool) -> Turn {
        self.0.retain(|other| other.ended.has_changed().is_ok());
        let about = order.and_then(about);
        let goes = |one| self.0.iter().any(|other| other.removes && other.about == About::Torrent(one));
        let may_be_new = match about {
            Some(About::Torrent(one)) => goes(one) || !is_here(one),
            Some(About::New) | None => false,
        };
        let holds = |other: &UnderWay| match other.about {
            About::New => may_be_new,
            torrent @ About::Torrent(_) => about == Some(torrent),
        };
        let waits_for_all = order.is_some_and(What::needs_files_in_place);
        let until = |other: &UnderWay| if waits_for_all { other.ended.clone() } else { other.begun.clone() };
        let before = self.0.iter().filter(|other| holds(other)).map(until).collect();
        let removal = |other: &UnderWay| match other.about {
            About::Torrent(removed) if other.removes => Some((removed, other.ended.clone())),
            _ => None,
        };
        let is_new = about == Some(About::New);
        let removals = self.0.iter().filter(|_| is_new).filter_map(removal).collect();
        let (begun, ended) = (watch::Sender::new(()), watch::Sender::new(()));
        // Who only waits holds up nobody.
        if let Some(about) = about.filter(|_| !matches!(order, Some(What::Wait { .. }))) {
            let removes = matches!(order, Some(What::Remove { .. }));
            self.0.push(UnderWay { about, removes, begun: begun.subscribe(), ended: ended.subscribe() });
        }
        Turn { before, removals, begun: Some(begun), _ended: ended }
    }
}

impl Turn {
    /// Waits for those that come before.
    pub(super) async fn comes(&mut self) {
        for other in std::mem::take(&mut self.before) {
            is_over(other).await;
        }
    }

    /// Waits until the torrent that is to be added has gone, if an order before this one removes it.
    pub(super) async fn await_removals(&mut self, given: &Given) {
        let removals = std::mem::take(&mut self.removals);
        if removals.is_empty() {
            return;
        }
        let new = match given {
            Given::Torrent(file) => Metainfo::parse(file).ok().map(|metainfo| metainfo.info_hash()),
            Given::Magnet(link) => Magnet::parse(link).ok().map(|magnet| magnet.info_hash),
            // It may be any.
            Given::Url(_) => None,
        };
        for (_, removal) in
            removals.into_iter().filter(|&(gone, _)| new.is_none_or(|new| new.wire() == gone.wire()))
        {
            is_over(removal).await;
        }
    }

    /// What is asked from now on finds it begun, and need not wait for its end.
    pub(super) fn has_begun(&mut self) {
        self.begun = None;
    }
}

async fn is_over(mut other: watch::Receiver<()>) {
    // Nothing is ever sent: this ends when the sender does.
    let _ = other.changed().await;
}

fn about(order: &What) -> Option<About> {
    match order {
        What::Add(_) => Some(About::New),
        order => order.info_hash().and_then(|info_hash| parse(info_hash).ok()).map(About::Torrent),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde::Deserialize;
    use serde_json::{Value, json};
    use std::pin::pin;
    use std::task::{Context, Waker};

    const ONE: &str = "1111111111111111111111111111111111111111";
    const OTHER: &str = "2222222222222222222222222222222222222222";

    fn take(turns: &mut Turns, order: &Value) -> Turn {
        let order = What::deserialize(order).unwrap();
        turns.take(Some(&order), |info_hash| info_hash == parse(ONE).unwrap())
    }

    fn order(what: &str, info_hash: &str) -> Value {
        json!({"do": what, "info_hash": info_hash})
    }

    fn waits(turn: &mut Turn) -> bool {
        let before = turn.before.clone();
        let waits = is_pending(turn.comes());
        turn.before = before;
        waits
    }

    fn is_pending(future: impl Future<Output = ()>) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[test]
    fn orders_of_one_torrent_wait_for_each_other() {
        let mut turns = Turns::default();
        let first = take(&mut turns, &order("pause", ONE));
        let mut second = take(&mut turns, &order("resume", ONE));
        let mut third = take(&mut turns, &order("pause", ONE));
        let mut other = take(&mut turns, &order("pause", OTHER));
        assert!(waits(&mut second) && waits(&mut third) && !waits(&mut other));
        drop(first);
        assert!(!waits(&mut second) && waits(&mut third));
        drop(second);
        assert!(!waits(&mut third));
    }

    #[test]
    fn who_waits_holds_nobody_up() {
        let mut turns = Turns::default();
        let pause = take(&mut turns, &order("pause", ONE));
        let mut wait = take(&mut turns, &order("wait", ONE));
        assert!(waits(&mut wait));
        drop(pause);
        assert!(!waits(&mut take(&mut turns, &order("remove", ONE))));
    }

    #[test]
    fn files_on_their_way_hold_up_what_needs_them_in_place() {
        let mut turns = Turns::default();
        let mut moving = take(&mut turns, &json!({"do": "move", "info_hash": ONE, "dir": "/x"}));
        let mut pause = take(&mut turns, &order("pause", ONE));
        assert!(waits(&mut pause));
        moving.has_begun();
        assert!(!waits(&mut pause));
        drop(pause);
        let mut recheck = take(&mut turns, &order("recheck", ONE));
        let rename = json!({"do": "rename", "info_hash": ONE, "path": "x", "to": "y"});
        let mut rename = take(&mut turns, &rename);
        assert!(waits(&mut recheck) && waits(&mut rename));
        drop(moving);
        assert!(!waits(&mut recheck) && waits(&mut rename));
    }

    #[test]
    fn an_order_about_a_torrent_that_is_not_there_waits_for_those_that_are_added() {
        let mut turns = Turns::default();
        let add = take(&mut turns, &json!({"do": "add", "torrent": "x", "dir": "/x"}));
        let (mut one, mut other) =
            (take(&mut turns, &order("pause", ONE)), take(&mut turns, &order("wait", OTHER)));
        assert!(!waits(&mut one) && waits(&mut other));
        drop(add);
        assert!(!waits(&mut other));
        drop(one);
        assert!(take(&mut turns, &order("pause", OTHER)).before.is_empty());
        let _removal = take(&mut turns, &order("remove", ONE));
        let _add = take(&mut turns, &json!({"do": "add", "torrent": "x", "dir": "/x"}));
        assert_eq!(take(&mut turns, &order("pause", ONE)).before.len(), 2, "it is here, but goes");
    }

    #[test]
    fn a_torrent_that_is_added_again_waits_until_it_is_removed() {
        let mut turns = Turns::default();
        let removal = take(&mut turns, &order("remove", ONE));
        let mut add = || take(&mut turns, &json!({"do": "add", "torrent": "x", "dir": "/x"}));
        let (mut again, mut another, mut any) = (add(), add(), add());
        let link = |info_hash: &str| Given::Magnet(format!("magnet:?xt=urn:btih:{info_hash}"));
        assert!(is_pending(again.await_removals(&link(ONE))));
        assert!(!is_pending(another.await_removals(&link(OTHER))));
        assert!(is_pending(any.await_removals(&Given::Url("http://x/y".into()))));
        drop(removal);
        assert!(!is_pending(add().await_removals(&link(ONE))));
    }
}
