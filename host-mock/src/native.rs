//! Scripted programs of the host.

use std::collections::BTreeMap;

use lx_core::abi::Errno;
use lx_core::host::{
    HostError, HostFd, HostNative, HostResult, NativeChild, NativeStart, NativeStream,
};

use crate::MockHost;

/// What a native program does: it writes its arguments, one in a line, and ends with a status.
#[derive(Clone, Debug, Default)]
pub struct MockNative {
    /// Its exit status; without one it runs until it is ended.
    pub status: Option<u32>,
}

/// Programs by their host path, and those that run by their descriptor.
#[derive(Default)]
pub(crate) struct Natives {
    programs: BTreeMap<Vec<u8>, MockNative>,
    running: BTreeMap<u64, Option<u32>>,
    killed: usize,
}

impl MockHost {
    /// Makes the file with this host path a native program.
    pub fn add_native(&self, path: &str, program: MockNative) {
        self.world().natives.programs.insert(path.as_bytes().to_vec(), program);
    }

    /// How many native programs were ended by the kernel.
    pub fn killed_natives(&self) -> usize {
        self.world().natives.killed
    }

    /// A descriptor of a stream that holds these bytes.
    fn stream(&self, bytes: Vec<u8>) -> HostFd {
        let raw = self.world().storage.stream(bytes);
        HostFd::from_raw(raw, self.me().host)
    }
}

impl HostNative for MockHost {
    fn native_path(&self, root: &[u8], names: &[&[u8]]) -> Option<Vec<u8>> {
        Some([root, &names.join(&b'\\')].concat())
    }

    fn start_native(&self, start: &NativeStart<'_>) -> HostResult<NativeChild> {
        let known = self.world().natives.programs.get(start.program).cloned();
        let program = known.ok_or(HostError(Errno::ENOEXEC))?;
        let lines = start.args.iter().flat_map(|line| [line, &b"\n"[..]]).flatten();
        let output: Vec<u8> = lines.copied().collect();
        let mut contents = [Vec::new(), output, Vec::new()].into_iter();
        let pipes = start.streams.map(|stream| {
            let bytes = contents.next().unwrap_or_default();
            matches!(stream, NativeStream::Pipe).then(|| self.stream(bytes))
        });
        let process = self.stream(Vec::new());
        self.world().natives.running.insert(process.raw(), program.status);
        Ok(NativeChild { process, pipes })
    }

    fn native_status(&self, process: &HostFd) -> Option<u32> {
        self.world().natives.running.get(&process.raw()).copied().flatten()
    }

    fn kill_native(&self, process: &HostFd) {
        let mut world = self.world();
        world.natives.running.insert(process.raw(), Some(1));
        world.natives.killed += 1;
    }
}
