//! Whether the lines are what they are said to be.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::lab::{Lab, Sysctl};
use super::router;
use super::scenario::{Peer, Role};

/// A connection has this long to find its rate.
const WARM_UP: Duration = Duration::from_secs(4);
/// Then it is measured for this long.
const MEASURED: Duration = Duration::from_secs(8);
/// Round trips that are taken.
const ROUND_TRIPS: usize = 21;
/// A connection may get so much less than its line has.
const MIN_SHARE: f64 = 0.93;
/// A round trip may be longer by this.
const MAX_EXTRA: Duration = Duration::from_millis(2);
/// Where the test's servers listen.
const PORT: u16 = 7_000;

/// One thing that was measured.
#[derive(Clone, Debug)]
pub struct Check {
    /// What.
    pub what: String,
    /// Whether it is as it should be.
    pub good: bool,
}

/// Measures round trips, and bulk transfers that the sender's or the receiver's line limits.
///
/// # Errors
/// The lab cannot be made, or nothing passes.
pub fn run(sysctls: &[Sysctl]) -> Result<Vec<Check>> {
    let line = |up, down, latency_ms| Peer { role: Role::Leecher, up, down, latency_ms, start_s: 0.0 };
    let peers =
        [line(1_000_000, 4_000_000, 20.0), line(500_000, 4_000_000, 40.0), line(5_000_000, 2_000_000, 5.0)];
    let lab = Lab::new(&peers.map(|peer| peer.node()), sysctls)?;
    let mut checks = Vec::new();
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let expected = 2.0 * (peers[from].latency_ms + peers[to].latency_ms);
        let found = round_trip(&lab, from, to)?.as_secs_f64() * 1_000.0;
        let what = format!("{from} to {to}: round trip {found:.2} ms of {expected} ms");
        checks.push(Check { what, good: (found - expected).abs() <= MAX_EXTRA.as_secs_f64() * 1_000.0 });
    }
    for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 2)] {
        let expected = peers[from].up.min(peers[to].down) as f64;
        let share = bulk_rate(&lab, from, to)? / expected;
        let what = format!("{from} to {to}: TCP gets {:.1} % of {expected} bytes per second", share * 100.0);
        checks.push(Check { what, good: (MIN_SHARE..=1.01).contains(&share) });
    }
    let counters = lab.finish()?;
    checks.push(Check { what: format!("{counters:?}"), good: true });
    Ok(checks)
}

fn address(node: usize) -> Result<SocketAddrV4> {
    Ok(SocketAddrV4::new(router::address(u8::try_from(node)?), PORT))
}

/// The median of some.
fn round_trip(lab: &Lab, from: usize, to: usize) -> Result<Duration> {
    let to_address = address(to)?;
    let limit = Some(Duration::from_secs(5));
    let server = lab.inside(to, || UdpSocket::bind(to_address))??;
    let client = lab.inside(from, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
    server.set_read_timeout(limit)?;
    client.set_read_timeout(limit)?;
    thread::scope(|scope| {
        let echo = scope.spawn(move || -> Result<()> {
            let mut byte = [0];
            for _ in 0..ROUND_TRIPS {
                let (_, from) = server.recv_from(&mut byte)?;
                server.send_to(&byte, from)?;
            }
            Ok(())
        });
        let mut times = Vec::new();
        for _ in 0..ROUND_TRIPS {
            let sent = Instant::now();
            client.send_to(&[0], to_address)?;
            client.recv_from(&mut [0])?;
            times.push(sent.elapsed());
        }
        echo.join().map_err(|_| anyhow!("the echo has panicked"))??;
        times.sort();
        Ok(times[ROUND_TRIPS / 2])
    })
}

/// Bytes per second of one connection.
fn bulk_rate(lab: &Lab, from: usize, to: usize) -> Result<f64> {
    let to_address = address(to)?;
    let listener = lab.inside(to, || TcpListener::bind(to_address))??;
    let mut sender = lab.inside(from, || TcpStream::connect_timeout(&to_address.into(), WARM_UP))??;
    let (mut receiver, _) = listener.accept()?;
    receiver.set_read_timeout(Some(WARM_UP))?;
    sender.set_write_timeout(Some(WARM_UP))?;
    thread::scope(|scope| {
        // It ends when the receiver hangs up.
        scope.spawn(move || while sender.write_all(&[0; 16_384]).is_ok() {});
        receive_for(&mut receiver, WARM_UP)?;
        let rate = receive_for(&mut receiver, MEASURED);
        drop(receiver);
        rate
    })
}

fn receive_for(receiver: &mut TcpStream, time: Duration) -> Result<f64> {
    let (started, mut total, mut chunk) = (Instant::now(), 0.0, vec![0; 65_536]);
    while started.elapsed() < time {
        total += receiver.read(&mut chunk)? as f64;
    }
    Ok(total / started.elapsed().as_secs_f64())
}
