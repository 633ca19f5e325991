//! System tables: `sys.tables`, `sys.columns`, `sys.topics`, `sys.partitions`, `sys.settings`, those
//! of pipelines and of consumer groups beside this.
//!
//! Guarantees: a table is what it describes at the moment the query is planned.
//! Left out: history. Counters over time are at `/metrics`.

use crate::error::AnalyzeError;
use crate::groups;
use crate::platform::{Platform, SYS};
use crate::sys_pipelines;
use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::Field;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use std::sync::Arc;
use tradewind_sql::catalogue::{Definition, Relation};
use tradewind_sql::{Connector, PipelineStatement, type_name};
use tradewind_types::log::PartitionFigures;

/// The system tables, by name.
pub(crate) const TABLES: [&str; 9] = [
    "columns",
    "consumer_groups",
    "operators",
    "partitions",
    "pipeline_sources",
    "pipelines",
    "settings",
    "tables",
    "topics",
];

/// A table of schema `sys`.
pub(crate) async fn table(
    platform: &Platform,
    name: &str,
) -> Result<Arc<dyn TableProvider>, AnalyzeError> {
    let batch = match name {
        "tables" => tables(platform),
        "columns" => columns(platform),
        "topics" => topics(platform),
        "consumer_groups" => groups::table(platform).await?,
        "partitions" => partitions(platform),
        "pipelines" => sys_pipelines::pipelines(platform).await,
        "pipeline_sources" => sys_pipelines::sources(platform).await,
        "operators" => sys_pipelines::operators(platform).await,
        "settings" => settings(platform),
        _ => return Err(missing(SYS, name, &TABLES)),
    };
    in_memory(batch)
}

pub(crate) fn missing(schema: &str, name: &str, known: &[&str]) -> AnalyzeError {
    let error = AnalyzeError::user(format!("table \"{schema}.{name}\" does not exist"))
        .did_you_mean(name, known.iter().copied());
    match error.hint {
        Some(_) => error,
        None => error.hint(format!("there are: {}", known.join(", "))),
    }
}

fn in_memory(columns: Vec<(&str, ArrayRef)>) -> Result<Arc<dyn TableProvider>, AnalyzeError> {
    let columns = columns.into_iter().map(|(name, values)| (name, values, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns)
        .map_err(|error| AnalyzeError::bug(error.to_string()))?;
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}

pub(crate) fn text<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn relations(platform: &Platform) -> Vec<Arc<Relation>> {
    platform.parts().catalogue.as_ref().map_or_else(Vec::new, |catalogue| catalogue.relations())
}

fn kind(relation: &Relation) -> &'static str {
    match &relation.definition {
        Definition::View(_) => "view",
        Definition::MaterializedView(_) => "materialized view",
        Definition::Table(table) => match table.connector {
            Connector::Lake => "table",
            Connector::Topic(_) => "topic",
            _ => "connector",
        },
    }
}

fn tables(platform: &Platform) -> Vec<(&'static str, ArrayRef)> {
    let relations = relations(platform);
    let owners: Vec<String> = relations.iter().map(|each| each.owner.to_string()).collect();
    let folders = relations.iter().map(|each| {
        let table = each.table().filter(|table| table.is_lake())?;
        Some(table.folder.as_str())
    });
    vec![
        ("name", text(relations.iter().map(|each| each.name()))),
        ("kind", text(relations.iter().map(|each| kind(each)))),
        ("owner", text(owners.iter().map(String::as_str))),
        ("sql", text(relations.iter().map(|each| each.sql()))),
        ("folder", Arc::new(StringArray::from_iter(folders))),
    ]
}

/// A column of a table or declared topic.
struct ColumnRow {
    table: String,
    position: i32,
    name: String,
    data_type: String,
    nullable: bool,
}

fn all_columns(platform: &Platform) -> Vec<ColumnRow> {
    let mut rows = Vec::new();
    for relation in relations(platform) {
        let name = relation.name().to_string();
        let columns: Vec<(String, String, bool)> = match relation.table() {
            Some(table) => {
                let of = |field: &Arc<Field>| {
                    (field.name().clone(), type_name(field.data_type()), field.is_nullable())
                };
                table.schema().fields().iter().map(of).collect()
            }
            None => kept_columns(platform, &name),
        };
        for (position, (column, data_type, nullable)) in (1..).zip(columns) {
            let table = name.clone();
            rows.push(ColumnRow { table, position, name: column, data_type, nullable });
        }
    }
    rows
}

