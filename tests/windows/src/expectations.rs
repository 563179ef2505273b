//! Known gaps: tests that do not pass yet, each with the reason.

use std::sync::OnceLock;

use libtest_mimic::{Failed, Trial};
use toml::Table;

const EXPECTATIONS: &str = include_str!("../expectations.toml");

/// A test. One that is listed under `fails` must fail, so that the list stays true; one under
/// `ignored` runs only with `--ignored`.
pub(crate) fn trial(
    name: impl Into<String>,
    run: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let name = name.into();
    let (gap, ignored) = (is_listed("fails", &name), is_listed("ignored", &name));
    let trial = Trial::test(name, move || match (run(), gap) {
        (Ok(()), true) => Err("passes now: remove it from tests/windows/expectations.toml".into()),
        (Err(_), true) => Ok(()),
        (result, false) => result,
    });
    trial.with_ignored_flag(ignored)
}

fn is_listed(list: &str, name: &str) -> bool {
    static TABLE: OnceLock<Table> = OnceLock::new();
    // A list that cannot be read lists nothing, and the tests fail.
    let table = TABLE.get_or_init(|| EXPECTATIONS.parse().unwrap_or_default());
    table.get(list).and_then(|list| list.get(name)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_read_and_every_gap_has_a_reason() {
        let table: Table = EXPECTATIONS.parse().unwrap();
        let lists = ["fails", "ignored"].map(|list| table[list].as_table().unwrap());
        for (name, reason) in lists.into_iter().flatten() {
            assert!(!reason.as_str().unwrap().is_empty(), "{name}");
        }
    }
}
