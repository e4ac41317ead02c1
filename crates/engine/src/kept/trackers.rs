//! Whom a torrent announces to, if the user has it otherwise than the torrent.

use super::{Choices, KeptTorrent, Room, Session, What, key};
use crate::Error;
use crate::announcer::check_tiers;
use crate::magnet::tiers_of;
use store::{Change, Table};
use types::InfoHash;

impl Session {
    /// The trackers of a torrent, as tiers (BEP 12): those that the user has chosen, or else its own.
    ///
    /// # Errors
    /// [`Error::NotHere`].
    pub async fn tiers(&self, info_hash: InfoHash) -> Result<Vec<Vec<String>>, Error> {
        let held = self.room.hold(info_hash).await?;
        Ok(held.kept.as_ref().ok_or(Error::NotHere(info_hash))?.tiers())
    }

    /// Those of the torrent itself, or of its link.
    ///
    /// # Errors
    /// [`Error::NotHere`].
    pub async fn own_trackers(&self, info_hash: InfoHash) -> Result<Vec<Vec<String>>, Error> {
        let held = self.room.hold(info_hash).await?;
        Ok(held.kept.as_ref().ok_or(Error::NotHere(info_hash))?.own_tiers())
    }

    /// Changes them; durable when this returns, with what they are now. A torrent that runs is begun anew, so that trackers
    /// which are gone hear that it stopped. Tiers that are left empty go. What comes to the torrent's own is kept as such.
    ///
    /// # Errors
    /// [`Error::NotHere`], [`Error::Unsaved`]; [`Error::Refused`] if one breaks the rules for tracker URLs, or there are too
    /// many.
    pub async fn edit_trackers(
        &self,
        info_hash: InfoHash,
        change: impl FnOnce(&mut Vec<Vec<String>>) + Send + 'static,
    ) -> Result<Vec<Vec<String>>, Error> {
        let room = self.room.clone();
        let work = async move {
            let mut held = room.hold(info_hash).await?;
            let kept = held.kept.as_mut().ok_or(Error::NotHere(info_hash))?;
            let mut tiers = kept.tiers();
            change(&mut tiers);
            tiers.retain(|tier| !tier.is_empty());
            let mut record = kept.record.clone();
            record.choices.tiers = (tiers != kept.own_tiers()).then(|| tiers.clone());
            room.check_trackers(&record.choices)?;
            if record == kept.record {
                return Ok(tiers);
            }
            room.save(vec![Change::put(Table::Torrents, key(info_hash), record.encode())]).await?;
            let before = std::mem::replace(&mut kept.record, record).choices;
            room.follow(kept, &before).await;
            Ok(tiers)
        };
        self.engine.on_runtime(work).await
    }
}

impl Room {
    pub(super) fn check_trackers(&self, choices: &Choices) -> Result<(), Error> {
        check_tiers(choices.tiers.as_deref().unwrap_or_default(), self.shared.settings.allow_private)
    }
}

impl KeptTorrent {
    pub(super) fn tiers(&self) -> Vec<Vec<String>> {
        self.record.choices.tiers.clone().unwrap_or_else(|| self.own_tiers())
    }

    pub(super) fn own_tiers(&self) -> Vec<Vec<String>> {
        match &self.what {
            What::All(metainfo) => metainfo.trackers().to_vec(),
            What::Link(magnet) => tiers_of(magnet),
        }
    }
}
