//! Looks users and groups up in the `/etc/passwd` and `/etc/group` of a root file system.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use lx_core::control::User;

use crate::names::os_string;
use crate::sys::read_inside;

/// The user database of one root file system. Files that are missing count as empty.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    passwd: Vec<u8>,
    group: Vec<u8>,
}

impl Users {
    /// From the contents of both files.
    pub(crate) fn new(passwd: Vec<u8>, group: Vec<u8>) -> Self {
        Self { passwd, group }
    }

    pub(crate) fn read(root: &Path) -> Self {
        Self { passwd: read_inside(root, "etc/passwd"), group: read_inside(root, "etc/group") }
    }

    /// Resolves `USER[:GROUP]`, each a name or a number.
    ///
    /// A number need not be in the database. Without `GROUP`, the group is the user's primary
    /// one, or 0 for an unknown number, and the supplementary groups are those that list the user.
    ///
    /// # Errors
    ///
    /// `NotFound` with a sentence that names what is missing.
    pub(crate) fn resolve(&self, spec: &OsStr) -> io::Result<User> {
        let mut parts = spec.as_encoded_bytes().splitn(2, |&byte| byte == b':');
        let (user, group) = (parts.next().unwrap_or_default(), parts.next());
        let entry = self.user(|name, uid| name == user || Some(uid) == number(user));
        let uid = match &entry {
            Some(entry) => entry.uid,
            None => number(user).ok_or_else(|| not_found("user", user, "passwd"))?,
        };
        if let Some(group) = group {
            let gid = match self.groups().find(|found| found.name == group) {
                Some(found) => found.gid,
                None => number(group).ok_or_else(|| not_found("group", group, "group"))?,
            };
            return Ok(User { uid, gid, groups: vec![gid] });
        }
        let gid = entry.as_ref().map_or(0, |entry| entry.gid);
        let mut groups = vec![gid];
        if let Some(entry) = entry {
            let listed = |members: &[u8]| members.split(|&b| b == b',').any(|m| m == entry.name);
            groups
                .extend(self.groups().filter(|g| g.gid != gid && listed(g.members)).map(|g| g.gid));
        }
        Ok(User { uid, gid, groups })
    }

    /// The home directory of a user, `/` if it is not known.
    pub(crate) fn home(&self, uid: u32) -> OsString {
        let entry = self.user(|_, found| found == uid);
        os_string(entry.map_or(b"/", |entry| entry.home))
    }

    fn user(&self, matches: impl Fn(&[u8], u32) -> bool) -> Option<PasswdEntry<'_>> {
        lines(&self.passwd).find_map(|fields| match *fields {
            [name, _, uid, gid, _, home, ..] => {
                let (uid, gid) = (number(uid)?, number(gid)?);
                matches(name, uid).then_some(PasswdEntry { name, uid, gid, home })
            }
            _ => None,
        })
    }

    fn groups(&self) -> impl Iterator<Item = GroupEntry<'_>> {
        lines(&self.group).filter_map(|fields| match *fields {
            [name, _, gid, members, ..] => Some(GroupEntry { name, gid: number(gid)?, members }),
            _ => None,
        })
    }
}

struct PasswdEntry<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

struct GroupEntry<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

fn lines(text: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    text.split(|&byte| byte == b'\n').map(|line| line.split(|&byte| byte == b':').collect())
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn not_found(what: &str, name: &[u8], file: &str) -> io::Error {
    let name = name.escape_ascii();
    let sentence = format!("unknown {what} '{name}': it is not in /etc/{file} of the guest");
    io::Error::new(io::ErrorKind::NotFound, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        Users {
            passwd:
                b"root:x:0:0:root:/root:/bin/sh\nbad line\nann:x:1000:100:Ann:/home/ann:/bin/sh\n"
                    .to_vec(),
            group: b"root:x:0:\nusers:x:100:\ndisk:x:6:bob,ann\ntape:x:26:annabel\n".to_vec(),
        }
    }

    fn user(uid: u32, gid: u32, groups: &[u32]) -> User {
        User { uid, gid, groups: groups.to_vec() }
    }

    #[test]
    fn names_and_numbers_are_resolved() {
        let resolve = |spec: &str| users().resolve(OsStr::new(spec)).map_err(|e| e.to_string());
        assert_eq!(resolve("ann"), Ok(user(1000, 100, &[100, 6])));
        assert_eq!(resolve("1000"), Ok(user(1000, 100, &[100, 6])));
        assert_eq!(resolve("ann:tape"), Ok(user(1000, 26, &[26])));
        assert_eq!(resolve("7:8"), Ok(user(7, 8, &[8])));
        assert_eq!(resolve("7"), Ok(user(7, 0, &[0])));
        assert_eq!(
            resolve("eve"),
            Err("unknown user 'eve': it is not in /etc/passwd of the guest".to_owned())
        );
        assert_eq!(
            resolve("ann:eve"),
            Err("unknown group 'eve': it is not in /etc/group of the guest".to_owned())
        );
    }

    #[test]
    fn home_of_an_unknown_user_is_the_root() {
        assert_eq!(users().home(1000), "/home/ann");
        assert_eq!(users().home(5), "/");
    }

    #[test]
    fn a_root_without_database_has_numbers_only() {
        let users = Users::read(Path::new("/proc/self/fd"));
        assert!(users.resolve(OsStr::new("0")).is_ok());
        assert!(users.resolve(OsStr::new("root")).is_err());
    }
}
