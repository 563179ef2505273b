//! `/proc/PID/status`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use lx_core::Result;
use lx_core::caller::Caller;
use lx_core::cred::Credentials;
use lx_core::rlimit::Resource;

use super::pid::View;
use super::stat::{signals, state};
use crate::task::Task;

/// The list of `proc(5)`.
pub(super) fn text(view: &View, caller: &Caller<'_>) -> Result<Vec<u8>> {
    let mut out = b"Name:\t".to_vec();
    for byte in view.name() {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            _ => out.push(byte),
        }
    }
    let mut text = String::from("\n");
    // Writing to a String cannot fail.
    let _ = write_status(&mut text, view, caller);
    out.extend_from_slice(text.as_bytes());
    Ok(out)
}

fn write_status(out: &mut String, view: &View, caller: &Caller<'_>) -> core::fmt::Result {
    let group = &view.group;
    let task = view.task.as_deref();
    if let Some(task) = task {
        writeln!(out, "Umask:\t{:04o}", task.fs().umask())?;
    }
    let (letter, word) = state(view, caller);
    writeln!(out, "State:\t{letter} ({word})")?;
    let (id, tgid) = (view.id(), group.tgid());
    writeln!(out, "Tgid:\t{tgid}\nNgid:\t0\nPid:\t{id}\nPPid:\t{}", group.parent_tgid())?;
    writeln!(out, "TracerPid:\t0")?;
    let cred = task.map(Task::cred);
    write_ids(out, cred.as_deref(), group.uid())?;
    let slots = task.map_or(0, |task| task.files().list().last().map_or(0, |fd| fd.0));
    writeln!(out, "FDSize:\t{}", slots.unsigned_abs().next_power_of_two().max(64))?;
    let groups = cred.as_ref().map(|cred| cred.groups.as_slice()).unwrap_or_default();
    let groups: String = groups.iter().map(|gid| format!("{gid} ")).collect();
    writeln!(out, "Groups:\t{groups}")?;
    let (pgid, sid) = (group.pgid(), group.sid());
    writeln!(out, "NStgid:\t{tgid}\nNSpid:\t{id}\nNSpgid:\t{pgid}\nNSsid:\t{sid}\nKthread:\t0")?;
    if let Some(task) = task {
        write_memory(out, task)?;
    }
    writeln!(out, "CoreDumping:\t0\nTHP_enabled:\t0")?;
    writeln!(out, "Threads:\t{}", group.task_count().max(1))?;
    write_signals(out, view)?;
    if let Some(cred) = &cred {
        let sets = [
            ("CapInh", cred.inheritable),
            ("CapPrm", cred.permitted),
            ("CapEff", cred.effective),
            ("CapBnd", cred.bounding),
            ("CapAmb", cred.ambient),
        ];
        for (name, set) in sets {
            writeln!(out, "{name}:\t{:016x}", set.bits())?;
        }
    }
    let no_new_privs = task.is_some_and(Task::no_new_privs);
    let (mode, filters) =
        task.map_or((0, 0), |task| (task.seccomp().mode() as u8, task.seccomp().filters()));
    let no_new_privs = u8::from(no_new_privs);
    writeln!(out, "NoNewPrivs:\t{no_new_privs}\nSeccomp:\t{mode}\nSeccomp_filters:\t{filters}")?;
    let count = view.kernel.host.cpu_count();
    let affinity = task.map_or(u64::MAX, |task| task.scheduling().affinity()[0]);
    let mask = affinity & (u64::MAX >> 64_u32.saturating_sub(count.max(1)).min(63));
    writeln!(out, "Cpus_allowed:\t{mask:x}\nCpus_allowed_list:\t{}", list_of_bits(mask))?;
    writeln!(out, "Mems_allowed:\t00000000,00000001\nMems_allowed_list:\t0")?;
    writeln!(out, "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0")
}

fn write_ids(out: &mut String, cred: Option<&Credentials>, uid: u32) -> core::fmt::Result {
    let (uids, gids) = match cred {
        Some(cred) => (
            [cred.uid, cred.euid, cred.suid, cred.fsuid],
            [cred.gid, cred.egid, cred.sgid, cred.fsgid],
        ),
        None => ([uid; 4], [0; 4]),
    };
    for (name, [real, effective, saved, fs]) in [("Uid", uids), ("Gid", gids)] {
        writeln!(out, "{name}:\t{real}\t{effective}\t{saved}\t{fs}")?;
    }
    Ok(())
}

fn write_memory(out: &mut String, task: &Task) -> core::fmt::Result {
    let figures = task.mm().figures();
    let anonymous = figures.resident.saturating_sub(figures.shared);
    let lines = [
        ("VmPeak", figures.peak),
        ("VmSize", figures.size),
        ("VmLck", figures.locked),
        ("VmPin", 0),
        ("VmHWM", figures.resident),
        ("VmRSS", figures.resident),
        ("RssAnon", anonymous),
        ("RssFile", figures.shared),
        ("RssShmem", 0),
        ("VmData", figures.data),
        ("VmStk", figures.stack),
        ("VmExe", figures.text),
        ("VmLib", 0),
        ("VmPTE", 0),
        ("VmSwap", 0),
    ];
    for (name, bytes) in lines {
        writeln!(out, "{name}:\t{:8} kB", bytes / 1024)?;
    }
    Ok(())
}

fn write_signals(out: &mut String, view: &View) -> core::fmt::Result {
    let group = &view.group;
    let limit = group.rlimits().soft(Resource::Sigpending);
    writeln!(out, "SigQ:\t{}/{limit}", group.pending().len())?;
    let [pending, blocked, ignored, caught] = signals(view);
    let sets = [
        ("SigPnd", pending),
        ("ShdPnd", group.pending().set()),
        ("SigBlk", blocked),
        ("SigIgn", ignored),
        ("SigCgt", caught),
    ];
    for (name, set) in sets {
        writeln!(out, "{name}:\t{:016x}", set.0)?;
    }
    Ok(())
}

/// The bits of a mask as `0-3,5`.
pub(super) fn list_of_bits(mask: u64) -> String {
    let mut text = String::new();
    let mut at = 0_u32;
    while at < 64 {
        let zeros = (mask >> at).trailing_zeros();
        at = at.saturating_add(zeros);
        if at >= 64 {
            break;
        }
        let last = at.saturating_add((mask >> at).trailing_ones()).saturating_sub(1);
        let comma = if text.is_empty() { "" } else { "," };
        text.push_str(&match last == at {
            true => format!("{comma}{at}"),
            false => format!("{comma}{at}-{last}"),
        });
        at = last.saturating_add(1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::list_of_bits;

    #[test]
    fn lists() {
        assert_eq!(list_of_bits(0b10_1111), "0-3,5");
        assert_eq!(list_of_bits(1), "0");
        assert_eq!(list_of_bits(u64::MAX), "0-63");
        assert_eq!(list_of_bits(0), "");
        assert_eq!(list_of_bits(1 << 63), "63");
    }
}
