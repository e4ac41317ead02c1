//! Whose turn it is: orders about one torrent are carried out in the order in which they were given, those about different
//! torrents beside each other.
//!
//! Files that are on their way hold up only what cannot be done meanwhile. Which torrent an `add` is about is not known
//! before it has been read: an order about a torrent that is not there, one that removes, and another `add` wait until it is
//! known for those before them, and then for those about the same torrent.

use super::orders::{What, parse};
use engine::InfoHash;
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

#[derive(Clone, Debug)]
enum About {
    Torrent(InfoHash),
    /// One that is being added: which, once that is known.
    New(watch::Receiver<Option<InfoHash>>),
}

/// An order's place among the others; the next may go on when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    /// The torrent that it is about, if that was named.
    about: Option<InfoHash>,
    before: Vec<Before>,
    /// What an `add` waits for once it is known which torrent it is about.
    before_known: Vec<Before>,
    known: watch::Sender<Option<InfoHash>>,
    begun: Option<watch::Sender<()>>,
    _ended: watch::Sender<()>,
}

/// An order that comes before another.
#[derive(Clone, Debug)]
struct Before {
    about: About,
    over: watch::Receiver<()>,
}

impl Turns {
    /// A place behind all orders about the same torrent.
    pub(super) fn take(&mut self, order: Option<&What>, is_here: impl Fn(InfoHash) -> bool) -> Turn {
        self.0.retain(|other| other.ended.has_changed().is_ok());
        let is_new = matches!(order, Some(What::Add(_)));
        let about = order.and_then(What::info_hash).and_then(|info_hash| parse(info_hash).ok());
        let removes = matches!(order, Some(What::Remove { .. }));
        let is = |other: &UnderWay, one| matches!(other.about, About::Torrent(torrent) if torrent == one);
        let goes = |one| self.0.iter().any(|other| other.removes && is(other, one));
        // One that is here may only be added in vain; that it is to be removed then makes a difference.
        let may_be_new = about.is_some_and(|one| removes || goes(one) || !is_here(one));
        let holds = |other: &UnderWay| match other.about {
            About::New(_) => may_be_new,
            About::Torrent(_) => about.is_some_and(|one| is(other, one)),
        };
        let waits_for_all = order.is_some_and(What::needs_files_in_place);
        let until = |other: &UnderWay| if waits_for_all { other.ended.clone() } else { other.begun.clone() };
        let before = |other: &UnderWay, over| Before { about: other.about.clone(), over };
        let all_before = self.0.iter().filter(|other| holds(other)).map(|other| before(other, until(other)));
        let all_before = all_before.collect();
        let before_known = self.0.iter().filter(|other| is_new && (other.removes || other.is_new()));
        let before_known = before_known.map(|other| before(other, other.ended.clone())).collect();
        let known = watch::Sender::new(None);
        let (begun, ended) = (watch::Sender::new(()), watch::Sender::new(()));
        let entry = about.map(About::Torrent).or_else(|| is_new.then(|| About::New(known.subscribe())));
        // Who only waits holds up nobody.
        if let Some(about) = entry.filter(|_| !matches!(order, Some(What::Wait { .. }))) {
            self.0.push(UnderWay { about, removes, begun: begun.subscribe(), ended: ended.subscribe() });
        }
        Turn { about, before: all_before, before_known, known, begun: Some(begun), _ended: ended }
    }
}

impl UnderWay {
    fn is_new(&self) -> bool {
        matches!(self.about, About::New(_))
    }
}

impl Turn {
    /// Waits for those that come before.
    pub(super) async fn comes(&mut self) {
        let before = std::mem::take(&mut self.before);
        if let Some(about) = self.about {
            for other in before {
                other.makes_way(about).await;
            }
        }
    }

    /// What is to be added is known; waits for those before it that add or remove the same torrent.
    pub(super) async fn is_about(&mut self, new: InfoHash) {
        self.known.send_replace(Some(new));
        for other in std::mem::take(&mut self.before_known) {
            other.makes_way(new).await;
        }
    }

    /// What is asked from now on finds it begun, and need not wait for its end.
    pub(super) fn has_begun(&mut self) {
        self.begun = None;
    }
}

impl Before {
    /// Waits until it is over, or known to be about another torrent.
    async fn makes_way(self, torrent: InfoHash) {
        let differs = |other: InfoHash| other.wire() != torrent.wire();
        match self.about {
            About::Torrent(other) if differs(other) => {}
            About::Torrent(_) => is_over(self.over).await,
            About::New(mut known) => {
                let is_another = async {
                    let other = known.wait_for(Option::is_some).await.ok().and_then(|other| *other);
                    if !other.is_some_and(differs) {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! {
                    () = is_over(self.over) => {}
                    () = is_another => {}
                }
            }
        }
    }
}

async fn is_over(mut other: watch::Receiver<()>) {
    // Nothing is ever sent: this ends when the sender does.
    let _ = other.changed().await;
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

    fn add(turns: &mut Turns) -> Turn {
        take(turns, &json!({"do": "add", "torrent": "x", "dir": "/x"}))
    }

    #[test]
    fn a_torrent_that_is_added_again_waits_until_it_is_removed() {
        let mut turns = Turns::default();
        let removal = take(&mut turns, &order("remove", ONE));
        let (mut again, mut another) = (add(&mut turns), add(&mut turns));
        assert!(is_pending(again.is_about(parse(ONE).unwrap())));
        assert!(!is_pending(another.is_about(parse(OTHER).unwrap())));
        drop((removal, again));
        assert!(!is_pending(add(&mut turns).is_about(parse(ONE).unwrap())));
    }

    #[test]
    fn a_removal_waits_for_what_may_add_the_same() {
        let mut turns = Turns::default();
        let mut first = add(&mut turns);
        let (mut here, mut away) =
            (take(&mut turns, &order("remove", ONE)), take(&mut turns, &order("remove", OTHER)));
        assert!(waits(&mut here) && waits(&mut away));
        assert!(!is_pending(first.is_about(parse(ONE).unwrap())));
        assert!(waits(&mut here) && !waits(&mut away), "it is known which");
        drop(first);
        assert!(!waits(&mut here));
    }

    #[test]
    fn a_torrent_is_added_by_whoever_named_it_first() {
        let mut turns = Turns::default();
        let (mut first, mut second, mut third) = (add(&mut turns), add(&mut turns), add(&mut turns));
        let (one, other) = (parse(ONE).unwrap(), parse(OTHER).unwrap());
        let mut second_waits = pin!(second.is_about(one));
        let mut is_waiting =
            || second_waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(is_waiting());
        let mut third_waits = pin!(third.is_about(other));
        assert!(third_waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(!is_pending(first.is_about(one)));
        assert!(is_waiting(), "it is the same");
        assert!(third_waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready(), "another");
        drop(first);
        assert!(!is_waiting());
    }
}
