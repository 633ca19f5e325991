//! A crate's integration tests are one binary, `tests/it/main.rs`.
//!
//! Guarantees: no crate links its dependencies more often than once for them: with a query engine
//! among those, each further binary costs minutes and hundreds of megabytes.
//! Left out: unit tests, which live beside the code, and whether a crate needs integration tests.

use super::tree::Tree;
use anyhow::Result;
use std::collections::BTreeSet;

/// Test binaries beside `it`.
pub(super) fn findings(tree: &Tree) -> Result<Vec<String>> {
    let mut findings = BTreeSet::new();
    for file in &tree.rust {
        let parts: Vec<_> = file.path.split('/').collect();
        let ["crates", package, "tests", rest @ ..] = &parts[..] else { continue };
        let own_binary = match rest {
            [_] => true,
            [folder, "main.rs"] => *folder != "it",
            _ => false,
        };
        if own_binary {
            findings.insert(format!(
                "{}: is a test binary of its own; make it a module of crates/{package}/tests/it/main.rs",
                file.path
            ));
        }
    }
    for manifest in tree.manifests.iter().filter(|file| file.text.contains("[[test]]")) {
        findings.insert(format!("{}: names a test binary; `tests/it` needs none", manifest.path));
    }
    Ok(findings.into_iter().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tree::tests::tree;
    use super::*;

    #[test]
    fn a_second_binary_is_found() {
        let tree = tree(&[
            ("crates/a/tests/it/main.rs", ""),
            ("crates/a/tests/it/deep/main.rs", ""),
            ("crates/a/tests/it/module.rs", ""),
            ("crates/a/tests/smoke.rs", ""),
            ("crates/b/tests/slow/main.rs", ""),
            ("crates/c/Cargo.toml", "[package]\n[[test]]\nname = \"x\"\n"),
        ]);
        let found = findings(&tree).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("crates/a/tests/smoke.rs: "));
        assert!(found[1].starts_with("crates/b/tests/slow/main.rs: "));
    }
}
