//! The ways to take blocks of several messages, and which of them this CPU has.

use core::fmt;

use crate::Block;
use crate::algorithm::{self, Rules};

/// Lanes of the widest kernel.
pub(crate) const MAX_LANES: usize = 16;

/// One for each lane; a kernel of fewer lanes takes the first ones.
pub(crate) type Group<T> = [T; MAX_LANES];

/// A way to take one block of each of so many messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernel {
    /// One message, by the crates `sha1` and `sha2`: with SHA instructions where there are some, on any CPU.
    Single,
    /// SHA-NI, two messages interleaved.
    ShaNi2,
    /// SHA-NI, three messages interleaved.
    ShaNi3,
    /// SHA-NI, four messages interleaved.
    ShaNi4,
    /// AVX2, eight messages, one in each 32 bits of a vector.
    Avx2,
    /// AVX-512 (F and BW), sixteen messages, one in each 32 bits of a vector.
    Avx512,
}

/// From how many messages on vectors, the other lanes idle, beat SHA-NI.
#[derive(Debug)]
pub struct VectorsFrom {
    /// AVX-512 on AMD's CPUs, where 512 bits take one step.
    pub(crate) wide: usize,
    /// Where they take two.
    pub(crate) narrow: usize,
    /// AVX-512 on Intel's.
    pub(crate) intel: usize,
    /// AVX2 on Intel's.
    pub(crate) intel_avx2: usize,
}

/// What decides among kernels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) sha_ni: bool,
    pub(crate) avx2: bool,
    pub(crate) avx512: bool,
    /// Whether 512 bits take one step, as far as the CPU tells.
    pub(crate) wide: bool,
    /// Intel's SHA-NI gains from two messages, and nothing from more.
    pub(crate) intel: bool,
}

impl Kernel {
    /// All of them, the one of most lanes last.
    pub const ALL: [Kernel; 6] =
        [Kernel::Single, Kernel::ShaNi2, Kernel::ShaNi3, Kernel::ShaNi4, Kernel::Avx2, Kernel::Avx512];

    /// How many messages it takes a block of: 1 to 16.
    pub const fn lanes(self) -> usize {
        match self {
            Kernel::Single => 1,
            Kernel::ShaNi2 => 2,
            Kernel::ShaNi3 => 3,
            Kernel::ShaNi4 => 4,
            Kernel::Avx2 => 8,
            Kernel::Avx512 => MAX_LANES,
        }
    }

    /// Whether this CPU, and the system on it, can do it.
    pub fn is_available(self) -> bool {
        let cpu = Cpu::this();
        match self {
            Kernel::Single => true,
            Kernel::ShaNi2 | Kernel::ShaNi3 | Kernel::ShaNi4 => cpu.sha_ni,
            Kernel::Avx2 => cpu.avx2,
            Kernel::Avx512 => cpu.avx512,
        }
    }

    /// The one that is fastest while so many messages, at least one, are under way.
    pub(crate) fn best(cpu: Cpu, vectors_from: &VectorsFrom, messages: usize) -> Kernel {
        let avx512_from = match cpu {
            Cpu { sha_ni: false, .. } => Kernel::Avx2.lanes() + 1,
            Cpu { intel: true, .. } => vectors_from.intel,
            Cpu { wide: true, .. } => vectors_from.wide,
            _ => vectors_from.narrow,
        };
        match messages {
            ..2 => Kernel::Single,
            _ if cpu.avx512 && messages >= avx512_from => Kernel::Avx512,
            _ if cpu.intel && cpu.avx2 && messages >= vectors_from.intel_avx2 => Kernel::Avx2,
            2 if cpu.sha_ni => Kernel::ShaNi2,
            3 if cpu.sha_ni => Kernel::ShaNi3,
            _ if cpu.sha_ni && cpu.intel => Kernel::ShaNi2,
            // Of five, three and two are faster than four and one.
            5 if cpu.sha_ni => Kernel::ShaNi3,
            _ if cpu.sha_ni => Kernel::ShaNi4,
            _ if cpu.avx2 => Kernel::Avx2,
            _ => Kernel::Single,
        }
    }
}

impl Cpu {
    /// The one that this runs on; it is asked once.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn this() -> Cpu {
        crate::x86::cpu()
    }

    /// Of another architecture.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn this() -> Cpu {
        Cpu { sha_ni: false, avx2: false, avx512: false, wide: false, intel: false }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kernel::Single => "single",
            Kernel::ShaNi2 => "sha-ni x2",
            Kernel::ShaNi3 => "sha-ni x3",
            Kernel::ShaNi4 => "sha-ni x4",
            Kernel::Avx2 => "avx2 x8",
            Kernel::Avx512 => "avx-512 x16",
        })
    }
}

