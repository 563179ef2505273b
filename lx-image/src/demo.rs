//! demo
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use lx_core::abi::GuestRegs;
use lx_core::host::*;
use lx_core::poll::PollEvents;

struct Demo {
    host: &'static dyn Host,
}
static COUNT: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);
static INTERRUPTS: AtomicU64 = AtomicU64::new(0);
static WORD2: AtomicU32 = AtomicU32::new(0);

pub(crate) fn make_kernel(host: &'static dyn Host) -> Arc<dyn Supervisor> {
    Arc::new(Demo { host })
}

fn print(host: &'static dyn Host, s: &str) {
    let fd = core::mem::ManuallyDrop::new(HostFd::from_raw(2, host));
    let _ = host.write(&fd, Buf::Kernel(s.as_bytes()));
}

impl Supervisor for Demo {
    fn boot(&self) {
        let h = self.host;
        print(h, "boot\n");
        let mut m = BTreeMap::new();
        for i in 0..10000u64 {
            m.insert(i * 7919 % 10007, Box::new(i));
        }
        print(h, &format!("map {} mono {} real {}\n", m.len(), h.monotonic(), h.realtime()));
        h.set_timer(Some(h.monotonic() + 50_000_000));
        h.spawn_process(Arc::new(Task { host: h, kind: AtomicU32::new(0), id: AtomicU64::new(0) }))
            .unwrap_or(());
    }
    fn timer_expired(&self, now: Nanos) {
        print(self.host, &format!("timer {now}\n"));
    }
    fn host_ready(&self, token: ReadyToken, events: PollEvents) {
        print(self.host, &format!("ready {token} {events:?}\n"));
    }
    fn host_thread_died(&self, thread: HostThreadId, signal: u8) {
        print(self.host, &format!("died {thread:?} {signal}\n"));
    }
    fn control_message(&self, packet: &[u8], fds: &mut Vec<HostFd>) {
        print(self.host, &format!("control {} {}\n", packet.len(), fds.len()));
    }
    fn next_event(&self, _packet: &mut Vec<u8>) -> bool {
        false
    }
}

struct Task {
    host: &'static dyn Host,
    kind: AtomicU32,
    id: AtomicU64,
}

