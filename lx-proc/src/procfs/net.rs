//! `/proc/net`: the sockets that processes have open, in the tables of `proc(5)`.
//!
//! There is one network namespace. A socket that is only in a message on its way is not shown.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::dirent::DT_REG;
use lx_core::abi::socket::{AddressFamily, SocketKind};
use lx_core::caller::Caller;
use lx_core::file::SocketView;
use lx_vfs::fs::pseudo::{DirSource, Node};
use lx_vfs::inode::DirListing;

use super::pid::{Subject, ino};
use crate::kernel::Kernel;

/// Inode numbers of the tables begin here, within those of a process.
const FIRST_TABLE: u64 = 0x8_1000;

/// Makes the text of a table from the sockets of its family.
type Table = fn(&[SocketView], AddressFamily) -> String;

const TABLES: &[(&str, AddressFamily, Table)] = &[
    ("netlink", AddressFamily::AF_NETLINK, netlink),
    ("raw", AddressFamily::AF_INET, raw),
    ("raw6", AddressFamily::AF_INET6, raw),
    ("tcp", AddressFamily::AF_INET, tcp),
    ("tcp6", AddressFamily::AF_INET6, tcp),
    ("udp", AddressFamily::AF_INET, udp),
    ("udp6", AddressFamily::AF_INET6, udp),
    ("unix", AddressFamily::AF_UNIX, unix),
];

/// `/proc/PID/net`.
pub(super) struct NetDir(pub(super) Subject);

impl DirSource for NetDir {
    fn lookup(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Node> {
        let mut numbered = TABLES.iter().zip(FIRST_TABLE..);
        let found = numbered.find(|((table, ..), _)| table.as_bytes() == name);
        let ((_, family, make), number) = found.ok_or(Errno::ENOENT)?;
        let subject = self.0.clone();
        let info = subject.info.owner(0, 0).number(ino(subject.id, number));
        Ok(info.text(move |_: &Caller<'_>| {
            Ok(make(&sockets(&subject.kernel, *family), *family).into_bytes())
        }))
    }

    fn list(&self, _caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        for ((name, ..), number) in TABLES.iter().zip(FIRST_TABLE..) {
            listing.push(ino(self.0.id, number), DT_REG, name.as_bytes());
        }
        Ok(())
    }
}

/// The sockets of a family that processes have open, by the numbers of their nodes.
fn sockets(kernel: &Kernel, family: AddressFamily) -> Vec<SocketView> {
    let mut sockets = BTreeMap::new();
    for task in kernel.pids.groups().iter().filter_map(|group| group.any_task()) {
        let files = task.files();
        for file in files.list().into_iter().filter_map(|fd| files.get_any(fd).ok()) {
            if let Some(view) = file.ops().socket_view(family) {
                sockets.insert(view.ino, view);
            }
        }
    }
    sockets.into_values().collect()
}

fn unix(sockets: &[SocketView], _family: AddressFamily) -> String {
    /// `__SO_ACCEPTCON`.
    const LISTENS: u32 = 1 << 16;
    /// `SS_UNCONNECTED` and `SS_CONNECTED`.
    const STATES: [u32; 2] = [1, 3];
    let mut text = String::from("Num       RefCount Protocol Flags    Type St Inode Path\n");
    for socket in sockets {
        let flags = if socket.state == SocketView::LISTEN { LISTENS } else { 0 };
        let [unconnected, connected] = STATES;
        let connected =
            if socket.state == SocketView::ESTABLISHED { connected } else { unconnected };
        let (kind, ino) = (socket.kind.0, socket.ino);
        // The descriptor's, the table's, the peer's.
        let references = if socket.state == SocketView::ESTABLISHED { 3 } else { 2 };
        text.push_str(&format!(
            "{:016}: {references:08X} {:08X} {flags:08X} {kind:04X} {connected:02X} {ino:5}",
            0, 0
        ));
        // What follows the family: a path with its NUL, or a name with one in front.
        if let Some((first, rest)) = socket.name.get(2..).and_then(|name| name.split_first()) {
            text.push(' ');
            let first = if *first == 0 { b'@' } else { *first };
            let name = core::iter::once(first).chain(rest.iter().copied());
            let end = if first == b'@' { 0 } else { 1 };
            let shown = name.take((rest.len() + 1).saturating_sub(end));
            text.extend(shown.map(|byte| char::from(if byte == 0 { b'@' } else { byte })));
        }
        text.push('\n');
    }
    text
}

