//! Handlers, one file per family of man pages.

mod at;
pub(crate) mod attr;
pub(crate) mod cwd;
pub(crate) mod dir;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod fd;
pub(crate) mod futex;
pub(crate) mod id;
pub(crate) mod info;
pub(crate) mod io;
pub(crate) mod ioctl;
pub(crate) mod mm;
pub(crate) mod open;
pub(crate) mod path;
pub(crate) mod pipe;
pub(crate) mod poll;
pub(crate) mod process;
pub(crate) mod sched;
pub(crate) mod signal;
pub(crate) mod splice;
pub(crate) mod stat;
pub(crate) mod time;
pub(crate) mod timer;
pub(crate) mod timerfd;
pub(crate) mod truncate;
pub(crate) mod utime;
