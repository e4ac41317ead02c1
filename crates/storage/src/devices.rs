//! Which threads work for which torrent: every device has its own, so that no torrent waits for another device than the
//! one its files lie on.

use crate::Error;
use crate::limits::{MAX_DEVICES, MOUNTS_AGE, READ_QUEUE, WORK_QUEUE};
use crate::pool::{Job, LaneJob, lock, run_lane, start};
use async_channel::{Receiver, Sender};
use rustix::fs::makedev;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

/// The threads that touch disks. Those of a device are started with its first torrent.
pub(crate) struct Devices {
    threads: usize,
    lane_queue: usize,
    alive: Sender<Infallible>,
    known: Mutex<Vec<Device>>,
    mounts: Mutex<Option<(Instant, Mounts)>>,
}

/// Where a torrent's work goes.
#[derive(Clone)]
pub(crate) struct Queues {
    /// Writes: each torrent's always here.
    pub(crate) lane: Sender<LaneJob>,
    /// Reads for upload.
    pub(crate) readers: Sender<Job>,
    /// What takes long: checks and syncs.
    pub(crate) workers: Sender<Job>,
}

struct Device {
    /// `None` until one is seen.
    id: Option<u64>,
    /// They take turns to get a torrent.
    lanes: Vec<Sender<LaneJob>>,
    readers: Sender<Job>,
    workers: Sender<Job>,
    torrents: usize,
}

impl Devices {
    /// As many `threads` of each kind for each device. Those of the first one are started at once.
    pub(crate) fn new(
        threads: usize,
        lane_queue: usize,
        alive: Sender<Infallible>,
    ) -> Result<Devices, Error> {
        let devices =
            Devices { threads, lane_queue, alive, known: Mutex::default(), mounts: Mutex::default() };
        let first = devices.start(None, 0)?;
        lock(&devices.known).push(first);
        Ok(devices)
    }

    /// Where the work of a new torrent goes whose files lie, or will lie, on this device. Of devices above [`MAX_DEVICES`],
    /// or for which there are no more threads, torrents share the threads of others.
    pub(crate) fn assign(&self, device: u64) -> Queues {
        let mut known = lock(&self.known);
        let chosen = self.choose(&mut known, device);
        chosen.torrents += 1;
        let lane = chosen.lanes[chosen.torrents % chosen.lanes.len()].clone();
        Queues { lane, readers: chosen.readers.clone(), workers: chosen.workers.clone() }
    }

    /// Who is to look at a path for the first time, which may hang: as far as the table of mounts tells, which it does not
    /// of links, those of its device. Does not touch the disk.
    pub(crate) fn workers_for(&self, path: &Path) -> Sender<Job> {
        let device = {
            let mut mounts = lock(&self.mounts);
            mounts.take_if(|(read, _)| read.elapsed() >= MOUNTS_AGE);
            let (_, table) = mounts.get_or_insert_with(|| (Instant::now(), Mounts::now()));
            table.device_of(path)
        };
        let mut known = lock(&self.known);
        match device {
            Some(device) => self.choose(&mut known, device).workers.clone(),
            None => known[0].workers.clone(),
        }
    }

    fn choose<'d>(&self, known: &'d mut Vec<Device>, device: u64) -> &'d mut Device {
        let at = known.iter().position(|other| other.id.is_none_or(|id| id == device)).unwrap_or_else(|| {
            let count = known.len();
            let started = if count < MAX_DEVICES { self.start(Some(device), count).ok() } else { None };
            let shared = usize::try_from(device % count as u64).unwrap_or(0);
            started.map_or(shared, |started| {
                known.push(started);
                count
            })
        });
        let chosen = &mut known[at];
        chosen.id.get_or_insert(device);
        chosen
    }

    fn start(&self, id: Option<u64>, number: usize) -> Result<Device, Error> {
        let lane = |n| {
            let (lane, blocks) = async_channel::bounded(self.lane_queue);
            start(format!("disk-write-{number}-{n}"), &self.alive, move || run_lane(&blocks))?;
            Ok(lane)
        };
        let (readers, reads) = async_channel::bounded(READ_QUEUE);
        let (workers, work) = async_channel::bounded(WORK_QUEUE);
        for n in 0..self.threads {
            for (kind, jobs) in [("read", &reads), ("work", &work)] {
                let jobs: Receiver<Job> = jobs.clone();
                let run = move || {
                    while let Ok(job) = jobs.recv_blocking() {
                        job();
                    }
                };
                start(format!("disk-{kind}-{number}-{n}"), &self.alive, run)?;
            }
        }
        let lanes = (0..self.threads).map(lane).collect::<Result<_, Error>>()?;
        Ok(Device { id, lanes, readers, workers, torrents: 0 })
    }
}

/// The device on which a path lies, or will lie: that of the deepest folder that is there.
pub(crate) fn device_of(path: &Path) -> u64 {
    path.ancestors().find_map(|part| fs::metadata(part).ok()).map_or(0, |found| found.dev())
}

