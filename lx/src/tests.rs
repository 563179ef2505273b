//! The embedding API against a stand-in for the kernel.

use std::io::{Read, Write};
use std::{fs, io};

use lx_core::control::{Configure, MAX_INLINE, Request, Root, Spawn, User};

use crate::sys::Link;
use crate::test_init::{Requests, machine};
use crate::{Change, ExitStatus, Machine, SpawnError, Stage, Stdio};

fn spawn_error(error: &io::Error) -> &SpawnError {
    error.get_ref().unwrap().downcast_ref().unwrap()
}

fn configure(requests: &Requests) -> Configure {
    match &requests.lock().unwrap()[0] {
        Request::Configure(configure) => configure.clone(),
        other => panic!("the first message is {other:?}"),
    }
}

fn last_spawn(requests: &Requests) -> Spawn {
    let requests = requests.lock().unwrap();
    let mut spawns = requests.iter().filter_map(|request| match request {
        Request::Spawn(spawn) => Some(spawn),
        _ => None,
    });
    spawns.next_back().unwrap().clone()
}

#[test]
fn output_collects_what_a_command_writes() {
    let (machine, _) = machine(Machine::builder());
    let output = machine.command("echo").arg("a").args(["b", "c"]).output().unwrap();
    assert_eq!(output.stdout, b"a b c\n");
    assert!(output.status.success());
}

#[test]
fn pipes_lead_to_the_command_and_back() {
    let (machine, _) = machine(Machine::builder());
    let mut command = machine.command("wc");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"hello").unwrap();

    let output = child.wait_with_output().unwrap();

    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"5\n"[..], &b"counted\n"[..]));
}

#[test]
fn a_command_can_be_started_twice_and_with_a_file() {
    let (machine, _) = machine(Machine::builder());
    let (mut reader, writer) = io::pipe().unwrap();
    let mut command = machine.command("echo");
    command.arg("x").stdout(writer);
    assert!(command.status().unwrap().success());
    assert!(command.status().unwrap().success());
    drop(command);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "x\nx\n");
}

#[test]
fn arguments_of_two_megabytes_arrive() {
    let (machine, _) = machine(Machine::builder());
    let long = "x".repeat(100_000);
    let output = machine.command("echo").args(vec![&long; 20]).output().unwrap();
    assert_eq!(output.stdout.len(), 20 * 100_001);
    assert!(output.stdout.len() > MAX_INLINE);
}

#[test]
fn exit_status_and_signals_are_told_apart() {
    let (machine, _) = machine(Machine::builder());
    let status = machine.command("exit").arg("3").status().unwrap();
    assert_eq!((status.code(), status.signal(), status.shell_code()), (Some(3), None, 3));

    let mut child = machine.command("sleep").spawn().unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    child.signal(20).unwrap();
    assert_eq!(child.wait_change().unwrap(), Change::Stopped(20));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal(), status.shell_code()), (None, Some(9), 137));
    assert_eq!(child.try_wait().unwrap(), Some(status));

    assert_eq!(ExitStatus::from_raw(0x8b).to_string(), "signal: 11 (core dumped)");
}

#[test]
fn a_command_that_cannot_be_started_says_why() {
    let (machine, _) = machine(Machine::builder());
    let error = |program: &str| machine.command(program).current_dir("/tmp").spawn().unwrap_err();

    let missing = error("missing");
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    assert_eq!(missing.to_string(), "cannot find 'missing' in the PATH of the guest");
    assert!(spawn_error(&missing).is_not_found());

    let missing = error("/missing");
    assert_eq!(missing.to_string(), "cannot execute '/missing': no such file or directory");

    let directory = error("/directory");
    assert_eq!(directory.to_string(), "cannot execute '/directory': is a directory");
    assert!(spawn_error(&directory).is_not_executable());

    let lost = error("/lost");
    assert_eq!(spawn_error(&lost).stage(), Stage::Directory);
    assert_eq!(
        lost.to_string(),
        "cannot run '/lost' in the working directory '/tmp': no such file or directory"
    );
}

#[test]
fn when_the_machine_stops_everyone_who_waits_is_told() {
    let (machine, _) = machine(Machine::builder());
    let mut sleeper = machine.command("sleep").spawn().unwrap();
    let signaller = sleeper.signaller();
    let waiter = std::thread::spawn(move || sleeper.wait());

    let error = machine.command("/panic").spawn().unwrap_err();

    let sentence = "the machine has stopped: the kernel panicked";
    assert_eq!(error.to_string(), sentence);
    assert_eq!(waiter.join().unwrap().unwrap_err().to_string(), sentence);
    assert_eq!(signaller.signal(15).unwrap_err().to_string(), sentence);
    assert_eq!(machine.command("echo").spawn().unwrap_err().to_string(), sentence);
}

