//! Tables: one source each, and its watermark behind it.
//!
//! Guarantees: what is read of a table is what all who read it need together.

use super::super::context::StreamTable;
use super::super::event_time::EventTime;
use super::super::needs::Need;
use super::super::stream_plan::{Read, SourcePlan};
use super::super::{prefilter, refusal};
use super::{Lowering, Made, Rows, Step};
use crate::stream::source::{ReadColumn, ReadFrom};
use arrow::datatypes::{DataType, Field};
use datafusion::logical_expr::{Filter, TableScan};
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewind_dataflow::operator::AssignWatermark;
use tradewind_dataflow::{Hidden, OperatorKind};
use tradewind_sql::SqlError;

/// What is wanted of tables by all parts of a plan together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Wanted {
    tables: BTreeMap<String, Vec<Need>>,
    event_times: BTreeMap<String, Vec<Need>>,
    /// How many parts read a table.
    readers: BTreeMap<String, usize>,
}

impl Wanted {
    /// What a pass starts from.
    pub(super) fn before_a_pass(&self) -> Self {
        Self { readers: BTreeMap::new(), ..self.clone() }
    }
}

fn add(all: &mut BTreeMap<String, Vec<Need>>, table: &str, needs: &[Need]) -> Vec<Need> {
    let known = all.entry(table.to_string()).or_default();
    known.resize(needs.len(), Need::Nothing);
    for (known, need) in known.iter_mut().zip(needs) {
        known.add(need.clone());
    }
    known.clone()
}

impl Lowering {
    pub(super) fn source(&mut self, scan: &TableScan, needs: &[Need]) -> Result<Rows, SqlError> {
        let Some(table) = scan.source.downcast_ref::<StreamTable>() else {
            return Err(refusal(format!("{} is no stream", scan.table_name)));
        };
        let definition = &table.definition;
        *self.found.readers.entry(definition.name.clone()).or_default() += 1;
        let needs = add(&mut self.found.tables, &definition.name, needs);
        if let Some((read, rows)) = self.tables.get(&definition.name)
            && *read == needs
        {
            return rows.clone().renamed(&scan.projected_schema);
        }
        let (mut columns, mut reads) = (Vec::new(), Vec::new());
        for (index, need) in needs.iter().enumerate().filter(|(_, need)| **need != Need::Nothing) {
            let (_, field) = scan.projected_schema.qualified_field(index);
            let pruned = Field::clone(field).with_data_type(need.prune(field.data_type()));
            let from = ReadFrom::of(definition, field.name()).map_err(|reason| {
                refusal(format!("column {:?} of {:?}: {reason}", field.name(), definition.name))
            })?;
            columns.push((index, Arc::new(pruned.clone())));
            reads.push(ReadColumn { field: Arc::new(pruned), from });
        }
        let read = Read { columns: reads, prefilters: Vec::new() };
        let number = self.sources.len();
        let step = Step::Other(OperatorKind::Source(number));
        let node = self.draft.add(step, Vec::new(), read.schema(), Hidden::ORIGIN)?;
        let definition = definition.clone();
        let name = definition.name.clone();
        self.sources.push(SourcePlan { definition, read, has_watermark: false });
        let rows = Rows::new(node, columns, &scan.projected_schema, None)?;
        self.tables.insert(name, (needs, rows.clone()));
        Ok(rows)
    }

    /// Lets the decoder pass over what a filter straight behind it would throw away.
    pub(super) fn prefilter(&mut self, node: &Filter, input: &Rows) {
        let Some(number) = self.draft.as_source(input.node) else { return };
        let source = &mut self.sources[number];
        // Others would miss the rows passed over.
        if self.known.readers.get(&source.definition.name) != Some(&1) {
            return;
        }
        if !prefilter::reads_text(&source.definition) {
            return;
        }
        for (column, values) in prefilter::of(&node.predicate) {
            let Some(index) = input.schema.maybe_index_of_column(column) else { continue };
            let Some(read) = source.read.columns.get(index) else { continue };
            if read.from == ReadFrom::Value && *read.field.data_type() == DataType::Utf8 {
                let field = read.field.name().clone();
                source.read.prefilters.push(crate::stream::source::Prefilter { field, values });
            }
        }
    }

    /// A table's rows with its watermark noted beside them.
    pub(super) fn event_time(
        &mut self,
        node: &EventTime,
        needs: &[Need],
    ) -> Result<Rows, SqlError> {
        let needs = add(&mut self.found.event_times, &node.table, needs);
        if let Some((read, rows)) = self.event_times.get(&node.table)
            && *read == needs
        {
            return rows.clone().renamed(node.columns());
        }
        let mut wanted = needs.clone();
        let last = wanted.len();
        wanted.push(Need::Whole);
        let input = self.node(&node.input, wanted)?;
        let (mut made, mut fields, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        let mut watermark = None;
        for (place, (index, field)) in input.columns.iter().enumerate() {
            let column = Made::column(field.name(), place);
            if *index == last {
                watermark = Some((column, field.clone()));
            } else if needs[*index] != Need::Nothing {
                made.push(column);
                fields.push(field.clone());
                columns.push((*index, field.clone()));
            }
        }
        let (watermark, field) = watermark.ok_or_else(|| refusal("the watermark was lost"))?;
        fields.push(field);
        made.push(watermark);
        let before = self.projection(input.node, made, fields.clone())?;
        let column = fields.len() - 1;
        fields.pop();
        let hidden = Hidden { watermark: true, ..self.draft.hidden(before) };
        let schema = hidden.behind(&arrow::datatypes::Schema::new(fields));
        let step = Step::Other(OperatorKind::AssignWatermark(AssignWatermark { column }));
        let marked = self.draft.add(step, vec![before], schema, hidden)?;
        let source = self.sources.iter_mut().find(|source| source.definition.name == node.table);
        if let Some(source) = source {
            source.has_watermark = true;
        }
        let rows = Rows::new(marked, columns, node.columns(), None)?;
        self.event_times.insert(node.table.clone(), (needs, rows.clone()));
        Ok(rows)
    }
}
