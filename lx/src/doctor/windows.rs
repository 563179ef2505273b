//! What Windows offers.

use std::env;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lx_windows::{features, questions};

use super::Check;

/// How long one of the dangerous questions may take.
const LIMIT: Duration = Duration::from_millis(2500);

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

/// The answers to all questions.
pub(super) fn measurements() -> String {
    let dangerous = ask_elsewhere();
    let line = |number: &u32| {
        let name = format!("R{number} ");
        if !questions::DANGEROUS.contains(number) {
            return ask(*number);
        }
        let line = dangerous.lines().find(|line| line.starts_with(&name));
        line.map_or_else(
            || format!("{name}the process that asked has died\n"),
            |line| format!("{line}\n"),
        )
    };
    questions::QUESTIONS.iter().map(line).collect()
}

/// Answers questions, a line for each.
///
/// # Errors
///
/// One sentence: there is no such question.
pub(crate) fn answers(names: &[String]) -> Result<String, String> {
    if let [word, ping, pong] = names
        && word == "pong"
    {
        // The other side of a measurement.
        let number = |text: &String| text.parse().unwrap_or_default();
        questions::answer_pings(&[number(ping), number(pong)]);
        return Ok(String::new());
    }
    let number = |name: &String| {
        let number = name.strip_prefix(['R', 'r']).and_then(|number| number.parse().ok());
        let known = number.filter(|number| questions::QUESTIONS.contains(number));
        known.ok_or_else(|| format!("'{name}' is no question; they are R1 to R12"))
    };
    let numbers = names.iter().map(number).collect::<Result<Vec<u32>, String>>()?;
    Ok(numbers.into_iter().map(ask).collect())
}

fn ask(number: u32) -> String {
    let folder = env::current_exe().ok().and_then(|path| path.parent().map(PathBuf::from));
    let host = folder.unwrap_or_default().join("lx-host.exe");
    format!("R{number} {}\n", questions::ask(number, &host, &env::temp_dir()))
}

/// Has the questions that may end a process asked by another one; what it said.
fn ask_elsewhere() -> String {
    let names = questions::DANGEROUS.map(|number| format!("R{number}"));
    let mut said = String::new();
    for name in names {
        let child = env::current_exe().and_then(|program| {
            let mut command = Command::new(program);
            command.args(["doctor", &name]).stdin(Stdio::null());
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
        });
        let Ok(mut child) = child else { continue };
        let Some(mut output) = child.stdout.take() else { continue };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            // What came before the end counts.
            let _ = output.read_to_string(&mut text);
            let _ = sender.send(text);
        });
        said.push_str(&receiver.recv_timeout(LIMIT).unwrap_or_default());
        let _ = child.kill();
        let _ = child.wait();
    }
    said
}
