//! Known gaps: checks of guest programs that hold natively and not on lx.

use std::collections::BTreeSet;

use toml::Table;

/// The known gaps of all guest programs.
const EXPECTATIONS: &str = include_str!("../expectations.toml");

/// Compares the checks that a guest program printed on lx with those that it printed natively,
/// where all of them held. Only the known gaps may differ, and they must.
///
/// # Errors
///
/// What differs.
pub fn compare(program: &str, native: &str, lx: &str) -> Result<(), String> {
    compare_beside("", program, native, lx)
}

/// The same, with more known gaps in a list of the same form, for one host.
///
/// # Errors
///
/// What differs.
pub fn compare_beside(more: &str, program: &str, native: &str, lx: &str) -> Result<(), String> {
    let mut gaps = known(EXPECTATIONS, program)?;
    gaps.extend(known(more, program)?);
    compare_with(&gaps, native, lx)
}

fn known(expectations: &str, program: &str) -> Result<BTreeSet<String>, String> {
    let table: Table = expectations.parse().map_err(|error| format!("expectations: {error}"))?;
    let gaps = table.get(program).and_then(|gaps| gaps.as_table());
    Ok(gaps.into_iter().flat_map(|gaps| gaps.keys().cloned()).collect())
}

fn compare_with(known: &BTreeSet<String>, native: &str, lx: &str) -> Result<(), String> {
    let mut report = String::new();
    let mut found = BTreeSet::new();
    let mut lines = lx.lines();
    for expected in native.lines() {
        // Lines that explain a failure belong to the check before them.
        let mut got = lines.next().unwrap_or("nothing");
        while let Some(explanation) = got.strip_prefix('#') {
            report.push_str(&format!("#{explanation}\n"));
            got = lines.next().unwrap_or("nothing");
        }
        if got == expected {
            continue;
        }
        let gap = name(got, "not ok ")
            .filter(|name| self::name(expected, "ok ") == Some(name) && known.contains(*name));
        match gap {
            Some(name) => {
                found.insert(name.to_owned());
            }
            None => {
                report.push_str(&format!("native: {expected}\nlx:     {got}\n"));
                return Err(report);
            }
        }
    }
    if let Some(more) = lines.find(|line| !line.starts_with('#')) {
        return Err(format!("more on lx than natively: {more}"));
    }
    let closed: Vec<&str> = known.difference(&found).map(String::as_str).collect();
    if closed.is_empty() {
        return Ok(());
    }
    Err(format!("holds now, remove it from the expectations: {}", closed.join("; ")))
}

/// The name of a check in its line.
fn name<'l>(line: &'l str, prefix: &str) -> Option<&'l str> {
    Some(line.strip_prefix(prefix)?.split_once(" - ")?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NATIVE: &str = "ok 1 - a\nok 2 - b\n1..2\n";

    fn check(known: &[&str], lx: &str) -> Result<(), String> {
        compare_with(&known.iter().map(|name| (*name).to_owned()).collect(), NATIVE, lx)
    }

    #[test]
    fn the_list_is_read() {
        assert!(known(EXPECTATIONS, "no such program").unwrap().is_empty());
        let known = known("[p]\n\"a check\" = \"reason\"", "p").unwrap();
        assert!(known.contains("a check"));
    }

    #[test]
    fn a_host_may_have_gaps_of_its_own() {
        let lx = "ok 1 - a\nnot ok 2 - b\n1..2\n";
        assert_eq!(compare_beside("[p]\nb = \"reason\"", "p", NATIVE, lx), Ok(()));
        assert!(compare_beside("[other]\nb = \"reason\"", "p", NATIVE, lx).is_err());
    }

    #[test]
    fn only_known_gaps_may_differ() {
        assert_eq!(check(&[], NATIVE), Ok(()));
        assert_eq!(check(&["b"], "ok 1 - a\nnot ok 2 - b\n# got 1, want 2\n1..2\n"), Ok(()));
        assert!(check(&[], "ok 1 - a\nnot ok 2 - b\n1..2\n").unwrap_err().contains("not ok 2"));
        assert!(check(&["b"], "not ok 1 - a\nnot ok 2 - b\n1..2\n").is_err());
    }

    #[test]
    fn a_gap_that_is_closed_must_leave_the_list() {
        assert!(check(&["b"], NATIVE).unwrap_err().contains("holds now"));
    }

    #[test]
    fn a_program_that_stops_early_or_says_more_fails() {
        assert!(check(&[], "ok 1 - a\n").unwrap_err().contains("nothing"));
        assert!(check(&[], &format!("{NATIVE}ok 3 - c\n")).unwrap_err().contains("more"));
    }
}
