//! Files of torrents, whether they run or not.

use super::{KeptTorrent, Room, Running, Session};
use crate::{Error, Reader};
use std::ops::Range;
use storage::{Layout, OpenOptions, TorrentDisk};
use types::InfoHash;

impl Session {
    /// Begins to read `range` of a torrent, in bytes. One that does not run is read if all of that is known to be there, in
    /// files that look as they did when it ended; else, and while it is checked, there is `None`.
    ///
    /// # Errors
    /// [`Error::NotHere`], [`Error::Disk`], [`Error::State`].
    pub async fn reader(&self, info_hash: InfoHash, range: Range<u64>) -> Result<Option<Reader>, Error> {
        let room = self.room.clone();
        let work = async move {
            let held = room.hold(info_hash).await?;
            let kept = held.kept.as_ref().ok_or(Error::NotHere(info_hash))?;
            match &kept.running {
                Running::Yes(torrent) if !torrent.has_ended() => {
                    let torrent = torrent.clone();
                    drop(held);
                    Ok(torrent.reader().await.ok())
                }
                // It holds the torrent: nothing is begun, moved or removed meanwhile.
                Running::Yes(_) | Running::Paused => room.reader_at_rest(kept, range).await,
                Running::Fetching(_) | Running::Moving(_) | Running::Failed(_) => Ok(None),
            }
        };
        self.engine.on_runtime(work).await
    }
}

impl Room {
    async fn reader_at_rest(&self, kept: &KeptTorrent, range: Range<u64>) -> Result<Option<Reader>, Error> {
        let Some(metainfo) = kept.what.metainfo() else { return Ok(None) };
        let (lengths, files) = (metainfo.lengths(), metainfo.files().len());
        let choices = &kept.record.choices;
        let place = self.resume_place(metainfo.info_hash(), &choices.dir).await?;
        let Some(record) = place.load(lengths, files).await?.filter(|record| record.clean) else {
            return Ok(None);
        };
        let layout = Layout::new(metainfo.clone())?.renamed(&choices.names)?;
        let mut options = OpenOptions::new(&choices.dir, place.parts(), |_| {});
        options.wanted = choices.apply(metainfo.clone()).wanted();
        options.known = record.disk.ours;
        options.trusted = Some(record.disk.pieces);
        options.stamps = record.disk.files;
        let disk = TorrentDisk::open(&self.shared.disk, layout, options).await?;
        let verified = disk.verified();
        let mut missing = lengths.pieces().filter(|piece| !verified.contains(*piece));
        let lies_in = |missing: Range<u64>| missing.start < range.end && range.start < missing.end;
        let is_there = !missing.any(|piece| lies_in(lengths.piece_range(piece)));
        Ok(is_there.then(|| Reader::at_rest(disk, lengths)))
    }
}
