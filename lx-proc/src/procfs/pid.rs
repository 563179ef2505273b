//! The directories of processes and threads, `/proc/PID` and `/proc/PID/task/TID`.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::dirent::DT_DIR;
use lx_core::abi::stat::FileType;
use lx_core::abi::{Errno, PAGE_SIZE};
use lx_core::caller::Caller;
use lx_core::cred::{Capabilities, Credentials};
use lx_core::rlimit::{RLIM_INFINITY, Resource, Rlimits};
use lx_vfs::fs::pseudo::{DirSource, LinkSource, Node, NodeInfo, TextSource};
use lx_vfs::inode::DirListing;
use lx_vfs::location::Path;

use super::{check_readable, fd, mem, mounts, net, parse_id, parse_number, stat, status};
use crate::kernel::Kernel;
use crate::mm::{AddressSpace, RemoteMemory};
use crate::session::INIT_TGID;
use crate::task::Task;
use crate::thread_group::ThreadGroup;

/// Inode number of an entry of a process's directory, of the directory itself for `entry` 0.
pub(super) fn ino(id: i32, entry: u64) -> u64 {
    (u64::from(id.unsigned_abs()) << 20) | (1 << 52) | entry
}

/// Names a process or a thread; everything else is looked up when it is needed.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) kernel: Arc<Kernel>,
    /// Thread group id, or thread id.
    pub(super) id: i32,
    /// Whether it stands for the whole process.
    pub(super) whole: bool,
    pub(super) info: NodeInfo,
}

/// The process at one moment.
pub(super) struct View {
    pub(super) kernel: Arc<Kernel>,
    pub(super) group: Arc<ThreadGroup>,
    /// The thread, or the process's first one; `None` for zombies and init.
    pub(super) task: Option<Arc<Task>>,
    pub(super) whole: bool,
}

impl Subject {
    pub(super) fn view(&self) -> Result<View> {
        let pids = &self.kernel.pids;
        let (group, task) = if self.whole {
            let group = pids.group(self.id).ok_or(Errno::ESRCH)?;
            let task = pids.task(self.id).or_else(|| group.any_task());
            (group, task)
        } else {
            match pids.task(self.id) {
                Some(task) => (Arc::clone(task.group()), Some(task)),
                // A zombie keeps its leader.
                None => {
                    let group = pids.group(self.id).filter(|group| group.is_zombie());
                    (group.ok_or(Errno::ESRCH)?, None)
                }
            }
        };
        Ok(View { kernel: Arc::clone(&self.kernel), group, task, whole: self.whole })
    }

    fn node(&self, entry: u64) -> NodeInfo {
        self.info.number(ino(self.id, entry))
    }
}

impl View {
    /// The task, where only a living process has what is asked for.
    pub(super) fn living(&self) -> Result<&Arc<Task>> {
        self.task.as_ref().ok_or(Errno::ESRCH.into())
    }

    /// Its memory, if the caller may look at it; `None` for zombies.
    fn memory(&self, caller: &Caller<'_>) -> Result<Option<Arc<AddressSpace>>> {
        let Some(task) = &self.task else { return Ok(None) };
        check_readable(caller, task)?;
        Ok(Some(task.mm()))
    }

    /// Id of what it stands for.
    pub(super) fn id(&self) -> i32 {
        match &self.task {
            Some(task) if !self.whole => task.tid(),
            _ => self.group.tgid(),
        }
    }

    /// Its name without NULs.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = match &self.task {
            Some(task) => task.name(),
            None if self.group.tgid() == INIT_TGID => *b"init\0\0\0\0\0\0\0\0\0\0\0\0",
            None => self.group.last_name(),
        };
        name.iter().copied().take_while(|byte| *byte != 0).collect()
    }
}

/// The root directory of the caller, from which it sees paths.
pub(super) fn caller_root(kernel: &Kernel, caller: &Caller<'_>) -> Result<Path> {
    Ok(kernel.pids.task(caller.tid).ok_or(Errno::ESRCH)?.fs().root())
}

/// The directory of a process; also of a thread, which the root does not list.
pub(super) fn directory(kernel: &Arc<Kernel>, info: NodeInfo, id: i32) -> Result<Node> {
    let group = kernel.pids.group_of(id).ok_or(Errno::ENOENT)?;
    make(kernel, info, id, group.tgid() == id)
}

fn make(kernel: &Arc<Kernel>, info: NodeInfo, id: i32, whole: bool) -> Result<Node> {
    let subject = Subject { kernel: Arc::clone(kernel), id, whole, info };
    let view = subject.view().map_err(|_| Errno::ENOENT)?;
    let info = match &view.task {
        Some(task) => {
            let cred: Arc<Credentials> = task.cred();
            info.owner(cred.euid, cred.egid)
        }
        None => info.owner(view.group.uid(), 0),
    };
    let info = NodeInfo { time: kernel.host.realtime().cast_signed(), ..info };
    let subject = Subject { info, ..subject };
    Ok(subject.node(0).directory(ProcessDir(subject)))
}

