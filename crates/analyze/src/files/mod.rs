//! Files in SQL: `FROM 'path'`, where the path is a file, a folder or a pattern (`*`, `?`, `[ab]`,
//! `**`) of JSON, CSV, Parquet or text files, the text kinds also as `.gz`.
//!
//! Guarantees: what a name means is decided by its ending; files that are read together must be of
//! one kind; at most [`FILES_MAX`] are.
//! Left out: object stores.

mod column;
mod csv;
mod infer;
mod input;
mod json;
mod sample;
mod scan;

use crate::error::AnalyzeError;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use input::Input;
use scan::TextTable;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// More files than this in one query are a mistake in the pattern.
const FILES_MAX: usize = 100_000;

/// What a text file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Csv,
    Lines,
}

/// The table that the files at `path` make. Opens files to find their columns.
///
/// # Errors
/// No such file, an ending nobody knows, files of different kinds, or a sample that cannot be read.
pub(crate) async fn table(
    path: &str,
    session: &dyn Session,
) -> Result<Arc<dyn TableProvider>, AnalyzeError> {
    let pattern = path.to_string();
    let found = tokio::task::spawn_blocking(move || find(&pattern)).await;
    let found = found.map_err(|error| AnalyzeError::bug(error.to_string()))??;
    match one_ending(path, &found)? {
        "parquet" => parquet(&found, session).await,
        ending => {
            let kind = kind_of(ending);
            let table = tokio::task::spawn_blocking(move || text_table(kind, found)).await;
            Ok(Arc::new(table.map_err(|error| AnalyzeError::bug(error.to_string()))??))
        }
    }
}

fn kind_of(ending: &str) -> Kind {
    match ending {
        "json" => Kind::Json,
        "csv" => Kind::Csv,
        _ => Kind::Lines,
    }
}

fn text_table(kind: Kind, paths: Vec<PathBuf>) -> Result<TextTable, AnalyzeError> {
    let mut inputs = Vec::with_capacity(paths.len());
    for path in paths {
        let len = std::fs::metadata(&path).map_err(|error| io_error(&path, &error))?.len();
        let gzip = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
        inputs.push(Arc::new(Input { path, gzip, len }));
    }
    let schema = sample::schema(kind, &inputs)?;
    Ok(TextTable { kind, schema, inputs })
}

async fn parquet(
    paths: &[PathBuf],
    session: &dyn Session,
) -> Result<Arc<dyn TableProvider>, AnalyzeError> {
    let urls = paths.iter().map(|path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        ListingTableUrl::parse(escape_pattern(&path))
    });
    let urls = urls.collect::<Result<Vec<_>, _>>()?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("");
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
    let config = config.infer_schema(session).await?;
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// A path as a `file://` address, so that its own brackets and stars are not taken for a pattern.
fn escape_pattern(path: &Path) -> String {
    let mut address = String::from("file://");
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                address.push(char::from(byte));
            }
            other => address.push_str(&format!("%{other:02X}")),
        }
    }
    address
}

/// The files a path names, in the order of their names.
fn find(path: &str) -> Result<Vec<PathBuf>, AnalyzeError> {
    let literal = Path::new(path);
    let files = match std::fs::metadata(literal) {
        Ok(facts) if facts.is_dir() => in_folder(literal)?,
        Ok(_) => vec![literal.to_path_buf()],
        Err(_) if path.contains(['*', '?', '[']) => by_pattern(path)?,
        Err(error) => return Err(missing(literal, &error)),
    };
    match files.len() {
        0 => Err(AnalyzeError::user(format!("no file is at {path:?}"))),
        1..=FILES_MAX => Ok(files),
        _ => Err(AnalyzeError::user(format!("more than {FILES_MAX} files are at {path:?}"))),
    }
}

fn missing(path: &Path, error: &std::io::Error) -> AnalyzeError {
    if error.kind() != std::io::ErrorKind::NotFound {
        return io_error(path, error);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let siblings: Vec<String> = std::fs::read_dir(folder.unwrap_or(Path::new(".")))
        .map(|entries| {
            let names = entries.flatten().map(|entry| entry.file_name());
            names.take(1_000).map(|name| name.to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    AnalyzeError::user(format!("no file is at {:?}", path.display().to_string()))
        .did_you_mean(&name, siblings.iter().map(String::as_str))
}

fn io_error(path: &Path, error: &std::io::Error) -> AnalyzeError {
    AnalyzeError::environment(format!("{}: {error}", path.display()))
}

/// The files in a folder and its sub-folders; names that start with `.` or `_` are not data.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, AnalyzeError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let entries = std::fs::read_dir(&next).map_err(|error| io_error(&next, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| io_error(&next, &error))?;
            if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
                continue;
            }
            match std::fs::metadata(entry.path()) {
                Ok(facts) if facts.is_dir() => folders.push(entry.path()),
                Ok(_) => files.push(entry.path()),
                Err(error) => return Err(io_error(&entry.path(), &error)),
            }
            if files.len() > FILES_MAX {
                return Ok(files);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn by_pattern(pattern: &str) -> Result<Vec<PathBuf>, AnalyzeError> {
    let found = glob::glob(pattern)
        .map_err(|error| AnalyzeError::user(format!("{pattern:?} is no pattern: {}", error.msg)))?;
    let mut files = Vec::new();
    for path in found.take(FILES_MAX + 1) {
        let path = path.map_err(|error| io_error(error.path(), error.error()))?;
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Endings of each kind; the first of a row is the kind's name.
const ENDINGS: [&[&str]; 4] =
    [&["json", "jsonl", "ndjson"], &["csv", "tsv"], &["parquet"], &["txt", "log"]];

/// The kind that all files have.
fn one_ending(path: &str, files: &[PathBuf]) -> Result<&'static str, AnalyzeError> {
    let first = ending_of(&files[0])?;
    match files.iter().find(|file| ending_of(file).ok() != Some(first)) {
        None => Ok(first),
        Some(other) => Err(AnalyzeError::user(format!(
            "{path:?} holds files of different kinds: {} and {}",
            files[0].display(),
            other.display()
        ))
        .hint("name one kind, as in 'folder/*.json'")),
    }
}

fn ending_of(path: &Path) -> Result<&'static str, AnalyzeError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = name.strip_suffix(".gz");
    let ending = plain.unwrap_or(&name).rsplit('.').next().unwrap_or_default();
    let kind = ENDINGS.iter().find(|names| names.contains(&ending)).map(|names| names[0]);
    match kind {
        Some("parquet") if plain.is_some() => {
            Err(AnalyzeError::user(format!("{}: Parquet is not read from .gz", path.display())))
        }
        Some(kind) => Ok(kind),
        None => Err(AnalyzeError::user(format!(
            "{}: the name's ending does not say what is in the file",
            path.display()
        ))
        .hint("known are .json .jsonl .ndjson .csv .tsv .parquet .txt .log, and .gz behind them")),
    }
}
