//! R3, R4, R5, R7 and R10: what becomes of processes.

use std::ffi::OsStr;
use std::io;
use std::mem;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;
use std::ptr;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{FALSE, HANDLE, TRUE};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::System::JobObjects::IsProcessInJob;
use windows_sys::Win32::System::Memory::{
    MEM_RESERVE, MEMORY_BASIC_INFORMATION, PAGE_NOACCESS, VirtualAllocEx, VirtualQueryEx,
};
use windows_sys::Win32::System::Threading::{
    CREATE_SUSPENDED, CreateEventW, CreateProcessW, EXTENDED_STARTUPINFO_PRESENT,
    GetCurrentProcess, GetExitCodeProcess, GetProcessMitigationPolicy,
    InitializeProcThreadAttributeList, PROCESS_INFORMATION, ResumeThread, STARTF_USESTDHANDLES,
    STARTUPINFOEXW, STARTUPINFOW, TerminateProcess, UpdateProcThreadAttribute, WaitForSingleObject,
};

use super::Answer;
use crate::{Job, check, features};

/// The addresses of programs that are linked low, and of the region, as `lx-nt` has them.
const LOW: (usize, usize) = (0x40_0000, 0x6000_0000 - 0x40_0000);
const REGION: (usize, usize) = (0x7000_0000_0000, 16 << 30);
/// Where `lx-host.exe` is linked to.
const PROGRAM: usize = 0x7200_0000_0000;
/// How often a start is measured.
const STARTS: u32 = 4;

/// A process that was made suspended; it is ended with this.
struct Suspended {
    process: OwnedHandle,
    thread: OwnedHandle,
}

/// Policies for a new process, as `UpdateProcThreadAttribute` takes them.
struct Policies(Vec<usize>);

impl Policies {
    fn new(flags: &[u64]) -> io::Result<Self> {
        const MITIGATION_POLICY: usize = 0x2_0007;
        let mut len = 0;
        // SAFETY: asks for the length only.
        unsafe { InitializeProcThreadAttributeList(ptr::null_mut(), 1, 0, &raw mut len) };
        let mut list = Self(vec![0; len.div_ceil(mem::size_of::<usize>())]);
        // SAFETY: the list has the length that was asked for; the flags are copied into the process
        // when it is made, which is before the caller gives them up.
        unsafe {
            check(InitializeProcThreadAttributeList(list.pointer(), 1, 0, &raw mut len))?;
            check(UpdateProcThreadAttribute(
                list.pointer(),
                0,
                MITIGATION_POLICY,
                flags.as_ptr().cast(),
                mem::size_of_val(flags),
                ptr::null_mut(),
                ptr::null(),
            ))?;
        }
        Ok(list)
    }

    fn pointer(&mut self) -> *mut core::ffi::c_void {
        self.0.as_mut_ptr().cast()
    }
}

impl Suspended {
    fn new(program: &Path, inherit: bool) -> io::Result<Self> {
        Self::with_policies(program, inherit, &[])
    }

    /// A process under mitigation policies, if any.
    fn with_policies(program: &Path, inherit: bool, flags: &[u64]) -> io::Result<Self> {
        let text = |text: &OsStr| -> Vec<u16> { text.encode_wide().chain([0]).collect() };
        let path = text(program.as_os_str());
        // Without a role it says so and ends; its messages go nowhere.
        let mut command = text(OsStr::new("lx-host none"));
        let mut policies = None;
        if !flags.is_empty() {
            policies = Some(Policies::new(flags)?);
        }
        let mut startup = STARTUPINFOEXW::default();
        let (len, extended) = match &policies {
            Some(_) => (mem::size_of::<STARTUPINFOEXW>(), EXTENDED_STARTUPINFO_PRESENT),
            None => (mem::size_of::<STARTUPINFOW>(), 0),
        };
        startup.StartupInfo.cb = u32::try_from(len).unwrap_or_default();
        startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
        startup.lpAttributeList = policies.as_mut().map_or(ptr::null_mut(), Policies::pointer);
        let mut made = PROCESS_INFORMATION::default();
        // SAFETY: the texts end with zeros, the structures are whole, and the call writes `made`.
        check(unsafe {
            CreateProcessW(
                path.as_ptr(),
                command.as_mut_ptr(),
                ptr::null(),
                ptr::null(),
                if inherit { TRUE } else { FALSE },
                CREATE_SUSPENDED | extended,
                ptr::null(),
                ptr::null(),
                (&raw const startup).cast(),
                &raw mut made,
            )
        })?;
        // SAFETY: the handles are new and nobody else's.
        unsafe {
            Ok(Self {
                process: OwnedHandle::from_raw_handle(made.hProcess),
                thread: OwnedHandle::from_raw_handle(made.hThread),
            })
        }
    }

    fn handle(&self) -> HANDLE {
        self.process.as_raw_handle()
    }

