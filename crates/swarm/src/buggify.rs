//! Rare paths, taken often: what happens at a limit or after an eviction is seen in every simulated hour, not once a
//! year. Off in every program but a simulator.

use fastrand::Rng;

/// Chance, or nothing at all.
#[derive(Debug)]
pub(crate) struct Buggify(Option<Rng>);

impl Buggify {
    pub(crate) fn new(on: bool, seed: u64) -> Buggify {
        Buggify(on.then(|| Rng::with_seed(seed.rotate_left(17))))
    }

    /// Whether the rare path is taken: one time of so many.
    pub(crate) fn hits(&mut self, one_in: u32) -> bool {
        self.0.as_mut().is_some_and(|rng| rng.u32(0..one_in) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_only_when_it_is_on() {
        let hits = |on| {
            let mut buggify = Buggify::new(on, 1);
            (0..1000).filter(|_| buggify.hits(10)).count()
        };
        assert_eq!(hits(false), 0);
        assert!((50..200).contains(&hits(true)));
    }
}
