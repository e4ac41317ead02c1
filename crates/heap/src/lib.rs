//! Memory that was freed, back to the system.
//!
//! What a program frees, the allocator keeps for what it asks for next. After much was freed for good, that is memory that nobody
//! uses: glibc gives it back when it is told to, and by itself only from the end of its heap.

/// Gives back what is free. How much that is, and whether it is anything, depends on the allocator: nothing happens where it is
/// not glibc's. Takes some milliseconds for each 100 MiB of heap, during which other threads may wait for memory.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::trim();
}

/// Has all threads take from one heap. glibc makes one for each few threads, and each has holes of its own: what is freed in one
/// is of no use to another. To be called before there is a second thread.
pub fn unite() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::unite();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use core::ffi::c_int;

    /// `M_ARENA_MAX` of malloc.h.
    const ARENA_MAX: c_int = -8;

    #[expect(unsafe_code, reason = "of the C library: no safe wrapper is kept by anybody")]
    unsafe extern "C" {
        /// Takes any `pad`: so many bytes stay at the end of the heap. Safe on every thread (malloc_trim(3)).
        safe fn malloc_trim(pad: usize) -> c_int;

        /// Takes any parameter and value: those that it does not know it refuses. Safe on every thread (mallopt(3)).
        safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }

    pub(super) fn unite() {
        mallopt(ARENA_MAX, 1);
    }

    pub(super) fn trim() {
        malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn what_is_freed_is_given_back() {
        let resident = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap()
        };
        // Between those that go, some stay, so that nothing is at the end of the heap.
        let all: Vec<Vec<u8>> = (0..8_000).map(|_| vec![1; 16 * 1024]).collect();
        let kept: Vec<Vec<u8>> = all.into_iter().step_by(100).collect();
        let before = resident();
        super::give_back();
        let gained = before.saturating_sub(resident());
        assert!(gained * 4096 > 60 << 20, "{gained} pages, with {} kept", kept.len());
    }
}
