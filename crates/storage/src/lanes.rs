//! Which thread writes for which torrent: every device has its own, so that no torrent waits for another device than the
//! one its files lie on.

use crate::Error;
use crate::limits::MAX_DEVICES;
use crate::pool::{LaneJob, lock, run_lane, start};
use async_channel::Sender;
use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;

/// The threads that write. Those of a device are started with its first torrent.
pub(crate) struct Lanes {
    threads: usize,
    queue: usize,
    alive: Sender<Infallible>,
    devices: Mutex<Vec<Device>>,
}

/// The lanes of one device, which take turns to get a torrent.
struct Device {
    /// `None` until one is seen.
    id: Option<u64>,
    lanes: Vec<Sender<LaneJob>>,
    torrents: usize,
}

impl Lanes {
    /// As many `threads` for each device. Those of the first one are started at once.
    pub(crate) fn new(threads: usize, queue: usize, alive: Sender<Infallible>) -> Result<Lanes, Error> {
        let lanes = Lanes { threads, queue, alive, devices: Mutex::default() };
        let first = lanes.start(None, 0)?;
        lock(&lanes.devices).push(first);
        Ok(lanes)
    }

    /// The lane of a new torrent whose files lie, or will lie, on this device. Of devices above [`MAX_DEVICES`], or for
    /// which there are no more threads, torrents share those of others.
    pub(crate) fn assign(&self, device: u64) -> Sender<LaneJob> {
        let mut devices = lock(&self.devices);
        let known = devices.iter().position(|other| other.id.is_none_or(|id| id == device));
        let at = known.unwrap_or_else(|| {
            let count = devices.len();
            let started = if count < MAX_DEVICES { self.start(Some(device), count).ok() } else { None };
            let shared = usize::try_from(device % count as u64).unwrap_or(0);
            started.map_or(shared, |started| {
                devices.push(started);
                count
            })
        });
        let chosen = &mut devices[at];
        chosen.id.get_or_insert(device);
        chosen.torrents += 1;
        chosen.lanes[chosen.torrents % chosen.lanes.len()].clone()
    }

    fn start(&self, id: Option<u64>, number: usize) -> Result<Device, Error> {
        let lane = |n| {
            let (lane, blocks) = async_channel::bounded(self.queue);
            start(format!("disk-write-{number}-{n}"), &self.alive, move || run_lane(&blocks))?;
            Ok(lane)
        };
        let lanes = (0..self.threads).map(lane).collect::<Result<_, Error>>()?;
        Ok(Device { id, lanes, torrents: 0 })
    }
}

/// The device on which a path lies, or will lie: that of the deepest folder that is there.
pub(crate) fn device_of(path: &Path) -> u64 {
    path.ancestors().find_map(|part| fs::metadata(part).ok()).map_or(0, |found| found.dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_share_no_lane_until_there_are_too_many() {
        let (alive, _ended) = async_channel::bounded(1);
        let lanes = Lanes::new(2, 1, alive).unwrap();
        let mut seen: Vec<Vec<Sender<LaneJob>>> = Vec::new();
        for device in 0..MAX_DEVICES as u64 {
            let own: Vec<_> = (0..3).map(|_| lanes.assign(device + 10)).collect();
            assert!(!own[0].same_channel(&own[1]) && own[0].same_channel(&own[2]), "in turns");
            assert!(!seen.iter().flatten().any(|other| own.iter().any(|lane| lane.same_channel(other))));
            seen.push(own);
        }
        let one_more = lanes.assign(5);
        assert!(seen.iter().flatten().any(|lane| lane.same_channel(&one_more)));
        let again = lanes.assign(13);
        assert!(seen[3].iter().any(|lane| lane.same_channel(&again)));
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