/// A file's text.
type Text = fn(&View, &Caller<'_>) -> Result<Vec<u8>>;
/// What a link leads to.
#[derive(Clone, Copy)]
enum Place {
    Cwd,
    Root,
    Exe,
}

/// What an entry is.
enum Kind {
    Text(u32, Text),
    /// A file that may be written.
    Writable(Text, fn(&View, &Caller<'_>, &[u8]) -> Result<()>),
    Link(Place),
    Fds,
    FdInfos,
    Net,
    Mem,
    /// Only in the directory of a whole process.
    Tasks,
}

/// The entries, in the order in which they are listed.
const ENTRIES: &[(&str, Kind)] = &[
    ("task", Kind::Tasks),
    ("fd", Kind::Fds),
    ("fdinfo", Kind::FdInfos),
    ("net", Kind::Net),
    ("environ", Kind::Text(0o400, environ)),
    ("auxv", Kind::Text(0o400, auxv)),
    ("status", Kind::Text(0o444, status::text)),
    ("personality", Kind::Text(0o400, personality)),
    ("limits", Kind::Text(0o444, limits)),
    ("comm", Kind::Writable(comm, set_comm)),
    ("cmdline", Kind::Text(0o444, cmdline)),
    ("stat", Kind::Text(0o444, stat::text)),
    ("statm", Kind::Text(0o444, statm)),
    ("maps", Kind::Text(0o444, maps)),
    ("smaps", Kind::Text(0o444, smaps)),
    ("children", Kind::Text(0o444, children)),
    ("mem", Kind::Mem),
    ("cwd", Kind::Link(Place::Cwd)),
    ("root", Kind::Link(Place::Root)),
    ("exe", Kind::Link(Place::Exe)),
    ("mounts", Kind::Text(0o444, mounts::mounts)),
    ("mountinfo", Kind::Text(0o444, mounts::mountinfo)),
    ("wchan", Kind::Text(0o444, |_, _| Ok(b"0".to_vec()))),
    ("cgroup", Kind::Text(0o444, |_, _| Ok(b"0::/\n".to_vec()))),
    ("oom_score", Kind::Text(0o444, |_, _| Ok(b"0\n".to_vec()))),
    ("oom_score_adj", Kind::Writable(oom_score_adj, set_oom_score_adj)),
    ("loginuid", Kind::Text(0o444, |_, _| Ok(b"4294967295".to_vec()))),
    ("sessionid", Kind::Text(0o444, |_, _| Ok(b"4294967295".to_vec()))),
    ("uid_map", Kind::Text(0o444, |_, _| Ok(ID_MAP.to_vec()))),
    ("gid_map", Kind::Text(0o444, |_, _| Ok(ID_MAP.to_vec()))),
    ("setgroups", Kind::Text(0o444, |_, _| Ok(b"allow\n".to_vec()))),
];

/// All ids, as they are.
const ID_MAP: &[u8] = b"         0          0 4294967295\n";

struct ProcessDir(Subject);

impl ProcessDir {
    fn entry(&self, number: u64, kind: &'static Kind) -> Node {
        let subject = self.0.clone();
        let info = subject.node(number);
        match kind {
            Kind::Text(mode, make) => {
                info.mode(*mode).text(move |caller: &Caller<'_>| make(&subject.view()?, caller))
            }
            Kind::Writable(make, store) => {
                info.mode(0o644).text_from(WritableText { subject, make: *make, store: *store })
            }
            Kind::Link(place) => info.link_from(PlaceLink { subject, place: *place }),
            Kind::Fds => info.mode(0o500).directory(fd::FdDir { subject, infos: false }),
            Kind::FdInfos => info.mode(0o555).directory(fd::FdDir { subject, infos: true }),
            Kind::Net => info.mode(0o555).owner(0, 0).directory(net::NetDir(subject)),
            Kind::Mem => {
                let open = move |caller: &Caller<'_>, _| mem::open(&subject, caller);
                info.mode(0o600).file(FileType::Regular, open)
            }
            Kind::Tasks => info.directory(TaskDir(subject)),
        }
    }

    fn entries(&self) -> impl Iterator<Item = (u64, &'static str, &'static Kind)> {
        let whole = self.0.whole;
        let numbered = ENTRIES.iter().zip(1..).map(|((name, kind), number)| (number, *name, kind));
        numbered.filter(move |(_, _, kind)| whole || !matches!(kind, Kind::Tasks))
    }
}

impl DirSource for ProcessDir {
    fn lookup(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Node> {
        self.0.view().map_err(|_| Errno::ENOENT)?;
        let found = self.entries().find(|(_, entry, _)| entry.as_bytes() == name);
        let (number, _, kind) = found.ok_or(Errno::ENOENT)?;
        Ok(self.entry(number, kind))
    }

    fn list(&self, _caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        self.0.view().map_err(|_| Errno::ENOENT)?;
        for (number, name, kind) in self.entries() {
            let file_type = self.entry(number, kind).file_type();
            listing.push(ino(self.0.id, number), file_type.dirent_type(), name.as_bytes());
        }
        Ok(())
    }
}

struct WritableText {
    subject: Subject,
    make: Text,
    store: fn(&View, &Caller<'_>, &[u8]) -> Result<()>,
}

impl TextSource for WritableText {
    fn text(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        (self.make)(&self.subject.view()?, caller)
    }

    fn store(&self, caller: &Caller<'_>, bytes: &[u8]) -> Result<()> {
        (self.store)(&self.subject.view()?, caller, bytes)
    }
}

/// `cwd`, `root` and `exe`.
struct PlaceLink {
    subject: Subject,
    place: Place,
}

impl PlaceLink {
    fn place(&self, caller: &Caller<'_>) -> Result<Path> {
        let view = self.subject.view().map_err(|_| Errno::ENOENT)?;
        let Some(task) = &view.task else { return self.place_of_init(&view, caller) };
        check_readable(caller, task)?;
        match self.place {
            Place::Cwd => Ok(task.fs().cwd()),
            Place::Root => Ok(task.fs().root()),
            Place::Exe => {
                let program = task.mm().program();
                let path = program.file.as_ref().and_then(|file| Path::of(file).cloned());
                path.ok_or(Errno::ENOENT.into())
            }
        }
    }

    /// As a kernel thread, init has no program, and works in the root. A zombie has nothing.
    fn place_of_init(&self, view: &View, caller: &Caller<'_>) -> Result<Path> {
        if view.group.tgid() != INIT_TGID || matches!(self.place, Place::Exe) {
            return Err(Errno::ENOENT.into());
        }
        if !caller.cred().has(Capabilities::SYS_PTRACE) {
            return Err(Errno::EACCES.into());
        }
        caller_root(&self.subject.kernel, caller)
    }
}

impl LinkSource for PlaceLink {
    fn target(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        Ok(self.place(caller)?.display(&caller_root(&self.subject.kernel, caller)?))
    }

    fn follow(&self, caller: &Caller<'_>) -> Result<Option<Path>> {
        self.place(caller).map(Some)
    }
}

/// `/proc/PID/task`.
struct TaskDir(Subject);

impl DirSource for TaskDir {
    fn lookup(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Node> {
        let tid = parse_id(name).ok_or(Errno::ENOENT)?;
        let is_member = match self.0.kernel.pids.task(tid) {
            Some(task) => task.tgid() == self.0.id,
            None => tid == self.0.id && self.0.view().is_ok_and(|view| view.group.is_zombie()),
        };
        if !is_member {
            return Err(Errno::ENOENT.into());
        }
        make(&self.0.kernel, self.0.info, tid, false)
    }

    fn list(&self, _caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        let group = self.0.view().map_err(|_| Errno::ENOENT)?.group;
        let mut ids: Vec<i32> = group.tasks().iter().map(|task| task.tid()).collect();
        if group.is_zombie() {
            ids.push(group.tgid());
        }
        for tid in ids {
            let name = format!("{tid}");
            listing.push(ino(tid, 0), DT_DIR, name.as_bytes());
        }
        Ok(())
    }
}

/// The arguments as they are in memory now, where programs such as servers write what they do.
fn cmdline(view: &View, caller: &Caller<'_>) -> Result<Vec<u8>> {
    // Everybody may see it; of a zombie nothing is left.
    let Some(task) = &view.task else { return Ok(Vec::new()) };
    let (memory, program) = (RemoteMemory::new(task.mm()), task.mm().program());
    let (start, end) = program.arg_range;
    let Some(args) = memory.peek(&view.kernel, caller, (start, end)) else {
        return Ok(program.args.clone());
    };
    if args.last().is_none_or(|byte| *byte == 0) || program.env_range.0 != end {
        return Ok(args);
    }
    // As setproctitle(3) does it: one string, which reaches into the environment.
    let title = (start, program.env_range.1.min(start.saturating_add(PAGE_SIZE)));
    let mut title = memory.peek(&view.kernel, caller, title).unwrap_or(args);
    if let Some(end) = title.iter().position(|byte| *byte == 0) {
        title.truncate(end + 1);
    }
    Ok(title)
}

fn environ(view: &View, caller: &Caller<'_>) -> Result<Vec<u8>> {
    let Some(memory) = view.memory(caller)? else { return Ok(Vec::new()) };
    let program = memory.program();
    let now = RemoteMemory::new(memory).peek(&view.kernel, caller, program.env_range);
    Ok(now.unwrap_or_else(|| program.env.clone()))
}

fn auxv(view: &View, caller: &Caller<'_>) -> Result<Vec<u8>> {
    Ok(view.memory(caller)?.map(|memory| memory.program().auxv.clone()).unwrap_or_default())
}

fn maps(view: &View, caller: &Caller<'_>) -> Result<Vec<u8>> {
    match view.memory(caller)? {
        Some(memory) => Ok(memory.maps_text(caller, &caller_root(&view.kernel, caller)?)),
        None => Ok(Vec::new()),
    }
}

fn smaps(view: &View, caller: &Caller<'_>) -> Result<Vec<u8>> {
    match view.memory(caller)? {
        Some(memory) => Ok(memory.smaps_text(caller, &caller_root(&view.kernel, caller)?)),
        None => Ok(Vec::new()),
    }
}

fn children(view: &View, _caller: &Caller<'_>) -> Result<Vec<u8>> {
    let children = view.kernel.pids.children(view.group.tgid());
    let ids = children.iter().map(|child| format!("{} ", child.tgid()));
    Ok(ids.collect::<alloc::string::String>().into_bytes())
}

fn statm(view: &View, _caller: &Caller<'_>) -> Result<Vec<u8>> {
    let figures = view.task.as_ref().map(|task| task.mm().figures()).unwrap_or_default();
    let pages = |bytes: u64| bytes.div_ceil(lx_core::abi::PAGE_SIZE);
    let text = format!(
        "{} {} {} {} 0 {} 0\n",
        pages(figures.size),
        pages(figures.resident),
        pages(figures.shared),
        pages(figures.text),
        pages(figures.data)
    );
    Ok(text.into_bytes())
}

fn personality(view: &View, caller: &Caller<'_>) -> Result<Vec<u8>> {
    let task = view.living()?;
    check_readable(caller, task)?;
    Ok(format!("{:08x}\n", task.personality()).into_bytes())
}

fn comm(view: &View, _caller: &Caller<'_>) -> Result<Vec<u8>> {
    let mut name = view.name();
    name.push(b'\n');
    Ok(name)
}

/// Only the process itself may set its threads' names.
fn set_comm(view: &View, caller: &Caller<'_>, bytes: &[u8]) -> Result<()> {
    let task = view.living()?;
    if task.tgid() != caller.tgid {
        return Err(Errno::EINVAL.into());
    }
    let name = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    task.set_name(name);
    Ok(())
}

fn oom_score_adj(view: &View, _caller: &Caller<'_>) -> Result<Vec<u8>> {
    let value = view.task.as_ref().map_or(0, |task| task.scheduling().oom_score_adj());
    Ok(format!("{value}\n").into_bytes())
}

fn set_oom_score_adj(view: &View, _caller: &Caller<'_>, bytes: &[u8]) -> Result<()> {
    let value: i32 = parse_number(bytes)?;
    if !(-1000..=1000).contains(&value) {
        return Err(Errno::EINVAL.into());
    }
    view.living()?.scheduling().set_oom_score_adj(value);
    Ok(())
}

fn limits(view: &View, _caller: &Caller<'_>) -> Result<Vec<u8>> {
    Ok(limits_text(view.group.rlimits()).into_bytes())
}

/// Names and units of the limits, in the order of their numbers.
const LIMITS: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

fn limits_text(limits: &Rlimits) -> alloc::string::String {
    let value = |limit: u64| match limit {
        RLIM_INFINITY => "unlimited".into(),
        limit => format!("{limit}"),
    };
    let line = |name: &str, soft: &str, hard: &str, unit: &str| {
        format!("{name:<25} {soft:<20} {hard:<20} {unit:<10}\n")
    };
    let mut text = line("Limit", "Soft Limit", "Hard Limit", "Units");
    for (number, (name, unit)) in (0..).zip(LIMITS) {
        let (soft, hard) = Resource::from_number(number).map_or((0, 0), |which| limits.get(which));
        text.push_str(&line(name, &value(soft), &value(hard), unit));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::limits_text;
    use lx_core::rlimit::Rlimits;

    #[test]
    fn limits_look_as_on_linux() {
        let text = limits_text(&Rlimits::new());
        let mut lines = text.lines();
        assert_eq!(
            lines.next().unwrap(),
            "Limit                     Soft Limit           Hard Limit           Units     "
        );
        assert_eq!(
            lines.nth(3).unwrap(),
            "Max stack size            8388608              unlimited            bytes     "
        );
        assert_eq!(text.lines().count(), 17);
    }
}
