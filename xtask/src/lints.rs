//! The gate for unsafe code: who may hold it, and that each block must be argued.

use std::fs;
use std::path::Path;

use toml::Table;

use crate::Failure;

/// Crates that inherit the workspace's `unsafe_code = "forbid"`.
const SAFE: &[&str] = &[
    "host-mock",
    "lx",
    "lx-machine",
    "lx-net",
    "lx-nt",
    "lx-proc",
    "lx-syscall",
    "lx-vfs",
    "tests",
    "tests/windows",
    "xtask",
];

/// Crates that hold unsafe code and so carry their own copy of the other lints.
const UNSAFE: &[&str] = &[
    "host-linux",
    "host-windows",
    "lx-core",
    "lx-image",
    "lx-loader",
    "lx-region",
    "lx-windows",
    "lx-x86",
];

/// Programs that are made of raw calls, for tests and benchmarks.
const FREE: &[&str] = &["benches", "tests/differential", "tests/guest"];

/// Compares the manifests with the two lists.
pub(crate) fn check() -> Result<String, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| {
        let path = root.join(path).join("Cargo.toml");
        let text = fs::read_to_string(&path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        text.parse::<Table>().map_err(|error| format!("{}: {error}", path.display()))
    };
    let workspace = read(".")?;
    let mut violations = workspace_violations(&workspace);
    violations.extend(unplaced(&workspace));
    for name in SAFE {
        violations.extend(safe_violation(name, &read(name)?));
    }
    for name in UNSAFE {
        violations.extend(unsafe_violations(name, &read(name)?, &workspace));
    }
    if !violations.is_empty() {
        return Err(violations.join("\n"));
    }
    Ok(format!("forbidden in {} crates, argued in {}", SAFE.len(), UNSAFE.len()))
}

fn workspace_violations(workspace: &Table) -> Vec<String> {
    let lints =
        [("rust", "unsafe_code", "forbid"), ("clippy", "undocumented_unsafe_blocks", "deny")];
    lints
        .iter()
        .filter(|(tool, lint, level)| {
            string(workspace, &["workspace", "lints", tool, lint]) != Some(level)
        })
        .map(|(_, lint, level)| format!("Cargo.toml: the workspace must set {lint} = \"{level}\""))
        .collect()
}

/// Crates that none of the lists knows, so that nothing would be checked.
fn unplaced(workspace: &Table) -> Vec<String> {
    let members = value(workspace, &["workspace", "members"]).and_then(toml::Value::as_array);
    let names = members.into_iter().flatten().filter_map(toml::Value::as_str);
    names
        .filter(|name| ![SAFE, UNSAFE, FREE].iter().any(|list| list.contains(name)))
        .map(|name| format!("{name} is in no list of crates (xtask/src/lints.rs)"))
        .collect()
}

fn safe_violation(name: &str, manifest: &Table) -> Option<String> {
    let inherits = value(manifest, &["lints", "workspace"]).and_then(toml::Value::as_bool);
    (inherits != Some(true)).then(|| format!("{name} must inherit the workspace's lints"))
}

/// Every lint of the workspace but `unsafe_code`, at the same level.
fn unsafe_violations(name: &str, manifest: &Table, workspace: &Table) -> Vec<String> {
    let mut violations = Vec::new();
    for tool in ["rust", "clippy"] {
        let lints = value(workspace, &["workspace", "lints", tool]).and_then(toml::Value::as_table);
        for (lint, level) in lints.into_iter().flatten() {
            let own = value(manifest, &["lints", tool, lint]);
            if lint != "unsafe_code" && own != Some(level) {
                violations.push(format!("{name} must set {lint} = {level}"));
            }
        }
    }
    violations
}

fn value<'t>(table: &'t Table, path: &[&str]) -> Option<&'t toml::Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}

fn string<'t>(table: &'t Table, path: &[&str]) -> Option<&'t str> {
    value(table, path)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn a_safe_crate_inherits() {
        assert_eq!(safe_violation("c", &table("[lints]\nworkspace = true")), None);
        assert!(safe_violation("c", &table("[lints.rust]\nunsafe_code = 'warn'")).is_some());
    }

    #[test]
    fn every_crate_is_in_a_list() {
        let workspace = table("[workspace]\nmembers = ['lx-core', 'a-new-crate', 'tests/guest']");
        let found = unplaced(&workspace);
        assert_eq!(found, ["a-new-crate is in no list of crates (xtask/src/lints.rs)"]);
    }

    #[test]
    fn an_unsafe_crate_carries_all_other_lints() {
        let workspace = table(
            "[workspace.lints.rust]\nunsafe_code = 'forbid'\n\
             [workspace.lints.clippy]\nundocumented_unsafe_blocks = 'deny'",
        );
        assert!(workspace_violations(&workspace).is_empty());
        let good = table("[lints.clippy]\nundocumented_unsafe_blocks = 'deny'");
        assert!(unsafe_violations("c", &good, &workspace).is_empty());
        assert_eq!(
            unsafe_violations("c", &table("[package]"), &workspace),
            ["c must set undocumented_unsafe_blocks = \"deny\""]
        );
    }
}
