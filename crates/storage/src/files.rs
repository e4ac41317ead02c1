//! A torrent's files: which of them may be written, and where each byte of a piece goes.
//!
//! A piece lives in one of two places. One that touches no unwanted file lives in the files. One that does
//! lives, whole, in a slot of the parts file, so that the unwanted file is never created; when it is
//! verified, its wanted bytes are *dealt out* to their files. A piece without a slot is read from the files,
//! unwanted ones that happen to be there included.

mod durable;
mod standing;

use crate::abreast;
use crate::handles::{Handle, Handles};
use crate::limits::{HASH_ABREAST, READ_RUN};
use crate::os::{Access, Found, Os, stamp_of};
use crate::parts::Parts;
use crate::pool::{Shared, lock};
use crate::root::Root;
use crate::{Allocate, Error, FileStamp, Layout};
use bytes::Bytes;
use durable::Dirty;
use hash::Sha1;
use rustix::fd::OwnedFd;
use standing::{Entries, Standing};
use std::collections::BTreeSet;
use std::fs;
use std::io::IoSlice;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use types::{Bitfield, PieceIndex};

/// The files of one torrent.
pub(crate) struct Files {
    pub(crate) layout: Layout,
    pub(crate) entries: Entries,
    pub(crate) parts: Parts,
    root: Root,
    torrent: u64,
    pool: Arc<Shared>,
    policy: Policy,
    dirty: Mutex<Dirty>,
    /// See [`take_cut`](Self::take_cut).
    cut: Mutex<BTreeSet<PieceIndex>>,
    zeros_hash: OnceLock<[u8; 20]>,
}

/// What the torrent's owner decided.
pub(crate) struct Policy {
    /// By file; empty for all.
    pub(crate) wanted: Vec<bool>,
    /// By file; empty for none.
    pub(crate) known: Vec<bool>,
    pub(crate) allocate: Allocate,
    pub(crate) overwrite: bool,
    /// See [`OpenOptions::patient`](crate::OpenOptions::patient).
    pub(crate) patient: bool,
    /// See [`OpenOptions::broken_off`](crate::OpenOptions::broken_off).
    pub(crate) broken_off: bool,
}

/// Where to read a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the parts file, from this offset on.
    Slot(u64),
    Files,
}

/// Room to read into, made when it is first needed, and what it was used for.
#[derive(Default)]
pub(crate) struct ReadRoom {
    buf: Vec<u8>,
    /// Bytes that were read and hashed.
    pub(crate) hashed: u64,
    /// The hole that was found last: in which file, from where to where. To find the end of one, some file systems walk
    /// over all of it.
    hole: Option<(usize, Range<u64>)>,
}

impl ReadRoom {
    /// Something may have been written where a hole was.
    pub(crate) fn forget_hole(&mut self) {
        self.hole = None;
    }
}

impl Files {
    pub(crate) fn new(
        layout: Layout,
        torrent: u64,
        pool: Arc<Shared>,
        root: Root,
        parts_path: PathBuf,
        mut policy: Policy,
    ) -> Files {
        let regular = (0..layout.files().len()).filter(|&file| layout.is_regular(file));
        if regular.clone().all(|file| policy.wanted.get(file).copied().unwrap_or(false)) {
            policy.wanted.clear();
        }
        let files = Files {
            entries: Entries::new(layout.files().len()),
            parts: Parts::open(&pool.os, parts_path, torrent, layout.lengths()),
            layout,
            root,
            torrent,
            pool,
            policy,
            dirty: Mutex::default(),
            cut: Mutex::default(),
            zeros_hash: OnceLock::new(),
        };
        files.look();
        files
    }

    /// Looks at every file again. What was found to be ours stays ours.
    pub(crate) fn look(&self) {
        for file in self.regular() {
            self.look_at(file);
        }
    }

    fn look_at(&self, file: usize) {
        self.saw(file, self.os().look(&self.root, self.layout.path(file)));
    }

