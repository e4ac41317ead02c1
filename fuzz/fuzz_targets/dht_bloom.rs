//! Sets of addresses (BEP 33): whoever was added is found, a union has what its parts have, and the estimate is sane.
#![no_main]

use common::{Parts, plant};
use dht::{BLOOM_LEN, Bloom};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(bloom) = Bloom::from_slice(data) {
        assert_eq!(bloom.as_bytes()[..], *data);
    } else {
        assert_ne!(data.len(), BLOOM_LEN);
    }
    let mut parts = Parts(data);
    let mut blooms = [Bloom::EMPTY, Bloom::EMPTY];
    let lists = [parts.list(255, Parts::ip), parts.list(255, Parts::ip)];
    for (bloom, ips) in blooms.iter_mut().zip(&lists) {
        let mut last = bloom.estimate();
        assert!(last.abs() < 0.001, "nobody");
        for &ip in ips {
            let was_there = bloom.may_contain(ip);
            bloom.insert(ip);
            let now = bloom.estimate();
            assert!(now.is_finite() && now >= last && (!was_there || now <= last), "{last} {now}");
            last = now;
        }
        assert!(ips.iter().all(|&ip| bloom.may_contain(ip)));
        // Bits that fall together are reckoned with; what is left is less than a half more.
        assert!(last <= ips.len() as f64 * 1.5 + 1.0, "{last} of {}", ips.len());
    }
    let mut union = blooms[0].clone();
    union.merge(&blooms[1]);
    assert!(lists.iter().flatten().all(|&ip| union.may_contain(ip)));
    let mut other = blooms[1].clone();
    other.merge(&blooms[0]);
    assert_eq!(union.as_bytes(), other.as_bytes());
    let raw = Bloom::from_slice(&[parts.0, &[parts.byte(); BLOOM_LEN]].concat()[..BLOOM_LEN]);
    let estimate = raw.expect("so many bytes").estimate();
    assert!(estimate.is_finite() && (0.0..=8000.0).contains(&estimate), "{estimate}");
    plant(|| lists[0].len() >= 7 && lists[1].len() >= 3 && lists[1].iter().any(|ip| ip.is_ipv6()));
});
