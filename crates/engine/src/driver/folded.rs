//! What stays of a torrent while it is asleep, in as little room as it takes: its names and lengths lie with its hashes, and what
//! hardly anybody asks for takes room only where somebody did.

use super::Base;
use super::blocking;
use crate::magnet::Slot;
use crate::resume::{Place, Record};
use crate::shared::{OpenDoor, Shared};
use crate::tape::Tape;
use crate::torrent::{Status, Wishes};
use crate::watched;
use crate::{AddTorrent, Error, SeedGoal};
use metainfo::{Metainfo, Shelf};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use storage::Allocate;
use store::Store;
use swarm::Priority;
use types::{InfoHash, Lengths, Time};

/// See the module. [`Base`] and [`AddTorrent`] say what everything is.
pub(super) struct Folded {
    pub(super) status: watched::Sender<Status>,
    pub(super) wishes: watched::Receiver<Wishes>,
    pub(super) place: Option<Arc<Place>>,
    door: OpenDoor,
    torrent: InfoHash,
    added: Time,
    lengths: Lengths,
    files: u32,
    script: Script,
    dir: Box<Path>,
    rank: u64,
    kept_in: Option<Arc<Store>>,
    sequential: bool,
    trackers: bool,
    by_link: bool,
    web_seeds: bool,
    allocate: Allocate,
    overwrite: bool,
    seed_only: bool,
    super_seed: bool,
    stop_when_finished: bool,
    rare: Option<Box<Rare>>,
}

/// The torrent, or where it is read from.
enum Script {
    Here(Arc<Metainfo>),
    Shelved(Arc<dyn Shelf>),
}

/// Most torrents have none of it.
#[derive(Default)]
struct Rare {
    priorities: Vec<Priority>,
    names: BTreeMap<usize, String>,
    peers: Vec<SocketAddr>,
    peers_of_link: Vec<SocketAddr>,
    names_of_link: Vec<(String, u16)>,
    tiers: Option<Vec<Vec<String>>>,
    seed_goal: SeedGoal,
    max_down: Option<u64>,
    max_up: Option<u64>,
    tape: Option<Tape>,
}

impl Rare {
    fn if_any(self) -> Option<Box<Rare>> {
        let Rare { priorities, names, peers, peers_of_link, names_of_link, .. } = &self;
        let lists = priorities.is_empty() && names.is_empty() && peers.is_empty() && peers_of_link.is_empty();
        let is_none = lists
            && names_of_link.is_empty()
            && self.tiers.is_none()
            && self.seed_goal == SeedGoal::default()
            && self.max_down.is_none()
            && self.max_up.is_none()
            && self.tape.is_none();
        (!is_none).then(|| Box::new(self))
    }
}

impl Folded {
    #[allow(clippy::boxed_local, reason = "it comes in one, and goes with it")]
    pub(super) fn fold(base: Box<Base>) -> Folded {
        let Base { shared: _, add, torrent, peer_id: _, lengths, place, status, wishes, added, door } = *base;
        let AddTorrent {
            metainfo,
            dir,
            priorities,
            names,
            rank,
            sequential,
            peers,
            peers_of_link,
            names_of_link,
            trackers,
            tiers,
            by_link,
            web_seeds,
            allocate,
            overwrite,
            seed_only,
            super_seed,
            stop_when_finished,
            seed_goal,
            max_down,
            max_up,
            tape,
            kept_in,
            handover: _,
        } = add;
        let rare = Rare {
            priorities,
            names,
            peers,
            peers_of_link,
            names_of_link,
            tiers,
            seed_goal,
            max_down,
            max_up,
            tape,
        };
        Folded {
            status,
            wishes,
            place,
            door,
            torrent,
            added,
            lengths,
            files: u32::try_from(metainfo.files().len()).unwrap_or(u32::MAX),
            script: metainfo.shelf().cloned().map_or(Script::Here(metainfo), Script::Shelved),
            dir: dir.into(),
            rank,
            kept_in,
            sequential,
            trackers,
            by_link,
            web_seeds,
            allocate,
            overwrite,
            seed_only,
            super_seed,
            stop_when_finished,
            rare: rare.if_any(),
        }
    }

    /// What [`unfold`](Self::unfold) takes, and the record that it left when it fell asleep.
    pub(super) async fn read(&self) -> Result<(Arc<Metainfo>, Option<Record>), Error> {
        Ok((self.metainfo().await?, self.record().await?))
    }

    async fn metainfo(&self) -> Result<Arc<Metainfo>, Error> {
        let shelf = match &self.script {
            Script::Here(metainfo) => return Ok(metainfo.clone()),
            Script::Shelved(shelf) => shelf.clone(),
        };
        let unreadable = |_| Error::Disk(storage::Error::HashesUnreadable);
        blocking(move || Metainfo::from_shelf(&shelf).map(Arc::new).map_err(unreadable)).await
    }

