use alloc::{string::ToString, vec, vec::Vec};

use proptest::prelude::*;

use super::{
    BindMount, CallStats, Configure, Counter, DecodeError, Entry, EntryKind, Envelope, Event,
    HEADER_LEN, HostForm, HostVariable, MAX_MESSAGE, Message, OwnTerminal, Piece, Request, Root,
    SignalTarget, Spawn, SpawnFailed, SpawnTerminal, Stage, Stats, TerminalSettings, User,
    WindowSize, decode, encode, large_packet, open,
};

fn encoded<M: Message>(message: &M) -> Vec<u8> {
    let mut bytes = vec![1, 2, 3];
    encode(message, &mut bytes);
    bytes
}

#[test]
fn a_message_is_a_header_and_its_fields() {
    let request =
        Request::Signal { target: SignalTarget::Foreground(0x0102_0304_0506_0708), signal: 15 };

    let bytes = encoded(&request);

    let header = [b'l', b'x', 1, 0, 3, 0, 0, 0, 13, 0, 0, 0];
    let payload = [2, 8, 7, 6, 5, 4, 3, 2, 1, 15, 0, 0, 0];
    assert_eq!(bytes, [&header[..], &payload[..]].concat());
    assert_eq!(decode(&bytes), Ok(request));
    assert_eq!(open(&bytes), Ok(Envelope::Inline(&bytes)));
}

#[test]
fn a_message_without_fields_is_a_header() {
    let bytes = encoded(&Request::Shutdown);
    assert_eq!(bytes.len(), HEADER_LEN);
    assert_eq!(decode(&bytes), Ok(Request::Shutdown));
}

#[test]
fn another_version_is_named() {
    let mut bytes = encoded(&Event::Ready { version: 1 });
    bytes[2] = 9;
    assert_eq!(decode::<Event>(&bytes), Err(DecodeError::Version(9)));
    assert_eq!(DecodeError::Version(9).to_string(), "control protocol version 9, expected 1");
}

#[test]
fn an_event_is_no_request() {
    let bytes = encoded(&Event::Ready { version: 1 });
    assert_eq!(decode::<Request>(&bytes), Err(DecodeError::UnknownTag(65)));
}

#[test]
fn lengths_that_point_past_the_end_are_refused_before_memory_is_reserved() {
    let mut bytes = encoded(&Event::MachineStopped { reason: "x".to_string() });
    for i in 0..4 {
        bytes[HEADER_LEN + i] = 0xff;
    }
    assert_eq!(decode::<Event>(&bytes), Err(DecodeError::Truncated));
}

#[test]
fn text_must_be_utf8_and_booleans_0_or_1() {
    let mut bytes = encoded(&Event::MachineStopped { reason: "x".to_string() });
    bytes[HEADER_LEN + 4] = 0xff;
    assert_eq!(decode::<Event>(&bytes), Err(DecodeError::BadValue));

    let mount =
        BindMount { host_path: vec![], file_name: vec![], guest_path: vec![], read_only: true };
    let configure = Configure {
        root: Root::HostOverlay,
        mounts: vec![mount],
        hostname: vec![],
        stats: false,
        strace: false,
    };
    let mut bytes = encoded(&Request::Configure(configure));
    bytes[HEADER_LEN + 17] = 2;
    assert_eq!(decode::<Request>(&bytes), Err(DecodeError::BadValue));
}

