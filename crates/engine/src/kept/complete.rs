//! Where a torrent's files lie, and what they are called, until all that is wanted of it is there.

use super::mounts;
use super::names::{self, Names};
use super::record::Target;
use super::{Choices, KeptTorrent, Room, Running};
use crate::driver::blocking;
use crate::{Error, Metainfo};
use metainfo::names::Folding;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use storage::Layout;

/// What is behind the name of a file of a torrent that is not complete.
const SUFFIX: &str = ".part";
/// Files of a torrent that get a suffix; those of one with more are never called otherwise.
const MAX_SUFFIXED: usize = 10_000;

impl Room {
    /// Has a torrent that is added lie where those do that are not complete, and be called so; unless some of its files are
    /// where they belong already. Where it would share a file with another torrent until both are complete, neither could go:
    /// it lies where it belongs then.
    pub(super) async fn arrange(&self, choices: &mut Choices, metainfo: Option<&Arc<Metainfo>>) {
        let settings = self.settings.lock().await.clone();
        let mut incomplete_dir = settings.incomplete_dir.filter(|dir| *dir != choices.dir);
        let (true, Some(metainfo)) = (incomplete_dir.is_some() || settings.part_suffix, metainfo) else {
            return;
        };
        let Ok(layout) = Layout::new(metainfo.clone()).and_then(|layout| layout.renamed(&choices.names))
        else {
            return;
        };
        let files = metainfo.files().len();
        if has_some(layout.clone(), files, choices.dir.clone()).await {
            return;
        }
        let suffixed = match settings.part_suffix && may_have_suffixes(files) {
            true => with_suffixes(metainfo, &choices.names),
            false => None,
        };
        let names = suffixed.as_ref().unwrap_or(&choices.names);
        if let Some(dir) = &incomplete_dir
            && let Ok(layout) = layout.renamed(names)
            && has_some(layout.clone(), files, dir.clone()).await
            && self
                .must_be_its_alone(metainfo.info_hash(), dir.clone(), layout, vec![true; files])
                .await
                .is_err()
        {
            incomplete_dir = None;
        }
        if let (Some(incomplete), None) = (incomplete_dir, &choices.dir_when_complete) {
            choices.dir_when_complete = Some(std::mem::replace(&mut choices.dir, incomplete));
        }
        if let Some(names) = suffixed {
            (choices.names, choices.part_suffix) = (names, true);
        }
    }

    /// Has the files of a torrent go where they belong, under their names. What keeps them from that is told, and asked for
    /// again.
    pub(super) async fn settle(self: &Arc<Self>, kept: &mut KeptTorrent) {
        let Some(metainfo) = kept.what.metainfo().cloned() else { return };
        let target = kept.settled(&metainfo);
        // What can be seen beforehand is not worth stopping for.
        let begun = match self.can_settle(kept, &metainfo, &target).await {
            Ok(()) => self.begin_moving(kept.what.info_hash(), kept, target, None).await.map(drop),
            Err(why) => Err(why),
        };
        if let Err(why) = begun {
            kept.stays_unsettled(why);
        }
    }

    async fn can_settle(
        &self,
        kept: &KeptTorrent,
        metainfo: &Arc<Metainfo>,
        target: &Target,
    ) -> Result<(), Error> {
        let choices = &kept.record.choices;
        if choices.dir_when_complete.is_some() {
            mounts::must_be_mounted(kept.record.mount_when_complete.clone()).await?;
        }
        let layout = |names: &Names| Layout::new(metainfo.clone())?.renamed(names);
        let (from, to) = (layout(&choices.names)?, layout(&target.names)?);
        let (here, there, files) = (choices.dir.clone(), target.dir.clone(), metainfo.files().len());
        let (own, layout) = (choices.dir.clone(), from.clone());
        blocking(move || Ok(storage::must_be_free(&to, &there, (&from, &here), files)?)).await?;
        let info_hash = kept.what.info_hash();
        let ours = self.known_files(info_hash, metainfo).await.unwrap_or_else(|| vec![true; files]);
        self.must_be_its_alone(info_hash, own, layout, ours).await
    }
}

impl KeptTorrent {
    /// Whether it is complete, and its files are not where they belong or not called what they are to be called.
    pub(super) fn is_to_settle(&self) -> bool {
        let choices = &self.record.choices;
        let Running::Yes(torrent) = &self.running else { return false };
        (choices.dir_when_complete.is_some() || choices.part_suffix)
            && torrent.status.borrow().finished.is_some()
    }

    /// Where its files are to be once it is complete.
    pub(super) fn settled(&self, metainfo: &Metainfo) -> Target {
        let choices = &self.record.choices;
        let dir = choices.dir_when_complete.clone().unwrap_or_else(|| choices.dir.clone());
        let names = choices.lasting_names(metainfo);
        Target { dir, dir_when_complete: None, names, part_suffix: false }
    }

    /// It is complete, and its files stay where they are.
    pub(super) fn stays_unsettled(&mut self, why: Error) {
        let is_told = self.unsettled.as_ref().is_some_and(|told| told.to_string() == why.to_string());
        if !is_told {
            let torrent = self.what.name();
            tracing::warn!(%why, torrent, "the files of a torrent that is complete stay where they are");
        }
        self.unsettled = Some(why);
    }

    /// What keeps its files from going where they belong, for people.
    pub(super) fn why_unsettled(&self) -> Option<String> {
        let goes_on = self.is_to_settle() || matches!(self.running, Running::Moving(_));
        self.unsettled.as_ref().filter(|_| goes_on).map(Error::of_kept)
    }
}

