//! What Windows offers.

use lx_windows::features;

use super::Check;

/// The shared region, where it must be in every process.
const REGION: (usize, usize) = (0x7000_0000_0000, 16 << 30);

/// Services that lx takes from Windows' libraries: library, name, whether it is needed, what for.
const EXPORTS: &[(&str, &str, bool, &str)] = &[
    ("ntdll", "NtCreateSection", true, "the shared region"),
    ("ntdll", "NtMapViewOfSection", true, "the shared region in every process"),
    ("ntdll", "NtWaitForAlertByThreadId", true, "sleeping; Windows 8 and later"),
    ("ntdll", "NtAlertThreadByThreadId", true, "waking a thread of the same process"),
    ("ntdll", "NtSuspendThread", true, "interrupting guest code"),
    ("ntdll", "NtSetContextThread", true, "entering the kernel from interrupted guest code"),
    ("ntdll", "NtCreateUserProcess", false, "fork by cloning; else memory is copied"),
    ("ntdll", "RtlCreateProcessReflection", false, "fork by cloning; absent in Wine"),
    ("kernelbase", "VirtualAlloc2", false, "placeholders; else MAP_FIXED of shared pages may fail"),
    ("kernelbase", "MapViewOfFile3", false, "the same"),
    ("ntdll", "NtQueueApcThreadEx2", false, "special APCs, Windows 11; not used yet"),
    ("ntdll", "NtCreateWaitCompletionPacket", false, "waiting for many objects at once"),
    ("ntdll", "NtQueryInformationByName", false, "stat without opening, Windows 10 1703"),
    ("ntdll", "NtQueryDirectoryFileEx", false, "directories, Windows 10 1709"),
];

pub(super) fn checks() -> Vec<Check> {
    let (major, minor, build) = features::version();
    let name = match features::wine_version() {
        Some(wine) => format!("Windows {major}.{minor}.{build}, as Wine {wine} has it"),
        None => format!("Windows {major}.{minor}.{build}"),
    };
    let mut checks = vec![
        Check {
            name,
            is_there: (major, build) >= (10, 17763) || features::wine_version().is_some(),
            needed: false,
            note: "10.0.17763 (Windows 10 1809) and later are meant to work",
        },
        Check {
            name: "fsgsbase of the processor".to_owned(),
            is_there: features::cpu_has_fsgsbase(),
            needed: true,
            note: "instructions that set a thread's FS, which guests use",
        },
        Check {
            name: "fsgsbase of Windows".to_owned(),
            is_there: features::windows_allows_fsgsbase(),
            needed: false,
            note: "needed on Windows; Wine does not announce it and has it",
        },
        Check {
            name: "address of the region".to_owned(),
            is_there: features::can_reserve(REGION.0, REGION.1),
            needed: true,
            note: "16 GB at 0x7000_0000_0000 are free in a new process",
        },
    ];
    checks.extend(EXPORTS.iter().map(|&(library, export, needed, note)| Check {
        name: format!("{library}!{export}"),
        is_there: features::has_export(library, export),
        needed,
        note,
    }));
    checks
}
