//! An instance of `inotify(7)`: its watches, and the events that were not read.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::inotify::{InotifyEvent, InotifyMask};
use lx_core::abi::stat::Stat;
use lx_core::error::Result;
use lx_core::file::{FileOps, OpenFile};
use lx_core::io::IoDst;
use lx_core::poll::{PollEvents, PollSource, PollTable};
use lx_core::sync::{Mutex, WaitQueue, level};
use zerocopy::IntoBytes;

use super::Watch;
use crate::anon::anon_stat;
use crate::location::Path;

/// `/proc/sys/fs/inotify/max_queued_events`.
const MAX_EVENTS: usize = 16_384;
/// `max_user_instances` there.
const MAX_INSTANCES: u32 = 128;
/// `max_user_watches` there.
const MAX_WATCHES: u32 = 65_536;
/// Names are padded to multiples of this.
const NAME_UNIT: usize = size_of::<InotifyEvent>();

/// What each user has: instances and watches.
static IN_USE: Mutex<BTreeMap<u32, (u32, u32)>, { level::CACHE }> = Mutex::new(BTreeMap::new());

#[derive(PartialEq, Eq)]
struct Event {
    wd: i32,
    mask: InotifyMask,
    cookie: u32,
    name: Vec<u8>,
}

impl Event {
    /// Bytes of the name with its NULs.
    fn name_len(&self) -> usize {
        match self.name.len() {
            0 => 0,
            len => (len + 1).next_multiple_of(NAME_UNIT),
        }
    }

    fn len(&self) -> usize {
        size_of::<InotifyEvent>() + self.name_len()
    }

    fn bytes(&self) -> Vec<u8> {
        let head = InotifyEvent {
            wd: self.wd,
            mask: self.mask.bits(),
            cookie: self.cookie,
            len: self.name_len() as u32,
        };
        let mut bytes = Vec::with_capacity(self.len());
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(&self.name);
        bytes.resize(self.len(), 0);
        bytes
    }
}

#[derive(Default)]
struct State {
    watches: BTreeMap<i32, Arc<Watch>>,
    last_wd: i32,
    events: VecDeque<Event>,
}

/// An instance.
pub struct Inotify {
    this: Weak<Inotify>,
    uid: u32,
    state: Mutex<State, { level::FILE_OBJECT }>,
    queue: WaitQueue,
}

impl PollSource for Inotify {
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

/// Changes what a user has; `false` if that is more than allowed.
fn account(uid: u32, instances: i32, watches: i32) -> bool {
    let mut in_use = IN_USE.lock();
    let (old_instances, old_watches) = in_use.get(&uid).copied().unwrap_or_default();
    let new = (
        old_instances.saturating_add_signed(instances),
        old_watches.saturating_add_signed(watches),
    );
    if (instances > 0 && new.0 > MAX_INSTANCES) || (watches > 0 && new.1 > MAX_WATCHES) {
        return false;
    }
    if new == (0, 0) {
        in_use.remove(&uid);
    } else {
        in_use.insert(uid, new);
    }
    true
}

/// `inotify_init1(2)`; `flags` may hold `O_NONBLOCK`.
///
/// # Errors
/// `EMFILE` if the user has too many.
pub fn open(caller: &Caller<'_>, flags: OpenFlags) -> Result<Arc<OpenFile>> {
    let uid = caller.cred().uid;
    if !account(uid, 1, 0) {
        return Err(Errno::EMFILE.into());
    }
    let instance = Arc::new_cyclic(|this| Inotify {
        this: this.clone(),
        uid,
        state: Mutex::new(State::default()),
        queue: WaitQueue::new(),
    });
    let flags = OpenFlags::O_RDONLY | (flags & OpenFlags::O_NONBLOCK);
    Ok(OpenFile::new(Arc::new(InotifyFile { instance }), flags, None))
}

impl Inotify {
    /// `inotify_add_watch(2)`: the watch descriptor.
    ///
    /// # Errors
    /// `EEXIST` with `IN_MASK_CREATE` if there is one already; `ENOSPC` if there are too many.
    pub fn add(&self, place: Path, mask: InotifyMask) -> Result<i32> {
        let kept = InotifyMask::ALL_EVENTS | InotifyMask::IN_ONESHOT | InotifyMask::IN_EXCL_UNLINK;
        // Dropped after the lock is released, as it may hold the last reference to a place.
        let known: Vec<Arc<Watch>>;
        let mut state = self.state.lock();
        known = super::watches_of(place.inode());
        // One that is just being removed is in that list still.
        let is_ours = |watch: &&Arc<Watch>| {
            core::ptr::addr_eq(watch.instance.as_ptr(), self)
                && state.watches.contains_key(&watch.wd)
        };
        if let Some(watch) = known.iter().find(is_ours) {
            if mask.contains(InotifyMask::IN_MASK_CREATE) {
                return Err(Errno::EEXIST.into());
            }
            let old = match mask.contains(InotifyMask::IN_MASK_ADD) {
                true => watch.mask(),
                false => InotifyMask::empty(),
            };
            watch.mask.store((old | mask & kept).bits(), Ordering::Release);
            return Ok(watch.wd);
        }
        if !account(self.uid, 0, 1) {
            return Err(Errno::ENOSPC.into());
        }
        let used = |wd: &i32| !state.watches.contains_key(wd);
        let next = (1..=i32::MAX).map(|step| state.last_wd.wrapping_add(step) & i32::MAX);
        let wd = next.filter(|wd| *wd > 0).find(used).ok_or(Errno::ENOSPC)?;
        state.last_wd = wd;
        let watch = Arc::new(Watch {
            place,
            instance: self.this.clone(),
            wd,
            mask: ((mask & kept).bits()).into(),
        });
        super::enter(&watch);
        state.watches.insert(wd, watch);
        Ok(wd)
    }

