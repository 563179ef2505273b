//! `/etc/wsl.conf`: how the host's drives are mounted, and what guests get of its environment.

use alloc::vec::Vec;

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WslConf {
    /// Whether drives are mounted at all.
    pub(crate) enabled: bool,
    /// Where, with a slash at the end.
    pub(crate) root: Vec<u8>,
    /// Mount options for all of them.
    pub(crate) options: Vec<u8>,
    /// Whether folders with the host's programs are appended to the guest's `PATH`.
    pub(crate) append_path: bool,
}

impl WslConf {
    /// Reads the file; what is not in it is as by default.
    pub(crate) fn parse(file: &[u8]) -> Self {
        let mut section: &[u8] = b"";
        let mut found =
            Self { enabled: true, root: b"/mnt/".to_vec(), options: Vec::new(), append_path: true };
        for line in file.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii) {
            if let Some(name) = line.strip_prefix(b"[").and_then(|line| line.strip_suffix(b"]")) {
                section = name.trim_ascii();
                continue;
            }
            let Some(at) = line.iter().position(|&byte| byte == b'=') else { continue };
            let (name, value) = line.split_at(at);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let value = value.strip_prefix(b"\"").unwrap_or(value);
            let value = value.strip_suffix(b"\"").unwrap_or(value);
            match (section, name.trim_ascii()) {
                (b"automount", b"enabled") => {
                    found.enabled = !value.eq_ignore_ascii_case(b"false");
                }
                (b"automount", b"root") if value.starts_with(b"/") => {
                    found.root = value.to_vec();
                    if !value.ends_with(b"/") {
                        found.root.push(b'/');
                    }
                }
                (b"automount", b"options") => found.options = value.to_vec(),
                (b"interop", b"appendWindowsPath") => {
                    found.append_path = !value.eq_ignore_ascii_case(b"false");
                }
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::WslConf;

    #[test]
    fn the_sections_are_read() {
        let file = b"# drives\n[automount]\nroot = /win\noptions = \"metadata,umask=22\"\n[user]\nenabled=false\n";
        let found = WslConf::parse(file);
        assert_eq!((found.enabled, &*found.root), (true, &b"/win/"[..]));
        assert_eq!(found.options, b"metadata,umask=22");
        assert!(!WslConf::parse(b"[automount]\r\nenabled = false\r\n").enabled);
        assert_eq!(WslConf::parse(b"").root, b"/mnt/");
        assert!(found.append_path);
        assert!(!WslConf::parse(b"[interop]\nappendWindowsPath = False\n").append_path);
    }
}