    /// Whether a range of its addresses is free; it is reserved then.
    fn reserve(&self, (address, len): (usize, usize)) -> bool {
        let at = ptr::without_provenance(address);
        // SAFETY: the process is ours and has not run yet.
        !unsafe { VirtualAllocEx(self.handle(), at, len, MEM_RESERVE, PAGE_NOACCESS) }.is_null()
    }

    /// The first address of a range that is taken.
    fn first_taken(&self, (address, len): (usize, usize)) -> Option<usize> {
        const FREE: u32 = 0x1_0000;
        let mut at = address;
        while at < address + len {
            let mut info = MEMORY_BASIC_INFORMATION::default();
            // SAFETY: the call writes the structure.
            let known = unsafe {
                VirtualQueryEx(
                    self.handle(),
                    ptr::without_provenance(at),
                    &raw mut info,
                    mem::size_of::<MEMORY_BASIC_INFORMATION>(),
                )
            };
            if known == 0 || info.State != FREE {
                return Some(at);
            }
            at = info.BaseAddress.addr() + info.RegionSize.max(4096);
        }
        None
    }

    /// Lets it run to its end, at most this long.
    fn finish(&self, limit: Duration) -> bool {
        let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        // SAFETY: both handles are open.
        unsafe {
            ResumeThread(self.thread.as_raw_handle());
            WaitForSingleObject(self.handle(), limit) == 0
        }
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        // SAFETY: the handle is open; a process that has ended takes no harm.
        unsafe { TerminateProcess(self.handle(), 1) };
    }
}

/// The shortest and the longest of some spans.
fn spread(spans: &[Duration]) -> String {
    let in_ms = |span: Option<&Duration>| span.map_or(0.0, |span| span.as_secs_f64() * 1000.0);
    format!("{:.1} to {:.1} ms", in_ms(spans.iter().min()), in_ms(spans.iter().max()))
}

/// R3: how long `lx-host.exe` takes to start.
pub(super) fn start_time(host: &Path) -> Answer {
    let (mut creating, mut running) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let started = Instant::now();
        let process = Suspended::new(host, false)?;
        creating.push(started.elapsed());
        let started = Instant::now();
        if !process.finish(Duration::from_secs(2)) {
            return Ok(format!("{} does not run to its end", host.display()));
        }
        running.push(started.elapsed());
    }
    Ok(format!(
        "making a process takes {}, and from there to its end {}",
        spread(&creating),
        spread(&running)
    ))
}

/// R4: whether a process can be cloned.
pub(super) fn clone() -> String {
    const CLONED: i32 = 0x129;
    const STATUS: u32 = 42;
    type Clone = unsafe extern "system" fn(
        u32,
        *const u8,
        *const u8,
        HANDLE,
        *mut [u64; 13],
    ) -> windows_sys::Win32::Foundation::NTSTATUS;
    let is_there = |name| features::has_export("ntdll", name);
    let services = format!(
        "NtCreateUserProcess {}, RtlCloneUserProcess {}",
        if is_there("NtCreateUserProcess") { "is there" } else { "is not there" },
        if is_there("RtlCloneUserProcess") { "is there" } else { "is not there" },
    );
    // Wine exports the function and ends the process that calls it.
    let address = features::export_address("ntdll", "RtlCloneUserProcess")
        .filter(|_| features::wine_version().is_none());
    let Some(address) = address else { return format!("{services}; not tried") };
    // SAFETY: this is the function's type.
    let clone: Clone = unsafe { mem::transmute(address) };
    let started = Instant::now();
    let mut made = [0u64; 13];
    // SAFETY: the structure is larger than what is written. The clone has this thread only, and
    // does nothing but end.
    let status = unsafe { clone(0, ptr::null(), ptr::null(), ptr::null_mut(), &raw mut made) };
    if status == CLONED {
        // SAFETY: ends the clone.
        unsafe { TerminateProcess(GetCurrentProcess(), STATUS) };
    }
    if status < 0 {
        return format!("{services}; cloning fails with {status:#x}");
    }
    let process: HANDLE = ptr::without_provenance_mut(made.get(1).map_or(0, |&h| h as usize));
    let mut code = 0;
    // SAFETY: the handle of the new process is the structure's second word.
    let ended = unsafe {
        WaitForSingleObject(process, 2000) == 0
            && check(GetExitCodeProcess(process, &raw mut code)).is_ok()
    };
    let took = started.elapsed().as_micros();
    match (ended, code) {
        (true, STATUS) => format!("{services}; a clone ran and ended in {took} us"),
        (true, code) => format!("{services}; a clone ended with {code:#x}"),
        (false, _) => format!("{services}; a clone does not end"),
    }
}

