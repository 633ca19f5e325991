//! Every Rust file opens with `//!`: what it is, what it guarantees, what it leaves out.
//!
//! Guarantees: the first line that is not empty decides.
//! Left out: whether what it says is true.

use super::tree::Tree;
use anyhow::Result;

/// Files that open with something else.
pub(super) fn findings(tree: &Tree) -> Result<Vec<String>> {
    let lacking = tree.rust.iter().filter(|file| {
        let first = file.text.lines().find(|line| !line.trim().is_empty());
        !first.is_some_and(|line| line.starts_with("//!"))
    });
    Ok(lacking
        .map(|file| {
            format!(
                "{}:1: does not open with `//!` (what it is, guarantees, leaves out)",
                file.path
            )
        })
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tree::tests::tree;
    use super::*;

    #[test]
    fn a_file_without_a_header_is_found() {
        let tree = tree(&[
            ("crates/a/src/lib.rs", "//! A.\nfn f() {}\n"),
            ("crates/a/src/b.rs", "// Not a header.\n"),
            ("crates/a/src/c.rs", "use x;\n//! Too late.\n"),
        ]);
        let found = findings(&tree).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/b.rs:1: "));
    }
}