#[test]
fn a_machine_that_is_dropped_takes_its_commands_along() {
    let (machine, _) = machine(Machine::builder());
    let mut sleeper = machine.command("sleep").spawn().unwrap();
    drop(machine);
    let error = sleeper.wait().unwrap_err();
    assert_eq!(error.to_string(), "the machine has stopped: it was shut down");
}

#[test]
fn on_the_hosts_root_a_command_is_like_the_caller() {
    let (machine, requests) = machine(Machine::builder().env("LX_MACHINE", "1"));
    machine.command("env").env("LX_OWN", "2").env_remove("PATH").output().unwrap();

    let spawn = last_spawn(&requests);
    assert_eq!(configure(&requests).root, Root::HostOverlay);
    assert!(spawn.search_path);
    assert_eq!(spawn.user.uid, rustix::process::geteuid().as_raw());
    assert_eq!(spawn.cwd, std::env::current_dir().unwrap().into_os_string().into_encoded_bytes());
    let has = |text: &str| spawn.env.iter().any(|variable| variable.starts_with(text.as_bytes()));
    assert!(has("LX_MACHINE=1") && has("LX_OWN=2"));
    assert!(has("CARGO_MANIFEST_DIR=") && !has("PATH="));
}

#[test]
fn in_a_directory_a_command_is_like_in_a_container() {
    let root = std::env::temp_dir().join(format!("lx-test-root-{}", std::process::id()));
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:\nann:x:5:6::/home/ann:\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nsudo:x:27:ann\n").unwrap();
    let builder = Machine::builder().rootfs(&root).bind(".", "/src", true).hostname("box");
    let (machine, requests) = machine(builder);

    machine.command("/bin/env").env_remove("TERM").spawn().unwrap();
    let spawn = last_spawn(&requests);
    assert_eq!((spawn.cwd, spawn.search_path), (b"/".to_vec(), false));
    assert_eq!(spawn.user, User { uid: 0, gid: 0, groups: vec![0] });
    let env: Vec<_> = spawn.env.iter().map(|v| std::str::from_utf8(v).unwrap()).collect();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(env, ["HOME=/root", "HOSTNAME=box", path]);

    machine.command("/bin/env").env_clear().user("ann").current_dir("x").spawn().unwrap();
    let spawn = last_spawn(&requests);
    assert_eq!(spawn.user, User { uid: 5, gid: 6, groups: vec![6, 27] });
    assert_eq!((spawn.cwd, spawn.env.len()), (b"/x".to_vec(), 0));
    assert!(machine.command("/bin/env").user("eve").spawn().is_err());

    let mount = configure(&requests).mounts.remove(0);
    assert_eq!((mount.guest_path, mount.read_only), (b"/src".to_vec(), true));
    assert_eq!(
        mount.host_path,
        std::env::current_dir().unwrap().into_os_string().into_encoded_bytes()
    );
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn unusable_paths_are_named_before_anything_starts() {
    let error = |builder: crate::Builder| builder.build().unwrap_err().to_string();
    assert_eq!(
        error(Machine::builder().rootfs("/no/such")),
        "'/no/such': cannot use it as root file system: No such file or directory (os error 2)"
    );
    assert_eq!(
        error(Machine::builder().rootfs("/etc/passwd")),
        "'/etc/passwd': cannot use it as root file system: it is neither a directory nor a tar \
         archive, plain or compressed by gzip, xz or zstd"
    );
    assert_eq!(
        error(Machine::builder().bind("/tmp", "tmp", false)),
        "'/tmp': cannot show it to the guest: the path in the guest, 'tmp', does not start with '/'"
    );
    assert!(Machine::builder().bind("/no/such", "/x", false).build().is_err());
}

#[test]
fn statistics_are_sorted_and_printed_as_a_table() {
    let (machine, _) = machine(Machine::builder().stats(true));
    let stats = machine.stats().unwrap();
    assert_eq!(stats.calls[0].number, 0);
    let text = stats.to_string();
    assert!(text.contains("         9          0          0  total\n"), "{text}");
}

#[test]
fn an_image_that_does_not_work_is_reported() {
    let error = |image: &[u8]| {
        let machine = Machine::builder().build_on(|| Link::start_image(image));
        machine.unwrap_err().to_string()
    };
    assert_eq!(error(b""), "this build of lx carries no kernel image");
    assert_eq!(
        error(b"no ELF file"),
        "cannot start the kernel image: Exec format error (os error 8)"
    );
    // A program that ends without a word.
    assert_eq!(
        error(&fs::read("/bin/false").unwrap()),
        "the machine has stopped: its kernel process ended (exit status: 1)"
    );
}
