//! Readiness of sockets, by the driver of sockets (`AFD`).
//!
//! A process that wants to be told has init ask the driver; the answer comes through init's
//! completion port, once. What holds now a process asks by itself.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lx_core::host::{HostFd, HostResult, ReadyToken, Supervisor};
use lx_core::poll::PollEvents;
use lx_core::sync::Mutex;
use lx_nt::{AfdPoll, Handle, IOCTL_AFD_POLL, IoStatus, Status, port_key};

use super::events::{self, afd};
use super::state::{self, Phase, State};
use super::{errors, setting};
use crate::files;
use crate::nt::{self, nt, status};
use crate::{init, region};

/// Lock level of the lists.
const LEVEL: u8 = 61;

/// What somebody wants to be told.
#[derive(Clone, Copy)]
struct Arm {
    raw: u64,
    /// Init's handle.
    handle: Handle,
    interest: PollEvents,
    token: ReadyToken,
}

/// A question to the driver. It stays where it is for ever, as the driver writes into it.
struct Request {
    poll: AfdPoll,
    io: IoStatus,
    raw: u64,
}

/// A question that has no answer yet.
struct Asked {
    arm: Arm,
    /// Address of the [`Request`].
    request: usize,
    mask: u32,
}

struct Lists {
    /// For init to begin.
    new: Vec<Arm>,
    asked: BTreeMap<u64, Asked>,
    /// Requests that the driver is done with.
    free: Vec<usize>,
}

static LISTS: Mutex<Lists, LEVEL> =
    Mutex::new(Lists { new: Vec::new(), asked: BTreeMap::new(), free: Vec::new() });
/// Whether there is something for init to begin.
static HAS_NEW: AtomicBool = AtomicBool::new(false);
/// Init's handle of the driver.
static DEVICE: AtomicUsize = AtomicUsize::new(0);
/// Whether answers that are there at once come through the port, too.
static ALWAYS_QUEUED: AtomicBool = AtomicBool::new(false);

/// Asks the driver what holds of a socket, and notes what that says about its connection.
pub(super) fn look(handle: Handle, raw: u64) -> HostResult<u32> {
    let (mut mask, mut why): (u32, Status) = (afd::ALL, 0);
    // SAFETY: the loader reads and writes the variables.
    errors::check(unsafe { nt!(net_ready, handle, &mut mask, &mut why) })?;
    note(raw, mask, why);
    if let Ok(State { phase: Phase::Failed | Phase::Over, error: Some(_), .. }) = state::get(raw) {
        explain(handle, raw);
    }
    Ok(mask)
}

/// Notes how a connection goes on.
fn note(raw: u64, mask: u32, why: Status) {
    if mask & (afd::BROKEN | afd::SEND | afd::CONNECT) == 0 {
        return;
    }
    state::update(raw, |state| {
        if !state.is_stream() {
            return;
        }
        if mask & afd::BROKEN != 0 {
            let connecting = state.phase == Phase::Connecting;
            let reset = lx_core::abi::Errno::ECONNRESET;
            state.fail(if connecting { errors::of_status(why) } else { reset });
        } else if state.phase == Phase::Connecting {
            state.phase = Phase::Arrived;
        }
    });
}

/// Asks Winsock why a connection failed, which it tells once, and more exactly than the driver.
fn explain(handle: Handle, raw: u64) {
    if let Some(error) = setting::pending_error(handle) {
        state::update(raw, |state| state.error = Some(error));
    }
}

/// What holds now.
pub(crate) fn ready(fd: &HostFd, interest: PollEvents) -> PollEvents {
    let wanted = interest | PollEvents::ALWAYS;
    let Ok(known) = state::get(fd.raw()) else { return PollEvents::empty() };
    if let Some(events) = events::known(&known) {
        return events & wanted;
    }
    let Ok(handle) = super::local(fd) else { return PollEvents::empty() };
    let mask = look(handle, fd.raw()).unwrap_or(0);
    let now = state::get(fd.raw()).unwrap_or(known);
    events::known(&now).unwrap_or_else(|| events::holds(&now, mask)) & wanted
}

/// Asks for one announcement.
pub(crate) fn arm(fd: &HostFd, interest: PollEvents, token: ReadyToken) -> HostResult<()> {
    let handle = files::of_init(fd)?;
    let raw = fd.raw();
    let mut lists = LISTS.lock();
    lists.new.retain(|arm| arm.raw != raw);
    lists.new.push(Arm { raw, handle, interest, token });
    drop(lists);
    HAS_NEW.store(true, Ordering::Release);
    init::wake();
    Ok(())
}

/// Nobody wants to be told any more. The driver answers when the socket is closed.
pub(crate) fn disarm(raw: u64) {
    let mut lists = LISTS.lock();
    lists.new.retain(|arm| arm.raw != raw);
    lists.asked.remove(&raw);
}

/// Begins what other processes have asked for; called by init.
pub(crate) fn serve(supervisor: &dyn Supervisor) {
    if !HAS_NEW.swap(false, Ordering::AcqRel) {
        return;
    }
    let new = core::mem::take(&mut LISTS.lock().new);
    for arm in new {
        begin(arm, supervisor);
    }
}

