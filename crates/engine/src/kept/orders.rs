//! What is done to one torrent, beyond adding it and letting it rest.

use super::settings::refuse_zero;
use super::{Choices, KeptTorrent, Room, Running, Session, key};
use crate::announcer::{Announcer, Named};
use crate::driver::blocking;
use crate::resume::{self, mount_of};
use crate::torrent::{Request, Wishes};
use crate::{Error, Metainfo, PeerId, TrackerStats};
use std::path::Path;
use std::sync::Arc;
use storage::Layout;
use store::{Change, Table};
use tokio::sync::oneshot;
use types::InfoHash;

impl Session {
    /// Changes what is wanted of a torrent, several things at once if need be: priorities, order, limits, seed goal,
    /// category, tags, peers. It is durable and in force when this returns. A torrent that runs goes on with most of it; if
    /// other files are wanted than before, or trackers and web seeds are asked or not, it is begun anew.
    ///
    /// [`Choices::dir`], [`Choices::names`] and [`Choices::paused`] are not changed by this. The new choices are returned.
    ///
    /// # Errors
    /// [`Error::NotHere`], [`Error::Refused`], [`Error::NothingSelected`], [`Error::Unsaved`]; nothing is changed then.
    pub async fn edit(
        &self,
        info_hash: InfoHash,
        change: impl FnOnce(&mut Choices) + Send + 'static,
    ) -> Result<Choices, Error> {
        let room = self.room.clone();
        let work = async move {
            let mut held = room.hold(info_hash).await?;
            let kept = held.kept.as_mut().ok_or(Error::NotHere(info_hash))?;
            let before = kept.record.choices.clone();
            let mut record = kept.record.clone();
            change(&mut record.choices);
            record.choices.dir.clone_from(&before.dir);
            record.choices.names.clone_from(&before.names);
            record.choices.part_suffix = before.part_suffix;
            record.choices.paused = before.paused;
            record.choices.check(kept.what.metainfo())?;
            if record.choices.priorities != before.priorities {
                record.choices.check_priorities(kept.what.metainfo())?;
            }
            room.check_trackers(&record.choices)?;
            let limits = |choices: &Choices| [choices.max_down, choices.max_up];
            refuse_zero(limits(&before), limits(&record.choices))?;
            let choices = record.choices.clone();
            if choices == before {
                return Ok(choices);
            }
            room.save(vec![Change::put(Table::Torrents, key(info_hash), record.encode())]).await?;
            kept.record = record;
            room.follow(kept, &before).await;
            Ok(choices)
        };
        self.engine.on_runtime(work).await
    }

    /// Has everything of a torrent hashed again, whatever was known of it. A torrent that is paused is checked when it is
    /// resumed. The order survives a crash; this returns when the check has begun, which
    /// [`TorrentState::Checking`](crate::TorrentState::Checking) tells of.
    ///
    /// # Errors
    /// [`Error::NotHere`], [`Error::Unsaved`], [`Error::State`]; [`Error::Disk`] of kind `unavailable` if its files were there
    /// and none is now: what is known of them stays; [`Error::Refused`] if only a magnet link is known, or the
    /// torrent's files are on their way.
    pub async fn recheck(&self, info_hash: InfoHash) -> Result<(), Error> {
        let room = self.room.clone();
        let work = async move {
            let mut held = room.hold(info_hash).await?;
            let kept = held.kept.as_mut().ok_or(Error::NotHere(info_hash))?;
            let Some(metainfo) = kept.what.metainfo().cloned() else {
                return Err(Error::Refused(
                    "nothing of the torrent is known yet that could be checked".into(),
                ));
            };
            kept.must_not_be_moving()?;
            std::mem::replace(&mut kept.running, Running::Paused).stop().await;
            kept.rested = None;
            let doubted = room.doubt(info_hash, kept, &metainfo).await;
            kept.running = room.begin(&kept.record, &kept.what).await.unwrap_or_else(Running::Failed);
            doubted
        };
        self.engine.on_runtime(work).await
    }

    /// Has a torrent that runs announced out of turn: to its trackers as soon as their minimum intervals allow, to the DHT
    /// and the local network at once.
    ///
    /// # Errors
    /// [`Error::NotHere`].
    pub async fn reannounce(&self, info_hash: InfoHash) -> Result<(), Error> {
        if let Some(torrent) = self.torrent(info_hash).await? {
            torrent.wishes.send_modify(|wishes| wishes.announces += 1);
        }
        Ok(())
    }
}

