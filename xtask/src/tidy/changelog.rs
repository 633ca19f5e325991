//! Changelog fragments are named `<slug>.<kind>.md` and say something.
//!
//! Guarantees: what is in `changelog.d` can be sorted into a release's notes by name alone.
//! Left out: whether a change needs one, which a reviewer decides.

use super::tree::Tree;
use anyhow::Result;

/// What a fragment can be about.
const KINDS: &[&str] = &["feature", "fix", "breaking", "security"];

/// Fragments with a wrong name or without text.
pub(super) fn findings(tree: &Tree) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for file in tree.changelog.iter().filter(|file| file.path != "changelog.d/README.md") {
        if !is_fragment(&file.path) {
            let kinds = KINDS.join("|");
            findings.push(format!("{}: must be named changelog.d/<slug>.<{kinds}>.md", file.path));
        } else if file.text.trim().is_empty() {
            findings.push(format!("{}: says nothing", file.path));
        }
    }
    Ok(findings)
}

fn is_fragment(path: &str) -> bool {
    let Some(name) = path.strip_prefix("changelog.d/") else { return false };
    let parts: Vec<_> = name.split('.').collect();
    let [slug, kind, "md"] = parts[..] else { return false };
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !slug.is_empty() && slug.bytes().all(letters) && KINDS.contains(&kind)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tree::tests::tree;
    use super::*;

    #[test]
    fn only_named_fragments_that_say_something_pass() {
        let tree = tree(&[
            ("changelog.d/README.md", "How."),
            ("changelog.d/first-light.feature.md", "The server starts."),
            ("changelog.d/empty.fix.md", " \n"),
            ("changelog.d/Upper.fix.md", "x"),
            ("changelog.d/slug.chore.md", "x"),
            ("changelog.d/notes.md", "x"),
            ("changelog.d/sub/slug.fix.md", "x"),
        ]);
        let found = findings(&tree).unwrap();
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found.contains(&"changelog.d/empty.fix.md: says nothing".to_owned()));
    }
}