fn netlink(sockets: &[SocketView], _family: AddressFamily) -> String {
    let mut text = String::from(
        "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n",
    );
    for socket in sockets {
        let number = |at: usize| {
            let bytes = socket.name.get(at..).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
        };
        let (port, groups) = (number(4), number(8));
        text.push_str(&format!(
            "{:016} {:<3} {port:<10} {groups:08x} {:<8} {:<8} {:<5} {:<8} {:<8} {:<8}\n",
            0, socket.protocol, 0, 0, 0, 2, 0, socket.ino
        ));
    }
    text
}

/// Port of a `struct sockaddr_in` or `sockaddr_in6`.
fn port(address: &[u8]) -> u16 {
    address
        .get(2..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |port| u16::from_be_bytes(*port))
}

/// An address and a port as the tables have them: the address in words of the processor.
fn place(address: &[u8], family: AddressFamily, port: u16) -> String {
    let (at, len) = if family == AddressFamily::AF_INET { (4, 4) } else { (8, 16) };
    let none = [0; 16];
    let bytes = address.get(at..at + len).or(none.get(..len)).unwrap_or_default();
    let words = bytes.chunks_exact(4).filter_map(|word| word.first_chunk());
    let mut text: String = words.map(|word| format!("{:08X}", u32::from_ne_bytes(*word))).collect();
    text.push_str(&format!(":{port:04X}"));
    text
}

/// The names of the columns that all these tables have.
fn heading(family: AddressFamily) -> &'static str {
    if family == AddressFamily::AF_INET {
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
    } else {
        "  sl  local_address                         remote_address                        \
         st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
    }
}

/// The columns behind the number; no timer runs.
fn columns(socket: &SocketView, port_here: u16) -> String {
    let SocketView { state, unsent, unread, uid, ino, family, .. } = *socket;
    let here = place(&socket.name, family, port_here);
    let there = place(&socket.peer, family, port(&socket.peer));
    format!(
        "{here} {there} {state:02X} {unsent:08X}:{unread:08X} 00:00000000 00000000 {uid:5}        0 {ino}"
    )
}

fn tcp(sockets: &[SocketView], family: AddressFamily) -> String {
    const WIDTH: usize = 149;
    let mut text = match family {
        AddressFamily::AF_INET => format!("{:<WIDTH$}\n", heading(family)),
        _ => format!("{}\n", heading(family)),
    };
    // What has no port is in no table of Linux's, either.
    let shown =
        |socket: &&SocketView| socket.kind == SocketKind::SOCK_STREAM && port(&socket.name) != 0;
    for (number, socket) in sockets.iter().filter(shown).enumerate() {
        // Times and windows as they are at the start of a connection.
        let timers = match socket.state {
            SocketView::LISTEN => "100 0 0 10 0",
            _ => "20 0 0 10 -1",
        };
        let columns = columns(socket, port(&socket.name));
        let line = format!("{number:4}: {columns} 1 {:016} {timers}", 0);
        text.push_str(&format!("{line:<WIDTH$}\n"));
    }
    text
}

fn udp(sockets: &[SocketView], family: AddressFamily) -> String {
    datagrams(sockets, family, SocketKind::SOCK_DGRAM)
}

fn raw(sockets: &[SocketView], family: AddressFamily) -> String {
    datagrams(sockets, family, SocketKind::SOCK_RAW)
}

/// UDP and raw sockets.
fn datagrams(sockets: &[SocketView], family: AddressFamily, kind: SocketKind) -> String {
    const WIDTH: usize = 127;
    let heading = format!("{} ref pointer drops", heading(family));
    let mut text = match family {
        AddressFamily::AF_INET => format!("{heading:<WIDTH$}\n"),
        _ => format!("{heading}\n"),
    };
    for (number, socket) in sockets.iter().filter(|socket| socket.kind == kind).enumerate() {
        let local = match kind {
            SocketKind::SOCK_RAW => u16::try_from(socket.protocol).unwrap_or(0),
            _ => port(&socket.name),
        };
        if local == 0 {
            continue;
        }
        let line = format!("{number:5}: {} 2 {:016} 0", columns(socket, local), 0);
        text.push_str(&format!("{line:<WIDTH$}\n"));
    }
    text
}
