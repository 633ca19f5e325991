//! Text files as a table: rows decoded on as many threads as the session has partitions.
//!
//! Guarantees: only the columns a query names are decoded; at most [`BATCHES_AHEAD`] batches a
//! thread wait to be taken; a dropped query stops its readers at the next batch; errors name file
//! and line.
//! Left out: filters, which the engine applies, and Parquet, which DataFusion reads.

use super::column::{Column, FieldColumns};
use super::input::{Chunk, Input, Layout, ReadFault, Records};
use super::{Kind, csv, json};
use crate::error::AnalyzeError;
use arrow::array::{RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use std::sync::Arc;

/// Decoded batches that may wait for the engine, per thread.
const BATCHES_AHEAD: usize = 2;
/// A plain file is split among threads in parts of at least this size.
const SPLIT_BYTES_MIN: u64 = 4 << 20;

/// Files of one kind and one schema.
#[derive(Debug)]
pub(super) struct TextTable {
    pub(super) kind: Kind,
    pub(super) schema: SchemaRef,
    pub(super) inputs: Vec<Arc<Input>>,
}

#[async_trait]
impl TableProvider for TextTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => Arc::clone(&self.schema),
        };
        let parts = state.config().target_partitions().max(1);
        let partitions = self.parts(parts).into_iter().map(|chunks| {
            Arc::new(Part {
                kind: self.kind,
                schema: Arc::clone(&wanted),
                chunks,
                batch_rows: state.config().batch_size(),
            }) as Arc<dyn PartitionStream>
        });
        let partitions = partitions.collect();
        let exec = StreamingTableExec::try_new(
            wanted,
            partitions,
            None,
            std::iter::empty(),
            false,
            limit,
        )?;
        Ok(Arc::new(exec))
    }
}

impl TextTable {
    /// The files in at most `parts` lists of about the same size.
    fn parts(&self, parts: usize) -> Vec<Vec<Chunk>> {
        let total: u64 = self.inputs.iter().map(|input| input.len).sum();
        let share = (total / parts as u64 + 1).max(SPLIT_BYTES_MIN);
        let mut lists = vec![Vec::new()];
        let mut filled = 0;
        for input in &self.inputs {
            for chunk in self.chunks(input, share) {
                let bytes = chunk.range.as_ref().map_or(input.len, |range| range.end - range.start);
                if filled >= share && lists.len() < parts {
                    lists.push(Vec::new());
                    filled = 0;
                }
                filled += bytes;
                lists.last_mut().expect("starts with one list").push(chunk);
            }
        }
        lists
    }

    fn chunks(&self, input: &Arc<Input>, share: u64) -> Vec<Chunk> {
        let whole = Chunk { input: Arc::clone(input), range: None };
        let splittable = match self.kind {
            Kind::Csv => false,
            Kind::Lines => true,
            Kind::Json => input.len > share && matches!(layout_of(input), Ok(Layout::Lines)),
        };
        if input.gzip || !splittable || input.len <= share {
            return vec![whole];
        }
        let cuts = (0..input.len).step_by(share as usize);
        cuts.map(|start| Chunk {
            input: Arc::clone(input),
            range: Some(start..(start + share).min(input.len)),
        })
        .collect()
    }
}

/// A JSON file's layout by its first record: an object that ends on its line means lines.
pub(super) fn layout_of(input: &Arc<Input>) -> Result<Layout, ReadFault> {
    let chunk = Chunk { input: Arc::clone(input), range: None };
    let mut records = Records::open(&chunk, Layout::Lines)?;
    while let Some((line, _)) = records.next()? {
        if line.trim_ascii().is_empty() {
            continue;
        }
        return Ok(match line.trim_ascii_start().first() {
            Some(b'[') => Layout::Values,
            // A whole object on the next line: then the first is wrong, not the layout.
            Some(b'{') if !json::is_object(line) => match records.next()? {
                Some((next, _)) if json::is_object(next) => Layout::Lines,
                _ => Layout::Values,
            },
            _ => Layout::Lines,
        });
    }
    Ok(Layout::Lines)
}

/// What one thread reads.
#[derive(Debug)]
struct Part {
    kind: Kind,
    schema: SchemaRef,
    chunks: Vec<Chunk>,
    batch_rows: usize,
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder =
            RecordBatchReceiverStream::builder(Arc::clone(&self.schema), BATCHES_AHEAD);
        let out = builder.tx();
        let (kind, schema, chunks) = (self.kind, Arc::clone(&self.schema), self.chunks.clone());
        let batch_rows = self.batch_rows;
        builder.spawn_blocking(move || {
            for chunk in &chunks {
                let mut emit = |batch: RecordBatch| out.blocking_send(Ok(batch)).is_ok();
                match read_chunk(kind, chunk, &schema, batch_rows, &mut emit) {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(fault) => return Err(DataFusionError::from(explain(&chunk.input, fault))),
                }
            }
            Ok(())
        });
        builder.build()
    }
}

