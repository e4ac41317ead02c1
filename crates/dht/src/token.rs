//! Write tokens (BEP 5): who wants to store something here must be able to receive at the address it sends from.

use crate::NodeId;
use crate::limits::{TOKEN_INTERVAL, TOKEN_LEN};
use alloc::vec::Vec;
use core::net::IpAddr;
use types::Time;

/// Makes tokens and knows its own again, without keeping any.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// What all secrets are made from: others see random numbers of ours, so it is none of those.
    key: [u8; 20],
    /// The how manieth secret it is.
    turn: u64,
    /// The secret that tokens are made from now, and the one before.
    secrets: [[u8; 20]; 2],
    since: Time,
}

pub(crate) type Token = [u8; TOKEN_LEN];

impl Tokens {
    pub(crate) fn new(key: [u8; 20], now: Time) -> Tokens {
        Tokens { key, turn: 0, secrets: [secret(&key, 0); 2], since: now }
    }

    /// Takes a new secret if it is time.
    pub(crate) fn rotate(&mut self, now: Time) {
        let age = now.since(self.since);
        let turns = if age >= TOKEN_INTERVAL * 2 { 2 } else { u64::from(age >= TOKEN_INTERVAL) };
        if turns > 0 {
            self.turn += turns;
            self.secrets = [secret(&self.key, self.turn), secret(&self.key, self.turn - 1)];
            self.since = now;
        }
    }

    /// The token for this host and what it asked for.
    pub(crate) fn issue(&self, ip: IpAddr, target: &NodeId) -> Token {
        make(&self.secrets[0], ip, target)
    }

    /// Whether it is one of ours, for this host and target, not older than two secrets.
    pub(crate) fn accepts(&self, token: &[u8], ip: IpAddr, target: &NodeId) -> bool {
        self.secrets.iter().any(|secret| make(secret, ip, target) == token)
    }
}

fn secret(key: &[u8; 20], turn: u64) -> [u8; 20] {
    let mut message = [0; 28];
    message[..20].copy_from_slice(key);
    message[20..].copy_from_slice(&turn.to_be_bytes());
    hash::sha1(&message)
}

fn make(secret: &[u8; 20], ip: IpAddr, target: &NodeId) -> Token {
    let mut message = Vec::with_capacity(56);
    message.extend_from_slice(secret);
    match ip {
        IpAddr::V4(ip) => message.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => message.extend_from_slice(&ip.octets()),
    }
    message.extend_from_slice(&target.0);
    let digest = hash::sha1(&message);
    core::array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn tokens_are_for_one_host_one_target_and_a_while() {
        let mut tokens = Tokens::new([1; 20], Time::ZERO);
        let (ip, target) = (IpAddr::from([1, 2, 3, 4]), NodeId([5; 20]));
        let token = tokens.issue(ip, &target);
        assert!(tokens.accepts(&token, ip, &target));
        assert!(!tokens.accepts(&token, [1, 2, 3, 5].into(), &target));
        assert!(!tokens.accepts(&token, ip, &NodeId([6; 20])));
        assert!(!tokens.accepts(b"", ip, &target));
        assert!(!tokens.accepts(&token[..7], ip, &target));

        let mut now = Time::ZERO + TOKEN_INTERVAL;
        tokens.rotate(now);
        assert_ne!(tokens.issue(ip, &target), token);
        assert!(tokens.accepts(&token, ip, &target), "the last but one");
        now += TOKEN_INTERVAL - Duration::from_secs(1);
        tokens.rotate(now);
        assert!(tokens.accepts(&token, ip, &target));
        tokens.rotate(now + Duration::from_secs(1));
        assert!(!tokens.accepts(&token, ip, &target), "ten minutes old");
    }

    #[test]
    fn a_long_silence_ends_every_token() {
        let mut tokens = Tokens::new([1; 20], Time::ZERO);
        let (ip, target) = (IpAddr::from([1, 2, 3, 4]), NodeId([5; 20]));
        let token = tokens.issue(ip, &target);
        tokens.rotate(Time::ZERO + TOKEN_INTERVAL * 3);
        assert!(!tokens.accepts(&token, ip, &target));
    }
}