pub(crate) fn sha1(kernel: Kernel, words: &mut Group<[u32; 5]>, blocks: &Group<&[Block]>) {
    #[cfg(target_arch = "x86_64")]
    if crate::x86::sha1(kernel, words, blocks) {
        return;
    }
    one_by_one::<algorithm::Sha1>(kernel, words, blocks);
}

pub(crate) fn sha256(kernel: Kernel, words: &mut Group<[u32; 8]>, blocks: &Group<&[Block]>) {
    #[cfg(target_arch = "x86_64")]
    if crate::x86::sha256(kernel, words, blocks) {
        return;
    }
    one_by_one::<algorithm::Sha256>(kernel, words, blocks);
}

fn one_by_one<A: Rules>(kernel: Kernel, words: &mut Group<A::Words>, blocks: &Group<&[Block]>) {
    for (words, blocks) in words.iter_mut().zip(blocks).take(kernel.lanes()) {
        A::compress(words, blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Cpu = Cpu { sha_ni: false, avx2: false, avx512: false, wide: false, intel: false };

    fn sha1(cpu: Cpu) -> [Kernel; MAX_LANES] {
        core::array::from_fn(|n| Kernel::best(cpu, &algorithm::Sha1::VECTORS_FROM, n + 1))
    }

    fn sha256(cpu: Cpu) -> [Kernel; MAX_LANES] {
        core::array::from_fn(|n| Kernel::best(cpu, &algorithm::Sha256::VECTORS_FROM, n + 1))
    }

    #[test]
    fn one_message_takes_the_crates_and_so_do_all_on_a_plain_cpu() {
        assert_eq!(sha1(NONE), [Kernel::Single; MAX_LANES]);
        assert_eq!(Kernel::ALL.map(Kernel::lanes).into_iter().max(), Some(MAX_LANES));
        let all = Cpu { sha_ni: true, avx2: true, avx512: true, wide: true, intel: false };
        assert_eq!((sha1(all)[0], sha256(all)[0]), (Kernel::Single, Kernel::Single));
    }

    #[test]
    fn sha_ni_takes_up_to_four() {
        use Kernel::{ShaNi2, ShaNi3, ShaNi4, Single};
        let cpu = Cpu { sha_ni: true, avx2: true, ..NONE };
        assert_eq!(sha1(cpu)[..6], [Single, ShaNi2, ShaNi3, ShaNi4, ShaNi3, ShaNi4]);
        assert_eq!(sha1(cpu)[6..], [ShaNi4; 10]);
    }

    #[test]
    fn avx_512_has_to_be_full_enough_and_wide_enough() {
        let narrow = Cpu { sha_ni: true, avx2: true, avx512: true, ..NONE };
        let wide = Cpu { wide: true, ..narrow };
        assert_eq!((sha1(wide)[7], sha1(wide)[8]), (Kernel::ShaNi4, Kernel::Avx512));
        assert_eq!((sha1(narrow)[11], sha1(narrow)[12]), (Kernel::ShaNi4, Kernel::Avx512));
        assert_eq!((sha256(wide)[10], sha256(wide)[11]), (Kernel::ShaNi4, Kernel::Avx512));
        assert_eq!(sha256(narrow)[15], Kernel::ShaNi4);
    }

    #[test]
    fn on_intel_s_two_go_together_or_as_many_as_vectors_take() {
        use Kernel::{Avx2, Avx512, ShaNi2, ShaNi3, Single};
        let consumer = Cpu { sha_ni: true, avx2: true, intel: true, ..NONE };
        assert_eq!(sha1(consumer)[..6], [Single, ShaNi2, ShaNi3, ShaNi2, ShaNi2, Avx2]);
        assert_eq!(sha1(consumer)[6..], [Avx2; 10]);
        assert_eq!(sha256(consumer)[3..], [ShaNi2; 13]);
        let server = Cpu { avx512: true, wide: true, ..consumer };
        assert_eq!((sha1(server)[4], sha1(server)[5]), (ShaNi2, Avx512));
        assert_eq!((sha256(server)[7], sha256(server)[8]), (ShaNi2, Avx512));
        let atom = Cpu { avx2: false, ..consumer };
        assert_eq!(sha1(atom)[7], ShaNi2);
    }

    #[test]
    fn vectors_are_for_two_or_more_where_there_is_no_sha_ni() {
        let avx2 = Cpu { avx2: true, ..NONE };
        assert_eq!(sha256(avx2)[1..], [Kernel::Avx2; 15]);
        let avx512 = Cpu { avx512: true, wide: true, ..avx2 };
        assert_eq!(sha256(avx512)[1..8], [Kernel::Avx2; 7]);
        assert_eq!(sha256(avx512)[8..], [Kernel::Avx512; 8]);
    }
}
