//! Long files and functions may become shorter, never longer, and no new ones come.
//!
//! Guarantees: what is over a limit is listed in `xtask/tidy.toml` with exactly its length, so a
//! change that makes it longer fails, and one that makes it shorter lowers the list for good.
//! Left out: functions under the limit. The aim is lower still (see [`figures`]).

use super::source;
use super::tree::Tree;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Where what is over a limit is listed.
pub(super) const LIST: &str = "xtask/tidy.toml";
/// Lines of a file, tests included: what one subject needs.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function: two screens. Most have under ten, and 95 of 100 should have under 40.
const FUNCTION_LINES_MAX: usize = 70;

const LIST_OPENING: &str = "\
# Files over 600 and functions over 70 lines, with their lengths. Entries may be lowered
# (`cargo xtask tidy --shrink`) and removed; a new one needs a reason that a reviewer accepts.
";

/// Lengths by name: a file's path, a function's path and name.
#[derive(Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Lengths {
    files: BTreeMap<String, usize>,
    functions: BTreeMap<String, usize>,
}

/// What is over a limit and not listed, or not with its length.
pub(super) fn findings(tree: &Tree) -> Result<Vec<String>> {
    let listed = listed(tree)?;
    let found = over_limits(tree);
    let mut findings = compare("file", FILE_LINES_MAX, &listed.files, &found.files);
    findings.extend(compare("function", FUNCTION_LINES_MAX, &listed.functions, &found.functions));
    Ok(findings)
}

fn compare(
    what: &str,
    limit: usize,
    listed: &BTreeMap<String, usize>,
    found: &BTreeMap<String, usize>,
) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, lines) in found {
        match listed.get(name) {
            None => findings.push(format!("{name}: this {what} has {lines} lines, over {limit}")),
            Some(before) if lines > before => {
                findings.push(format!("{name}: this {what} grew from {before} to {lines} lines"));
            }
            Some(_) => {}
        }
    }
    let shrunk = listed.iter().filter(|(name, before)| found.get(*name) < Some(before));
    findings.extend(shrunk.map(|(name, before)| {
        format!("{LIST}: {name:?} = {before} has shrunk; run `cargo xtask tidy --shrink`")
    }));
    findings
}

/// Writes the list anew with every entry lowered to what is there; adds none.
pub(super) fn shrink(root: &Path, tree: &Tree) -> Result<()> {
    let (listed, found) = (listed(tree)?, over_limits(tree));
    let mut text = LIST_OPENING.to_owned();
    for (section, listed, found) in
        [("files", &listed.files, &found.files), ("functions", &listed.functions, &found.functions)]
    {
        let _ = write!(text, "\n[{section}]\n");
        for (name, before) in listed {
            if let Some(lines) = found.get(name) {
                let _ = writeln!(text, "{name:?} = {}", lines.min(before));
            }
        }
    }
    std::fs::write(root.join(LIST), text).with_context(|| format!("{LIST} cannot be written"))
}

/// The 95th percentiles beside what they should be.
pub(super) fn figures(tree: &Tree) -> String {
    let files = tree.rust.iter().map(|file| file.text.lines().count()).collect();
    let functions = tree
        .rust
        .iter()
        .flat_map(|file| source::functions(&file.text))
        .map(|function| function.lines)
        .collect();
    format!(
        "95th percentiles: file {} lines (aim {FILE_LINES_MAX}), function {} lines (aim 40)",
        percentile_95(files),
        percentile_95(functions)
    )
}

fn percentile_95(mut lengths: Vec<usize>) -> usize {
    lengths.sort_unstable();
    let rank = (lengths.len() * 95).div_ceil(100);
    rank.checked_sub(1).map_or(0, |at| lengths[at])
}

fn listed(tree: &Tree) -> Result<Lengths> {
    toml::from_str(&tree.ratchet).with_context(|| format!("{LIST} cannot be read"))
}

fn over_limits(tree: &Tree) -> Lengths {
    let mut found = Lengths::default();
    for file in &tree.rust {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            found.files.insert(file.path.clone(), lines);
        }
        for function in source::functions(&file.text) {
            if function.lines > FUNCTION_LINES_MAX {
                // Two of one name count as the longer one.
                let name = format!("{}::{}", file.path, function.name);
                let lines = found.functions.entry(name).or_default();
                *lines = function.lines.max(*lines);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tree::tests::{folder, tree};
    use super::*;

    fn function(lines: usize) -> String {
        format!("//! F.\nfn f() {{\n{}}}\n", "    x();\n".repeat(lines - 2))
    }

    fn found(text: &str, list: &str) -> Vec<String> {
        findings(&tree(&[("crates/a/src/lib.rs", text), (LIST, list)])).unwrap()
    }

    #[test]
    fn a_long_function_is_found_and_one_at_the_limit_is_not() {
        assert!(found(&function(70), "").is_empty());
        assert_eq!(
            found(&function(71), ""),
            ["crates/a/src/lib.rs::f: this function has 71 lines, over 70"]
        );
    }

    #[test]
    fn a_long_file_is_found_and_one_at_the_limit_is_not() {
        assert!(found(&"//! x\n".repeat(600), "").is_empty());
        assert_eq!(
            found(&"//! x\n".repeat(601), ""),
            ["crates/a/src/lib.rs: this file has 601 lines, over 600"]
        );
    }

    #[test]
    fn what_is_listed_may_stay_but_not_grow() {
        let list = "[functions]\n\"crates/a/src/lib.rs::f\" = 80\n";
        assert!(found(&function(80), list).is_empty());
        assert!(found(&function(81), list)[0].contains("grew from 80 to 81"));
        assert!(found(&function(79), list)[0].contains("has shrunk"));
        assert!(found(&function(10), list)[0].contains("has shrunk"));
    }

    #[test]
    fn shrinking_lowers_and_removes_but_never_adds() {
        let list = "[files]\n\"gone.rs\" = 900\n[functions]\n\"crates/a/src/lib.rs::f\" = 90\n";
        let text = function(80).replace("fn f()", "fn g() {}\nfn f()")
            + &function(75).replace("fn f", "fn new");
        let root = folder(&[("crates/a/src/lib.rs", &text), (LIST, list)]);
        shrink(root.path(), &Tree::read(root.path()).unwrap()).unwrap();
        let lowered = std::fs::read_to_string(root.path().join(LIST)).unwrap();
        assert!(
            lowered.ends_with("\n[files]\n\n[functions]\n\"crates/a/src/lib.rs::f\" = 80\n"),
            "{lowered}"
        );
        let after = findings(&Tree::read(root.path()).unwrap()).unwrap();
        assert_eq!(after, ["crates/a/src/lib.rs::new: this function has 75 lines, over 70"]);
    }

    #[test]
    fn percentiles_are_of_what_is_there() {
        assert_eq!(percentile_95(vec![]), 0);
        assert_eq!(percentile_95((1..=100).collect()), 95);
        assert_eq!(percentile_95(vec![7]), 7);
    }
}
