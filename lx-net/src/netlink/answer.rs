//! Requests to `NETLINK_ROUTE` and their answers, `rtnetlink(7)`.

use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::socket::AddressFamily;
use lx_core::host::{Host, NetAddress, NetInterface};

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Types from here on are requests.
const NLMSG_MIN_TYPE: u16 = 16;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_MULTI: u16 = 2;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Length of `struct ifinfomsg`.
const LINK: usize = 16;

const IFLA_ADDRESS: u16 = 1;
const IFLA_BROADCAST: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_TXQLEN: u16 = 13;
const IFLA_OPERSTATE: u16 = 16;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;

const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 8;
const IF_OPER_UNKNOWN: u8 = 0;
const IF_OPER_DOWN: u8 = 2;
const IF_OPER_UP: u8 = 6;

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; N])
}

/// `struct nlmsghdr` of a request.
struct Request<'a> {
    header: &'a [u8],
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

/// A message under construction: the length is filled in at the end.
struct Reply(Vec<u8>);

impl Reply {
    fn new(kind: u16, flags: u16, sequence: u32, port: u32) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&port.to_ne_bytes());
        Self(bytes)
    }

    fn put(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let len = (4 + value.len()) as u16;
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn text(self, kind: u16, text: &[u8]) -> Self {
        let mut value = text.to_vec();
        value.push(0);
        self.attribute(kind, &value)
    }

    fn finish(mut self) -> Vec<u8> {
        let len = self.0.len() as u32;
        if let Some(place) = self.0.first_chunk_mut() {
            *place = len.to_ne_bytes();
        }
        self.0
    }
}

/// The answers to what a guest has sent, each a packet of its own.
pub(super) fn answers(host: &dyn Host, mut bytes: &[u8], port: u32) -> Vec<Vec<u8>> {
    let mut replies = Vec::new();
    while bytes.len() >= HEADER {
        let len = u32::from_ne_bytes(number(bytes, 0)) as usize;
        let (Some(header), Some(payload)) = (bytes.get(..HEADER), bytes.get(HEADER..len)) else {
            break;
        };
        let request = Request {
            header,
            kind: u16::from_ne_bytes(number(header, 4)),
            flags: u16::from_ne_bytes(number(header, 6)),
            sequence: u32::from_ne_bytes(number(header, 8)),
            payload,
        };
        if request.flags & NLM_F_REQUEST != 0 && request.kind >= NLMSG_MIN_TYPE {
            answer(host, &request, port, &mut replies);
        } else if request.kind > NLMSG_NOOP && request.flags & NLM_F_ACK != 0 {
            replies.push(acknowledge(&request, port, None));
        }
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    replies
}

fn acknowledge(request: &Request<'_>, port: u32, error: Option<Errno>) -> Vec<u8> {
    let code = error.map_or(0, |errno| -i32::from(errno.number()));
    let mut reply = Reply::new(NLMSG_ERROR, 0, request.sequence, port)
        .put(&code.to_ne_bytes())
        .put(request.header);
    if error.is_some() {
        // The request comes back whole.
        reply = reply.put(request.payload);
    }
    reply.finish()
}

fn answer(host: &dyn Host, request: &Request<'_>, port: u32, replies: &mut Vec<Vec<u8>>) {
    let dump = request.flags & NLM_F_DUMP == NLM_F_DUMP;
    let family = request.payload.first().copied().unwrap_or(0);
    match request.kind {
        RTM_GETLINK if dump => {
            let interfaces = host.net_interfaces();
            replies.extend(interfaces.iter().map(|i| link(request, port, NLM_F_MULTI, i)));
        }
        RTM_GETLINK => {
            let interfaces = host.net_interfaces();
            let found = interfaces.iter().find(|interface| is_asked_for(request, interface));
            replies.push(match found {
                Some(found) => link(request, port, 0, found),
                None => acknowledge(request, port, Some(Errno::ENODEV)),
            });
            return;
        }
        RTM_GETADDR if dump => {
            for interface in &host.net_interfaces() {
                let wanted =
                    interface.addresses.iter().filter(|a| family == 0 || a.family == family);
                replies.extend(wanted.map(|a| address(request, port, interface, a)));
            }
        }
        kind => {
            lx_core::unsupported::note("netlink request", kind.into());
            replies.push(acknowledge(request, port, Some(Errno::EOPNOTSUPP)));
            return;
        }
    }
    let done = Reply::new(NLMSG_DONE, NLM_F_MULTI, request.sequence, port);
    replies.push(done.put(&0_i32.to_ne_bytes()).finish());
}

/// Whether a request for one link means this one: by index, or by name.
fn is_asked_for(request: &Request<'_>, interface: &NetInterface) -> bool {
    let index = u32::from_ne_bytes(number(request.payload, 4));
    if index != 0 {
        return index == interface.index;
    }
    let mut left = request.payload.get(LINK..).unwrap_or_default();
    loop {
        let len = usize::from(u16::from_ne_bytes(number(left, 0)));
        let Some(value) = left.get(4..len) else { return false };
        if u16::from_ne_bytes(number(left, 2)) == IFLA_IFNAME {
            let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
            return name == interface.name;
        }
        left = left.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn link(request: &Request<'_>, port: u32, flags: u16, interface: &NetInterface) -> Vec<u8> {
    let state = match interface.flags {
        flags if flags & IFF_LOOPBACK != 0 => IF_OPER_UNKNOWN,
        flags if flags & IFF_UP != 0 => IF_OPER_UP,
        _ => IF_OPER_DOWN,
    };
    let fill = if interface.flags & IFF_LOOPBACK != 0 { 0 } else { 0xff };
    let mut broadcast = interface.hardware.clone();
    broadcast.fill(fill);
    Reply::new(RTM_NEWLINK, flags, request.sequence, port)
        .put(&[AddressFamily::AF_UNSPEC.0 as u8, 0])
        .put(&interface.kind.to_ne_bytes())
        .put(&interface.index.to_ne_bytes())
        .put(&interface.flags.to_ne_bytes())
        .put(&[0; 4])
        .text(IFLA_IFNAME, &interface.name)
        .attribute(IFLA_TXQLEN, &1000_u32.to_ne_bytes())
        .attribute(IFLA_OPERSTATE, &[state])
        .attribute(IFLA_MTU, &interface.mtu.to_ne_bytes())
        .attribute(IFLA_ADDRESS, &interface.hardware)
        .attribute(IFLA_BROADCAST, &broadcast)
        .finish()
}

fn address(
    request: &Request<'_>,
    port: u32,
    interface: &NetInterface,
    address: &NetAddress,
) -> Vec<u8> {
    let mut reply = Reply::new(RTM_NEWADDR, NLM_F_MULTI, request.sequence, port)
        .put(&[address.family, address.prefix, address.flags, address.scope])
        .put(&interface.index.to_ne_bytes())
        .attribute(IFA_ADDRESS, &address.bytes);
    if i32::from(address.family) == AddressFamily::AF_INET.0 {
        reply = reply.attribute(IFA_LOCAL, &address.bytes);
        if !address.broadcast.is_empty() {
            reply = reply.attribute(IFA_BROADCAST, &address.broadcast);
        }
        reply = reply.text(IFA_LABEL, &interface.name);
    }
    // Valid and preferred for ever.
    let mut times = [0xff; 16];
    if let Some((_, created)) = times.split_at_mut_checked(8) {
        created.fill(0);
    }
    reply
        .attribute(IFA_FLAGS, &u32::from(address.flags).to_ne_bytes())
        .attribute(IFA_CACHEINFO, &times)
        .finish()
}
