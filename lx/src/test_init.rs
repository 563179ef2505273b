//! A stand-in for the kernel image in unit tests: a thread that speaks the control protocol and
//! has a few programs built in.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread;

use lx_core::control::{
    CallStats, Event, Request, SignalTarget, Spawn, SpawnFailed, Stage, Stats, VERSION,
};

use crate::sys::transport;
use crate::{Builder, Machine};

/// Every request that init got, for the test to look at.
pub(crate) type Requests = Arc<Mutex<Vec<Request>>>;

/// A machine whose init is a thread.
pub(crate) fn machine(builder: Builder) -> (Machine, Requests) {
    let requests = Requests::default();
    let (socket, control) = transport::pair().unwrap();
    let seen = Arc::clone(&requests);
    thread::spawn(move || TestInit { control, seen, commands: HashMap::new() }.run());
    (builder.connect_to_test_init(socket).unwrap(), requests)
}

struct TestInit {
    control: OwnedFd,
    seen: Requests,
    /// Commands that wait for a signal.
    commands: HashMap<u64, Vec<File>>,
}

impl TestInit {
    fn run(mut self) {
        while let Some((request, fds)) = transport::receive(self.control.as_fd()).unwrap() {
            assert_eq!(fds.len(), Request::descriptor_count(&request));
            self.seen.lock().unwrap().push(request.clone());
            match request {
                Request::Configure(_) => self.send(&Event::Ready { version: VERSION }),
                Request::Spawn(spawn) => {
                    self.spawn(&spawn, fds.into_iter().map(File::from).collect());
                }
                Request::Signal { target, signal } => self.signal(target, signal),
                Request::Stats => {
                    let call = |number, count| CallStats { number, count, ..CallStats::default() };
                    let calls = vec![call(39, 2), call(0, 7)];
                    self.send(&Event::Stats(Stats { calls, ..Stats::default() }));
                }
                Request::WindowSize { .. } | Request::GuardTerminal(_) | Request::Populate(_) => {}
                Request::Shutdown => return,
            }
        }
    }

    fn send(&self, event: &Event) {
        transport::send(self.control.as_fd(), event, &[]).unwrap();
    }

    fn spawn(&mut self, spawn: &Spawn, mut stdio: Vec<File>) {
        let id = spawn.id;
        let program = String::from_utf8(spawn.program.clone()).unwrap();
        let fail = |stage, errno, message: &str| {
            Event::SpawnFailed(SpawnFailed { id, stage, errno, message: message.to_owned() })
        };
        match program.as_str() {
            "missing" | "/missing" => return self.send(&fail(Stage::Lookup, 2, "")),
            "/directory" => return self.send(&fail(Stage::Execute, 13, "is a directory")),
            "/lost" => return self.send(&fail(Stage::Directory, 2, "")),
            "/panic" => {
                let reason = "the kernel panicked".to_owned();
                return self.send(&Event::MachineStopped { reason });
            }
            _ => self.send(&Event::Spawned { id, pid: 1 + u32::try_from(id).unwrap() }),
        }
        let args: Vec<_> = spawn.argv.iter().skip(1).map(Vec::as_slice).collect();
        let status = match program.as_str() {
            "echo" => {
                writeln!(stdio[1], "{}", String::from_utf8(args.join(&b' ')).unwrap()).unwrap();
                0
            }
            "env" => {
                stdio[1].write_all(&[spawn.env.join(&b'\n'), vec![b'\n']].concat()).unwrap();
                0
            }
            "wc" => {
                let mut text = Vec::new();
                stdio[0].read_to_end(&mut text).unwrap();
                writeln!(stdio[1], "{}", text.len()).unwrap();
                writeln!(stdio[2], "counted").unwrap();
                0
            }
            "exit" => std::str::from_utf8(args[0]).unwrap().parse::<i32>().unwrap() << 8,
            _ => {
                self.commands.insert(id, stdio);
                return;
            }
        };
        drop(stdio);
        self.send(&Event::Exited { id, status });
    }

    fn signal(&mut self, target: SignalTarget, signal: u32) {
        let (SignalTarget::Process(id) | SignalTarget::Group(id) | SignalTarget::Foreground(id)) =
            target;
        if signal == 20 && self.commands.contains_key(&id) {
            self.send(&Event::Stopped { id, signal });
        } else if self.commands.remove(&id).is_some() {
            self.send(&Event::Exited { id, status: signal.cast_signed() });
        }
    }
}
