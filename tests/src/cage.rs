//! A memory cgroup, of either version, for a program under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use crate::process;

/// A cgroup with so much memory; removed when dropped, after whoever ran in it.
#[derive(Debug)]
pub struct Cage {
    dir: PathBuf,
    files: &'static Files,
}

/// What the files of a version of cgroups are called.
#[derive(Debug)]
struct Files {
    /// How the file system is called in `/proc/mounts`.
    file_system: &'static str,
    limit: &'static str,
    peak: &'static str,
    events: &'static str,
}

const V1: Files = Files {
    file_system: "cgroup",
    limit: "memory.limit_in_bytes",
    peak: "memory.max_usage_in_bytes",
    events: "memory.oom_control",
};
const V2: Files =
    Files { file_system: "cgroup2", limit: "memory.max", peak: "memory.peak", events: "memory.events" };

impl Cage {
    /// Makes one.
    ///
    /// # Errors
    /// The system lets us make none: it says of each version why.
    pub fn new(bytes: u64) -> Result<Cage> {
        let mounts = fs::read_to_string("/proc/mounts")?;
        let mut reasons = String::new();
        for files in [&V2, &V1] {
            let Some(mount) = mount_of(&mounts, files) else {
                reasons.push_str(&format!("; {} with memory is not mounted", files.file_system));
                continue;
            };
            match Cage::at(&mount, files, bytes) {
                Ok(cage) => return Ok(cage),
                Err(error) => reasons.push_str(&format!("; {}: {error:#}", files.file_system)),
            }
        }
        bail!("no memory cgroup can be made here (it takes root, and a mount that can be written){reasons}")
    }

    fn at(mount: &Path, files: &'static Files, bytes: u64) -> Result<Cage> {
        static CAGES: AtomicU32 = AtomicU32::new(0);
        let number = CAGES.fetch_add(1, Ordering::Relaxed);
        if files.file_system == V2.file_system {
            fs::write(mount.join("cgroup.subtree_control"), "+memory").context("cgroup.subtree_control")?;
        }
        let dir = mount.join(format!("rawtorrent-cage-{}-{number}", std::process::id()));
        fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        let cage = Cage { dir, files };
        fs::write(cage.dir.join(files.limit), bytes.to_string()).context(files.limit)?;
        Ok(cage)
    }

    /// The command, to be run in it.
    #[must_use]
    pub fn around(&self, command: &Command) -> Command {
        process::after(&format!("echo $$ > '{}'", self.dir.join("cgroup.procs").display()), command)
    }

    /// The most memory that there was in it, in bytes, what the system keeps of files included.
    ///
    /// # Errors
    /// The system does not say.
    pub fn peak(&self) -> Result<u64> {
        let peak = fs::read_to_string(self.dir.join(self.files.peak)).context(self.files.peak)?;
        Ok(peak.trim().parse()?)
    }

    /// How many were killed for want of memory.
    ///
    /// # Errors
    /// The system does not say.
    pub fn kills(&self) -> Result<u64> {
        let events = fs::read_to_string(self.dir.join(self.files.events)).context(self.files.events)?;
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill ")).context("oom_kill")?;
        Ok(kills.trim().parse()?)
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        // One that somebody is still in stays.
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Where the memory controller of a version is mounted.
fn mount_of(mounts: &str, files: &Files) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let [_, dir, kind, options, ..] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
        let dir = PathBuf::from(dir);
        let has_memory = match kind {
            "cgroup" => options.split(',').any(|option| option == "memory"),
            _ => fs::read_to_string(dir.join("cgroup.controllers"))
                .is_ok_and(|all| all.split_whitespace().any(|one| one == "memory")),
        };
        (kind == files.file_system && has_memory).then_some(dir)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_controller_is_found() {
        let mounts = "proc /proc proc rw 0 0\ncgroup /c/cpu cgroup rw,cpu 0 0\ncgroup /c/memory cgroup rw,memory 0 0\n";
        assert_eq!(mount_of(mounts, &V1), Some("/c/memory".into()));
        assert_eq!(mount_of(mounts, &V2), None);
        assert_eq!(mount_of("cgroup2 /nowhere cgroup2 rw 0 0\n", &V2), None);
    }
}
