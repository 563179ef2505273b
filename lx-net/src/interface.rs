//! `ioctl(2)` requests about network interfaces, `netdevice(7)`. Sockets of all families take them.

use alloc::vec::Vec;

use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::socket::AddressFamily;
use lx_core::abi::{Errno, UserPtr};
use lx_core::caller::Caller;
use lx_core::error::Result;
use lx_core::host::{NetAddress, NetInterface};

/// `struct ifreq`: the name, then what is asked for.
const REQUEST: usize = 40;
const NAME: usize = 16;

type Value = [u8; REQUEST - NAME];

fn value(bytes: &[u8]) -> Value {
    let mut value = [0; REQUEST - NAME];
    for (to, from) in value.iter_mut().zip(bytes) {
        *to = *from;
    }
    value
}

/// A `struct sockaddr_in` without a port.
fn address(bytes: &[u8]) -> Value {
    let mut text = (AddressFamily::AF_INET.0 as u16).to_ne_bytes().to_vec();
    text.extend_from_slice(&[0; 2]);
    text.extend_from_slice(bytes);
    value(&text)
}

fn first_address(interface: &NetInterface) -> Option<&NetAddress> {
    let family = AddressFamily::AF_INET.0;
    interface.addresses.iter().find(|address| i32::from(address.family) == family)
}

fn mask(prefix: u8) -> [u8; 4] {
    let host_bits = 32_u32.saturating_sub(u32::from(prefix));
    u32::MAX.checked_shl(host_bits).unwrap_or(0).to_be_bytes()
}

fn name(interface: &NetInterface) -> [u8; NAME] {
    let mut name = [0; NAME];
    for (to, from) in name.iter_mut().zip(interface.name.iter().take(NAME - 1)) {
        *to = *from;
    }
    name
}

/// Answers a request; `None` if it is not one of these.
///
/// # Errors
/// `ENODEV` for an unknown interface, `EADDRNOTAVAIL` if it has no address; `EFAULT`.
pub(crate) fn request(caller: &Caller<'_>, request: u32, arg: u64) -> Option<Result<u64>> {
    let result = match IoctlCmd(request) {
        IoctlCmd::SIOCGIFCONF => list(caller, arg),
        IoctlCmd::SIOCGIFNAME => by_index(caller, arg),
        IoctlCmd::SIOCGIFFLAGS
        | IoctlCmd::SIOCGIFADDR
        | IoctlCmd::SIOCGIFBRDADDR
        | IoctlCmd::SIOCGIFNETMASK
        | IoctlCmd::SIOCGIFMTU
        | IoctlCmd::SIOCGIFHWADDR
        | IoctlCmd::SIOCGIFINDEX => by_name(caller, IoctlCmd(request), arg),
        _ => return None,
    };
    Some(result.map(|()| 0))
}

fn by_index(caller: &Caller<'_>, arg: u64) -> Result<()> {
    let mut bytes = [0; REQUEST];
    caller.memory().read_bytes(arg, &mut bytes)?;
    let index = bytes.get(NAME..).and_then(|value| value.first_chunk()).copied();
    let index = u32::from_ne_bytes(index.unwrap_or_default());
    let interfaces = caller.host.net_interfaces();
    let found = interfaces.iter().find(|interface| interface.index == index);
    caller.memory().write(UserPtr::new(arg), &name(found.ok_or(Errno::ENODEV)?))
}

fn by_name(caller: &Caller<'_>, request: IoctlCmd, arg: u64) -> Result<()> {
    let wanted: [u8; NAME] = caller.memory().read(UserPtr::new(arg))?;
    let wanted = wanted.split(|byte| *byte == 0).next().unwrap_or_default();
    let interfaces = caller.host.net_interfaces();
    let interface = interfaces.iter().find(|i| i.name == wanted).ok_or(Errno::ENODEV)?;
    let first = || first_address(interface).ok_or(Errno::EADDRNOTAVAIL);
    let answer = match request {
        IoctlCmd::SIOCGIFFLAGS => value(&(interface.flags as u16).to_ne_bytes()),
        IoctlCmd::SIOCGIFADDR => address(&first()?.bytes),
        IoctlCmd::SIOCGIFBRDADDR => address(match first()?.broadcast.as_slice() {
            [] => &[0; 4],
            known => known,
        }),
        IoctlCmd::SIOCGIFNETMASK => address(&mask(first()?.prefix)),
        IoctlCmd::SIOCGIFMTU => value(&interface.mtu.to_ne_bytes()),
        IoctlCmd::SIOCGIFHWADDR => {
            let mut bytes = interface.kind.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&interface.hardware);
            value(&bytes)
        }
        _ => value(&interface.index.to_ne_bytes()),
    };
    let place = arg.checked_add(NAME as u64).ok_or(Errno::EFAULT)?;
    let used = if request == IoctlCmd::SIOCGIFINDEX || request == IoctlCmd::SIOCGIFMTU {
        4
    } else if request == IoctlCmd::SIOCGIFFLAGS {
        2
    } else {
        16
    };
    caller.memory().write_bytes(place, answer.get(..used).unwrap_or_default())
}

/// `struct ifconf`: a length and a buffer of `struct ifreq`, one for each interface with an
/// address.
fn list(caller: &Caller<'_>, arg: u64) -> Result<()> {
    let header: [u64; 2] = caller.memory().read(UserPtr::new(arg))?;
    let [room, buffer] = header;
    let room = usize::try_from(room as u32 as i32).map_err(|_| Errno::EINVAL)?;
    let mut bytes = Vec::new();
    for interface in &caller.host.net_interfaces() {
        if let Some(first) = first_address(interface) {
            bytes.extend_from_slice(&name(interface));
            bytes.extend_from_slice(&address(&first.bytes));
        }
    }
    if buffer != 0 {
        bytes.truncate(room / REQUEST * REQUEST);
        caller.memory().write_bytes(buffer, &bytes)?;
    }
    caller.memory().write(UserPtr::new(arg), &(bytes.len() as i32))
}
