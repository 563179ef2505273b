//! Processes of the host, from `/proc`.

use std::fs;

use rustix::process::Pid;

/// A process that has not ended.
#[derive(Debug)]
pub struct Process {
    /// Its id.
    pub pid: Pid,
    /// Its id, name and state, for messages.
    pub title: String,
    /// The processor time that it has used, in clock ticks.
    pub ticks: u64,
}

/// The children of `parent` that have not ended.
pub fn children_of(parent: Pid) -> Vec<Process> {
    running(|_, ppid| ppid == parent)
}

/// Those of `pids` that have not ended.
pub fn running_of(pids: &[Pid]) -> Vec<Process> {
    running(|pid, _| pids.contains(&pid))
}

/// The processes that have not ended, chosen by their ids and their parents'.
fn running(is_wanted: impl Fn(Pid, Pid) -> bool) -> Vec<Process> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // pid (name) state ppid …, where the name may hold anything.
            let (front, back) = stat.rsplit_once(") ")?;
            let fields: Vec<&str> = back.split(' ').collect();
            let parent = Pid::from_raw(fields.get(1)?.parse().ok()?)?;
            let time = |at: usize| fields.get(at)?.parse::<u64>().ok();
            let state = *fields.first()?;
            let process =
                Process { pid, title: format!("{front}) {state}"), ticks: time(11)? + time(12)? };
            (state != "Z" && is_wanted(pid, parent)).then_some(process)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_is_found() {
        let mut child = Command::new("/bin/sleep").arg("20").spawn().unwrap();
        let found = children_of(rustix::process::getpid());
        let pid = child.id().to_string();
        assert!(found.iter().any(|process| process.title.starts_with(&pid)), "{found:?}");
        let pids = [Pid::from_child(&child)];
        assert_eq!(running_of(&pids).len(), 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(running_of(&pids).is_empty());
    }
}