    /// As it was before.
    pub(super) fn unfold(self, metainfo: Arc<Metainfo>) -> Box<Base> {
        let rare = self.rare.map(|rare| *rare).unwrap_or_default();
        let add = AddTorrent {
            metainfo,
            dir: self.dir.into(),
            priorities: rare.priorities,
            names: rare.names,
            rank: self.rank,
            sequential: self.sequential,
            peers: rare.peers,
            peers_of_link: rare.peers_of_link,
            names_of_link: rare.names_of_link,
            trackers: self.trackers,
            tiers: rare.tiers,
            by_link: self.by_link,
            web_seeds: self.web_seeds,
            allocate: self.allocate,
            overwrite: self.overwrite,
            seed_only: self.seed_only,
            super_seed: self.super_seed,
            stop_when_finished: self.stop_when_finished,
            seed_goal: rare.seed_goal,
            max_down: rare.max_down,
            max_up: rare.max_up,
            tape: rare.tape,
            kept_in: self.kept_in,
            handover: Slot::default(),
        };
        Box::new(Base {
            shared: self.door.shared().clone(),
            add,
            torrent: self.torrent,
            peer_id: self.door.peer_id(),
            lengths: self.lengths,
            place: self.place,
            status: self.status,
            wishes: self.wishes,
            added: self.added,
            door: self.door,
        })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.door.shared()
    }

    pub(super) fn torrent(&self) -> InfoHash {
        self.torrent
    }

    pub(super) fn is_kept(&self) -> bool {
        self.kept_in.is_some()
    }

    pub(super) fn seed_goal(&self) -> SeedGoal {
        self.rare.as_ref().map(|rare| rare.seed_goal).unwrap_or_default()
    }

    /// Takes note of what its owner wants now; nothing of it, if that takes brain or files.
    pub(super) fn follow(&mut self, wishes: &Wishes) -> bool {
        let priorities = self.rare.as_ref().map(|rare| &*rare.priorities).unwrap_or_default();
        let goal = wishes.seed_goal;
        let ends_otherwise = goal != self.seed_goal() && (goal.time.is_some() || goal.ratio.is_some());
        if priorities != wishes.priorities || self.sequential != wishes.sequential || ends_otherwise {
            return false;
        }
        self.rank = wishes.rank;
        let rare = self.rare.take().map(|rare| *rare).unwrap_or_default();
        let (max_up, max_down) = (wishes.max_up, wishes.max_down);
        self.rare = Rare { seed_goal: goal, max_up, max_down, ..rare }.if_any();
        true
    }

    pub(super) async fn record(&self) -> Result<Option<Record>, Error> {
        let Some(place) = &self.place else { return Ok(None) };
        place.load(self.lengths, self.files as usize).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::driver::asleep::Asleep;
    use crate::driver::{GUEST_QUEUE, Life};
    use crate::mailbox::mailbox;
    use crate::watched::watched;
    use std::time::Duration;
    use types::PeerId;

    /// A torrent of many pieces that is put away.
    fn torrent(shared: &Shared) -> Arc<Metainfo> {
        let head = "d8:announce10:http://t/a4:infod5:filesld6:lengthi999e4:pathl1:aeed6:lengthi1e4:pathl1:beee4:name1:n";
        let head = format!("{head}12:piece lengthi1e6:pieces20000:");
        let file = [head.as_bytes(), &[7; 20_000], b"e8:url-list9:http://s/e"].concat();
        let kept = shared.spool.keep(Arc::new(Metainfo::parse(&file).unwrap()));
        assert!(kept.shelf().is_some());
        kept
    }

    #[tokio::test]
    async fn what_is_unfolded_is_what_was_folded() {
        let dir = tempfile::tempdir().unwrap();
        let shared = Arc::new(Shared::new(Settings::new(dir.path()), &[], None, None).unwrap());
        let metainfo = torrent(&shared);
        let usual = AddTorrent::new(metainfo.clone(), "/d");
        let mut other =
            usual.clone().files(vec![true, false]).sequential(true).peers(vec![([10, 0, 0, 1], 1).into()]);
        other =
            other.trackers(false).web_seeds(false).allocate(Allocate::Full).overwrite(true).seed_only(true);
        other = other.super_seed(true).stop_when_finished(true).max_rates(Some(5), Some(6));
        other = other.seed_goal(SeedGoal { idle: Some(Duration::from_secs(9)), ..SeedGoal::default() });
        other.names.insert(1, "c".into());
        other.peers_of_link.push(([10, 0, 0, 2], 2).into());
        other.names_of_link.push(("h".into(), 3));
        (other.tiers, other.by_link, other.rank) = (Some(vec![vec!["http://o/".into()]]), true, 4);
        for (add, is_usual) in [(usual, true), (other, false)] {
            let (torrent, lengths) = (metainfo.info_hash(), metainfo.lengths());
            let (visits, _) = mailbox(GUEST_QUEUE);
            let door = shared.open_door(torrent, PeerId([3; 20]), visits).unwrap();
            let (status, _) = watched(Status::default());
            let (_, wishes) = watched(Wishes::of(&add));
            let (said, peer_id, shared, added) =
                (format!("{add:?}"), door.peer_id(), shared.clone(), Time::ZERO);
            let base =
                Base { shared, add, torrent, peer_id, lengths, place: None, status, wishes, added, door };
            let mut folded = Folded::fold(Box::new(base));
            assert_eq!(folded.rare.is_none(), is_usual);
            let wishes = folded.wishes.borrow().clone();
            assert!(folded.follow(&wishes));
            let (metainfo, _) = folded.read().await.unwrap();
            let base = folded.unfold(metainfo);
            assert_eq!(
                (format!("{:?}", base.add), base.torrent, base.peer_id),
                (said, torrent, PeerId([3; 20]))
            );
        }
    }

    #[test]
    fn what_is_asleep_takes_little_room() {
        assert!(size_of::<Life>() <= 24, "{}", size_of::<Life>());
        assert!(size_of::<Folded>() <= 280, "{}", size_of::<Folded>());
        assert!(size_of::<Asleep>() <= 800, "{}", size_of::<Asleep>());
    }
}
