//! Watching files: `include/uapi/linux/inotify.h`, inotify(7).

use linux_raw_sys::general as sys;

abi_flags! {
    /// Events, and how to watch.
    pub struct InotifyMask: u32, checked by general {
        IN_ACCESS = 0x0000_0001,
        IN_MODIFY = 0x0000_0002,
        IN_ATTRIB = 0x0000_0004,
        IN_CLOSE_WRITE = 0x0000_0008,
        IN_CLOSE_NOWRITE = 0x0000_0010,
        IN_OPEN = 0x0000_0020,
        IN_MOVED_FROM = 0x0000_0040,
        IN_MOVED_TO = 0x0000_0080,
        IN_CREATE = 0x0000_0100,
        IN_DELETE = 0x0000_0200,
        IN_DELETE_SELF = 0x0000_0400,
        IN_MOVE_SELF = 0x0000_0800,
        IN_UNMOUNT = 0x0000_2000,
        IN_Q_OVERFLOW = 0x0000_4000,
        IN_IGNORED = 0x0000_8000,
        IN_ONLYDIR = 0x0100_0000,
        IN_DONT_FOLLOW = 0x0200_0000,
        IN_EXCL_UNLINK = 0x0400_0000,
        IN_MASK_CREATE = 0x1000_0000,
        IN_MASK_ADD = 0x2000_0000,
        IN_ISDIR = 0x4000_0000,
        IN_ONESHOT = 0x8000_0000,
    }
}

impl InotifyMask {
    /// Events that a watch can ask for.
    pub const ALL_EVENTS: Self = Self::from_bits_retain(0xfff);
}

abi_flags! {
    /// Flags of inotify_init1(2).
    pub struct InotifyInitFlags: u32, checked by general {
        IN_NONBLOCK = 0o4000,
        IN_CLOEXEC = 0o2_000_000,
    }
}

strict_flags_arg!(InotifyInitFlags: u32);

abi_struct! {
    /// `struct inotify_event`, without the name behind it
    pub struct InotifyEvent [size 16] {
        @0 pub wd: i32,
        @4 pub mask: u32,
        @8 pub cookie: u32,
        @12 pub len: u32,
    }
}

const _: () = assert!(size_of::<InotifyEvent>() == size_of::<sys::inotify_event>());