fn begin(arm: Arm, supervisor: &dyn Supervisor) {
    let Ok(state) = state::get(arm.raw) else { return };
    let events = events::known(&state).unwrap_or_else(|| events::holds(&state, 0));
    let events = events & (arm.interest | PollEvents::ALWAYS);
    if !events.is_empty() {
        return supervisor.host_ready(arm.token, events);
    }
    let mask = events::wanted(arm.interest);
    let Some(device) = device() else { return };
    if !withdraw(device, &arm, mask) {
        return;
    }
    let Some(address) = free_request() else { return };
    // SAFETY: the request is on no list, and the driver is done with it.
    let request = unsafe { &mut *(address as *mut Request) };
    let socket = arm.handle;
    request.poll =
        AfdPoll { timeout: i64::MAX, count: 1, socket, events: mask, ..AfdPoll::default() };
    request.io = IoStatus { status: status::PENDING as usize, information: 0 };
    request.raw = arm.raw;
    let (poll, io) = (&raw mut request.poll, &raw mut request.io);
    LISTS.lock().asked.insert(arm.raw, Asked { arm, request: address, mask });
    let len = size_of::<AfdPoll>() as u32;
    // SAFETY: the request stays until the driver has answered.
    let result = unsafe {
        nt!(
            device_control,
            device,
            0,
            0,
            address,
            io,
            IOCTL_AFD_POLL,
            poll.cast(),
            len,
            poll.cast(),
            len
        )
    };
    if result < 0 || result == 0 && !ALWAYS_QUEUED.load(Ordering::Relaxed) {
        finish(address, result == 0, supervisor);
    }
}

/// Ends what was asked before for the same socket; `false` if it will do.
fn withdraw(device: Handle, arm: &Arm, mask: u32) -> bool {
    let mut lists = LISTS.lock();
    let Some(asked) = lists.asked.get_mut(&arm.raw) else { return true };
    if asked.mask & mask == mask {
        asked.arm = *arm;
        return false;
    }
    let old = asked.request;
    lists.asked.remove(&arm.raw);
    drop(lists);
    let mut io = IoStatus::default();
    // SAFETY: requests stay for ever. If it has just been answered, nothing happens.
    let _ = unsafe {
        let request = &raw const (*(old as *const Request)).io;
        nt!(cancel, device, request, &mut io)
    };
    true
}

/// A request that the driver does not use.
fn free_request() -> Option<usize> {
    if let Some(address) = LISTS.lock().free.pop() {
        return Some(address);
    }
    let request = Box::new(Request { poll: AfdPoll::default(), io: IoStatus::default(), raw: 0 });
    let request = Box::into_raw(request);
    // Once is enough, as requests are used again and again.
    region::commit_here(request.cast(), size_of::<Request>());
    Some(request as usize)
}

/// The driver has answered; called by init with what its port has delivered.
pub(crate) fn complete(address: usize, supervisor: &dyn Supervisor) {
    // SAFETY: the driver is done with the request, which stays for ever.
    let good = unsafe { (&raw const (*(address as *const Request)).io.status).read_volatile() };
    finish(address, good as Status == 0, supervisor);
}

fn finish(address: usize, good: bool, supervisor: &dyn Supervisor) {
    // SAFETY: as above.
    let (poll, raw) = unsafe {
        let request = &*(address as *const Request);
        ((&raw const request.poll).read_volatile(), request.raw)
    };
    let mut lists = LISTS.lock();
    let ours = lists.asked.get(&raw).is_some_and(|asked| asked.request == address);
    let asked = if ours { lists.asked.remove(&raw) } else { None };
    lists.free.push(address);
    drop(lists);
    let Some(Asked { arm, .. }) = asked else { return };
    let mask = if good && poll.count != 0 { poll.events } else { 0 };
    note(raw, mask, poll.status);
    let Ok(state) = state::get(raw) else { return };
    let events = events::known(&state).unwrap_or_else(|| events::holds(&state, mask));
    let events = events & (arm.interest | PollEvents::ALWAYS);
    // Whoever waits looks again in any case.
    supervisor.host_ready(arm.token, if events.is_empty() { arm.interest } else { events });
}

/// Init's handle of the driver, whose answers come through the port.
fn device() -> Option<Handle> {
    const COMPLETION: u32 = 30;
    const NOTIFICATION_MODES: u32 = 41;
    const SKIP_PORT_ON_SUCCESS: u32 = 1;
    let known = DEVICE.load(Ordering::Relaxed);
    if known != 0 {
        return Some(known);
    }
    // SAFETY: touches no memory.
    let device = unsafe { nt!(net_driver, 0) };
    if device == 0 {
        return None;
    }
    let port = [nt::port(), port_key::SOCKET];
    set(device, COMPLETION, (&raw const port).cast(), size_of_val(&port));
    let mode = SKIP_PORT_ON_SUCCESS;
    let good = set(device, NOTIFICATION_MODES, (&raw const mode).cast(), size_of_val(&mode));
    ALWAYS_QUEUED.store(!good, Ordering::Relaxed);
    DEVICE.store(device, Ordering::Relaxed);
    Some(device)
}

fn set(device: Handle, class: u32, data: *const u8, len: usize) -> bool {
    let mut io = IoStatus::default();
    // SAFETY: the call reads the caller's structure.
    unsafe { nt!(set_file, device, &mut io, data, len as u32, class) >= 0 }
}
