//! `/proc/PID/stat`.

use alloc::format;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::time::USER_HZ;
use lx_core::abi::{PAGE_SIZE, SigSet};
use lx_core::caller::Caller;
use lx_core::host::Nanos;
use lx_core::rlimit::Resource;
use lx_core::time::NANOS_PER_SEC;
use lx_vfs::tty;

use super::pid::View;

/// Ticks of `clock_t` in a time.
pub(super) fn ticks(nanos: Nanos) -> u64 {
    nanos / (NANOS_PER_SEC / USER_HZ.unsigned_abs())
}

/// The letter and word of a task's state.
pub(super) fn state(view: &View, caller: &Caller<'_>) -> (char, &'static str) {
    let Some(task) = &view.task else {
        return if view.group.is_zombie() { ('Z', "zombie") } else { ('S', "sleeping") };
    };
    if view.group.job().is_stopped() {
        ('T', "stopped")
    } else if task.tid() == caller.tid || !task.waiter().is_parked() {
        ('R', "running")
    } else {
        ('S', "sleeping")
    }
}

/// Processor time that the process has used.
pub(super) fn cpu_time(view: &View, caller: &Caller<'_>) -> Nanos {
    let host = view.kernel.host;
    match &view.task {
        _ if view.group.tgid() == caller.tgid => host.process_cpu(),
        Some(task) => host.process_cpu_of(task.waiter().thread()),
        None => view.group.dead_cpu(),
    }
}

/// Pending, blocked, ignored and caught signals.
pub(super) fn signals(view: &View) -> [SigSet; 4] {
    let (pending, blocked) = match &view.task {
        Some(task) => (task.signals().pending().set(), task.signals().blocked()),
        None => (SigSet::EMPTY, SigSet::EMPTY),
    };
    let (ignored, caught) =
        view.group.with_actions(|actions| (actions.ignored(), actions.caught()));
    [pending, blocked, ignored, caught]
}

/// Number of a session's controlling terminal, and its foreground process group.
fn terminal(sid: i32) -> (u32, i32) {
    match tty::of_session(sid) {
        // The lower half is the encoding in 32 bits.
        Some(terminal) => (terminal.rdev() as u32, terminal.control().foreground()),
        None => (0, -1),
    }
}

/// The 52 fields of `proc(5)`.
pub(super) fn text(view: &View, caller: &Caller<'_>) -> Result<Vec<u8>> {
    let group = &view.group;
    let task = view.task.as_deref();
    let mm = task.map(|task| task.mm());
    let figures = mm.as_ref().map(|mm| mm.figures()).unwrap_or_default();
    let program = mm.as_ref().map(|mm| mm.program()).unwrap_or_default();
    let heap = mm.as_ref().map_or(0, |mm| mm.heap().0);
    let [pending, blocked, ignored, caught] = signals(view);
    let scheduling = task.map_or(group.leader_scheduling(), |task| task.scheduling());
    let nice = scheduling.nice();
    let policy = scheduling.policy();
    let rt_priority = scheduling.priority();
    let priority = scheduling.rank();
    let (tty, foreground) = terminal(group.sid());
    let standard = |set: SigSet| set.0 & 0x7fff_ffff;

    let mut out = format!("{} (", view.id()).into_bytes();
    out.extend_from_slice(&view.name());
    let rest = format!(
        ") {state} {ppid} {pgid} {sid} {tty} {foreground} 4194304 0 0 0 0 {utime} 0 {cutime} 0 \
         {priority} {nice} {threads} 0 {start} {vsize} {rss} {rsslim} \
         {code_start} {code_end} {stack} 0 0 {pending} {blocked} {ignored} {caught} \
         0 0 0 {exit_signal} 0 {rt_priority} {policy} 0 0 0 \
         {data_start} {data_end} {heap} {arg_start} {arg_end} {env_start} {env_end} {status}\n",
        state = state(view, caller).0,
        ppid = group.parent_tgid(),
        pgid = group.pgid(),
        sid = group.sid(),
        utime = ticks(cpu_time(view, caller)),
        cutime = ticks(group.children_cpu()),
        threads = group.task_count().max(1),
        start = ticks(task.map_or(0, |task| task.started())),
        vsize = figures.size,
        rss = figures.resident / PAGE_SIZE,
        rsslim = group.rlimits().soft(Resource::Rss),
        code_start = program.code.0,
        code_end = program.code.1,
        stack = program.stack,
        pending = standard(pending),
        blocked = standard(blocked),
        ignored = standard(ignored),
        caught = standard(caught),
        exit_signal = group.exit_signal(),
        policy = policy.0,
        data_start = program.data.0,
        data_end = program.data.1,
        arg_start = program.arg_range.0,
        arg_end = program.arg_range.1,
        env_start = program.env_range.0,
        env_end = program.env_range.1,
        status = if group.is_zombie() { group.status().0 } else { 0 },
    );
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}