/// Names the file and the line of what went wrong.
pub(super) fn explain(input: &Input, fault: ReadFault) -> AnalyzeError {
    let path = input.path.display();
    match fault {
        ReadFault::Io(error) => AnalyzeError::environment(format!("{path}: {error}")),
        ReadFault::Content { position, reason } => {
            let line = input.line_at(position).unwrap_or(0);
            AnalyzeError::user(format!("{path}, line {line}: {reason}"))
        }
    }
}

/// Hands a batch on; `false` when nobody wants more.
type Emit<'a> = &'a mut dyn FnMut(RecordBatch) -> bool;

fn read_chunk(
    kind: Kind,
    chunk: &Chunk,
    schema: &SchemaRef,
    batch_rows: usize,
    emit: Emit<'_>,
) -> Result<bool, ReadFault> {
    match kind {
        Kind::Json => read_json(chunk, schema, batch_rows, emit),
        Kind::Lines => read_lines(chunk, schema, batch_rows, emit),
        Kind::Csv => read_csv(chunk, schema, batch_rows, emit),
    }
}

fn read_json(
    chunk: &Chunk,
    schema: &SchemaRef,
    batch_rows: usize,
    emit: Emit<'_>,
) -> Result<bool, ReadFault> {
    let layout = match chunk.range {
        Some(_) => Layout::Lines,
        None => layout_of(&chunk.input)?,
    };
    let mut records = Records::open(chunk, layout)?;
    let mut columns = FieldColumns::new(schema.fields());
    let mut rows = 0;
    while let Some((record, position)) = records.next()? {
        if record.trim_ascii().is_empty() {
            continue;
        }
        json::decode(record, &mut columns, rows)
            .map_err(|reason| ReadFault::Content { position, reason })?;
        rows += 1;
        if rows == batch_rows {
            if !emit(batch(schema, columns.finish(), rows)) {
                return Ok(false);
            }
            rows = 0;
        }
    }
    Ok(rows == 0 || emit(batch(schema, columns.finish(), rows)))
}

/// Text that is not UTF-8 is shown with U+FFFD in place of its broken bytes: access logs hold
/// whatever a client sent.
fn read_lines(
    chunk: &Chunk,
    schema: &SchemaRef,
    batch_rows: usize,
    emit: Emit<'_>,
) -> Result<bool, ReadFault> {
    let mut records = Records::open(chunk, Layout::Lines)?;
    let wanted = !schema.fields().is_empty();
    let mut lines = StringBuilder::new();
    let mut rows = 0;
    let mut finish = |lines: &mut StringBuilder, rows: usize| {
        let columns = if wanted { vec![Arc::new(lines.finish()) as _] } else { Vec::new() };
        emit(batch(schema, columns, rows))
    };
    while let Some((line, _)) = records.next()? {
        if wanted {
            lines.append_value(String::from_utf8_lossy(line));
        }
        rows += 1;
        if rows == batch_rows {
            if !finish(&mut lines, rows) {
                return Ok(false);
            }
            rows = 0;
        }
    }
    Ok(rows == 0 || finish(&mut lines, rows))
}

fn read_csv(
    chunk: &Chunk,
    schema: &SchemaRef,
    batch_rows: usize,
    emit: Emit<'_>,
) -> Result<bool, ReadFault> {
    let (form, names) = csv::Form::of(&chunk.input)?;
    let mut wanted = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        // A file without the column has no such field in any row: all null.
        let at = names.iter().position(|name| name == field.name()).unwrap_or(usize::MAX);
        wanted.push((at, field.name().clone()));
    }
    let new_columns = || schema.fields().iter().map(|field| Column::new(field.data_type()));
    let mut columns: Vec<Column> = new_columns().collect();
    let mut rows = form.rows(&chunk.input)?;
    let mut count = 0;
    let mut finish = |columns: &mut Vec<Column>, count: usize| {
        emit(batch(schema, columns.iter_mut().map(Column::finish).collect(), count))
    };
    while let Some(row) = rows.next()? {
        csv::decode(row, &wanted, &mut columns)?;
        count += 1;
        if count == batch_rows {
            if !finish(&mut columns, count) {
                return Ok(false);
            }
            count = 0;
        }
    }
    Ok(count == 0 || finish(&mut columns, count))
}

fn batch(schema: &SchemaRef, columns: Vec<arrow::array::ArrayRef>, rows: usize) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .expect("one column a field, each of the field's type and all of one length")
}

/// A table of the column `line`.
pub(super) fn lines_schema() -> SchemaRef {
    use arrow::datatypes::{DataType, Field};
    Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8, false)]))
}
