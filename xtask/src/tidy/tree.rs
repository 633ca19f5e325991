//! The repository's files, read once.
//!
//! Guarantees: in the order of their paths, whatever the file system says.
//! Left out: build output, hidden folders and what other tools install.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Where code of ours lies.
const CODE_FOLDERS: &[&str] = &["bench", "crates", "examples", "fuzz", "xtask"];
/// Folders that hold what was built or installed.
const SKIPPED: &[&str] = &["target", "node_modules", "corpus", "artifacts"];

/// A text file by its path in the repository.
#[derive(Debug)]
pub(super) struct File {
    /// With `/` between the folders.
    pub(super) path: String,
    pub(super) text: String,
}

/// What the rules look at.
#[derive(Debug)]
pub(super) struct Tree {
    /// Rust files.
    pub(super) rust: Vec<File>,
    /// `Cargo.toml` of each crate.
    pub(super) manifests: Vec<File>,
    /// Everything in `changelog.d`.
    pub(super) changelog: Vec<File>,
    /// `xtask/tidy.toml`.
    pub(super) ratchet: String,
}

impl Tree {
    /// Reads the repository at `root`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        for folder in CODE_FOLDERS {
            walk(&root.join(folder), &mut paths)?;
        }
        paths.sort();
        let (mut rust, mut manifests) = (Vec::new(), Vec::new());
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("rs") => rust.push(file(root, &path)?),
                _ if path.ends_with("Cargo.toml") => manifests.push(file(root, &path)?),
                _ => {}
            }
        }
        let mut paths = Vec::new();
        walk(&root.join("changelog.d"), &mut paths)?;
        paths.sort();
        let changelog = paths.iter().map(|path| file(root, path)).collect::<Result<_>>()?;
        let ratchet = fs::read_to_string(root.join(super::ratchet::LIST)).unwrap_or_default();
        Ok(Self { rust, manifests, changelog, ratchet })
    }
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), paths)?;
        } else {
            paths.push(entry.path());
        }
    }
    Ok(())
}

fn file(root: &Path, path: &Path) -> Result<File> {
    let name = path.strip_prefix(root).context("walked from the root")?;
    let name = name.to_string_lossy().replace('\\', "/");
    let bytes = fs::read(path).with_context(|| format!("{name} cannot be read"))?;
    Ok(File { path: name, text: String::from_utf8_lossy(&bytes).into_owned() })
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A repository of these files.
    pub(in crate::tidy) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    /// The tree of a repository of these files.
    pub(in crate::tidy) fn tree(files: &[(&str, &str)]) -> Tree {
        Tree::read(folder(files).path()).unwrap()
    }

    #[test]
    fn build_output_and_hidden_folders_are_not_ours() {
        let tree = tree(&[
            ("crates/a/src/lib.rs", ""),
            ("crates/a/target/x.rs", ""),
            ("crates/.x/y.rs", ""),
            ("web/z.rs", ""),
        ]);
        let paths: Vec<_> = tree.rust.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["crates/a/src/lib.rs"]);
    }
}
