//! One torrent's announces: the schedule decides, jobs of their own carry them out.

use crate::Error;
use crate::events::EventKind;
use crate::stats::Counters;
use net::announce::{AnnounceError, TrackerClient, TrackerSettings, announce};
use net::bind::LocalAddrs;
use net::http::{Bounds, HttpClient};
use std::net::SocketAddr;
use tracker::schedule::{Due, Input};
use tracker::{Announce, AnnounceResponse, Event, Refused, Schedule, TrackerId, UrlRules, parse_tiers};
use types::{InfoHashV1, PeerId, Time};

/// What reaches trackers and web servers, shared by all torrents.
pub(crate) struct Web {
    http: HttpClient,
    trackers: TrackerClient,
}

impl Web {
    pub(crate) fn new(user_agent: &str, local: LocalAddrs) -> Result<Web, Error> {
        let http = HttpClient::new(user_agent, local).map_err(|err| Error::Start(err.to_string()))?;
        let settings = TrackerSettings { local, ..TrackerSettings::default() };
        let trackers = TrackerClient::new(http.clone(), settings);
        Ok(Web { http, trackers })
    }

    /// Fetches a torrent file.
    pub(crate) async fn fetch(&self, url: &str) -> Result<Vec<u8>, Error> {
        self.http.fetch(url, Bounds::TORRENT).await.map_err(|err| Error::Fetch(err.to_string()))
    }
}

/// Whom one torrent announces to, and when.
pub(crate) struct Announcer {
    schedule: Schedule,
    info_hash: InfoHashV1,
    peer_id: PeerId,
    port: u16,
    key: u32,
}

/// An announce that is due.
pub(crate) struct DueAnnounce {
    due: Due,
    announce: Announce,
}

/// What came of it.
pub(crate) struct Announced {
    tracker: TrackerId,
    name: String,
    outcome: Result<AnnounceResponse, AnnounceError>,
}

impl Announcer {
    /// Trackers that cannot be used are passed over, and told to `refused`.
    pub(crate) fn new(
        tiers: &[Vec<String>],
        info_hash: InfoHashV1,
        peer_id: PeerId,
        port: u16,
        refused: impl Fn(EventKind),
    ) -> Announcer {
        let tiers = parse_tiers(tiers, UrlRules::default());
        for Refused { tier, position, error } in &tiers.refused {
            let tracker = format!("tracker {} of tier {}", position + 1, tier + 1);
            refused(EventKind::AnnounceFailed { tracker, error: error.to_string() });
        }
        let schedule = Schedule::new(tiers.usable, fastrand::u64(..));
        Announcer { schedule, info_hash, peer_id, port, key: fastrand::u32(..) }
    }

    pub(crate) fn start(&mut self, now: Time) {
        self.schedule.handle(now, Input::Started);
    }

    pub(crate) fn completed(&mut self, now: Time) {
        self.schedule.handle(now, Input::Completed);
    }

    pub(crate) fn need_peers(&mut self, now: Time) {
        self.schedule.handle(now, Input::NeedPeers);
    }

    /// When [`Self::poll`] is to be asked again.
    pub(crate) fn deadline(&self) -> Time {
        self.schedule.poll_timeout()
    }

    /// The next announce that is due; `run` is what was transferred in this run (each is a new one to trackers), and how
    /// many bytes are missing.
    pub(crate) fn poll(&mut self, now: Time, run: impl FnOnce() -> (Counters, u64)) -> Option<DueAnnounce> {
        let due = self.schedule.poll(now)?;
        let (counters, left) = run();
        let announce = Announce {
            info_hash: self.info_hash,
            peer_id: self.peer_id,
            port: self.port,
            uploaded: counters.uploaded,
            downloaded: counters.downloaded,
            left,
            event: due.event,
            numwant: Some(due.numwant),
            key: self.key,
            tracker_id: due.tracker_id.clone(),
            ipv4: None,
            ipv6: None,
        };
        Some(DueAnnounce { due, announce })
    }

    /// Takes in what came of an announce, and gives the peers that it told of.
    pub(crate) fn note(&mut self, now: Time, announced: Announced) -> Vec<SocketAddr> {
        let tracker = announced.tracker;
        match announced.outcome {
            Ok(response) => {
                self.schedule.handle(now, Input::Response(tracker, &response));
                response.peers
            }
            Err(err) => {
                self.schedule.handle(now, Input::Failed { tracker, retry_in: err.retry_in() });
                Vec::new()
            }
        }
    }

    /// From here on only `stopped` is due, once for each tracker that lists us.
    pub(crate) fn stop(&mut self, now: Time) {
        self.schedule.handle(now, Input::Stop);
    }
}

impl DueAnnounce {
    pub(crate) fn event(&self) -> EventKind {
        let event = self.announce.event.map(|event| match event {
            Event::Started => "started",
            Event::Completed => "completed",
            Event::Stopped => "stopped",
        });
        EventKind::Announcing { tracker: self.due.url.to_string(), event }
    }

    /// Makes it.
    pub(crate) async fn make(self, web: &Web) -> Announced {
        let outcome = announce(&web.trackers, &self.due.url, &self.announce).await;
        Announced { tracker: self.due.tracker, name: self.due.url.to_string(), outcome }
    }
}

impl Announced {
    pub(crate) fn event(&self) -> EventKind {
        let tracker = self.name.clone();
        match &self.outcome {
            Ok(response) => EventKind::Announced {
                tracker,
                peers: response.peers.len(),
                warning: response.warning.clone(),
            },
            Err(err) => EventKind::AnnounceFailed { tracker, error: err.to_string() },
        }
    }
}