#[test]
fn a_large_message_is_announced_by_its_length() {
    assert_eq!(open(&large_packet(70_000)), Ok(Envelope::Large { len: 70_000 }));
    assert_eq!(open(&large_packet(MAX_MESSAGE + 1)), Err(DecodeError::TooLong));
    assert_eq!(decode::<Request>(&large_packet(0)), Err(DecodeError::BadHeader));

    let mut with_payload = large_packet(70_000).to_vec();
    with_payload.push(0);
    assert_eq!(open(&with_payload), Err(DecodeError::TrailingBytes));
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

fn root() -> impl Strategy<Value = Root> {
    prop_oneof![
        Just(Root::HostOverlay),
        (bytes(), any::<bool>()).prop_map(|(path, writable)| Root::Directory { path, writable }),
        Just(Root::Memory),
    ]
}

fn configure() -> impl Strategy<Value = Configure> {
    let mount = (bytes(), bytes(), bytes(), any::<bool>()).prop_map(
        |(host_path, file_name, guest_path, read_only)| BindMount {
            host_path,
            file_name,
            guest_path,
            read_only,
        },
    );
    let mounts = prop::collection::vec(mount, 0..4);
    (root(), mounts, bytes(), any::<(bool, bool)>()).prop_map(
        |(root, mounts, hostname, (stats, strace))| Configure {
            root,
            mounts,
            hostname,
            stats,
            strace,
        },
    )
}

fn spawn() -> impl Strategy<Value = Spawn> {
    let strings = || prop::collection::vec(bytes(), 0..6);
    let user =
        any::<(u32, u32, Vec<u32>)>().prop_map(|(uid, gid, groups)| User { uid, gid, groups });
    let numbers = (any::<(u64, bool, u32, u64)>(), terminal());
    let env = (strings(), prop::collection::vec(host_variable(), 0..3));
    (numbers, bytes(), strings(), env, bytes(), user).prop_map(
        |(numbers, program, argv, (env, host_env), cwd, user)| {
            let ((id, search_path, umask, ignored_signals), terminal) = numbers;
            Spawn {
                id,
                program,
                search_path,
                argv,
                env,
                host_env,
                cwd,
                user,
                umask,
                ignored_signals,
                terminal,
            }
        },
    )
}

fn terminal() -> impl Strategy<Value = SpawnTerminal> {
    let own = (any::<u8>(), settings(), window_size())
        .prop_map(|(streams, settings, size)| OwnTerminal { streams, settings, size });
    prop_oneof![Just(SpawnTerminal::Standard), own.prop_map(SpawnTerminal::Own)]
}

fn settings() -> impl Strategy<Value = TerminalSettings> {
    (any::<(u32, u32, u32, u32)>(), bytes()).prop_map(
        |((input, output, control, local), characters)| TerminalSettings {
            input,
            output,
            control,
            local,
            characters,
        },
    )
}

fn window_size() -> impl Strategy<Value = WindowSize> {
    any::<(u16, u16, u16, u16)>().prop_map(|(rows, columns, x_pixels, y_pixels)| WindowSize {
        rows,
        columns,
        x_pixels,
        y_pixels,
    })
}

fn host_variable() -> impl Strategy<Value = HostVariable> {
    let form = prop_oneof![
        Just(HostForm::Text),
        Just(HostForm::Path),
        Just(HostForm::PathList),
        Just(HostForm::Folders),
    ];
    (bytes(), bytes(), form).prop_map(|(name, value, form)| HostVariable { name, value, form })
}

fn piece() -> impl Strategy<Value = Piece> {
    let kind = prop_oneof![
        Just(EntryKind::Regular),
        Just(EntryKind::Directory),
        Just(EntryKind::Fifo),
        bytes().prop_map(|target| EntryKind::Symlink { target }),
        bytes().prop_map(|target| EntryKind::HardLink { target }),
        any::<(u32, u32)>().prop_map(|(major, minor)| EntryKind::CharDevice { major, minor }),
        any::<(u32, u32)>().prop_map(|(major, minor)| EntryKind::BlockDevice { major, minor }),
    ];
    let entry = (bytes(), kind, any::<(u32, u32, u32, i64)>());
    prop_oneof![
        bytes().prop_map(Piece::Data),
        entry.prop_map(|(path, kind, (mode, uid, gid, mtime))| {
            Piece::Entry(Entry { path, kind, mode, uid, gid, mtime })
        }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let target = prop_oneof![
        any::<u64>().prop_map(SignalTarget::Process),
        any::<u64>().prop_map(SignalTarget::Group),
        any::<u64>().prop_map(SignalTarget::Foreground),
    ];
    prop_oneof![
        configure().prop_map(Request::Configure),
        spawn().prop_map(Request::Spawn),
        (target, any::<u32>()).prop_map(|(target, signal)| Request::Signal { target, signal }),
        (any::<u64>(), window_size()).prop_map(|(id, size)| Request::WindowSize { id, size }),
        settings().prop_map(Request::GuardTerminal),
        prop::collection::vec(piece(), 0..4).prop_map(Request::Populate),
        Just(Request::Stats),
        Just(Request::Shutdown),
    ]
}

fn stats() -> impl Strategy<Value = Stats> {
    let call = (any::<u32>(), ".{0,12}", any::<(u64, u64, u64)>()).prop_map(
        |(number, name, (count, errors, host_calls))| CallStats {
            number,
            name,
            count,
            errors,
            host_calls,
        },
    );
    let counters = || {
        let counter = (".{0,12}", any::<u64>()).prop_map(|(name, value)| Counter { name, value });
        prop::collection::vec(counter, 0..4)
    };
    (prop::collection::vec(call, 0..5), counters(), counters()).prop_map(
        |(calls, unsupported, counters)| Stats { trapped: 7, calls, unsupported, counters },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let stage = prop_oneof![
        Just(Stage::Process),
        Just(Stage::Directory),
        Just(Stage::Lookup),
        Just(Stage::Execute),
    ];
    prop_oneof![
        any::<u16>().prop_map(|version| Event::Ready { version }),
        any::<(u64, u32)>().prop_map(|(id, pid)| Event::Spawned { id, pid }),
        (any::<u64>(), stage, any::<i32>(), ".{0,30}").prop_map(|(id, stage, errno, message)| {
            Event::SpawnFailed(SpawnFailed { id, stage, errno, message })
        }),
        any::<(u64, u32)>().prop_map(|(id, signal)| Event::Stopped { id, signal }),
        any::<(u64, i32)>().prop_map(|(id, status)| Event::Exited { id, status }),
        stats().prop_map(Event::Stats),
        ".{0,30}".prop_map(|reason| Event::MachineStopped { reason }),
    ]
}

proptest! {
    #[test]
    fn requests_survive_the_round_trip(request in request()) {
        prop_assert_eq!(decode(&encoded(&request)), Ok(request));
    }

    #[test]
    fn events_survive_the_round_trip(event in event()) {
        prop_assert_eq!(decode(&encoded(&event)), Ok(event));
    }

    #[test]
    fn every_truncation_and_extension_is_refused(request in request(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encoded(&request);
        let shorter = &bytes[..cut.index(bytes.len())];
        prop_assert_eq!(decode::<Request>(shorter), Err(DecodeError::Truncated));
        bytes.push(0);
        prop_assert_eq!(decode::<Request>(&bytes), Err(DecodeError::TrailingBytes));
    }

    #[test]
    fn changed_bytes_never_panic_and_decode_to_what_encodes_to_the_same(
        request in request(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encoded(&request);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = open(&bytes);
        if let Ok(other) = decode::<Request>(&bytes) {
            prop_assert_eq!(encoded(&other), bytes);
        }
    }
}
