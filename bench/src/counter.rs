//! A tracker that costs as little as one can: it knows no peers, and when it was asked.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Who answers at a time.
const THREADS: usize = 2;
/// Who connects and says nothing for so long is hung up on.
const SILENCE: Duration = Duration::from_secs(2);
/// Nobody, again in half an hour.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 27\r\nConnection: close\r\n\r\nd8:intervali1800e5:peers0:e";

/// A tracker that listens for as long as the program runs.
#[derive(Debug)]
pub(crate) struct CountingTracker {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl CountingTracker {
    pub(crate) fn start() -> io::Result<CountingTracker> {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0")?);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let addr = listener.local_addr()?;
        for _ in 0..THREADS {
            let (listener, asked) = (Arc::clone(&listener), Arc::clone(&asked));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let at = Instant::now();
                    // Who breaks off has asked for nothing.
                    if answer(stream).is_ok() {
                        asked.lock().unwrap_or_else(PoisonError::into_inner).push(at);
                    }
                }
            });
        }
        Ok(CountingTracker { addr, asked })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/announce", self.addr)
    }

    /// Forgets, and tells when it was asked.
    pub(crate) fn take(&self) -> Vec<Instant> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while !lines.next().ok_or(io::ErrorKind::UnexpectedEof)??.is_empty() {}
    stream.write_all(ANSWER)
}

/// The most moments that lie within one second.
pub(crate) fn most_in_a_second(mut moments: Vec<Instant>) -> usize {
    moments.sort_unstable();
    let mut first = 0;
    let within = |(last, &at): (usize, &Instant)| {
        while at - moments[first] >= Duration::from_secs(1) {
            first += 1;
        }
        last + 1 - first
    };
    moments.iter().enumerate().map(within).max().unwrap_or(0)
}

#[cfg(test)]
mod tests_of_counter {
    use super::*;
    use std::io::Read;

    #[test]
    fn announces_are_answered_and_counted() {
        let tracker = CountingTracker::start().unwrap();
        let mut stream = TcpStream::connect(tracker.addr).unwrap();
        stream.write_all(b"GET /announce?info_hash=x HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
        // The answer goes out before it is counted.
        while tracker.asked.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        assert_eq!(tracker.take().len(), 1);
        assert_eq!(tracker.take().len(), 0);
    }

    #[test]
    fn the_most_in_any_second_counts() {
        let start = Instant::now();
        let at =
            |millis: &[u64]| millis.iter().map(|&millis| start + Duration::from_millis(millis)).collect();
        assert_eq!(most_in_a_second(vec![]), 0);
        assert_eq!(most_in_a_second(at(&[1_500, 0, 900, 1_000, 5_000])), 3);
        assert_eq!(most_in_a_second(at(&[0, 1_000, 2_000])), 1);
    }
}
