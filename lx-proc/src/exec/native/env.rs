//! `WSLENV`: which variables of a guest a native program gets, and in which form.
//!
//! The list is `NAME/flags:NAME/flags`. The flag `p` says that the value is a path, `l` that it is a
//! list of paths; both are translated. `u` alone means: only for guests that are started by native
//! programs; `w`: only the other way.

use alloc::vec::Vec;

/// Name of the variable.
const WSLENV: &[u8] = b"WSLENV";

/// How a value is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Path,
    PathList,
}

/// The form that the flags ask for; `None` if the variable is not for native programs.
fn form(flags: &[u8]) -> Option<Form> {
    let has = |flag| flags.contains(&flag);
    if has(b'u') && !has(b'w') {
        return None;
    }
    match (has(b'p'), has(b'l')) {
        (_, true) => Some(Form::PathList),
        (true, false) => Some(Form::Path),
        (false, false) => Some(Form::Text),
    }
}

/// The variables out of `env` that the program gets. `translate` gives the host path for a path of
/// the guest; a path that has none is handed over as it is.
pub(super) fn for_native<'a>(
    env: impl Iterator<Item = &'a [u8]> + Clone,
    translate: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let value_of = |name: &[u8]| {
        let strings = env.clone();
        strings.filter_map(|string| string.strip_prefix(name)?.strip_prefix(b"=")).next()
    };
    let Some(list) = value_of(WSLENV) else { return Vec::new() };
    let translated = |path: &[u8]| translate(path).unwrap_or_else(|| path.to_vec());
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = alloc::vec![(WSLENV.to_vec(), list.to_vec())];
    for item in list.split(|&byte| byte == b':') {
        let mut parts = item.splitn(2, |&byte| byte == b'/');
        let (name, flags) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let known = found.iter().any(|(other, _)| *other == name);
        let (Some(form), Some(value)) = (form(flags), value_of(name)) else { continue };
        if name.is_empty() || known {
            continue;
        }
        let value = match form {
            Form::Text => value.to_vec(),
            Form::Path => translated(value),
            Form::PathList => {
                let paths = value.split(|&byte| byte == b':').map(translated);
                paths.collect::<Vec<_>>().join(&b';')
            }
        };
        found.push((name.to_vec(), value));
    }
    found
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::for_native;
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn flags_choose_and_translate() {
        let env: [&[u8]; 8] = [
            b"WSLENV=A:B/p:C/l:D/u:E/w:F/up:G/wp",
            b"A=/mnt/c/x",
            b"B=/mnt/c/x",
            b"C=/mnt/c/a:/usr",
            b"D=d",
            b"E=e",
            b"G=/mnt/c/",
            b"H=h",
        ];
        let translate = |path: &[u8]| {
            let rest = path.strip_prefix(b"/mnt/c/")?;
            Some([b"C:\\", rest].concat())
        };
        let found = for_native(env.iter().copied(), translate);
        let found: Vec<String> = found
            .iter()
            .skip(1)
            .map(|(name, value)| String::from_utf8([name, &b"="[..], value].concat()).unwrap())
            .collect();
        assert_eq!(found, ["A=/mnt/c/x", r"B=C:\x", r"C=C:\a;/usr", "E=e", r"G=C:\"]);
        assert!(for_native(env[1..].iter().copied(), translate).is_empty());
    }
}