/// The names once a file, or a folder with all that is in it, has another path: those of a torrent that is not complete are
/// given without the suffix that its files have until then.
pub(super) fn renamed(metainfo: &Metainfo, choices: &Choices, path: &str, to: &str) -> Result<Names, Error> {
    if !choices.part_suffix {
        return names::renamed(metainfo, &choices.names, path, to);
    }
    let bare = without_suffixes(metainfo, &choices.names);
    let after = names::renamed(metainfo, &bare, path, to).or_else(|error| {
        // As it is called on disk.
        let Some(path) = path.strip_suffix(SUFFIX) else { return Err(error) };
        names::renamed(metainfo, &bare, path, to.strip_suffix(SUFFIX).unwrap_or(to))
    })?;
    let refused =
        || Error::Refused("with .part behind its name, a file would be in the way of another".into());
    with_suffixes(metainfo, &after).ok_or_else(refused)
}

impl Choices {
    /// [`names`](Self::names), but for the suffix that files have until all that is wanted is there: what they are called to
    /// the user.
    pub fn lasting_names(&self, metainfo: &Metainfo) -> BTreeMap<usize, String> {
        match self.part_suffix {
            true => without_suffixes(metainfo, &self.names),
            false => self.names.clone(),
        }
    }
}

/// Whether some file of a torrent lies below a folder; `true` if that cannot be told.
async fn has_some(layout: Layout, files: usize, dir: PathBuf) -> bool {
    let some = move || (0..files).any(|file| layout.path_under(&dir, file).is_file());
    tokio::task::spawn_blocking(some).await.unwrap_or(true)
}

fn may_have_suffixes(files: usize) -> bool {
    files <= MAX_SUFFIXED
}

/// `None` if files would meet then, or when they are called as they are to be called, or a path would be too long.
fn with_suffixes(metainfo: &Metainfo, names: &Names) -> Option<Names> {
    let files = metainfo.files().iter().enumerate().filter(|(_, file)| file.is_regular());
    let path = |(file, own): (usize, &metainfo::File)| {
        let path = names.get(&file).map_or(own.path.as_str(), String::as_str);
        (file, format!("{path}{SUFFIX}"))
    };
    let suffixed = files.map(path).collect();
    // Where one belongs, another must not lie until then.
    let mut folding = Folding::default();
    let lasting: BTreeSet<String> =
        names::paths(metainfo, names).map(|(_, path)| folding.fold(path).to_owned()).collect();
    let meet = names::paths(metainfo, &suffixed).any(|(_, path)| lasting.contains(folding.fold(path)));
    (!meet && names::check(metainfo, &suffixed).is_ok()).then_some(suffixed)
}

fn without_suffixes(metainfo: &Metainfo, names: &Names) -> Names {
    let own = |file: usize| metainfo.files().get(file).map(|file| file.path.as_str());
    let bare = names.iter().map(|(&file, path)| (file, path.strip_suffix(SUFFIX).unwrap_or(path).to_owned()));
    bare.filter(|(file, path)| own(*file) != Some(path.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use metainfo::create::Builder;

    #[test]
    fn a_torrent_of_very_many_files_has_no_suffixes() {
        assert!(may_have_suffixes(MAX_SUFFIXED) && !may_have_suffixes(MAX_SUFFIXED + 1));
    }

    #[test]
    fn suffixes_come_and_go() {
        let torrent = Builder::file("x", 1).piece_length(16384).pieces(vec![7; 20]).build().unwrap();
        let torrent = Metainfo::parse(&torrent).unwrap();
        let name = |path: &str| Names::from([(0, path.to_owned())]);
        for (before, between) in
            [(Names::new(), "x.part"), (name("y"), "y.part"), (name("a/x.part"), "a/x.part.part")]
        {
            let with = with_suffixes(&torrent, &before).unwrap();
            assert_eq!(with, name(between));
            assert_eq!(without_suffixes(&torrent, &with), before);
        }
        let file = |path: &str| format!("d6:lengthi1e4:pathl{path}ee");
        let files = [file("1:a"), file("6:a.part1:x")].concat();
        let hash = "h".repeat(20);
        let meets = format!("d4:infod5:filesl{files}e4:name1:t12:piece lengthi16384e6:pieces20:{hash}ee");
        assert_eq!(with_suffixes(&Metainfo::parse(meets.as_bytes()).unwrap(), &Names::new()), None);
        let files = [file("1:a"), file("1:b")].concat();
        let two = format!("d4:infod5:filesl{files}e4:name1:t12:piece lengthi16384e6:pieces20:{hash}ee");
        let two = Metainfo::parse(two.as_bytes()).unwrap();
        let (mut choices, names) = (Choices::new("/x"), with_suffixes(&two, &Names::new()));
        (choices.part_suffix, choices.names) = (true, names.unwrap());
        for to in ["t/b.part", "t/B.Part"] {
            let refused = renamed(&two, &choices, "t/a", to).unwrap_err().to_string();
            assert!(refused.contains("would be in the way of another"), "{refused}");
        }
        assert!(renamed(&two, &choices, "t/a", "t/c.part").is_ok());
        let mut choices = Choices::new("/x");
        (choices.part_suffix, choices.names) = (true, name("x.part"));
        for (path, to, after) in
            [("x", "z", "z.part"), ("x.part", "z.part", "z.part"), ("x", "z.part", "z.part.part")]
        {
            assert_eq!(renamed(&torrent, &choices, path, to).unwrap(), name(after), "{path} to {to}");
        }
        assert_eq!(choices.lasting_names(&torrent), Names::new());
        assert!(
            renamed(&torrent, &choices, "y.part", "z").is_err()
                && renamed(&torrent, &choices, "y", "z").is_err()
        );
        // The user called it otherwise meanwhile.
        assert_eq!(without_suffixes(&torrent, &name("z")), name("z"));
    }
}
