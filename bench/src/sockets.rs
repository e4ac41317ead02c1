//! What came over connections, as the kernel counts it: the same for every client.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(200);

/// Bytes that had come from each of several addresses at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) received: Vec<u64>,
}

/// Looks until it is stopped.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Sample>>>,
}

impl Watch {
    /// Watches what comes from `sources` to anybody but themselves.
    pub(crate) fn start(sources: Vec<IpAddr>) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut seen, mut samples) = (BTreeMap::new(), Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                let at = Instant::now();
                look(&mut seen)?;
                samples.push(Sample {
                    at,
                    received: sources.iter().map(|&from| total(&seen, from, &sources)).collect(),
                });
                thread::sleep(LOOK);
            }
            Ok(samples)
        });
        Watch { stop, thread }
    }

    pub(crate) fn stop(self) -> Result<Vec<Sample>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the watch panicked"))?
    }
}

/// A connection by its ends, ours first, and the bytes that came over it.
type Seen = BTreeMap<(Endpoint, Endpoint), u64>;
type Endpoint = (IpAddr, u16);

fn look(seen: &mut Seen) -> Result<()> {
    let output = Command::new("ss").args(["-tinHO", "state", "established"]).output();
    let output = output.context("cannot run `ss` (Debian package iproute2)")?;
    ensure!(output.status.success(), "ss: {}", String::from_utf8_lossy(&output.stderr));
    seen.extend(String::from_utf8_lossy(&output.stdout).lines().filter_map(parse));
    Ok(())
}

fn parse(line: &str) -> Option<((Endpoint, Endpoint), u64)> {
    let mut fields = line.split_whitespace().skip(2);
    let ends = (endpoint(fields.next()?)?, endpoint(fields.next()?)?);
    let received = fields.find_map(|field| field.strip_prefix("bytes_received:")).unwrap_or("0");
    Some((ends, received.parse().ok()?))
}

fn endpoint(text: &str) -> Option<Endpoint> {
    let (ip, port) = text.rsplit_once(':')?;
    let ip: IpAddr = ip.trim_matches(['[', ']']).parse().ok()?;
    Some((ip.to_canonical(), port.parse().ok()?))
}

fn total(seen: &Seen, from: IpAddr, sources: &[IpAddr]) -> u64 {
    let counts = |(local, peer): &(Endpoint, Endpoint)| peer.0 == from && !sources.contains(&local.0);
    seen.iter().filter(|(ends, _)| counts(ends)).map(|(_, received)| received).sum()
}

#[cfg(test)]
mod tests_of_sockets {
    use super::*;

    #[test]
    fn what_came_from_an_address_is_counted_at_the_other_end() {
        let lines = "0      0           10.77.0.2:20007       10.77.0.10:6881  reno wscale:7,7 bytes_received:500 segs_in:3\n\
                     0      0           10.77.0.10:6881       10.77.0.2:20007  reno wscale:7,7 bytes_received:17 segs_in:3\n\
                     0      8           [::ffff:10.77.0.2]:20009  [::ffff:10.77.0.10]:6881  reno bytes_received:20\n\
                     0      8           [::1]:20009  [::1]:6881  reno\n";
        let seen: Seen = lines.lines().filter_map(parse).collect();
        let source = |last: u8| IpAddr::from([10, 77, 0, last]);
        let sources = [source(10), source(11)];
        assert_eq!(seen.len(), 4);
        assert_eq!(sources.map(|from| total(&seen, from, &sources)), [520, 0]);
        assert_eq!(total(&seen, source(2), &sources), 0);
        assert_eq!(parse("nothing"), None);
    }
}
