//! Numbers of bytes as people read them: powers of 1024.

use alloc::format;
use core::fmt;

/// Shows a number of bytes: `0 B`, `999 B`, `1.5 KiB`, `23.4 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        // In tenths of the unit, rounded; when that reaches 1024.0 the next unit takes over.
        let tenths = |power: u32| (u128::from(self.0) * 10 + (1u128 << (10 * power - 1))) >> (10 * power);
        let (tenths, unit) = (1..)
            .zip(UNITS)
            .map(|(power, unit)| (tenths(power), unit))
            .find(|&(tenths, _)| tenths < 10_240)
            .expect("2^64 bytes are 16 EiB");
        f.pad(&format!("{}.{} {unit}", tenths / 10, tenths % 10))
    }
}

/// Shows bytes per second: `1.5 MiB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", Size(self.0)))
    }
}
