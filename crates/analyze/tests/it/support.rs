//! Sessions to ask, and answers as text.

use arrow::util::pretty::pretty_format_batches;
use std::path::Path;
use tradewind_analyze::{AnalyzeError, AnalyzeSettings, Answer, Platform, PlatformParts, Session};

/// A session that has files only.
pub(crate) fn files_only() -> Session {
    with_threads(2)
}

pub(crate) fn with_threads(threads: usize) -> Session {
    let settings = AnalyzeSettings { threads, ..AnalyzeSettings::default() };
    Platform::new(PlatformParts { settings, ..PlatformParts::default() }).unwrap().session()
}

/// A script's last answer: each row's values with `|` between, rows on lines.
pub(crate) async fn ask(session: &mut Session, sql: &str) -> Result<String, AnalyzeError> {
    let rows = match session.execute(sql).await? {
        Answer::Rows(rows) => rows,
        Answer::Done(tag) => return Ok(tag),
        Answer::Changes(_) => panic!("{sql} has no end"),
    };
    let text = pretty_format_batches(&rows.collect().await?).unwrap().to_string();
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(1);
    let lines = lines.map(|line| {
        let cells = line.trim_matches('|').split('|').map(str::trim);
        cells.collect::<Vec<_>>().join("|")
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// The first line of an answer's table: the columns.
pub(crate) async fn columns(session: &mut Session, sql: &str) -> Vec<String> {
    match session.execute(sql).await.unwrap() {
        Answer::Rows(rows) => {
            rows.schema().fields().iter().map(|field| field.name().clone()).collect()
        }
        Answer::Done(_) | Answer::Changes(_) => Vec::new(),
    }
}

pub(crate) async fn error(session: &mut Session, sql: &str) -> String {
    match ask(session, sql).await {
        Ok(rows) => panic!("{sql} answered {rows}"),
        Err(error) => error.to_string(),
    }
}

pub(crate) fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text).unwrap();
    out.finish().unwrap()
}