impl Session {
    /// The trackers of a torrent, as far as they may be asked; of one that does not run, none has been asked yet.
    ///
    /// # Errors
    /// [`Error::NotHere`].
    pub async fn trackers(&self, info_hash: InfoHash) -> Result<Vec<TrackerStats>, Error> {
        let (requests, unasked) = {
            let held = self.room.hold(info_hash).await?;
            let kept = held.kept.as_ref().ok_or(Error::NotHere(info_hash))?;
            let requests = match &kept.running {
                Running::Yes(torrent) => Some(torrent.requests.clone()),
                Running::Fetching(link) => Some(link.requests()),
                Running::Paused | Running::Moving(_) | Running::Failed(_) => None,
            };
            (requests, self.room.unasked(kept))
        };
        let Some(requests) = requests else { return Ok(unasked) };
        let (reply, answer) = oneshot::channel();
        // One that ends meanwhile has asked nobody either, as far as anybody can tell.
        let _ = requests.send(Request::Trackers(reply)).await;
        Ok(answer.await.unwrap_or(unasked))
    }
}

impl Room {
    fn unasked(&self, kept: &KeptTorrent) -> Vec<TrackerStats> {
        if !kept.record.choices.trackers || !self.shared.settings.trackers {
            return Vec::new();
        }
        let of_link = if kept.record.link.is_some() { kept.own_tiers() } else { Vec::new() };
        let named = Named { tiers: &kept.tiers(), of_link: &of_link };
        let (wire, settings) = (kept.what.info_hash().wire(), &self.shared.settings);
        Announcer::new(named, wire, PeerId([0; 20]), settings, [0; 2], |_| {}).trackers(self.shared.now())
    }

    /// Has a torrent go on as it is wanted now.
    pub(super) async fn follow(self: &Arc<Self>, kept: &mut KeptTorrent, before: &Choices) {
        let choices = &kept.record.choices;
        let is_new_link = kept.what.metainfo().is_none() && choices.peers != before.peers;
        match (&kept.running, kept.what.metainfo()) {
            (Running::Yes(torrent), Some(metainfo)) if choices.can_follow(before) && !torrent.has_ended() => {
                let wishes = Wishes::of(&kept.record.apply(metainfo.clone()));
                torrent
                    .wishes
                    .send_modify(|now| *now = Wishes { announces: now.announces, bans: now.bans, ..wishes });
            }
            (Running::Fetching(_), _) if choices.can_follow(before) && !is_new_link => {}
            (Running::Paused | Running::Moving(_), _) => {
                if choices.wanted_differs(before) {
                    kept.rested = None;
                }
            }
            _ => {
                std::mem::replace(&mut kept.running, Running::Paused).stop().await;
                kept.running = self.begin(&kept.record, &kept.what).await.unwrap_or_else(Running::Failed);
            }
        }
    }

    /// Believes nothing any more of what is kept of a torrent that does not run.
    async fn doubt(
        &self,
        info_hash: InfoHash,
        kept: &KeptTorrent,
        metainfo: &Arc<Metainfo>,
    ) -> Result<(), Error> {
        let place = self.resume_place(info_hash, &kept.record.choices.dir).await?;
        let (lengths, files) = (metainfo.lengths(), metainfo.files().len());
        let Some(mut record) = place.load(lengths, files).await? else { return Ok(()) };
        let layout = Layout::new(metainfo.clone())?.renamed(&kept.record.choices.names)?;
        let (dir, mount) = (kept.record.choices.dir.clone(), record.mount.clone());
        let look = move || Ok(storage::find_any_file(&dir, mount_of(&dir, mount), &layout)?);
        let any = blocking(look).await?;
        if record.had_files() && !any {
            let files = kept.record.choices.dir.join(metainfo.name());
            return Err(Error::Disk(storage::Error::Unavailable(files)));
        }
        record.doubt_everything(lengths);
        place.save(&record).await
    }

    /// What is remembered of a torrent that does not run.
    pub(super) async fn resume_place(&self, info_hash: InfoHash, dir: &Path) -> Result<resume::Place, Error> {
        let (state_dir, dir) = (self.shared.settings.state_dir.clone(), dir.to_owned());
        let lock = move || resume::Place::lock(&state_dir, info_hash.wire(), &dir);
        let place = blocking(lock).await?;
        Ok(place.in_store(self.store.clone(), info_hash.wire()))
    }
}
