//! Programs of the host that a task executes.

use host_mock::{MockNative, MockNode};
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Errno, Sysno};
use lx_core::host::HostStorage;
use lx_vfs::fs::drvfs::{self, DriveOptions};
use lx_vfs::mount::MountFlags;

use super::{Main, errno, exit};

/// A task with a drive at `/`.
fn main_with_drive() -> Main {
    let main = Main::new(1);
    main.host.play_drive();
    main.host.add_node("/d/tool.exe", MockNode::File(b"MZ...".to_vec(), 0o755));
    main.host.add_node("/d/broken.exe", MockNode::File(b"MZ...".to_vec(), 0o755));
    main.host.add_native("C:\\tool.exe", MockNative { status: Some(0x107) });
    let root = main.host.open_root(b"/d").unwrap();
    let options = DriveOptions::default();
    let drive = drvfs::mount(main.host, root, b"C:\\".to_vec(), options).unwrap();
    let at = main.task.fs().root();
    main.task.fs().mounts().mount(drive, &at, "C:", MountFlags::empty()).map(drop).unwrap();
    let top = main.task.fs().root().cross_mounts();
    main.task.fs().set_root(top.clone());
    main.task.fs().set_cwd(top);
    main
}

#[test]
fn the_task_ends_with_the_status_of_the_program() {
    let mut main = main_with_drive();
    let pipe = main.put(&[0_i32; 2]);
    assert_eq!(main.plain(Sysno::pipe2, &[pipe, 0]), 0);
    let [reader, writer]: [i32; 2] = main.get(pipe);
    let child = main.fork(move |guest| {
        guest.syscall(Sysno::dup2, &[writer as u64, 1]);
        let path = guest.put_str("/tool.exe");
        let args = [guest.put_str("tool"), guest.put_str("a"), guest.put_str("b c"), 0];
        let args: Vec<u8> = args.iter().flat_map(|arg| arg.to_le_bytes()).collect();
        let args = guest.put(&args);
        guest.syscall(Sysno::execve, &[path, args, 0]);
        assert!(guest.has_exited());
    });
    assert_eq!(main.wait(child, 0).1, WaitStatus::exited(7));
    let buffer = main.put(&[0_u8; 16]);
    assert_eq!(main.plain(Sysno::read, &[reader as u64, buffer, 16]), 6);
    assert_eq!(&main.get::<[u8; 16]>(buffer)[..6], b"a\nb c\n");
    assert_eq!(main.host.killed_natives(), 0);
}

#[test]
fn what_the_host_cannot_run_is_no_program() {
    let mut main = main_with_drive();
    let child = main.fork(|guest| {
        let path = guest.put_str("/broken.exe");
        assert_eq!(guest.syscall(Sysno::execve, &[path, 0, 0]), errno(Errno::ENOEXEC));
        exit(guest, 3);
    });
    assert_eq!(main.wait(child, 0).1, WaitStatus::exited(3));
}
