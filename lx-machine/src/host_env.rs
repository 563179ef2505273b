//! Variables of the host, as guests get them: paths of Windows become those of the mounted drives.

use alloc::string::String;
use alloc::vec::Vec;

use lx_core::control::{HostForm, HostVariable};
use lx_core::host::drive_names;

/// What guests see of the host's files.
#[derive(Debug, Default)]
pub(crate) struct HostEnv {
    /// Letter of each mounted drive and where it is mounted.
    drives: Vec<(u8, Vec<u8>)>,
    /// Whether folders with the host's programs are appended to `PATH`.
    append_path: bool,
}

impl HostEnv {
    pub(crate) fn new(append_path: bool) -> Self {
        Self { drives: Vec::new(), append_path }
    }

    /// The drive `path` of the host is mounted at `guest`.
    pub(crate) fn add_drive(&mut self, path: &[u8], guest: &[u8]) {
        if let [letter, b':', ..] = path {
            self.drives.push((letter.to_ascii_lowercase(), guest.to_vec()));
        }
    }

    /// Adds variables of the host to an environment, except those that are in it already.
    pub(crate) fn add_to(&self, env: &mut Vec<Vec<u8>>, variables: &[HostVariable]) {
        for HostVariable { name, value, form } in variables {
            let start = [name, &b"="[..]].concat();
            let known = env.iter().any(|string| string.starts_with(&start));
            let value = match form {
                HostForm::Folders => {
                    self.append_folders(env, &start, value);
                    continue;
                }
                _ if known => continue,
                HostForm::Text => value.clone(),
                HostForm::Path => self.path(value).unwrap_or_else(|| value.clone()),
                HostForm::PathList => {
                    let paths = list(value).map(|path| self.path(&path).unwrap_or(path));
                    paths.collect::<Vec<_>>().join(&b':')
                }
            };
            env.push([start, value].concat());
        }
    }

    /// Appends folders to the string that begins with `start`; it is made if there are any.
    fn append_folders(&self, env: &mut Vec<Vec<u8>>, start: &[u8], value: &[u8]) {
        let folders = self.folders(value).collect::<Vec<_>>().join(&b':');
        if folders.is_empty() {
            return;
        }
        match env.iter_mut().find(|string| string.starts_with(start)) {
            Some(string) => {
                if string.len() > start.len() {
                    string.push(b':');
                }
                string.extend_from_slice(&folders);
            }
            None => env.push([start, &folders].concat()),
        }
    }

    /// The folders of a list that guests see, if they are to see any.
    fn folders(&self, value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let folders = list(value).filter(|_| self.append_path);
        folders.filter_map(|folder| {
            let mut folder = self.path(&folder)?;
            while folder.len() > 1 && folder.ends_with(b"/") {
                folder.pop();
            }
            // Guests would take it for two.
            Some(folder).filter(|folder| !folder.contains(&b':'))
        })
    }

    /// The path that guests have for an absolute path of Windows.
    fn path(&self, path: &[u8]) -> Option<Vec<u8>> {
        let path = path.strip_prefix(br"\\?\").unwrap_or(path);
        let (letter, rest) = match path {
            [letter, b':', rest @ ..] => (letter.to_ascii_lowercase(), rest),
            _ => return None,
        };
        if !matches!(rest, [] | [b'\\' | b'/', ..]) {
            return None;
        }
        let (_, mount) = self.drives.iter().find(|(known, _)| *known == letter)?;
        let slash = |letter| if letter == '\\' { '/' } else { drive_names::to_guest(letter) };
        let rest: String = core::str::from_utf8(rest).ok()?.chars().map(slash).collect();
        Some([mount, rest.as_bytes()].concat())
    }
}

/// The paths of a list, without the quotes that may be around those with a semicolon.
fn list(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut quoted = false;
    let parts = value.split(move |&byte| {
        quoted ^= byte == b'"';
        byte == b';' && !quoted
    });
    let bare = |part: &[u8]| part.iter().copied().filter(|&byte| byte != b'"').collect();
    parts.map(bare).filter(|path: &Vec<u8>| !path.is_empty())
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::HostEnv;
    use lx_core::control::{HostForm, HostVariable};
    use std::string::String;
    use std::vec::Vec;

    fn environment(append: bool, own: &[&str], host: &[(&str, &str, HostForm)]) -> Vec<String> {
        let mut known = HostEnv::new(append);
        known.add_drive(b"C:\\", b"/mnt/c");
        known.add_drive(b"D:\\", b"/win/d");
        let mut env: Vec<Vec<u8>> = own.iter().map(|string| string.as_bytes().to_vec()).collect();
        let variable = |&(name, value, form): &(&str, &str, HostForm)| HostVariable {
            name: name.into(),
            value: value.into(),
            form,
        };
        known.add_to(&mut env, &host.iter().map(variable).collect::<Vec<_>>());
        env.into_iter().map(|string| String::from_utf8(string).unwrap()).collect()
    }

    #[test]
    fn values_are_translated() {
        let host = [
            ("A", r"C:\x", HostForm::Text),
            ("B", r"c:\x/y\", HostForm::Path),
            ("C", r"D:\a;E:\b;\\s\c;C:", HostForm::PathList),
            ("D", r"relative\x", HostForm::Path),
            ("E", "new", HostForm::Text),
            ("F", "\\\\?\\C:\\a\u{f03a}b", HostForm::Path),
        ];
        assert_eq!(
            environment(true, &["E=old"], &host),
            [
                "E=old",
                r"A=C:\x",
                "B=/mnt/c/x/y/",
                r"C=/win/d/a:E:\b:\\s\c:/mnt/c",
                r"D=relative\x",
                "F=/mnt/c/a:b",
            ]
        );
    }

    #[test]
    fn folders_are_appended() {
        let path = r#"C:\Windows\;"C:\a;b";E:\x;%x%;\\s\c;d:\Tools"#;
        let host = [("PATH", path, HostForm::Folders)];
        let appended = "/mnt/c/Windows:/mnt/c/a;b:/win/d/Tools";
        let environment = |append, own: &[&str]| environment(append, own, &host);
        assert_eq!(environment(true, &["PATH=/bin"]), [std::format!("PATH=/bin:{appended}")]);
        assert_eq!(environment(true, &["PATH="]), [std::format!("PATH={appended}")]);
        assert_eq!(environment(true, &[]), [std::format!("PATH={appended}")]);
        assert_eq!(environment(false, &["PATH=/bin"]), ["PATH=/bin"]);
    }
}
