//! From a logical plan to the engine's operators.
//!
//! Guarantees: a table is read once, however often the plan names it; a column that no operator
//! looks at is not read, nor is a field of a row; equality of a text column with constants reaches
//! the decoder where no watermark depends on the records passed over. What an operator with state
//! needs computed is computed before it. Expressions fail on overflow, never wrap.
//! Left out: what cannot run in a stream, which the check before has refused.

mod aggregate;
mod draft;
pub(super) mod expression;
mod join;
mod relational;
mod source;
mod window;

use super::needs::{self, Need};
use super::stream_plan::{SinkPlan, SourcePlan, StreamPlan, Target};
use super::{errors, event_time, refusal, unnest, window as window_tvf};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::logical_expr::{Expr, LogicalPlan};
use draft::{Draft, Step};
use expression::Made;
use source::Wanted;
use std::collections::HashMap;
use std::sync::Arc;
use tradewind_dataflow::operator::Materialize;
use tradewind_dataflow::{Hidden, NodeIndex, OperatorKind};
use tradewind_sql::SqlError;

/// Passes over a plan until every table is known to be read for all who need it. The needs only
/// grow, and each pass hands them on to all that stands below.
const PASSES_MAX: usize = 16;

/// A plan being lowered.
pub(super) struct Lowering {
    draft: Draft,
    sources: Vec<SourcePlan>,
    /// The rows of tables, as their decoders give them, and for which needs. Where a pass finds
    /// that more is needed, it goes on with rows of its own, and there is another pass.
    tables: HashMap<String, (Vec<Need>, Rows)>,
    /// The same with their watermarks.
    event_times: HashMap<String, (Vec<Need>, Rows)>,
    /// What the pass before found to be wanted.
    known: Wanted,
    /// The same and what this pass has found.
    found: Wanted,
}

/// What a node of the plan gives.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    node: NodeIndex,
    /// For each column: its place among the columns of the logical plan, and its pruned type.
    columns: Vec<(usize, FieldRef)>,
    /// The same columns, by which expressions find their places.
    schema: DFSchemaRef,
    /// Columns of the logical plan that tell rows apart, where some do.
    key: Option<Vec<usize>>,
}

/// Where the rows of a plan go.
pub(super) struct Goal {
    pub(super) target: Target,
    /// The visible columns that go there: names and nullability; types are equal already.
    pub(super) schema: SchemaRef,
    pub(super) columns: Vec<(String, String)>,
}

/// Lowers a whole plan.
pub(super) fn lower(plan: &LogicalPlan, goal: Goal) -> Result<StreamPlan, SqlError> {
    let mut wanted = Wanted::default();
    for _ in 0..PASSES_MAX {
        let mut lowering = Lowering::new(wanted.clone());
        let needs = vec![Need::Whole; plan.schema().fields().len()];
        let rows = lowering.node(plan, needs)?;
        if lowering.found == wanted {
            return lowering.finish(rows, goal);
        }
        wanted = lowering.found;
    }
    Err(refusal("the query looks at its tables in too many ways").hint("make views of its parts"))
}

impl Lowering {
    fn new(known: Wanted) -> Self {
        Self {
            draft: Draft::default(),
            sources: Vec::new(),
            tables: HashMap::new(),
            event_times: HashMap::new(),
            found: known.before_a_pass(),
            known,
        }
    }

    fn node(&mut self, plan: &LogicalPlan, needs: Vec<Need>) -> Result<Rows, SqlError> {
        match plan {
            LogicalPlan::Projection(projection) => self.project(projection, needs),
            LogicalPlan::Filter(node) => self.filter(node, needs),
            LogicalPlan::SubqueryAlias(alias) => {
                self.node(&alias.input, needs)?.renamed(&alias.schema)
            }
            LogicalPlan::Aggregate(node) => self.aggregate(node, needs),
            LogicalPlan::Join(node) => self.join(node, needs),
            LogicalPlan::Union(node) => self.union(node, needs),
            LogicalPlan::TableScan(scan) => self.source(scan, &needs),
            LogicalPlan::Extension(extension) => {
                if let Some(node) = event_time::of(plan) {
                    return self.event_time(node, &needs);
                }
                if let Some(node) = window_tvf::of(plan) {
                    return self.window(node, needs);
                }
                match unnest::of(plan) {
                    Some(node) => self.unnest(node, needs),
                    None => {
                        Err(refusal(format!("{} does not run in a stream", extension.node.name())))
                    }
                }
            }
            other => Err(refusal(format!("this does not run in a stream: {}", other.display()))),
        }
    }

