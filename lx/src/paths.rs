//! `lx path`: translates paths between Windows and the guest, as `wslpath` does.
//!
//! Windows' drives are `/mnt/c` and so on for the guest. Characters that Windows does not allow in
//! names are kept as U+F000 and the character, as WSL does.

use std::env;
use std::ffi::OsStr;

use lx_core::host::drive_names;

/// Where the drives are for the guest.
const MOUNT: &str = "/mnt/";

/// Which way to translate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From Windows to the guest.
    #[default]
    Guest,
    /// From the guest to Windows, with backslashes.
    Windows,
    /// The same with slashes.
    WindowsWithSlashes,
}

/// Translates `path`; a relative one stays relative unless it is to be `absolute`.
///
/// # Errors
///
/// One sentence: the other side has no such path.
pub(crate) fn translate(
    path: &OsStr,
    direction: Direction,
    absolute: bool,
) -> Result<String, String> {
    let text = path.to_str().ok_or_else(|| format!("'{}' is not Unicode", path.display()))?;
    let directory = env::current_dir().unwrap_or_default();
    let directory = absolute.then(|| directory.to_string_lossy().into_owned());
    let from = directory.as_deref();
    match direction {
        Direction::Guest => to_guest(text, from),
        Direction::Windows => to_windows(text, from, '\\'),
        Direction::WindowsWithSlashes => to_windows(text, from, '/'),
    }
}

/// A path of Windows for the guest. A relative path starts at `directory`, if there is one.
fn to_guest(path: &str, directory: Option<&str>) -> Result<String, String> {
    let slashes = path.replace('\\', "/");
    let slashes = slashes.strip_prefix("//?/").unwrap_or(&slashes);
    if slashes.starts_with("//") {
        return Err(format!("'{path}' is a network path, which the guest does not see"));
    }
    let allowed = |text: &str| text.chars().map(drive_names::to_guest).collect::<String>();
    if let Some((drive, rest)) = drive(slashes) {
        if !rest.is_empty() && !rest.starts_with('/') {
            return Err(format!("'{path}' depends on the current directory of its drive"));
        }
        return Ok(format!("{MOUNT}{drive}{}", allowed(rest)));
    }
    if slashes.starts_with('/') || directory.is_none() {
        return Ok(allowed(slashes));
    }
    let directory = to_guest(directory.unwrap_or_default(), None)?;
    Ok(format!("{}/{}", directory.trim_end_matches('/'), allowed(slashes)))
}

/// A path of the guest for Windows. A relative path starts at `directory`, if there is one.
fn to_windows(path: &str, directory: Option<&str>, slash: char) -> Result<String, String> {
    let join = |parts: &[&str]| {
        let kept = |part: &&str| part.chars().map(drive_names::to_windows).collect::<String>();
        let parts: Vec<String> = parts.iter().map(kept).collect();
        parts.join(&slash.to_string())
    };
    let path = match directory {
        Some(directory) if !path.starts_with('/') => {
            format!("{}/{path}", to_guest(directory, None)?)
        }
        _ => path.to_owned(),
    };
    if !path.starts_with('/') {
        return Ok(join(&path.split('/').collect::<Vec<_>>()));
    }
    // `..` of a drive's root is another directory for Windows than for the guest.
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    match parts.as_slice() {
        ["mnt", drive, rest @ ..] if is_drive(drive) => {
            Ok(format!("{}:{slash}{}", drive.to_uppercase(), join(rest)))
        }
        _ => Err(format!("'{path}' is inside the guest, and has no path in Windows")),
    }
}

/// The drive of `C:/x` in lower case, and the rest.
fn drive(path: &str) -> Option<(String, &str)> {
    let (drive, rest) = path.split_once(':')?;
    is_drive(drive).then(|| (drive.to_lowercase(), rest))
}

fn is_drive(name: &str) -> bool {
    name.len() == 1 && name.chars().all(|letter| letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(path: &str) -> String {
        to_guest(path, None).unwrap()
    }

    fn windows(path: &str) -> String {
        to_windows(path, None, '\\').unwrap()
    }

    #[test]
    fn drives_are_below_mnt() {
        assert_eq!(guest(r"C:\Users\me"), "/mnt/c/Users/me");
        assert_eq!(guest("c:/Users/me"), "/mnt/c/Users/me");
        assert_eq!(guest(r"D:\"), "/mnt/d/");
        assert_eq!(guest("D:"), "/mnt/d");
        assert_eq!(guest(r"\\?\C:\x"), "/mnt/c/x");
        assert_eq!(windows("/mnt/c/Users/me"), r"C:\Users\me");
        assert_eq!(windows("/mnt/c"), r"C:\");
        assert_eq!(windows("/mnt/c/"), r"C:\");
        assert_eq!(to_windows("/mnt/c/a/b", None, '/').unwrap(), "C:/a/b");
    }

    #[test]
    fn relative_paths_stay_relative_unless_asked() {
        assert_eq!(guest(r"a\b"), "a/b");
        assert_eq!(windows("a/b"), r"a\b");
        assert_eq!(to_guest("a", Some(r"C:\x")).unwrap(), "/mnt/c/x/a");
        assert_eq!(to_guest("a", Some(r"C:\")).unwrap(), "/mnt/c/a");
        assert_eq!(to_windows("a", Some(r"C:\x"), '\\').unwrap(), r"C:\x\a");
        assert_eq!(to_windows("../a", Some("/mnt/c/x/y"), '\\').unwrap(), r"C:\x\a");
        assert_eq!(to_guest(r"C:\a", Some("/home")).unwrap(), "/mnt/c/a");
    }

    #[test]
    fn dots_are_resolved_before_the_drive_is_found() {
        assert_eq!(windows("/mnt/c/../d/./x"), r"D:\x");
        assert_eq!(windows("/usr/../mnt/c/x"), r"C:\x");
    }

    #[test]
    fn forbidden_characters_are_kept_elsewhere() {
        assert_eq!(windows("/mnt/c/a:b?"), "C:\\a\u{f03a}b\u{f03f}");
        assert_eq!(guest("C:\\a\u{f03a}b\u{f03f}"), "/mnt/c/a:b?");
        assert_eq!(guest("C:\\\u{f041}"), "/mnt/c/\u{f041}");
    }

    #[test]
    fn what_the_other_side_does_not_have_is_an_error() {
        assert!(to_windows("/usr/bin", None, '\\').unwrap_err().contains("inside the guest"));
        assert!(to_windows("/mnt/cd/x", None, '\\').is_err());
        assert!(to_guest(r"\\server\share", None).unwrap_err().contains("network path"));
        assert!(to_guest("C:x", None).is_err());
    }
}
