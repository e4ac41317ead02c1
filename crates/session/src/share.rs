//! Who gets how much: weighted max-min fairness.
//!
//! Nobody gets more than it claims. As long as claims are open, what is there is split by weight; whoever needs less than
//! its part leaves the rest to the others. So a small claim is always met, and large ones are cut to the same height.

use alloc::vec;
use alloc::vec::Vec;

/// What somebody wants of what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) weight: u32,
    pub(crate) demand: u64,
}

/// Deals `total` out: to each no more than its demand, all of it unless demands are smaller.
pub(crate) fn fill(total: u64, claims: &[Claim]) -> Vec<u64> {
    let mut shares = vec![0; claims.len()];
    let mut order: Vec<usize> = (0..claims.len()).collect();
    // The smallest demand for its weight first: a / b < c / d as a * d < c * b.
    order.sort_by(|&a, &b| {
        let (a, b) = (claims[a], claims[b]);
        (u128::from(a.demand) * weight(b)).cmp(&(u128::from(b.demand) * weight(a)))
    });
    let mut left = total;
    let mut weights: u128 = claims.iter().map(|&claim| weight(claim)).sum();
    for at in order {
        let claim = claims[at];
        let part = u128::from(left) * weight(claim) / weights;
        // What rounding takes from one is left to those that come after.
        let share = claim.demand.min(u64::try_from(part).unwrap_or(u64::MAX));
        shares[at] = share;
        left -= share;
        weights -= weight(claim);
    }
    shares
}

/// Deals `total` out like [`fill`], then spreads what is left by weight, up to `caps`.
pub(crate) fn spread(total: u64, claims: &[Claim], caps: &[u64]) -> Vec<u64> {
    let capped: Vec<Claim> = claims
        .iter()
        .zip(caps)
        .map(|(claim, &cap)| Claim { demand: claim.demand.min(cap), ..*claim })
        .collect();
    let mut shares = fill(total, &capped);
    let left = total - shares.iter().sum::<u64>();
    let room: Vec<Claim> = capped
        .iter()
        .zip(caps)
        .zip(&shares)
        .map(|((claim, &cap), &share)| Claim { demand: cap - share, ..*claim })
        .collect();
    for (share, more) in shares.iter_mut().zip(fill(left, &room)) {
        *share += more;
    }
    shares
}

fn weight(claim: Claim) -> u128 {
    u128::from(claim.weight.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn even(demands: &[u64]) -> Vec<Claim> {
        demands.iter().map(|&demand| Claim { weight: 1, demand }).collect()
    }

    #[test]
    fn small_claims_are_met_and_large_ones_cut_to_one_height() {
        assert_eq!(fill(100, &even(&[10, 1000, 50, 1000])), [10, 30, 30, 30]);
        assert_eq!(fill(100, &even(&[10, 1000, 20, 1000])), [10, 35, 20, 35]);
        assert_eq!(fill(100, &even(&[10, 20])), [10, 20]);
        assert_eq!(fill(10, &even(&[9, 9, 9])), [3, 3, 4]);
        assert_eq!(fill(0, &even(&[9])), [0]);
        assert_eq!(fill(9, &[]), [0; 0]);
        assert_eq!(fill(u64::MAX, &even(&[u64::MAX, u64::MAX])), [u64::MAX / 2, u64::MAX / 2 + 1]);
    }

    #[test]
    fn weights_bend_the_split() {
        let claims = [3, 1, 0].map(|weight| Claim { weight, demand: 1000 });
        assert_eq!(fill(100, &claims), [60, 20, 20]);
        assert_eq!(spread(100, &claims, &[1000, 1000, 5]), [71, 24, 5]);
    }

    #[test]
    fn what_nobody_claims_is_spread() {
        assert_eq!(spread(100, &even(&[10, 20]), &[1000, 1000]), [45, 55]);
        assert_eq!(spread(100, &even(&[10, 20]), &[15, 1000]), [15, 85]);
        assert_eq!(spread(100, &even(&[10, 20]), &[15, 30]), [15, 30]);
    }

    proptest! {
        #[test]
        fn is_max_min_fair(
            total in 0u64..100_000,
            claims in proptest::collection::vec((1u32..5, 0u64..50_000), 1..20),
        ) {
            let claims: Vec<_> = claims.into_iter().map(|(weight, demand)| Claim { weight, demand }).collect();
            let shares = fill(total, &claims);
            let demand: u64 = claims.iter().map(|claim| claim.demand).sum();
            prop_assert_eq!(shares.iter().sum::<u64>(), total.min(demand), "nothing is left while somebody claims it");
            let height = |at: usize| shares[at] / u64::from(claims[at].weight);
            for (at, claim) in claims.iter().enumerate() {
                prop_assert!(shares[at] <= claim.demand);
                if shares[at] < claim.demand {
                    // Who is cut stands as high as anybody, but for what rounding moved.
                    let highest = (0..claims.len()).map(height).max().unwrap_or(0);
                    prop_assert!(height(at) + claims.len() as u64 >= highest, "{:?} {:?}", claims, shares);
                }
            }
        }

        #[test]
        fn caps_hold_and_nothing_is_lost(
            total in 0u64..100_000,
            claims in proptest::collection::vec((1u32..5, 0u64..50_000, 0u64..50_000), 1..20),
        ) {
            let caps: Vec<u64> = claims.iter().map(|claim| claim.2).collect();
            let claims: Vec<_> = claims.iter().map(|&(weight, demand, _)| Claim { weight, demand }).collect();
            let shares = spread(total, &claims, &caps);
            prop_assert!(shares.iter().zip(&caps).all(|(share, cap)| share <= cap));
            prop_assert_eq!(shares.iter().sum::<u64>(), total.min(caps.iter().sum()));
        }
    }
}