    /// The plan, its rows going where they go.
    fn finish(mut self, rows: Rows, goal: Goal) -> Result<StreamPlan, SqlError> {
        let mut places = Vec::new();
        for index in 0..goal.schema.fields().len() {
            let place = rows.columns.iter().position(|(logical, _)| *logical == index);
            places.push(place.ok_or_else(|| refusal(format!("column {index} was lost")))?);
        }
        let key = rows.key_places(&places);
        let picked = places.iter().zip(goal.schema.fields());
        let picked = picked.map(|(place, field)| Made::column(field.name(), *place)).collect();
        let hidden = self.draft.hidden(rows.node);
        let schema = hidden.behind(&goal.schema);
        let mut last = self.draft.add(Step::Project(picked), vec![rows.node], schema, hidden)?;
        let mut view = None;
        let hidden = match &goal.target {
            Target::View(_) => {
                let step = Step::Other(OperatorKind::Materialize(Materialize { key: key.clone() }));
                let schema = Hidden::CHANGES.behind(&goal.schema);
                last = self.draft.add(step, vec![last], schema, Hidden::CHANGES)?;
                view = Some(last);
                Hidden::CHANGES
            }
            _ => hidden,
        };
        let schema = hidden.behind(&goal.schema);
        let sink = Step::Other(OperatorKind::Sink(0));
        let sink = self.draft.add(sink, vec![last], schema, hidden)?;
        let (graph, places) = self.draft.finish(&[sink]);
        graph.check().map_err(|wrong| refusal(format!("the plan does not hold: {wrong}")))?;
        let sink = SinkPlan { target: goal.target, schema: goal.schema, hidden, key };
        Ok(StreamPlan {
            graph: Arc::new(graph),
            sources: self.sources,
            sinks: vec![sink],
            columns: goal.columns,
            view: view.map(|view| places[&view]),
        })
    }

    /// Adds a projection of some rows. `fields` are the columns it gives.
    fn projection(
        &mut self,
        from: NodeIndex,
        made: Vec<Made>,
        fields: Vec<FieldRef>,
    ) -> Result<NodeIndex, SqlError> {
        let hidden = self.draft.hidden(from);
        let schema = hidden.behind(&Schema::new(fields));
        self.draft.add(Step::Project(made), vec![from], schema, hidden)
    }

    /// Picks columns of a node: their places, and where they stand in `schema`.
    fn pick(
        &mut self,
        node: NodeIndex,
        picks: &[(usize, usize)],
        schema: &DFSchema,
        key: Option<Vec<usize>>,
    ) -> Result<Rows, SqlError> {
        let from = self.draft.schema(node).clone();
        let (mut made, mut fields, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for (place, logical) in picks {
            let name = schema.field(*logical).name();
            let field = Arc::new(from.field(*place).clone().with_name(name));
            made.push(Made::column(name, *place));
            fields.push(field.clone());
            columns.push((*logical, field));
        }
        let node = match picks.is_empty() {
            // Rows without any column are still to be counted.
            true => self.without_columns(node)?,
            false => self.projection(node, made, fields)?,
        };
        Rows::new(node, columns, schema, key)
    }

    /// The rows without their columns. Where they have no hidden ones either there is a constant,
    /// for a batch of no columns has no rows.
    fn without_columns(&mut self, node: NodeIndex) -> Result<NodeIndex, SqlError> {
        if self.draft.hidden(node).count() > 0 {
            return self.projection(node, Vec::new(), Vec::new());
        }
        let field = Field::new("one", arrow::datatypes::DataType::Boolean, false);
        self.projection(node, vec![Made::constant(true)], vec![Arc::new(field)])
    }
}

impl Rows {
    fn new(
        node: NodeIndex,
        columns: Vec<(usize, FieldRef)>,
        schema: &DFSchema,
        key: Option<Vec<usize>>,
    ) -> Result<Self, SqlError> {
        Ok(Self { node, schema: pruned_schema(schema, &columns)?, columns, key })
    }

    /// The same rows under the names of another node's schema.
    fn renamed(self, schema: &DFSchema) -> Result<Self, SqlError> {
        Self::new(self.node, self.columns, schema, self.key)
    }

    fn made(&self, expression: &Expr) -> Result<Made, SqlError> {
        Made::new(expression, &self.schema)
    }

    /// A computed column's field.
    fn field(&self, made: &Made, name: &str) -> Result<FieldRef, SqlError> {
        let schema = self.schema.as_arrow();
        let data_type = made.physical.data_type(schema).map_err(|error| errors::from(&error))?;
        let nullable = made.physical.nullable(schema).map_err(|error| errors::from(&error))?;
        Ok(Arc::new(Field::new(name, data_type, nullable)))
    }

    /// Where the key's columns are among those at `places`; nothing where one is not.
    fn key_places(&self, places: &[usize]) -> Vec<usize> {
        let key = self.key.iter().flatten().map(|logical| {
            let place = self.columns.iter().position(|(index, _)| index == logical)?;
            places.iter().position(|found| *found == place)
        });
        key.collect::<Option<Vec<_>>>().unwrap_or_default()
    }
}

fn pruned_schema(
    schema: &DFSchema,
    columns: &[(usize, FieldRef)],
) -> Result<DFSchemaRef, SqlError> {
    let fields = columns.iter().map(|(index, pruned)| {
        let (qualifier, field) = schema.qualified_field(*index);
        let field = Field::clone(field)
            .with_data_type(pruned.data_type().clone())
            .with_nullable(pruned.is_nullable());
        (qualifier.cloned(), Arc::new(field))
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), HashMap::new());
    schema.map(Arc::new).map_err(|error| errors::from(&error))
}

/// Adds what expressions need of a node's columns to `needs`.
fn add_needs<'a>(
    needs: &mut [Need],
    schema: &DFSchema,
    expressions: impl IntoIterator<Item = (&'a Expr, &'a Need)>,
) -> Result<(), SqlError> {
    for (expression, leaf) in expressions {
        let mut add = |column: &Column, need| {
            if let Some(index) = schema.maybe_index_of_column(column) {
                needs[index].add(need);
            }
        };
        needs::of_expression(expression, leaf, &mut add).map_err(|error| errors::from(&error))?;
    }
    Ok(())
}