/// What is mounted where, and on which device.
#[derive(Default)]
struct Mounts(Vec<(PathBuf, u64)>);

impl Mounts {
    /// None where the system has no such table.
    fn now() -> Mounts {
        Mounts::parse(&fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    /// See proc_pid_mountinfo(5).
    fn parse(table: &[u8]) -> Mounts {
        let mount = |line: &[u8]| {
            let mut fields = line.split(|&byte| byte == b' ').skip(2);
            let (major, minor) = str::from_utf8(fields.next()?).ok()?.split_once(':')?;
            let device = makedev(major.parse().ok()?, minor.parse().ok()?);
            Some((unescaped(fields.nth(1)?), device))
        };
        Mounts(table.split(|&byte| byte == b'\n').filter_map(mount).collect())
    }

    /// That of the deepest mount above it, of those the last.
    fn device_of(&self, path: &Path) -> Option<u64> {
        let above = self.0.iter().filter(|(mount, _)| path.starts_with(mount));
        above.max_by_key(|(mount, _)| mount.as_os_str().len()).map(|(_, device)| *device)
    }
}

/// A path in which blanks and the like stand as `\` and three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let (mut path, mut left) = (Vec::with_capacity(field.len()), field);
    while let Some((&first, rest)) = left.split_first() {
        let code = rest.get(..3).filter(|_| first == b'\\').and_then(|code| str::from_utf8(code).ok());
        let byte = code.and_then(|code| u8::from_str_radix(code, 8).ok());
        path.push(byte.unwrap_or(first));
        left = byte.map_or(rest, |_| &rest[3..]);
    }
    OsString::from_vec(path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(one: &Queues, other: &Queues) -> [bool; 3] {
        [
            one.lane.same_channel(&other.lane),
            one.readers.same_channel(&other.readers),
            one.workers.same_channel(&other.workers),
        ]
    }

    #[test]
    fn devices_share_no_threads_until_there_are_too_many() {
        let (alive, _ended) = async_channel::bounded(1);
        let devices = Devices::new(2, 1, alive).unwrap();
        let mut seen: Vec<Vec<Queues>> = Vec::new();
        for device in 0..MAX_DEVICES as u64 {
            let own: Vec<_> = (0..3).map(|_| devices.assign(device + 10)).collect();
            assert_eq!(share(&own[0], &own[1]), [false, true, true], "lanes in turns");
            assert_eq!(share(&own[0], &own[2]), [true; 3]);
            assert!(seen.iter().flatten().all(|other| own.iter().all(|own| share(own, other) == [false; 3])));
            seen.push(own);
        }
        let one_more = devices.assign(5);
        assert!(seen.iter().flatten().any(|other| share(other, &one_more) == [true; 3]));
        let again = devices.assign(13);
        assert!(seen[3].iter().any(|other| share(other, &again) == [true; 3]));
    }

    #[test]
    fn who_looks_first_is_of_the_device_that_is_mounted_there() {
        let (alive, _ended) = async_channel::bounded(1);
        let devices = Devices::new(1, 1, alive).unwrap();
        let (root, proc) = (devices.assign(device_of(Path::new("/"))), device_of(Path::new("/proc")));
        assert!(devices.workers_for(Path::new("/")).same_channel(&root.workers));
        let proc = devices.assign(proc);
        assert!(devices.workers_for(Path::new("/proc/not/there")).same_channel(&proc.workers));
        assert!(!proc.workers.same_channel(&root.workers));
        assert!(devices.workers_for(Path::new("no path from the root")).same_channel(&root.workers));
    }

    #[test]
    fn the_table_of_mounts_is_read() {
        let table = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            23 22 0:50 / /mnt/a\\040disk rw,nosuid shared:1 - fuse x rw\n\
            24 23 0:51 /part /mnt/a\\040disk rw - tmpfs x rw\nrubbish\n25 1 x:1 / /y\n";
        let mounts = Mounts::parse(table);
        assert_eq!(mounts.0.len(), 3);
        let device = |path: &str| mounts.device_of(Path::new(path));
        assert_eq!(device("/mnt/a disk/x"), Some(makedev(0, 51)), "mounted over the other");
        assert_eq!(device("/mnt/a diskette"), Some(makedev(8, 1)));
        assert_eq!((device("relative"), Mounts::default().device_of(Path::new("/"))), (None, None));
        assert_eq!(unescaped(br"\1 \0400\"), Path::new(r"\1  0\"));
    }

    #[test]
    fn a_device_is_that_of_the_deepest_folder_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let device = fs::metadata(dir.path()).unwrap().dev();
        assert_eq!(device_of(&dir.path().join("not/there")), device);
        assert_eq!(device_of(Path::new("/proc/not/there")), fs::metadata("/proc").unwrap().dev());
        assert_ne!(fs::metadata("/proc").unwrap().dev(), device);
    }
}
