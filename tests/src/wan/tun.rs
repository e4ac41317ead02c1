//! TUN devices. The only `unsafe` code of this package: the request that makes a file a device has no safe wrapper.
#![allow(unsafe_code)]

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::{self, Errno};
use rustix::ioctl::{self, Opcode, Setter};

/// `IFF_TUN | IFF_NO_PI` of `linux/if_tun.h`: packets of IP, without anything before them.
const TUN_WITHOUT_PREFIX: i16 = 0x0001 | 0x1000;
/// `TUNSETIFF` of `linux/if_tun.h`.
const TUNSETIFF: Opcode = ioctl::opcode::write::<i32>(b'T', 202);

/// `struct ifreq` of `linux/if.h`: a name of up to 15 bytes, and a union of 24 bytes, of which the flags are used.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    unused: [u8; 22],
}

/// Makes a device in the network namespace of this thread; it is gone when the file is closed. Reading from it doesn't
/// block.
///
/// # Errors
/// The name is too long, or the kernel refuses.
pub(super) fn open(name: &str) -> io::Result<OwnedFd> {
    let file =
        rustix::fs::open("/dev/net/tun", OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    let mut request = InterfaceRequest { name: [0; 16], flags: TUN_WITHOUT_PREFIX, unused: [0; 22] };
    // The last byte stays 0, which ends the name.
    let place = request.name[..15].get_mut(..name.len()).ok_or(Errno::INVAL)?;
    place.copy_from_slice(name.as_bytes());
    // SAFETY: `TUNSETIFF` reads a `struct ifreq` and writes the final name into the kernel's copy of it and back to the
    // same 40 bytes, which `Setter` owns during the call.
    unsafe { ioctl::ioctl(&file, Setter::<TUNSETIFF, InterfaceRequest>::new(request))? };
    Ok(file)
}
