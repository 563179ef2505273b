//! The layering gate: which crate may depend on which.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::Failure;

/// Every crate of the product with the crates it may depend on, lowest first.
const LAYERS: &[(&str, &[&str])] = &[
    ("lx-core", &[]),
    ("lx-nt", &[]),
    ("lx-vfs", &["lx-core"]),
    ("lx-net", &["lx-core"]),
    ("lx-x86", &["lx-core"]),
    ("lx-region", &["lx-core"]),
    ("lx-proc", &["lx-core", "lx-vfs"]),
    ("lx-syscall", &["lx-core", "lx-vfs", "lx-net", "lx-proc"]),
    ("lx-machine", &["lx-core", "lx-vfs", "lx-net", "lx-proc", "lx-syscall"]),
    ("host-linux", &["lx-core", "lx-x86", "lx-region"]),
    ("host-windows", &["lx-core", "lx-x86", "lx-region", "lx-nt"]),
    ("host-mock", &["lx-core"]),
    ("lx-loader", &["lx-nt"]),
    (
        "lx-image",
        &[
            "lx-core",
            "lx-vfs",
            "lx-net",
            "lx-proc",
            "lx-syscall",
            "lx-machine",
            "lx-x86",
            "host-linux",
            "host-windows",
        ],
    ),
    ("lx-windows", &["lx-nt"]),
    ("lx", &["lx-core", "lx-syscall", "lx-windows"]),
];

/// Crates that check the product: they may depend on all of it and on each other, and nothing else
/// on them.
const FREE: &[&str] = &[
    "lx-benches",
    "lx-differential-tests",
    "lx-guest-tests",
    "lx-tests",
    "lx-windows-tests",
    "xtask",
];

/// What tests inside a crate may use besides its layer.
const FOR_TESTS: &[&str] = &["host-mock"];

/// One dependency of a workspace crate on another.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    to: String,
    for_tests: bool,
}

/// Compares the workspace with the layers.
pub(crate) fn check() -> Result<String, Failure> {
    let metadata = MetadataCommand::new().no_deps().exec().map_err(|error| error.to_string())?;
    let (crates, edges) = workspace(&metadata);
    let violations = violations(&crates, &edges);
    if violations.is_empty() {
        return Ok(format!("{} crates, {} edges", crates.len(), edges.len()));
    }
    Err(violations.join("\n"))
}

fn workspace(metadata: &Metadata) -> (BTreeSet<String>, BTreeSet<Edge>) {
    let packages = metadata.workspace_packages();
    let crates: BTreeSet<String> =
        packages.iter().map(|package| package.name.to_string()).collect();
    let mut edges = BTreeSet::new();
    for package in packages {
        for dependency in package.dependencies.iter().filter(|it| crates.contains(&it.name)) {
            edges.insert(Edge {
                from: package.name.to_string(),
                to: dependency.name.clone(),
                for_tests: dependency.kind == DependencyKind::Development,
            });
        }
    }
    (crates, edges)
}

fn violations(crates: &BTreeSet<String>, edges: &BTreeSet<Edge>) -> Vec<String> {
    let layer = |name: &str| LAYERS.iter().find(|(layer, _)| *layer == name).map(|(_, it)| *it);
    let free = |name: &str| FREE.contains(&name);
    let unplaced = crates
        .iter()
        .filter(|name| !free(name) && layer(name).is_none())
        .map(|name| format!("{name} has no place in the layers (xtask/src/layers.rs)"));
    let upwards = edges.iter().filter_map(|Edge { from, to, for_tests }| {
        let allowed = free(from)
            || layer(from).is_none_or(|layer| layer.contains(&to.as_str()))
            || (*for_tests && FOR_TESTS.contains(&to.as_str()));
        (!allowed || (free(to) && !free(from))).then(|| format!("{from} may not depend on {to}"))
    });
    unplaced.chain(upwards).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, for_tests: bool) -> Edge {
        Edge { from: from.to_owned(), to: to.to_owned(), for_tests }
    }

    fn check(crates: &[&str], edges: Vec<Edge>) -> Vec<String> {
        let crates = crates.iter().map(|name| (*name).to_owned()).collect();
        violations(&crates, &edges.into_iter().collect())
    }

    #[test]
    fn dependencies_point_down() {
        let crates = ["lx-core", "lx-vfs", "lx-net"];
        assert!(check(&crates, vec![edge("lx-vfs", "lx-core", false)]).is_empty());
        assert_eq!(
            check(&crates, vec![edge("lx-core", "lx-vfs", false), edge("lx-net", "lx-vfs", false)]),
            ["lx-core may not depend on lx-vfs", "lx-net may not depend on lx-vfs"]
        );
    }

    #[test]
    fn only_tests_may_use_the_mock_host() {
        let crates = ["lx-vfs", "host-mock"];
        assert!(check(&crates, vec![edge("lx-vfs", "host-mock", true)]).is_empty());
        assert_eq!(check(&crates, vec![edge("lx-vfs", "host-mock", false)]).len(), 1);
    }

    #[test]
    fn nothing_depends_on_the_checks_and_every_crate_has_a_place() {
        assert_eq!(
            check(&["lx-core", "lx-tests", "lx-new"], vec![edge("lx-core", "lx-tests", true)]),
            [
                "lx-new has no place in the layers (xtask/src/layers.rs)",
                "lx-core may not depend on lx-tests"
            ]
        );
    }

    #[test]
    fn the_layers_are_listed_lowest_first() {
        for (index, (name, below)) in LAYERS.iter().enumerate() {
            for dependency in *below {
                assert!(
                    LAYERS[..index].iter().any(|(layer, _)| layer == dependency),
                    "{name} lists {dependency}, which is not below it"
                );
            }
        }
    }
}
