//! Which files a path given to replay means: one file, a folder's, or those a pattern matches.
//!
//! Guarantees: files come in the order of their names, the same on every machine; each has a short
//! name of its own, from which message ids are made.
//! Left out: folders within folders, and files of a folder that are neither CSV nor JSON lines
//! (they are named to the caller, not passed over in silence).

use super::ReplayError;
use super::rows::FileFormat;
use std::fs;
use std::path::{Path, PathBuf};

/// Files one replay takes: a path that matches more is a mistake.
const FILES_MAX: usize = 100_000;

/// A file to replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub format: FileFormat,
    /// Its name in message ids: the file's name without `.gz`.
    pub name: String,
    /// Its size on disk.
    pub bytes: u64,
}

/// The files `path` means, and those in it that are not ours to read. `format` overrides what the
/// names say.
pub fn inputs(
    path: &str,
    format: Option<FileFormat>,
) -> Result<(Vec<Input>, Vec<PathBuf>), ReplayError> {
    let found = if Path::new(path).is_dir() {
        matching(Path::new(path), "*")?
    } else if Path::new(path).exists() || !path.contains(['*', '?']) {
        vec![PathBuf::from(path)]
    } else {
        let (folder, pattern) = path.rsplit_once('/').unwrap_or((".", path));
        matching(Path::new(if folder.is_empty() { "/" } else { folder }), pattern)?
    };
    let single = found.len() == 1;
    let mut inputs = Vec::new();
    let mut others = Vec::new();
    for path in found {
        match format.or_else(|| FileFormat::of(&path)) {
            Some(format) => inputs.push(input(path, format)?),
            None if single => {
                let path = path.display().to_string();
                return Err(ReplayError::Format { path });
            }
            None => others.push(path),
        }
    }
    if inputs.is_empty() {
        return Err(ReplayError::NoFiles { path: path.to_owned() });
    }
    keep_names_apart(&mut inputs);
    Ok((inputs, others))
}

/// `a.csv` beside `a.csv.gz`: with one name for both, the second would pass for a duplicate of
/// the first, row by row.
fn keep_names_apart(inputs: &mut [Input]) {
    for place in 1..inputs.len() {
        let (before, from) = inputs.split_at_mut(place);
        if before.iter().any(|other| other.name == from[0].name) {
            from[0].name.push_str(".gz");
        }
    }
}

fn input(path: PathBuf, format: FileFormat) -> Result<Input, ReplayError> {
    let metadata = fs::metadata(&path)
        .map_err(|source| ReplayError::File { path: path.display().to_string(), source })?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name).to_owned();
    Ok(Input { path, format, name, bytes: metadata.len() })
}

fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, ReplayError> {
    let fail = |source| ReplayError::File { path: folder.display().to_string(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if path.is_file() && !name.starts_with('.') && wildcard(pattern, &name) {
            found.push(path);
        }
        if found.len() > FILES_MAX {
            let reason = format!("more than {FILES_MAX} files");
            return Err(fail(std::io::Error::other(reason)));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether `name` is of the form of `pattern`, where `*` is any text and `?` any one character.
fn wildcard(pattern: &str, name: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return name.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    if first == '*' {
        let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        return ends.into_iter().any(|at| wildcard(rest, &name[at..]));
    }
    let mut characters = name.chars();
    match characters.next() {
        Some(character) if first == '?' || first == character => {
            wildcard(rest, characters.as_str())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_a_pattern_and_a_file() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "b.csv.gz", "a.jsonl.gz", "notes.md", ".hidden.csv"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let at = |rest: &str| format!("{}/{rest}", folder.path().display());
        let names = |path: &str| {
            let (inputs, others) = inputs(path, None).unwrap();
            let names: Vec<_> = inputs.into_iter().map(|input| input.name).collect();
            (names, others.len())
        };
        let owned =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&at("")), (owned(&["a.jsonl", "b.csv", "b.csv.gz"]), 1));
        assert_eq!(names(&at("*.csv")), (owned(&["b.csv"]), 0));
        assert_eq!(names(&at("?.json*")), (owned(&["a.jsonl"]), 0));
        assert!(matches!(inputs(&at("c.csv"), None), Err(ReplayError::File { .. })));
        assert!(matches!(inputs(&at("notes.md"), None), Err(ReplayError::Format { .. })));
        assert!(matches!(inputs(&at("*.tsv"), None), Err(ReplayError::NoFiles { .. })));
    }
}