/// guest calls: 110 getppid; 39 = time mark; 60 exit; 57 fork; 58 vfork; 56 thread; 500 park-ping; 501 pong
impl TrapHandler for Task {
    fn attached(&self, thread: HostThreadId) {
        self.id.store(thread.0, Ordering::Relaxed);
    }
    fn syscall(&self, regs: &mut GuestRegs) -> Resume {
        let h = self.host;
        match regs.orig_rax {
            110 => {
                regs.rax = 1;
                COUNT.fetch_add(0, Ordering::Relaxed);
                Resume::Return
            }
            39 => {
                regs.rax = h.monotonic();
                Resume::Return
            }
            60 => {
                if self.kind.load(Ordering::Relaxed) == 0 {
                    print(h, "end\n");
                }
                WORD2.fetch_add(1, Ordering::SeqCst);
                h.wake(&WORD2, 1);
                Resume::Exit
            }
            57 | 58 | 56 => {
                let mut child = *regs;
                child.rax = 0;
                let t = Arc::new(Task {
                    host: h,
                    kind: AtomicU32::new(regs.orig_rax as u32),
                    id: AtomicU64::new(0),
                });
                let r = match regs.orig_rax {
                    57 => h.fork(t, &child),
                    58 => h.run_borrowed(t, &child),
                    _ => {
                        child.rsp = regs.rsi;
                        h.spawn_thread(t, &child, 0x1234)
                    }
                };
                regs.rax = if r.is_ok() { 77 } else { u64::MAX };
                Resume::Return
            }
            61 => {
                // wait until WORD2 >= rdi
                loop {
                    let v = WORD2.load(Ordering::SeqCst);
                    if v as u64 >= regs.rdi {
                        break;
                    }
                    h.park(&WORD2, v, None);
                }
                WORD2.store(0, Ordering::SeqCst);
                Resume::Return
            }
            200 => {
                // full exit
                regs.rbx = regs.rdi + 1;
                Resume::Full
            }
            201 => {
                print(
                    h,
                    &format!(
                        "guest says {:#x} {:#x} fs {:#x} borrowed {}\n",
                        regs.rdi,
                        regs.rsi,
                        h.fs_base(),
                        h.is_borrowed()
                    ),
                );
                Resume::Return
            }
            202 => {
                CALLS.fetch_add(1, Ordering::Relaxed);
                let t = HostThreadId(regs.rdi);
                h.interrupt(t);
                static D: AtomicU32 = AtomicU32::new(0);
                h.park(&D, 0, Some(h.monotonic() + 20000));
                Resume::Return
            }
            203 => {
                regs.rax = self.id.load(Ordering::Relaxed);
                Resume::Return
            }
            204 => {
                let mut b = [0u8; 8];
                let r = h.copy_in(regs.rdi, &mut b);
                print(
                    h,
                    &format!(
                        "copy {:?} {:?} part {}\n",
                        r,
                        b,
                        h.copy_out_partial(regs.rdi, &[1; 4096])
                    ),
                );
                Resume::Return
            }
            205 => {
                COUNT.fetch_add(1, Ordering::SeqCst);
                Resume::Return
            }
            206 => {
                regs.rax = COUNT.load(Ordering::SeqCst);
                Resume::Return
            }
            300 => {
                let t = Arc::new(Task { host: h, kind: AtomicU32::new(9), id: AtomicU64::new(0) });
                regs.rax = h.spawn_process(t).is_err() as u64;
                Resume::Return
            }
            301 => {
                let _ = h.map(
                    0xa00000,
                    0x1000,
                    Prot::READ | Prot::WRITE | Prot::EXEC,
                    Backing::Anonymous,
                );
                regs.rax = 0xa00000;
                Resume::Return
            }
            303 => {
                regs.rax = h
                    .map(regs.rdi, regs.rsi, Prot::READ | Prot::WRITE, Backing::Anonymous)
                    .is_err() as u64;
                Resume::Return
            }
            304 => {
                regs.rax = h.unmap(regs.rdi, regs.rsi).is_err() as u64;
                Resume::Return
            }
            305 => {
                let mut b = [1u8; 4];
                regs.rax = match h.copy_in(regs.rdi, &mut b) {
                    Ok(()) => b[0] as u64,
                    Err(_) => 0xfa17,
                };
                Resume::Return
            }
            302 => {
                regs.rax = INTERRUPTS.load(Ordering::Relaxed) | CALLS.load(Ordering::Relaxed) << 32;
                Resume::Return
            }
            n => {
                print(h, &format!("unknown call {n} at {:#x}\n", regs.rip));
                Resume::Exit
            }
        }
    }
    fn fault(&self, info: &FaultInfo, regs: &mut GuestRegs) -> Resume {
        print(
            self.host,
            &format!(
                "fault {info:x?} rip {:#x} rsp {:#x} rbx {:#x}\n",
                regs.rip, regs.rsp, regs.rbx
            ),
        );
        regs.rip += regs.r15;
        regs.r15 = 0;
        if info.address != 0x10 {
            return Resume::Exit;
        }
        Resume::Full
    }
    fn interrupt(&self, regs: &mut GuestRegs) -> Resume {
        let n = INTERRUPTS.fetch_add(1, Ordering::Relaxed);
        if regs.rip >= 0x410000 {
            print(self.host, &format!("interrupt rip {:#x}\n", regs.rip));
        }
        match n % 3 {
            0 => Resume::Return,
            1 => Resume::Full,
            _ => {
                let mut area = alloc::vec![0u8; self.host.xstate_size()];
                self.host.save_xstate(&mut area);
                if self.host.load_xstate(&area).is_err() {
                    print(self.host, "load_xstate failed\n");
                }
                Resume::FullWithXstate
            }
        }
    }
    fn start(&self, regs: &mut GuestRegs) -> Resume {
        let h = self.host;
        if self.kind.load(Ordering::Relaxed) == 9 {
            WORD2.fetch_add(1, Ordering::SeqCst);
            h.wake(&WORD2, 1);
            return Resume::Exit;
        }
        print(h, "start\n");
        let _ = h.map(0x500000, 0x100000, Prot::READ | Prot::WRITE, Backing::Anonymous);
        let code = include_bytes!("demo.bin");
        if h.map(0x400000, 0x10000, Prot::READ | Prot::WRITE, Backing::Anonymous).is_err() {
            return Resume::Exit;
        }
        if h.map(0x800000, 0x100000, Prot::READ | Prot::WRITE, Backing::Anonymous).is_err() {
            return Resume::Exit;
        }
        if h.copy_out(0x400000, code).is_err() {
            return Resume::Exit;
        }
        let mut text = code.to_vec();
        let mut at = 0x410000;
        if let Some(r) = h.rewrite(&mut text, 0x400000, at) {
            print(h, &format!("patched {} unpatched {}\n", r.patched, r.unpatched));
            let _ = h.copy_out(0x400000, &text);
            let _ = h.map(at, 0x10000, Prot::READ | Prot::WRITE, Backing::Anonymous);
            let _ = h.copy_out(at, &r.stubs);
            let _ = h.protect(at, 0x10000, Prot::READ | Prot::EXEC);
            at += 0x10000;
        }
        let _ = at;
        let _ = h.protect(0x400000, 0x10000, Prot::READ | Prot::EXEC);
        *regs = GuestRegs {
            rip: 0x400000,
            rsp: 0x8ff000,
            eflags: 0x202,
            cs: regs.cs,
            ss: regs.ss,
            ..GuestRegs::default()
        };
        regs.rdi = u64::from(self.kind.load(Ordering::Relaxed));
        Resume::Full
    }
}