/// R5: which mitigations are on in a process of `lx-host.exe`, and whether it is where it must be.
pub(super) fn mitigations(host: &Path) -> Answer {
    const POLICIES: [(i32, &str); 7] = [
        (1, "ASLR"),
        (2, "dynamic code"),
        (3, "strict handles"),
        (7, "CFG"),
        (8, "signatures"),
        (10, "image load"),
        (15, "shadow stacks"),
    ];
    let process = Suspended::new(host, false)?;
    let flags = POLICIES.map(|(number, name)| {
        let mut flags = 0u32;
        let out = (&raw mut flags).cast();
        // SAFETY: these policies are one word of flags, which the call writes.
        let known = check(unsafe { GetProcessMitigationPolicy(process.handle(), number, out, 4) });
        match known {
            Ok(()) => format!("{name} {flags:#x}"),
            Err(_) => format!("{name} unknown"),
        }
    });
    let strict = STRICT.map(|(name, flags)| format!("{name}: {}", under_policies(host, &flags)));
    Ok(format!("policies of lx-host.exe: {}; under {}", flags.join(", "), strict.join("; under ")))
}

/// Policies that would be in the way, and their flags.
const STRICT: [(&str, [u64; 2]); 3] = [
    // Relocated images, randomised addresses of high entropy.
    ("mandatory ASLR", [1 << 8 | 1 << 16 | 1 << 20, 0]),
    ("CFG", [1 << 40, 0]),
    ("shadow stacks", [0, 1 << 28]),
];

/// Whether a process under policies has its program and the free addresses where they must be, and
/// runs.
fn under_policies(host: &Path, flags: &[u64; 2]) -> String {
    // Versions of Windows without the second word want one only.
    let words = if flags[1] == 0 { flags.get(..1) } else { flags.get(..) };
    let process = match Suspended::with_policies(host, false, words.unwrap_or_default()) {
        Ok(process) => process,
        Err(error) => return format!("no process ({error})"),
    };
    let moved = process.first_taken((PROGRAM, 1)).is_none();
    let ranges = [("the low range", LOW), ("the region", REGION)];
    let taken = ranges.iter().filter(|(_, range)| !process.reserve(*range));
    let mut wrong: Vec<String> = taken.map(|(name, _)| format!("{name} IS TAKEN")).collect();
    if moved {
        wrong.push("the program IS ELSEWHERE".to_owned());
    }
    if !process.finish(Duration::from_secs(2)) {
        wrong.push("it DOES NOT RUN".to_owned());
    }
    if wrong.is_empty() { "all is well".to_owned() } else { wrong.join(", ") }
}

/// R7: whether the addresses that guests and region need are free in a new process.
pub(super) fn low_range(host: &Path) -> Answer {
    let process = Suspended::new(host, false)?;
    let say = |name: &str, range: (usize, usize)| match process.reserve(range) {
        true => format!("{name} is free"),
        false => match process.first_taken(range) {
            Some(at) => format!("{name} IS TAKEN at {at:#x}"),
            None => format!("{name} CANNOT BE RESERVED"),
        },
    };
    let (low, region) = (say("the low range", LOW), say("the region", REGION));
    Ok(format!("in a suspended process {low}, {region}"))
}

/// R10: what many inherited handles cost, and whether jobs nest.
pub(super) fn inheritance(host: &Path) -> Answer {
    const MANY: usize = 2048;
    let measure = || -> io::Result<Duration> {
        let mut shortest = Duration::MAX;
        for _ in 0..STARTS {
            let started = Instant::now();
            drop(Suspended::new(host, true)?);
            shortest = shortest.min(started.elapsed());
        }
        Ok(shortest)
    };
    let few = measure()?;
    let events = (0..MANY).map(|_| inheritable_event()).collect::<io::Result<Vec<_>>>()?;
    let many = measure()?;
    drop(events);
    let mut in_job = FALSE;
    // SAFETY: the call writes the variable.
    check(unsafe { IsProcessInJob(GetCurrentProcess(), ptr::null_mut(), &raw mut in_job) })?;
    let (outer, inner, process) = (Job::new()?, Job::new()?, Suspended::new(host, false)?);
    let nest = outer.assign(&process.process).and_then(|()| inner.assign(&process.process));
    Ok(format!(
        "a start takes {:.1} ms, with {MANY} inherited handles {:.1} ms; jobs {}, lx.exe is {} a job",
        few.as_secs_f64() * 1000.0,
        many.as_secs_f64() * 1000.0,
        if nest.is_ok() { "nest" } else { "DO NOT NEST" },
        if in_job == FALSE { "not in" } else { "in" }
    ))
}

/// An event that children inherit.
pub(super) fn inheritable_event() -> io::Result<OwnedHandle> {
    let attributes = SECURITY_ATTRIBUTES {
        nLength: u32::try_from(mem::size_of::<SECURITY_ATTRIBUTES>()).unwrap_or_default(),
        lpSecurityDescriptor: ptr::null_mut(),
        bInheritHandle: TRUE,
    };
    // SAFETY: the structure is whole; no name is allowed.
    let event = unsafe { CreateEventW(&raw const attributes, FALSE, FALSE, ptr::null()) };
    if event.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is new and nobody else's.
    Ok(unsafe { OwnedHandle::from_raw_handle(event) })
}