    fn saw(&self, file: usize, found: Result<Found, Error>) {
        let known = self.policy.overwrite || self.policy.known.get(file).copied().unwrap_or(false);
        // All of it is there.
        let is_empty = matches!(found, Ok(Found::File(stamp)) if stamp.size == 0);
        let is_all = is_empty && self.layout.files()[file].length == 0;
        self.entries.saw(file, found, known || is_all);
    }

    /// The first thing that keeps the wanted files from being used, if there is one.
    pub(crate) fn problem(&self) -> Option<Error> {
        self.wanted().find_map(|file| self.entries.problem(file))
    }

    /// The files that may be written, those that are wanted and not there yet included.
    pub(crate) fn ours(&self) -> Vec<bool> {
        let ours = |file| match self.entries.standing(file) {
            Standing::Absent => self.layout.is_regular(file) && self.is_wanted(file),
            Standing::Ours => true,
            Standing::Foreign => false,
        };
        (0..self.layout.files().len()).map(ours).collect()
    }

    pub(crate) fn path(&self, file: usize) -> PathBuf {
        self.layout.path_under(self.root.path(), file)
    }

    /// Whether a piece has bytes in unwanted files.
    pub(crate) fn touches_unwanted(&self, piece: PieceIndex) -> bool {
        !self.policy.wanted.is_empty()
            && self.layout.regular_slices(piece).any(|slice| !self.is_wanted(slice.file))
    }

    fn is_wanted(&self, file: usize) -> bool {
        self.policy.wanted.is_empty() || self.policy.wanted.get(file).copied().unwrap_or(false)
    }

    fn regular(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.layout.files().len()).filter(|&file| self.layout.is_regular(file))
    }

    fn wanted(&self) -> impl Iterator<Item = usize> + '_ {
        self.regular().filter(|&file| self.is_wanted(file))
    }

    fn os(&self) -> &Os {
        &self.pool.os
    }

    fn handles(&self) -> &Handles {
        &self.pool.handles
    }
}

/// Reading.
impl Files {
    /// Where a piece is to be read.
    pub(crate) fn place(&self, piece: PieceIndex) -> Place {
        self.parts.slot(piece).map_or(Place::Files, Place::Slot)
    }

    /// Whether every byte of a piece can be at `place`: quick, and sure when it says no.
    pub(crate) fn may_hold(&self, piece: PieceIndex, place: Place) -> bool {
        place != Place::Files
            || self.layout.regular_slices(piece).all(|slice| {
                self.entries
                    .stamp(slice.file)
                    .is_some_and(|stamp| stamp.size >= slice.offset + slice.len as u64)
            })
    }

    /// Fills `buf` with a piece's bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] or [`Error::Shorter`] if they are not there, and whatever the operating system
    /// reports.
    pub(crate) fn read(
        &self,
        piece: PieceIndex,
        offset: u32,
        place: Place,
        buf: &mut [u8],
    ) -> Result<(), Error> {
        if let Place::Slot(slot) = place {
            let parts = self.parts.handle(self.handles())?;
            let read = self.os().read(&parts.fd, buf, slot + u64::from(offset));
            let len = read.map_err(|e| Error::os("read", self.parts.path(), e))?;
            return if len < buf.len() {
                Err(Error::Shorter(self.parts.path().to_path_buf()))
            } else {
                Ok(())
            };
        }
        let len = u32::try_from(buf.len()).expect("no longer than a piece");
        let mut rest = buf;
        for slice in self.layout.slices(piece, offset, len) {
            let (part, after) = rest.split_at_mut(slice.len);
            rest = after;
            if !self.layout.is_regular(slice.file) {
                part.fill(0);
                continue;
            }
            let handle = self.readable(slice.file)?;
            let read = self.os().read(&handle.fd, part, slice.offset);
            if read.map_err(|e| Error::os("read", &self.path(slice.file), e))? < part.len() {
                return Err(Error::Shorter(self.path(slice.file)));
            }
        }
        Ok(())
    }

