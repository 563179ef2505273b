//! Keys: `add_key(2)`, `request_key(2)`, `keyctl(2)`.

use alloc::vec::Vec;

use lx_core::abi::keyctl::{KEY_PERMISSIONS, KeyAccess, KeyId, KeyctlCmd};
use lx_core::abi::{Errno, PAGE_SIZE, UserCStr, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::{Caller, Result, unsupported};
use lx_proc::CurrentTask;
use lx_proc::keys::{Access, Found, Kind};

/// Most bytes of a description, with its NUL.
const MAX_DESCRIPTION: usize = 4096;
/// Most bytes of the name of a type, with its NUL.
const MAX_TYPE: usize = 32;
/// Most bytes of a payload of any type.
const MAX_PAYLOAD: usize = (1 << 20) - 1;

fn access<'a>(task: &'a CurrentTask<'_>, caller: &'a Caller<'a>) -> Access<'a> {
    Access::new(&task.kernel().keys, task.task(), caller)
}

/// The name of a type.
fn read_type(task: &CurrentTask<'_>, name: UserCStr) -> Result<Vec<u8>> {
    let name = task.memory().read_string(name, MAX_TYPE - 1, Errno::EINVAL)?;
    match name.first() {
        None => Err(Errno::EINVAL.into()),
        Some(b'.') => Err(Errno::EPERM.into()),
        Some(_) => Ok(name),
    }
}

fn read_description(task: &CurrentTask<'_>, description: UserCStr) -> Result<Vec<u8>> {
    task.memory().read_string(description, MAX_DESCRIPTION - 1, Errno::EINVAL)
}

fn read_payload(task: &CurrentTask<'_>, payload: UserPtr<u8>, len: usize) -> Result<Vec<u8>> {
    let mut bytes = alloc::vec![0; len];
    task.memory().read_bytes(payload.addr(), &mut bytes)?;
    Ok(bytes)
}

/// `add_key(2)`: the number of the key.
///
/// # Errors
///
/// - `EINVAL`: no type, no description, an impossible payload. `EPERM`: names with a dot in front.
/// - `ENODEV`: an unknown type.
/// - `EFAULT`, `ENOKEY`, `EKEYREVOKED`, `EKEYEXPIRED`, `EACCES`, `ENOTDIR`, `EDQUOT`.
pub(crate) fn sys_add_key(
    task: &CurrentTask<'_>,
    kind: UserCStr,
    description: UserCStr,
    payload: UserPtr<u8>,
    len: usize,
    ring: KeyId,
) -> Result<i32> {
    if len > MAX_PAYLOAD {
        return Err(Errno::EINVAL.into());
    }
    let kind = read_type(task, kind)?;
    let description = match description.is_null() {
        true => Vec::new(),
        false => read_description(task, description)?,
    };
    // Those are the kernel's.
    if description.first() == Some(&b'.') && kind.starts_with(b"keyring") {
        return Err(Errno::EPERM.into());
    }
    let payload = read_payload(task, payload, len)?;
    let caller = task.caller();
    let access = access(task, &caller);
    let ring = access.find(ring, true, KeyAccess::WRITE)?;
    let kind = Kind::from_name(&kind).ok_or(Errno::ENODEV)?;
    if description.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    access.add(&ring, kind, &description, payload)
}

/// `request_key(2)`: the number of the key. Nobody is asked for a key that there is not.
///
/// # Errors
/// `EINVAL`, `EPERM`, `EFAULT`: as `add_key`. `ENOKEY`: no such key, or type. `EKEYREVOKED`,
/// `EKEYEXPIRED`, `EACCES`; `ENOTDIR`, `EDQUOT` for the keyring to put it into.
pub(crate) fn sys_request_key(
    task: &CurrentTask<'_>,
    kind: UserCStr,
    description: UserCStr,
    callout: UserCStr,
    ring: KeyId,
) -> Result<i32> {
    let kind = read_type(task, kind)?;
    let description = read_description(task, description)?;
    if !callout.is_null() {
        task.memory().read_string(callout, PAGE_SIZE as usize - 1, Errno::EINVAL)?;
    }
    let caller = task.caller();
    let access = access(task, &caller);
    let ring = match ring {
        KeyId(0) => None,
        ring => Some(access.find(ring, true, KeyAccess::WRITE)?),
    };
    let kind = Kind::from_name(&kind).ok_or(Errno::ENOKEY)?;
    let found = access.request(kind, &description)?;
    if let Some(ring) = ring {
        access.link(&ring, &found)?;
    }
    Ok(found.key.serial())
}

/// `keyctl(2)`.
///
/// # Errors
/// As its man pages say; `EOPNOTSUPP` for an unknown command.
pub(crate) fn sys_keyctl(
    task: &CurrentTask<'_>,
    command: KeyctlCmd,
    arg2: u64,
    arg3: u64,
    arg4: u64,
    arg5: u64,
) -> Result<i64> {
    let caller = task.caller();
    let access = &access(task, &caller);
    let id = KeyId(arg2 as i32);
    let find = |make, wanted| access.find(id, make, wanted);
    let done = |()| 0;
    match command {
        KeyctlCmd::KEYCTL_GET_KEYRING_ID => {
            let found = find(arg3 as i32 != 0, KeyAccess::SEARCH)?;
            Ok(found.key.serial().into())
        }
        KeyctlCmd::KEYCTL_JOIN_SESSION_KEYRING => join_session(task, access, UserCStr::new(arg2)),
        KeyctlCmd::KEYCTL_UPDATE => {
            if arg4 > PAGE_SIZE {
                return Err(Errno::EINVAL.into());
            }
            let payload = read_payload(task, UserPtr::new(arg3), arg4 as usize)?;
            find(false, KeyAccess::WRITE)?.key.update(payload).map(done)
        }
        KeyctlCmd::KEYCTL_REVOKE => {
            let found = match find(false, KeyAccess::WRITE) {
                Err(error) if error.errno() == Errno::EACCES => find(false, KeyAccess::SETATTR)?,
                found => found?,
            };
            access.revoke(&found);
            Ok(0)
        }
        KeyctlCmd::KEYCTL_CHOWN => {
            let owner = |raw: u64| Some(raw as u32).filter(|id| *id != u32::MAX);
            let (uid, gid) = (owner(arg3), owner(arg4));
            if uid.is_none() && gid.is_none() {
                return Ok(0);
            }
            access.set_owner(&find(true, KeyAccess::SETATTR)?, uid, gid).map(done)
        }
        KeyctlCmd::KEYCTL_SETPERM => {
            let permissions = arg3 as u32;
            if permissions & !KEY_PERMISSIONS != 0 {
                return Err(Errno::EINVAL.into());
            }
            let found = find(true, KeyAccess::SETATTR)?;
            access.set_permissions(&found, permissions).map(done)
        }
        KeyctlCmd::KEYCTL_DESCRIBE => {
            let mut text = find(false, KeyAccess::VIEW)?.key.described();
            text.push(0);
            give(task, &text, arg3, arg4)
        }
        KeyctlCmd::KEYCTL_CLEAR => access.clear(&find(true, KeyAccess::WRITE)?).map(done),
        KeyctlCmd::KEYCTL_LINK | KeyctlCmd::KEYCTL_UNLINK => {
            let (link, ring) = (command == KeyctlCmd::KEYCTL_LINK, KeyId(arg3 as i32));
            let ring = access.find(ring, link, KeyAccess::WRITE)?;
            match link {
                true => access.link(&ring, &find(true, KeyAccess::LINK)?).map(done),
                // What becomes of the key itself does not matter.
                false => access.unlink(&ring, &access.find_any(id, false)?).map(done),
            }
        }
        KeyctlCmd::KEYCTL_SEARCH => {
            let names = (UserCStr::new(arg3), UserCStr::new(arg4));
            search(task, access, id, names, KeyId(arg5 as i32))
        }
        KeyctlCmd::KEYCTL_READ => give(task, &access.read(id)?, arg3, arg4),
        // They are for who makes a key for another task, which nobody does.
        KeyctlCmd::KEYCTL_INSTANTIATE
        | KeyctlCmd::KEYCTL_NEGATE
        | KeyctlCmd::KEYCTL_REJECT
        | KeyctlCmd::KEYCTL_INSTANTIATE_IOV => Err(Errno::EPERM.into()),
        KeyctlCmd::KEYCTL_ASSUME_AUTHORITY => match id.0 {
            0 => Ok(0),
            ..0 => Err(Errno::EINVAL.into()),
            _ => Err(Errno::ENOKEY.into()),
        },
        KeyctlCmd::KEYCTL_SET_REQKEY_KEYRING => access.set_default(id.0).map(i64::from),
        KeyctlCmd::KEYCTL_SET_TIMEOUT => {
            access.set_timeout(&find(true, KeyAccess::SETATTR)?, arg3 as u32);
            Ok(0)
        }
        KeyctlCmd::KEYCTL_GET_SECURITY => {
            find(false, KeyAccess::VIEW)?;
            give(task, &[0], arg3, arg4)
        }
        KeyctlCmd::KEYCTL_INVALIDATE => {
            find(false, KeyAccess::SEARCH)?.key.invalidate();
            Ok(0)
        }
        KeyctlCmd::KEYCTL_GET_PERSISTENT => {
            let uid = Some(arg2 as u32).filter(|uid| *uid != u32::MAX);
            let cred = task.cred();
            let other = uid.is_some_and(|uid| uid != cred.uid && uid != cred.euid);
            if other && !cred.has(Capabilities::SETUID) {
                return Err(Errno::EPERM.into());
            }
            let ring = access.find(KeyId(arg3 as i32), true, KeyAccess::WRITE)?;
            ring.key.check_ring()?;
            access.persistent(uid, &ring).map(i64::from)
        }
        _ => {
            unsupported::note("keyctl command", command.0.into());
            Err(Errno::EOPNOTSUPP.into())
        }
    }
}

/// Stores bytes if there is room for all of them; how many there are.
fn give(task: &CurrentTask<'_>, bytes: &[u8], buffer: u64, room: u64) -> Result<i64> {
    if buffer != 0 && room >= bytes.len() as u64 {
        task.memory().write_bytes(buffer, bytes)?;
    }
    Ok(bytes.len() as i64)
}

fn join_session(task: &CurrentTask<'_>, access: &Access<'_>, name: UserCStr) -> Result<i64> {
    if name.is_null() {
        return access.join(None).map(i64::from);
    }
    let name = read_description(task, name)?;
    if name.first() == Some(&b'.') {
        return Err(Errno::EPERM.into());
    }
    access.join(Some(&name)).map(i64::from)
}

fn search(
    task: &CurrentTask<'_>,
    access: &Access<'_>,
    ring: KeyId,
    (kind, description): (UserCStr, UserCStr),
    target: KeyId,
) -> Result<i64> {
    let kind = read_type(task, kind)?;
    let description = read_description(task, description)?;
    let ring = access.find(ring, false, KeyAccess::SEARCH)?;
    let target: Option<Found> = match target {
        KeyId(0) => None,
        target => Some(access.find(target, true, KeyAccess::WRITE)?),
    };
    let kind = Kind::from_name(&kind).ok_or(Errno::ENOKEY)?;
    let found = access.search_ring(&ring, kind, &description)?;
    if let Some(target) = target {
        access.check(&found, KeyAccess::LINK)?;
        access.link(&target, &found)?;
    }
    Ok(found.key.serial().into())
}
