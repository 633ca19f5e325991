//! The streaming cases of `slt/stream` that are one query over one table, run as a batch with the
//! expressions of the `flink` dialect and compared with the table Flink left.
//!
//! Left out: cases with state, with nested columns, with computed columns, and what belongs to a
//! format rather than to an expression.

use crate::plan::Session;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FOLDERS: [&str; 8] = ["cast", "decimal", "dst", "filter", "project", "text", "time", "types"];
/// What makes a case one of another kind.
const OTHER: [&str; 24] = [
    " ROW<",
    " ROW(",
    "ARRAY<",
    "MAP<",
    "WATERMARK",
    "METADATA",
    "PRIMARY KEY",
    "'csv'",
    "'raw'",
    "timestamp-format",
    "ignore-parse-errors",
    "INSERT",
    "CREATE VIEW",
    "GROUP BY",
    "OVER (",
    "SUM(",
    "COUNT(",
    "AVG(",
    "MAX(",
    "MIN(",
    " JOIN ",
    "UNNEST",
    "NOT NULL",
    " AS (",
];

struct Case {
    path: PathBuf,
    blocks: Vec<(String, String)>,
}

impl Case {
    fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut blocks: Vec<(String, String)> = Vec::new();
        let mut inside = false;
        for line in text.lines() {
            match (inside, line) {
                (true, "----") => inside = false,
                (true, line) => {
                    let (_, block) = blocks.last_mut().unwrap();
                    block.push_str(line);
                    block.push('\n');
                }
                (false, line) if line.is_empty() || line.starts_with('#') => {}
                (false, keyword) => {
                    blocks.push((keyword.split(' ').next().unwrap().into(), String::new()));
                    inside = true;
                }
            }
        }
        Self { path, blocks }
    }

    fn block(&self, keyword: &str) -> Option<&str> {
        let mut found = self.blocks.iter().filter(|(one, _)| one == keyword);
        found.next().map(|(_, text)| text.as_str()).filter(|_| found.next().is_none())
    }

    /// The table's name, and name and type of each column.
    fn table(&self) -> Option<(&str, Vec<(&str, &str)>)> {
        let script = self.block("script")?;
        let query = self.block("query")?;
        if OTHER.iter().any(|word| script.contains(word) || query.contains(word)) {
            return None;
        }
        let (_, rest) = script.split_once("CREATE TABLE ")?;
        let (name, rest) = rest.split_once(" (")?;
        let (columns, rest) = rest.split_once(") WITH")?;
        if rest.contains("CREATE ") {
            return None;
        }
        if columns.contains(" AS ") || columns.contains("``") || columns.contains("`My Name`") {
            return None;
        }
        let columns = columns.trim().split(",\n").map(|line| line.trim().split_once(' '));
        Some((name, columns.collect::<Option<Vec<_>>>()?))
    }

    fn zone(&self) -> &str {
        let set =
            self.block("script").and_then(|s| s.split_once("SET 'table.local-time-zone' = '"));
        set.and_then(|(_, rest)| rest.split_once('\'')).map_or("UTC", |(zone, _)| zone)
    }

    /// The input as texts.
    fn input(&self, columns: &[(&str, &str)]) -> Option<RecordBatch> {
        let rows = self.block("input")?.lines().map(|line| {
            let row: HashMap<String, &RawValue> = serde_json::from_str(line).ok()?;
            let texts = columns.iter().map(|(name, data_type)| {
                let value = row.get(name.trim_matches('`'))?.get();
                let text = match value {
                    "null" => return None,
                    _ if value.starts_with('"') => serde_json::from_str(value).unwrap(),
                    _ => value.to_string(),
                };
                let instant = data_type.starts_with("TIMESTAMP_LTZ");
                Some(if instant { text.trim_end_matches('Z').to_string() } else { text })
            });
            Some(texts.collect::<Vec<Option<String>>>())
        });
        let rows = rows.collect::<Option<Vec<_>>>()?;
        let arrays = columns.iter().enumerate().map(|(index, (name, _))| {
            let values = rows.iter().map(|row| row[index].clone()).collect::<StringArray>();
            (name.trim_matches('`').to_string(), Arc::new(values) as ArrayRef)
        });
        RecordBatch::try_from_iter(arrays).ok()
    }

    /// What differs; `None` where the case is of another kind.
    async fn judge(&self) -> Option<Result<(), String>> {
        let (table, columns) = self.table()?;
        let input = self.input(&columns)?;
        // A format reads instants in UTC.
        let reader = Session::new("UTC");
        reader.context.register_batch("input", input).unwrap();
        let list: Vec<_> = columns
            .iter()
            .map(|(name, data_type)| format!("TRY_CAST({name} AS {data_type}) AS {name}"))
            .collect();
        let batches = reader.batches(&format!("SELECT {} FROM input", list.join(", "))).await;
        let batches = match batches {
            Ok(batches) => batches,
            Err(error) => return Some(Err(format!("input: {error}"))),
        };
        let session = Session::new(self.zone());
        let all = datafusion::arrow::compute::concat_batches(&batches.first()?.schema(), &batches);
        session.context.register_batch(table, all.unwrap()).unwrap();
        Some(self.compare(session.query(self.block("query")?.trim()).await))
    }

    fn compare(&self, answer: Result<crate::plan::Answer, String>) -> Result<(), String> {
        let expected = self.block("expect");
        match (answer, expected) {
            (Err(_), None) => Ok(()),
            (Err(error), Some(_)) => Err(error),
            (Ok(answer), None) => Err(format!("Flink fails, ours gives {:?}", answer.rows)),
            (Ok(answer), Some(expected)) => {
                let mut ours: Vec<_> = answer.rows.iter().map(|row| row[2..].to_string()).collect();
                let mut flinks: Vec<_> = expected.lines().map(str::to_string).collect();
                ours.sort();
                flinks.sort();
                if ours == flinks {
                    return Ok(());
                }
                let only = |a: &[String], b: &[String]| -> Vec<String> {
                    a.iter().filter(|row| !b.contains(row)).cloned().collect()
                };
                Err(format!("Flink {:#?}\nours {:#?}", only(&flinks, &ours), only(&ours, &flinks)))
            }
        }
    }
}

#[tokio::test]
async fn stateless_cases_come_out_as_in_flink() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../slt/stream");
    let (mut ran, mut wrong) = (0, Vec::new());
    for folder in FOLDERS {
        let mut paths: Vec<_> = std::fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
            .collect();
        paths.sort();
        // How a format takes what is no value, or has too many digits, is the format's.
        let formats = [
            "project/json_error.slt",
            "types/decimal_too_large.slt",
            "types/timestamp_precision.slt",
        ];
        let paths = paths.into_iter().filter(|path| !formats.iter().any(|one| path.ends_with(one)));
        for path in paths {
            let case = Case::read(path);
            let Some(result) = case.judge().await else { continue };
            ran += 1;
            if let Err(difference) = result {
                wrong.push(format!("{}:\n{difference}", case.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {ran} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(ran > 60, "only {ran} cases ran");
}
