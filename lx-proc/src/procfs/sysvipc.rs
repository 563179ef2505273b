//! `/proc/sysvipc`, `sysvipc(7)`: a line for each object of System V IPC.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use lx_core::abi::ipc::IpcPerm;
use lx_core::caller::Caller;
use lx_vfs::fs::pseudo::Node;

use super::Numbers;
use crate::ipc::{Ipc, MessageQueue, Object, Segment, SemaphoreSet, Table};
use crate::kernel::Kernel;

/// The directory.
pub(super) fn directory(kernel: &Arc<Kernel>, numbers: &mut Numbers) -> Node {
    let mut text = |name: &'static str, make: fn(&Ipc) -> String| {
        let kernel = Arc::clone(kernel);
        let make = move |_: &Caller<'_>| Ok(make(&kernel.ipc).into_bytes());
        (name, numbers.next().text(make))
    };
    let entries = [
        text("msg", |ipc| lines(MSG, &ipc.queues, queue)),
        text("sem", |ipc| lines(SEM, &ipc.semaphores, semaphores)),
        text("shm", |ipc| lines(SHM, &ipc.segments, segment)),
    ];
    numbers.next().fixed_directory(entries)
}

const MSG: &str = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  \
    cgid      stime      rtime      ctime\n";
const SEM: &str = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      \
    ctime\n";
const SHM: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  \
    cuid  cgid      atime      dtime      ctime                   rss                  swap\n";

fn lines<T: Object>(heading: &str, table: &Table<T>, line: fn(&T) -> String) -> String {
    let mut text = String::from(heading);
    for object in table.list() {
        text.push_str(&line(&object));
    }
    text
}

fn ids(perm: &IpcPerm) -> String {
    format!("{:5} {:5} {:5} {:5}", perm.uid, perm.gid, perm.cuid, perm.cgid)
}

fn queue(queue: &MessageQueue) -> String {
    let (stat, id) = (queue.stat(), queue.permissions().id());
    format!(
        "{:10} {id:10}  {:4o}  {:10} {:10} {:5} {:5} {} {:10} {:10} {:10}\n",
        stat.perm.key,
        stat.perm.mode,
        stat.cbytes,
        stat.qnum,
        stat.lspid,
        stat.lrpid,
        ids(&stat.perm),
        stat.stime,
        stat.rtime,
        stat.ctime,
    )
}

fn semaphores(set: &SemaphoreSet) -> String {
    let (stat, id) = (set.stat(), set.permissions().id());
    format!(
        "{:10} {id:10}  {:4o} {:10} {} {:10} {:10}\n",
        stat.perm.key,
        stat.perm.mode,
        stat.nsems,
        ids(&stat.perm),
        stat.otime,
        stat.ctime,
    )
}

fn segment(segment: &Segment) -> String {
    let (stat, id) = (segment.stat(), segment.permissions().id());
    format!(
        "{:10} {id:10}  {:4o} {:21} {:5} {:5}  {:5} {} {:10} {:10} {:10} {:21} {:21}\n",
        stat.perm.key,
        stat.perm.mode,
        stat.segsz,
        stat.cpid,
        stat.lpid,
        stat.nattch,
        ids(&stat.perm),
        stat.atime,
        stat.dtime,
        stat.ctime,
        stat.segsz.next_multiple_of(lx_core::abi::PAGE_SIZE),
        0,
    )
}