    /// `inotify_rm_watch(2)`.
    ///
    /// # Errors
    /// `EINVAL` if there is no such watch.
    pub fn remove(&self, wd: i32) -> Result<()> {
        if self.forget(wd) { Ok(()) } else { Err(Errno::EINVAL.into()) }
    }

    /// Ends a watch and says so; whether there was one.
    pub(super) fn forget(&self, wd: i32) -> bool {
        let watch = self.state.lock().watches.remove(&wd);
        let Some(watch) = watch else { return false };
        super::remove(&watch);
        account(self.uid, 0, -1);
        self.push(wd, InotifyMask::IN_IGNORED, 0, b"");
        true
    }

    /// Queues an event, unless it is the same as the last one.
    pub(super) fn push(&self, wd: i32, mask: InotifyMask, cookie: u32, name: &[u8]) {
        let event = Event { wd, mask, cookie, name: name.to_vec() };
        {
            let mut state = self.state.lock();
            if state.events.back() == Some(&event) {
                return;
            }
            if state.events.len() > MAX_EVENTS {
                return;
            }
            let full = state.events.len() == MAX_EVENTS;
            let overflow =
                || Event { wd: -1, mask: InotifyMask::IN_Q_OVERFLOW, cookie: 0, name: Vec::new() };
            state.events.push_back(if full { overflow() } else { event });
        }
        self.queue.wake_all(PollEvents::READABLE.bits());
    }

    /// The next event, if it fits into `room`.
    fn next(&self, room: usize) -> Option<Result<Event>> {
        let mut state = self.state.lock();
        let len = state.events.front()?.len();
        if len > room {
            return Some(Err(Errno::EINVAL.into()));
        }
        state.events.pop_front().map(Ok)
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let watches = core::mem::take(&mut self.state.get_mut().watches);
        let count = i32::try_from(watches.len()).unwrap_or(i32::MAX);
        for watch in watches.values() {
            super::remove(watch);
        }
        account(self.uid, -1, -count);
    }
}

/// The description of an instance.
pub struct InotifyFile {
    instance: Arc<Inotify>,
}

impl InotifyFile {
    /// The instance.
    pub fn instance(&self) -> &Inotify {
        &self.instance
    }
}

impl FileOps for InotifyFile {
    fn read(&self, caller: &Caller<'_>, file: &OpenFile, dst: &mut IoDst<'_>) -> Result<usize> {
        let instance = &self.instance;
        let room = dst.remaining();
        let mut next = match instance.next(room) {
            Some(event) => event?,
            None if file.is_nonblocking() => return Err(Errno::EAGAIN.into()),
            None => caller
                .wait(&instance.queue, PollEvents::READABLE.bits(), || instance.next(room))??,
        };
        let mut done = 0;
        loop {
            let bytes = next.bytes();
            if !dst.put(&bytes).is_ok_and(|count| count == bytes.len()) {
                instance.state.lock().events.push_front(next);
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT.into()) };
            }
            done += bytes.len();
            match instance.next(dst.remaining()) {
                Some(Ok(event)) => next = event,
                _ => return Ok(done),
            }
        }
    }

    fn poll(&self, _caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        match self.instance.state.lock().events.is_empty() {
            true => PollEvents::empty(),
            false => PollEvents::READABLE,
        }
    }

    fn poll_register(&self, _file: &OpenFile, _interest: PollEvents, table: &mut PollTable) {
        table.register(Arc::clone(&self.instance) as Arc<dyn PollSource>);
    }

    fn stat(&self, _caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(anon_stat())
    }

    fn readable_bytes(&self) -> Result<usize> {
        Ok(self.instance.state.lock().events.iter().map(Event::len).sum())
    }
}
