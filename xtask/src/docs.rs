//! Pages under `docs/` that are made from tables in the code.
//!
//! Guarantees: the same code makes the same pages.
//! Left out: pages people write.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// Makes a page's text.
type Make = fn() -> String;

/// A page's path and what makes it.
const PAGES: &[(&str, Make)] = &[("docs/config.md", tradewind_types::config::reference)];

/// Writes every page.
pub(crate) fn write(root: &Path) -> Result<()> {
    for (path, make) in PAGES {
        let file = root.join(path);
        fs::create_dir_all(file.parent().context("a page lies in a folder")?)?;
        fs::write(&file, make()).with_context(|| format!("{path} cannot be written"))?;
        println!("wrote {path}");
    }
    Ok(())
}

/// Fails when a page is not what would be written.
pub(crate) fn check(root: &Path) -> Result<()> {
    for (path, make) in PAGES {
        let found = fs::read_to_string(root.join(path)).unwrap_or_default();
        if found != make() {
            bail!("{path} is not up to date; run `cargo xtask docs`");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_page_that_was_changed_by_hand_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        assert!(check(root.path()).is_err());
        write(root.path()).unwrap();
        check(root.path()).unwrap();
        fs::write(root.path().join("docs/config.md"), "# Mine").unwrap();
        let error = check(root.path()).unwrap_err().to_string();
        assert_eq!(error, "docs/config.md is not up to date; run `cargo xtask docs`");
    }
}
