//! The house rules that a machine can check.
//!
//! Guarantees: each rule is one file with one function from the tree to its findings, listed in
//! [`RULES`]; a finding names the file, the line where there is one, and what to do.
//! Left out: what rustfmt and clippy check.

mod changelog;
mod dependencies;
mod headers;
mod ratchet;
mod source;
mod test_binaries;
mod tree;

use anyhow::{Result, bail};
use std::path::Path;
use tree::Tree;

/// From the tree to what is wrong in it, a line each.
type Rule = fn(&Tree) -> Result<Vec<String>>;

/// Every rule.
const RULES: &[Rule] = &[
    dependencies::findings,
    headers::findings,
    ratchet::findings,
    test_binaries::findings,
    changelog::findings,
];

/// Prints every finding and fails when there is one.
pub(crate) fn check(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    let mut findings = Vec::new();
    for rule in RULES {
        findings.extend(rule(&tree)?);
    }
    println!("{}", ratchet::figures(&tree));
    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    bail!("{} found by tidy", findings.len());
}

/// Lowers the ratchet's entries to what is there.
pub(crate) fn shrink(root: &Path) -> Result<()> {
    ratchet::shrink(root, &Tree::read(root)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tree_that_breaks_a_rule_fails_and_says_how_often() {
        let root = tree::tests::folder(&[("crates/log/src/lib.rs", "fn f() {}\n")]);
        let error = check(root.path()).unwrap_err().to_string();
        assert!(error.ends_with("found by tidy"), "{error}");
    }
}
