//! Trackers that answer or fail as they please: at most one announce is under way in each tier, nobody is asked too often,
//! the schedule comes to rest, and once stopped it is stopped for good.
#![no_main]

use common::{Parts, plant};
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use tracker::limits::MAX_TRACKERS;
use tracker::schedule::Input;
use tracker::{AnnounceResponse, Event, Schedule, TrackerId, TrackerUrl};
use types::Time;

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let tiers = parts.list(4, |parts| {
        parts.list(4, |parts| TrackerUrl::parse(&format!("udp://t{}:1", parts.byte())).expect("a URL"))
    });
    let mut schedule = Schedule::new(tiers, parts.byte().into());
    assert!(schedule.trackers().count() <= MAX_TRACKERS);
    let tier_of: BTreeMap<TrackerId, usize> = schedule.trackers().map(|view| (view.id, view.tier)).collect();
    let mut now = Time::from_secs(1);
    let mut in_flight: Vec<TrackerId> = Vec::new();
    let (mut answers, mut failures, mut stopped) = (0, 0, 0);
    while !parts.is_empty() {
        match parts.byte() % 8 {
            0 => {
                in_flight.clear();
                schedule.handle(now, Input::Started);
            }
            1 => schedule.handle(now, Input::Completed),
            2 => schedule.handle(now, Input::NeedPeers),
            3 => {
                in_flight.clear();
                schedule.handle(now, Input::Stop);
                stopped += 1;
            }
            4 | 5 if !in_flight.is_empty() => {
                let tracker = in_flight.swap_remove(usize::from(parts.byte()) % in_flight.len());
                let seconds =
                    |parts: &mut Parts<'_>| Some(Duration::from_secs(parts.u64() >> parts.byte().min(63)));
                let answer = AnnounceResponse {
                    interval: seconds(&mut parts),
                    min_interval: seconds(&mut parts).filter(|_| parts.bit()),
                    tracker_id: Some(parts.bytes().to_vec()),
                    ..AnnounceResponse::default()
                };
                schedule.handle(now, Input::Response(tracker, &answer));
                answers += 1;
            }
            6 if !in_flight.is_empty() => {
                let tracker = in_flight.swap_remove(usize::from(parts.byte()) % in_flight.len());
                let retry_in = parts.bit().then(|| Duration::from_secs(parts.u64()));
                schedule.handle(now, Input::Failed { tracker, retry_in });
                failures += 1;
            }
            _ => {
                let next = schedule.poll_timeout();
                now = if parts.bit() && next != Time::MAX {
                    now.max(next)
                } else {
                    now + Duration::from_millis(parts.u16().into())
                };
            }
        }
        while let Some(due) = schedule.poll(now) {
            let tier = tier_of[&due.tracker];
            // One may be given up for the next in its tier.
            in_flight.retain(|other| tier_of[other] != tier);
            in_flight.push(due.tracker);
            let lists = schedule.trackers().any(|view| view.id == due.tracker && view.is_listing_us);
            assert_eq!(
                matches!(due.event, None | Some(Event::Stopped | Event::Completed)),
                lists,
                "{:?}",
                due.event
            );
            assert_eq!(due.numwant == 0, due.event == Some(Event::Stopped));
        }
        assert!(schedule.poll_timeout() > now, "it comes to rest");
        plant(|| answers == 2 && failures >= 1 && stopped == 1 && !in_flight.is_empty());
    }
    schedule.handle(now, Input::Stop);
    for _ in 0..2 * MAX_TRACKERS {
        match schedule.poll(now) {
            Some(due) => schedule.handle(now, Input::Failed { tracker: due.tracker, retry_in: None }),
            None => now = now.max(schedule.poll_timeout().min(now + Duration::from_secs(3600))),
        }
    }
    assert!(schedule.is_stopped(), "one attempt each");
});
