//! What x86-64 CPUs have for this. Each kernel is a safe function that needs its instructions; this file alone calls
//! them, each behind the look whether they are there.

#[macro_use]
mod vertical;
mod avx2;
mod avx512;
mod sha_ni;

use core::arch::x86_64::{__cpuid, CpuidResult};
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::Block;
use crate::kernel::{Cpu, Group, Kernel};

// The first look asks the CPU, and whether the system keeps the registers; later ones read a byte.
cpufeatures::new!(cpu_sha_ni, "sha", "sse2", "ssse3", "sse4.1");
cpufeatures::new!(cpu_avx2, "avx2");
cpufeatures::new!(cpu_avx512, "avx512f", "avx512bw");

pub(crate) fn cpu() -> Cpu {
    let (avx512, told) = (cpu_avx512::get(), told());
    Cpu {
        sha_ni: cpu_sha_ni::get(),
        avx2: cpu_avx2::get(),
        avx512,
        wide: avx512 && told & WIDE != 0,
        intel: told & INTEL != 0,
    }
}

/// 512 bits take one step. AMD's CPUs tell; of others, which don't, all with AVX-512 do it in one.
const WIDE: u8 = 1;
const INTEL: u8 = 2;

/// What the CPU says of itself; it is asked once.
fn told() -> u8 {
    const UNKNOWN: u8 = 4;
    static TOLD: AtomicU8 = AtomicU8::new(UNKNOWN);
    match TOLD.load(Relaxed) {
        UNKNOWN => {
            let told = ask();
            TOLD.store(told, Relaxed);
            told
        }
        known => known,
    }
}

/// AMD's leaf 8000_001A, "performance optimization identifiers", has FP512 in bit 3 of EAX.
#[cold]
fn ask() -> u8 {
    const LEAF: u32 = 0x8000_001a;
    let maker = cpuid(0);
    match [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes).as_flattened() {
        b"GenuineIntel" => WIDE | INTEL,
        b"AuthenticAMD" => {
            let is_wide = cpuid(0x8000_0000).eax >= LEAF && cpuid(LEAF).eax & 1 << 3 != 0;
            if is_wide { WIDE } else { 0 }
        }
        _ => WIDE,
    }
}

#[allow(unused_unsafe, reason = "newer compilers know that it is safe")]
#[expect(unsafe_code, reason = "Rust 1.90 doesn't")]
fn cpuid(leaf: u32) -> CpuidResult {
    // SAFETY: every x86-64 CPU has this instruction.
    unsafe { __cpuid(leaf) }
}

macro_rules! dispatch {
    ($function:ident, $words:literal) => {
        /// Takes the blocks of the first lanes, as many as `kernel` has; `false` if it is not one of ours, or not
        /// there.
        #[expect(unsafe_code, reason = "the compiler can't know what the CPU has")]
        pub(crate) fn $function(
            kernel: Kernel,
            words: &mut Group<[u32; $words]>,
            blocks: &Group<&[Block]>,
        ) -> bool {
            if !kernel.is_available() {
                return false;
            }
            // SAFETY, for all: the CPU, and the system on it, have the instructions of this kernel.
            match kernel {
                Kernel::Single => return false,
                Kernel::ShaNi2 => unsafe { sha_ni::$function(first::<_, 2>(words), part(blocks)) },
                Kernel::ShaNi3 => unsafe { sha_ni::$function(first::<_, 3>(words), part(blocks)) },
                Kernel::ShaNi4 => unsafe { sha_ni::$function(first::<_, 4>(words), part(blocks)) },
                Kernel::Avx2 => unsafe { avx2::$function(first(words), part(blocks)) },
                Kernel::Avx512 => unsafe { avx512::$function(first(words), part(blocks)) },
            }
            true
        }
    };
}

dispatch!(sha1, 5);
dispatch!(sha256, 8);

fn first<T, const LANES: usize>(group: &mut Group<T>) -> &mut [T; LANES] {
    group.first_chunk_mut().expect("no kernel has more lanes than a group")
}

fn part<T, const LANES: usize>(group: &Group<T>) -> &[T; LANES] {
    group.first_chunk().expect("no kernel has more lanes than a group")
}
