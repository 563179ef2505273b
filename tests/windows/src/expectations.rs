//! Known gaps: tests that do not pass yet, each with the reason.

use std::sync::OnceLock;

use libtest_mimic::{Failed, Trial};
use toml::Table;

const EXPECTATIONS: &str = include_str!("../expectations.toml");

/// A test. One that is listed as a known gap must fail, so that the list stays true.
pub(crate) fn trial(
    name: impl Into<String>,
    run: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let name = name.into();
    let gap = is_gap(&name);
    Trial::test(name, move || match (run(), gap) {
        (Ok(()), true) => Err("passes now: remove it from tests/windows/expectations.toml".into()),
        (Err(_), true) => Ok(()),
        (result, false) => result,
    })
}

fn is_gap(name: &str) -> bool {
    static TABLE: OnceLock<Table> = OnceLock::new();
    // A list that cannot be read lists nothing, and the tests fail.
    let table = TABLE.get_or_init(|| EXPECTATIONS.parse().unwrap_or_default());
    table.get("fails").and_then(|fails| fails.get(name)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_read_and_every_gap_has_a_reason() {
        let table: Table = EXPECTATIONS.parse().unwrap();
        for (name, reason) in table["fails"].as_table().unwrap() {
            assert!(!reason.as_str().unwrap().is_empty(), "{name}");
        }
    }
}