    /// Whether what lies at each place hashes to what the torrent says; at most [`HASH_ABREAST`] pieces.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), but bytes that are not there are just not good.
    pub(crate) fn are_good(
        &self,
        pieces: &[(PieceIndex, Place)],
        room: &mut ReadRoom,
    ) -> Vec<Result<bool, Error>> {
        let mut good: Vec<_> =
            pieces.iter().map(|&(piece, place)| self.is_good_unread(piece, place, room)).collect();
        let unread = pieces.iter().zip(&good).filter(|(_, good)| matches!(good, Ok(None)));
        let unread: Vec<_> = unread.map(|(&piece, _)| piece).collect();
        let lengths: Vec<u32> =
            unread.iter().map(|&(piece, _)| self.layout.lengths().piece_len(piece)).collect();
        room.hashed += lengths.iter().map(|&len| u64::from(len)).sum::<u64>();
        let hashes = abreast::hash(&lengths, &mut room.buf, |which, at, buf| {
            let (piece, place) = unread[which];
            self.read(piece, at, place, buf)
        });
        let judged = unread.iter().zip(hashes).map(|(&(piece, _), hash)| match hash {
            Ok(hash) => self.layout.piece_hash(piece).map(|expected| expected == Some(hash)),
            Err(Error::Gone(_) | Error::Shorter(_)) => Ok(false),
            Err(error) => Err(error),
        });
        let open = good.iter_mut().filter(|good| matches!(good, Ok(None)));
        open.zip(judged).for_each(|(good, judged)| *good = judged.map(Some));
        good.into_iter().map(|good| good.map(|good| good.unwrap_or(false))).collect()
    }