/// The columns of a materialized view, as its pipeline was planned.
fn kept_columns(platform: &Platform, name: &str) -> Vec<(String, String, bool)> {
    let catalogue = platform.parts().catalogue.as_ref();
    let pipeline = catalogue.and_then(|catalogue| catalogue.pipeline(name));
    let pipeline = pipeline.filter(|one| matches!(one.statement, PipelineStatement::View(_)));
    let columns = pipeline.map_or_else(Vec::new, |pipeline| pipeline.columns.clone());
    columns.into_iter().map(|(name, data_type)| (name, data_type, true)).collect()
}

fn columns(platform: &Platform) -> Vec<(&'static str, ArrayRef)> {
    let rows = all_columns(platform);
    vec![
        ("table_name", text(rows.iter().map(|row| row.table.as_str()))),
        ("position", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.position)))),
        ("name", text(rows.iter().map(|row| row.name.as_str()))),
        ("data_type", text(rows.iter().map(|row| row.data_type.as_str()))),
        ("nullable", text(rows.iter().map(|row| yes_no(row.nullable)))),
    ]
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}

/// One row a partition.
fn topics(platform: &Platform) -> Vec<(&'static str, ArrayRef)> {
    let (mut names, mut partitions) = (Vec::new(), Vec::new());
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    let mut settings = Vec::new();
    if let Some(log) = &platform.parts().log {
        for topic in log.topics() {
            for partition in 0..topic.partitions {
                let marks = log.watermarks(&topic.name, partition).ok();
                names.push(topic.name.clone());
                partitions.push(partition);
                starts.push(marks.map(|marks| marks.log_start));
                ends.push(marks.map(|marks| marks.high_watermark));
                let own = topic.settings.iter().map(|(name, value)| format!("{name}={value}"));
                settings.push(own.collect::<Vec<_>>().join(" "));
            }
        }
    }
    let records = starts.iter().zip(&ends).map(|(start, end)| Some((*end)? - (*start)?));
    let records = Int64Array::from_iter(records);
    vec![
        ("name", text(names.iter().map(String::as_str))),
        ("partition", Arc::new(Int32Array::from(partitions))),
        ("log_start", Arc::new(Int64Array::from(starts))),
        ("high_watermark", Arc::new(Int64Array::from(ends))),
        ("records", Arc::new(records)),
        ("settings", text(settings.iter().map(String::as_str))),
    ]
}

/// One row a partition: what it takes on disk.
fn partitions(platform: &Platform) -> Vec<(&'static str, ArrayRef)> {
    let rows = platform.parts().log.as_ref().map_or_else(Vec::new, |log| log.figures());
    let number = |of: fn(&PartitionFigures) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(of)))
    };
    let time = |of: fn(&PartitionFigures) -> Option<i64>| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from_iter(rows.iter().map(of)).with_timezone("UTC"))
    };
    let numbers = rows.iter().map(|row| row.partition);
    vec![
        ("topic", text(rows.iter().map(|row| row.topic.as_str()))),
        ("partition", Arc::new(Int32Array::from_iter_values(numbers))),
        ("log_start", number(|row| row.watermarks.log_start)),
        ("high_watermark", number(|row| row.watermarks.high_watermark)),
        ("records", number(|row| row.watermarks.high_watermark - row.watermarks.log_start)),
        ("bytes", number(|row| i64::try_from(row.bytes).unwrap_or(i64::MAX))),
        ("segments", number(|row| i64::try_from(row.segments).unwrap_or(i64::MAX))),
        ("compacted_to", number(|row| row.compacted_to)),
        ("oldest_at", time(|row| row.oldest_ms)),
        ("newest_at", time(|row| row.newest_ms)),
        (
            "offline",
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.offline.as_deref()))),
        ),
    ]
}

fn settings(platform: &Platform) -> Vec<(&'static str, ArrayRef)> {
    let rows = &platform.parts().configuration;
    let places = rows.iter().map(|row| row.place.as_deref());
    vec![
        ("name", text(rows.iter().map(|row| row.name.as_str()))),
        ("value", text(rows.iter().map(|row| row.value.as_str()))),
        ("default", text(rows.iter().map(|row| row.default.as_str()))),
        ("source", text(rows.iter().map(|row| row.source.as_str()))),
        ("place", Arc::new(StringArray::from_iter(places))),
        ("description", text(rows.iter().map(|row| row.description.as_str()))),
    ]
}
