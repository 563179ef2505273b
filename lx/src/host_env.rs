//! Which variables of Windows guests get: `PATH`, and what `WSLENV` names.
//!
//! The list is `NAME/flags:NAME/flags`. The flag `p` says that the value is a path, `l` that it is a
//! list of paths; both are translated. `w` alone means: only for programs of Windows that guests
//! start; `u`: only the other way.

use lx_core::control::{HostForm, HostVariable};

const WSLENV: &str = "WSLENV";
const PATH: &str = "PATH";

/// The variables for guests; `value_of` knows those of this process.
pub(crate) fn variables(value_of: impl Fn(&str) -> Option<String>) -> Vec<HostVariable> {
    let mut found: Vec<HostVariable> = Vec::new();
    let mut add = |name: &str, value: String, form| {
        let name = name.as_bytes().to_vec();
        if !found.iter().any(|variable| variable.name == name) {
            found.push(HostVariable { name, value: value.into_bytes(), form });
        }
    };
    if let Some(path) = value_of(PATH) {
        add(PATH, path, HostForm::Folders);
    }
    let list = value_of(WSLENV).unwrap_or_default();
    if !list.is_empty() {
        add(WSLENV, list.clone(), HostForm::Text);
    }
    for item in list.split(':') {
        let (name, flags) = item.split_once('/').unwrap_or((item, ""));
        if let (Some(form), Some(value)) = (form(flags), value_of(name)) {
            add(name, value, form);
        }
    }
    found
}

/// The form that the flags ask for; none if the variable is not for guests.
fn form(flags: &str) -> Option<HostForm> {
    let has = |flag| flags.contains(flag);
    if has('w') && !has('u') {
        return None;
    }
    Some(match (has('l'), has('p')) {
        (true, _) => HostForm::PathList,
        (false, true) => HostForm::Path,
        (false, false) => HostForm::Text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_choose_and_name_the_form() {
        let value_of = |name: &str| {
            let value = match name {
                "PATH" => r"C:\Windows",
                "WSLENV" => "A:B/p:C/l:D/w:E/u:F/uw:G/pu:MISSING:PATH/l:A/p::",
                "A" | "B" | "C" | "D" | "E" | "F" | "G" => r"C:\x",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let found: Vec<_> = variables(value_of)
            .into_iter()
            .map(|variable| (String::from_utf8(variable.name).unwrap(), variable.form))
            .collect();
        let expected = [
            ("PATH", HostForm::Folders),
            ("WSLENV", HostForm::Text),
            ("A", HostForm::Text),
            ("B", HostForm::Path),
            ("C", HostForm::PathList),
            ("E", HostForm::Text),
            ("F", HostForm::Text),
            ("G", HostForm::Path),
        ];
        assert_eq!(found, expected.map(|(name, form)| (name.to_owned(), form)));
        assert!(variables(|_| None).is_empty());
    }
}