    /// The same of one piece, if it can be told without reading it.
    fn is_good_unread(
        &self,
        piece: PieceIndex,
        place: Place,
        room: &mut ReadRoom,
    ) -> Result<Option<bool>, Error> {
        let Some(expected) = self.layout.piece_hash(piece)? else { return Ok(Some(false)) };
        if !self.may_hold(piece, place) {
            return Ok(Some(false));
        }
        let len = self.layout.lengths().piece_len(piece);
        if len != self.layout.lengths().piece_length() || place != Place::Files {
            return Ok(None);
        }
        match self.is_hole(piece, &mut room.hole) {
            Ok(true) => Ok(Some(*self.zeros_hash.get_or_init(|| hash_zeros(len)) == expected)),
            Ok(false) => Ok(None),
            Err(Error::Gone(_)) => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }

    /// Whether a piece is a hole in sparse files, so that it need not be read to know that it is all zeros.
    fn is_hole(&self, piece: PieceIndex, last: &mut Option<(usize, Range<u64>)>) -> Result<bool, Error> {
        for slice in self.layout.regular_slices(piece) {
            let end = slice.offset + slice.len as u64;
            if last.as_ref().is_some_and(|(file, hole)| {
                *file == slice.file && hole.contains(&slice.offset) && end <= hole.end
            }) {
                continue;
            }
            let handle = self.readable(slice.file)?;
            match self.os().next_data(&handle.fd, slice.offset) {
                Some(data) if data >= end => *last = Some((slice.file, slice.offset..data)),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The file in which so many bytes of a piece lie, and where; `None` if they lie in several, or in none.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`], and whatever the operating system reports.
    pub(crate) fn extent(
        &self,
        piece: PieceIndex,
        offset: u32,
        len: u32,
    ) -> Result<Option<(Arc<Handle>, u64)>, Error> {
        if self.place(piece) != Place::Files {
            return Ok(None);
        }
        let mut slices = self.layout.slices(piece, offset, len);
        match (slices.next(), slices.next()) {
            (Some(slice), None) if self.layout.is_regular(slice.file) => {
                Ok(Some((self.readable(slice.file)?, slice.offset)))
            }
            _ => Ok(None),
        }
    }

    fn readable(&self, file: usize) -> Result<Arc<Handle>, Error> {
        if self.entries.standing(file) == Standing::Absent {
            return Err(Error::Gone(self.path(file)));
        }
        let path = self.layout.path(file);
        self.handles().get((self.torrent, file), false, || self.os().open(&self.root, path, Access::Read))
    }

    /// Why a file that is there cannot be read, if it cannot.
    pub(crate) fn unreadable(&self, file: usize) -> Option<Error> {
        self.entries.problem(file).or_else(|| match self.readable(file) {
            Ok(_) | Err(Error::Gone(_)) => None,
            Err(error) => Some(error),
        })
    }

    /// After a run that was broken off: files that are there, and hold some of `pieces`, are read from the disk from here on.
    pub(crate) fn forget_cached(&self, pieces: &Bitfield) -> Result<(), Error> {
        if !self.policy.broken_off {
            return Ok(());
        }
        let holds_some = |&file: &usize| self.layout.pieces_of_file(file).any(|piece| pieces.contains(piece));
        for file in self.regular().filter(holds_some) {
            if self.entries.stamp(file).is_some_and(|stamp| stamp.size > 0) {
                let handle = self.readable(file)?;
                let forgot = self.os().forget_cached(&handle.fd);
                forgot.map_err(|e| Error::os("sync", &self.path(file), e))?;
            }
        }
        Ok(())
    }

    /// Has the bytes of a piece come from the disk when they are read again, as far as they are durable and the system can
    /// do that.
    pub(crate) fn forget_cached_piece(&self, piece: PieceIndex, place: Place) {
        if place != Place::Files {
            return;
        }
        for slice in self.layout.regular_slices(piece) {
            // Who cannot be opened cannot be read either, which is told then.
            if let Ok(handle) = self.readable(slice.file) {
                self.os().forget_cached_part(&handle.fd, slice.offset, slice.len);
            }
        }
    }

    /// A piece was found good. Files in which it lies are the torrent's, and are synced with the next sync,
    /// since reading does not prove that they are durable.
    pub(crate) fn adopt(&self, piece: PieceIndex, place: Place) {
        let mut dirty = lock(&self.dirty);
        if place != Place::Files {
            dirty.parts = true;
            return;
        }
        for slice in self.layout.regular_slices(piece) {
            self.entries.set_ours(slice.file);
            dirty.files.insert(slice.file);
        }
    }
}

/// What somebody else cut off.
impl Files {
    /// The pieces of which bytes turned out to be gone since the last call.
    ///
    /// A file that is written to behind its end reads as zeros before that: whatever was there is lost by then.
    pub(crate) fn take_cut(&self) -> BTreeSet<PieceIndex> {
        std::mem::take(&mut *lock(&self.cut))
    }

    pub(crate) fn is_cut(&self, piece: PieceIndex) -> bool {
        lock(&self.cut).contains(&piece)
    }

    pub(crate) fn is_patient(&self) -> bool {
        self.policy.patient
    }

    /// Whether an error says that the torrent's folder as a whole is not there, and it is waited for.
    pub(crate) fn is_away(&self, error: &Error) -> bool {
        match error {
            Error::Unavailable(_) => true,
            Error::Gone(path) => self.policy.patient && path == self.root.path(),
            _ => false,
        }
    }

    /// The mount point under which the folder is known to lie.
    pub(crate) fn mount(&self) -> Option<PathBuf> {
        self.root.mount().map(Into::into)
    }

    /// The files that are known to be there, of which something is.
    fn known(&self) -> impl Iterator<Item = (usize, FileStamp)> + '_ {
        self.regular().filter_map(|file| {
            let stamp = self.entries.stamp(file).filter(|stamp| stamp.size > 0);
            Some((file, stamp?))
        })
    }

    /// A file by which it is told that the torrent is there, and its inode, if it is to be waited for once it is not.
    pub(crate) fn landmark(&self) -> Option<(PathBuf, u64)> {
        let (file, stamp) = self.known().next().filter(|_| self.policy.patient)?;
        Some((self.path(file), stamp.inode))
    }

    /// Why the torrent is not there, of which something was: its disk is out, or none of its files is where it was. One that
    /// is not waited for is never away.
    pub(crate) fn away(&self) -> Option<Error> {
        if !self.policy.patient {
            return None;
        }
        if let Err(error) = self.root.must_be_mounted() {
            return Some(error);
        }
        let mut known = self.known();
        let (first, stamp) = known.next()?;
        // Mostly there is nothing else to be looked at.
        let inode = |path: PathBuf| fs::symlink_metadata(path).map(|found| found.ino()).ok();
        if inode(self.path(first)) == Some(stamp.inode) {
            return None;
        }
        for file in std::iter::once(first).chain(known.map(|(file, _)| file)) {
            match self.os().look(&self.root, self.layout.path(file)) {
                Ok(Found::Nothing) => {}
                Err(error @ Error::Unavailable(_)) => return Some(error),
                // What cannot be looked at may be what it was.
                Ok(Found::File(_)) | Err(_) => return None,
            }
        }
        Some(Error::Unavailable(self.path(first)))
    }

    /// A piece could not be read for this reason: finds out what else can't be there. Nothing may be written meanwhile.
    pub(crate) fn look_around(&self, piece: PieceIndex, error: &Error) {
        match error {
            // Of a folder that is not there, everything is to be found again.
            Error::Gone(path) if path == self.root.path() => return,
            Error::Gone(_) | Error::Shorter(_) => {}
            _ => return,
        }
        if self.place(piece) != Place::Files {
            return lock(&self.cut).extend(self.parts.pieces());
        }
        for slice in self.layout.regular_slices(piece) {
            let (file, path) = (slice.file, self.layout.path(slice.file));
            // One that cannot be looked at may be what it was.
            let Ok(found) = self.os().look(&self.root, path) else { continue };
            let size = match found {
                Found::File(stamp) => stamp.size,
                Found::Nothing => 0,
            };
            if found == Found::Nothing {
                lock(&self.dirty).files.remove(&file);
            }
            self.saw(file, Ok(found));
            self.note_cut(file, size);
        }
    }

    /// Notes which pieces lack bytes, now that a file has this size. One in the parts file needs those that were dealt
    /// out.
    fn note_cut(&self, file: usize, size: u64) {
        let (span, lengths) = (self.layout.files()[file].range(), self.layout.lengths());
        let lacks_some = |piece: &PieceIndex| {
            let end = lengths.piece_offset(*piece) + u64::from(lengths.piece_len(*piece));
            end.min(span.end) > span.start + size
                && (self.place(*piece) == Place::Files || self.is_wanted(file))
        };
        let cut: Vec<_> = self.layout.pieces_of_file(file).filter(lacks_some).collect();
        lock(&self.cut).extend(cut);
    }
}

/// Writing.
impl Files {
    /// Writes `blocks`, which follow each other from `offset` of a piece on.
    pub(crate) fn write(&self, piece: PieceIndex, offset: u32, blocks: &[Bytes]) -> Result<(), Error> {
        if self.place(piece) != Place::Files || self.touches_unwanted(piece) {
            return self.write_to_slot(piece, offset, blocks);
        }
        let len = blocks.iter().map(Bytes::len).sum::<usize>();
        let len = u32::try_from(len).expect("no longer than a piece");
        let mut cursor = Cursor { blocks, at: 0 };
        for slice in self.layout.slices(piece, offset, len) {
            let mut data = cursor.take(slice.len);
            if self.layout.is_regular(slice.file) {
                self.write_to_file(slice.file, slice.offset, &mut data)?;
            }
        }
        Ok(())
    }

    fn write_to_file(&self, file: usize, offset: u64, data: &mut [IoSlice<'_>]) -> Result<(), Error> {
        let handle = self.writable(file)?;
        lock(&self.dirty).files.insert(file);
        self.os().write_all(&handle.fd, data, offset).map_err(|e| Error::os("write", &self.path(file), e))
    }

    fn write_to_slot(&self, piece: PieceIndex, offset: u32, blocks: &[Bytes]) -> Result<(), Error> {
        let (slot, created) = self.parts.give_slot(self.os(), self.handles(), piece)?;
        let mut dirty = lock(&self.dirty);
        dirty.parts = true;
        dirty.parts_created |= created;
        drop(dirty);
        let handle = self.parts.handle(self.handles())?;
        let mut data: Vec<_> = blocks.iter().map(|block| IoSlice::new(block)).collect();
        let written = self.os().write_all(&handle.fd, &mut data, slot + u64::from(offset));
        written.map_err(|e| Error::os("write", self.parts.path(), e))
    }

    /// Writes the wanted bytes of a good piece that lives in a slot to their files, where they are not there
    /// yet.
    pub(crate) fn deal_out(&self, piece: PieceIndex) -> Result<(), Error> {
        let place = self.place(piece);
        if place == Place::Files {
            return Ok(());
        }
        let (mut bytes, mut there) = (Vec::new(), Vec::new());
        let len = self.layout.lengths().piece_len(piece);
        for start in (0..len).step_by(READ_RUN as usize) {
            let mut at = start;
            for slice in self.layout.slices(piece, start, READ_RUN.min(len - start)) {
                bytes.resize(slice.len, 0);
                there.resize(slice.len, 0);
                if self.layout.is_regular(slice.file) && self.is_wanted(slice.file) {
                    self.read(piece, at, place, &mut bytes)?;
                    let read = match self.readable(slice.file) {
                        Ok(file) => self.os().read(&file.fd, &mut there, slice.offset),
                        Err(Error::Gone(_)) => Ok(0),
                        Err(error) => return Err(error),
                    };
                    if read != Ok(slice.len) || there != bytes {
                        self.write_to_file(slice.file, slice.offset, &mut [IoSlice::new(&bytes)])?;
                    }
                }
                at += u32::try_from(slice.len).expect("no longer than a piece");
            }
        }
        Ok(())
    }

    /// A wanted file, open for writing and at its full length; created if nothing is there.
    fn writable(&self, file: usize) -> Result<Arc<Handle>, Error> {
        match self.entries.standing(file) {
            Standing::Foreign => {
                Err(self.entries.problem(file).unwrap_or_else(|| Error::FileInTheWay(self.path(file))))
            }
            Standing::Absent => self.create(file),
            Standing::Ours => {
                let path = self.layout.path(file);
                let open = || self.os().open(&self.root, path, Access::Write);
                let handle = self.handles().get((self.torrent, file), true, open)?;
                self.fit(file, &handle.fd)?;
                Ok(handle)
            }
        }
    }

    /// Gives a file that is the torrent's the length that the torrent says. What a longer one has at its end
    /// goes: with it the file would never be the one that the torrent is about. What a shorter one lacks is noted.
    fn fit(&self, file: usize, fd: &OwnedFd) -> Result<(), Error> {
        let look = || stamp_of(fd).map_err(|e| Error::os("look at", &self.path(file), e));
        let length = self.layout.files()[file].length;
        let size = look()?.size;
        if size != length {
            if size < length {
                self.note_cut(file, size); // before it can be read as zeros
            }
            self.os().set_len(fd, length).map_err(|e| Error::os("write", &self.path(file), e))?;
            self.entries.set_stamp(file, look()?);
            lock(&self.dirty).files.insert(file);
        }
        Ok(())
    }

    fn create(&self, file: usize) -> Result<Arc<Handle>, Error> {
        let span = &self.layout.files()[file];
        let fd = self.os().open(&self.root, self.layout.path(file), Access::Create)?;
        if let Err(errno) = self.os().set_len(&fd, span.length) {
            let _ = self.os().remove(&self.root, self.layout.path(file));
            return Err(Error::os("write", &self.path(file), errno));
        }
        self.entries.created(file, stamp_of(&fd).ok());
        lock(&self.dirty).created(file, span, self.layout.path(file));
        let handle = Arc::new(Handle { fd, writable: true });
        self.handles().keep((self.torrent, file), &handle);
        Ok(handle)
    }
}

/// Making ready.
impl Files {
    /// Makes what must be there before the first write; on an error no new file is left behind. `verified`
    /// pieces that live in slots are dealt out; returned are those that turn out not to be good.
    pub(crate) fn prepare(&self, verified: &Bitfield) -> Result<Vec<PieceIndex>, Error> {
        self.look();
        if let Some(problem) = self.problem() {
            return Err(problem);
        }
        if let Some(file) = self.wanted().find(|&file| self.entries.standing(file) == Standing::Foreign) {
            return Err(Error::FileInTheWay(self.path(file)));
        }
        let absent: Vec<usize> =
            self.wanted().filter(|&file| self.entries.standing(file) == Standing::Absent).collect();
        if !self.has_all(verified) {
            lock(&self.dirty).root_created |= self.os().make_root(&self.root)?;
        }
        let made = self.make_files(verified).and_then(|()| self.empty_slots(verified));
        if made.is_err() {
            for file in absent {
                self.uncreate(file);
            }
        }
        made
    }

    /// Whether all wanted files are there, and good: nothing is to be written, which may be forbidden.
    fn has_all(&self, verified: &Bitfield) -> bool {
        self.wanted().all(|file| self.is_whole(file, verified))
    }

    fn is_whole(&self, file: usize, verified: &Bitfield) -> bool {
        self.entries.stamp(file).is_some_and(|stamp| stamp.size == self.layout.files()[file].length)
            && self.layout.pieces_of_file(file).all(|piece| verified.contains(piece))
    }

    /// Makes the files that have no bytes, cuts those that are too long, and gives all others their room if
    /// that is asked for.
    fn make_files(&self, verified: &Bitfield) -> Result<(), Error> {
        for file in self.wanted() {
            let len = self.layout.files()[file].length;
            let there = self.entries.stamp(file).map(|stamp| stamp.size);
            let is_too_long = there.is_some_and(|there| there > len);
            if is_too_long || len == 0 && there.is_none() {
                self.writable(file)?;
            }
            if len > 0 && self.policy.allocate == Allocate::Full && !self.is_whole(file, verified) {
                let handle = self.writable(file)?;
                self.os()
                    .allocate(&handle.fd, there.unwrap_or(0), len)
                    .map_err(|e| Error::os("write", &self.path(file), e))?;
            }
        }
        Ok(())
    }

    /// Deals out the good pieces in the parts file, and drops the slots that the present choice of files has
    /// no use for. Returns the pieces of `verified` that are not good.
    fn empty_slots(&self, verified: &Bitfield) -> Result<Vec<PieceIndex>, Error> {
        let slots = self.parts.pieces();
        let mut room = ReadRoom::default();
        let mut bad = Vec::new();
        let verified = slots.iter().filter(|piece| verified.contains(**piece));
        let verified: Vec<_> = verified.map(|&piece| (piece, self.place(piece))).collect();
        for pieces in verified.chunks(HASH_ABREAST) {
            for (&(piece, _), good) in pieces.iter().zip(self.are_good(pieces, &mut room)) {
                if good? {
                    self.deal_out(piece)?;
                } else {
                    bad.push(piece);
                }
            }
        }
        let useless: Vec<_> = slots.into_iter().filter(|&piece| !self.touches_unwanted(piece)).collect();
        if !useless.is_empty() {
            self.sync()?; // what is dropped from one place must be durable in the other
            self.parts.free(self.os(), self.handles(), &useless)?;
        }
        Ok(bad)
    }

    fn uncreate(&self, file: usize) {
        if self.entries.standing(file) == Standing::Ours {
            self.handles().forget(|key| *key == (self.torrent, file));
            let _ = self.os().remove(&self.root, self.layout.path(file));
            lock(&self.dirty).files.remove(&file);
            self.look_at(file);
        }
    }

    /// Lets go of all open files.
    pub(crate) fn close(&self) {
        self.handles().forget(|(torrent, _)| *torrent == self.torrent);
    }
}

/// Blocks, as the slices that follow each other.
struct Cursor<'a> {
    blocks: &'a [Bytes],
    /// Bytes of the first block that are taken.
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, mut len: usize) -> Vec<IoSlice<'a>> {
        let mut slices = Vec::with_capacity(self.blocks.len());
        while len > 0
            && let Some(block) = self.blocks.first()
        {
            let n = len.min(block.len() - self.at);
            slices.push(IoSlice::new(&block[self.at..self.at + n]));
            len -= n;
            self.at += n;
            if self.at == block.len() {
                self.blocks = &self.blocks[1..];
                self.at = 0;
            }
        }
        slices
    }
}

fn hash_zeros(len: u32) -> [u8; 20] {
    let zeros = vec![0; READ_RUN as usize];
    let mut sha1 = Sha1::new();
    let mut left = len as usize;
    while left > 0 {
        let n = left.min(zeros.len());
        sha1.update(&zeros[..n]);
        left -= n;
    }
    sha1.finalize()
}
