//! A file of the host that is mostly a hole is brought to memory without reading the hole.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use lx_tests::lx;

const SIZE: u64 = 1 << 42;
const DATA: u64 = 1 << 41;

#[test]
fn a_file_of_holes_is_changed_at_once() {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(SIZE).unwrap();
    file.write_all_at(b"data", DATA).unwrap();
    let name = path.display();
    let script = format!(
        "echo x >> {name}; stat -c %s {name}; tail -c 2 {name}; \
         dd if={name} iflag=skip_bytes skip={DATA} bs=4 count=1 status=none"
    );
    let stats = scratch.path().join("stats");
    let run = lx::run("/bin/bash", ["-c", &script], scratch.path(), &stats).unwrap();
    let outcome = run.limit(Duration::from_secs(20)).outcome().unwrap();
    let output = String::from_utf8_lossy(&outcome.stdout);
    assert_eq!(output, format!("{}\nx\ndata", SIZE + 2), "{outcome:?}");
    assert_eq!(file.metadata().unwrap().len(), SIZE, "the host's file stays as it is");
}
