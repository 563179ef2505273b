//! `memfd_create(2)`.

use lx_core::Result;
use lx_core::abi::memfd::{MFD_NAME_MAX_LEN, MemfdFlags, Seals};
use lx_core::abi::{Errno, Fd, UserCStr};
use lx_core::rlimit::Resource;
use lx_proc::CurrentTask;
use lx_vfs::memfd;

/// `memfd_create(2)`.
pub(crate) fn sys_memfd_create(
    task: &CurrentTask<'_>,
    name: UserCStr,
    flags: MemfdFlags,
) -> Result<Fd> {
    if flags.contains(MemfdFlags::MFD_HUGETLB) {
        lx_core::unsupported::note("memfd_create", u64::from(flags.bits()));
        return Err(Errno::EINVAL.into());
    }
    if flags.contains(MemfdFlags::MFD_EXEC | MemfdFlags::MFD_NOEXEC_SEAL) {
        return Err(Errno::EINVAL.into());
    }
    let name = task.memory().read_string(name, MFD_NAME_MAX_LEN, Errno::EINVAL)?;
    let executable = !flags.contains(MemfdFlags::MFD_NOEXEC_SEAL);
    let seals = if !executable {
        Seals::F_SEAL_EXEC
    } else if flags.contains(MemfdFlags::MFD_ALLOW_SEALING) {
        Seals::empty()
    } else {
        Seals::F_SEAL_SEAL
    };
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let fd = task.files().reserve(0, limit, flags.contains(MemfdFlags::MFD_CLOEXEC))?;
    Ok(fd.install(memfd::create(&task.caller(), &name, executable, seals)?))
}
