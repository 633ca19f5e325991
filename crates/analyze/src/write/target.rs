//! The table an `INSERT` writes, and which of its columns.
//!
//! Guarantees: every column is named once; those not named are null, which they must allow.
//! Left out: defaults. A column that is not named has none but null.

use super::assign::{Assignment, Source};
use super::temporary::Temporary;
use crate::error::AnalyzeError;
use crate::session::Session;
use crate::tables;
use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};
use std::sync::Arc;
use tradewind_lake::{LakeBatch, LakeTable};
use tradewind_sql::Dialect;

/// Where rows go.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Lake(Arc<LakeTable>),
    Temporary(Arc<Temporary>),
}

/// Rows on their way there: none of them is in the table before `commit`.
pub(crate) enum Batch {
    Lake(LakeBatch),
    Temporary(Arc<Temporary>, Vec<RecordBatch>),
}

/// A table and the columns that rows bring.
pub(crate) struct Target {
    /// As SQL knows it.
    name: String,
    store: Store,
    schema: SchemaRef,
    /// The columns rows bring, as places in the table's schema.
    places: Vec<usize>,
    /// No columns were named: rows may bring fewer, as in PostgreSQL.
    unnamed: bool,
}

impl Target {
    /// `columns` are as written in the statement; none means all.
    pub(crate) fn find(
        session: &Session,
        dialect: Dialect,
        name: &str,
        columns: &[String],
    ) -> Result<Self, AnalyzeError> {
        let (name, store) = match session.temporaries().get(name) {
            Some(table) => (name.to_string(), Store::Temporary(table)),
            None => {
                let (name, table) = tables::lake_table(session.platform(), dialect, name)?;
                (name, Store::Lake(table))
            }
        };
        let all = Self::all(&name, store);
        let mut places = Vec::with_capacity(columns.len());
        for column in columns {
            let place = place_of(&name, all.schema.fields(), column, dialect)?;
            if places.contains(&place) {
                let message = format!("column \"{column}\" is named twice");
                return Err(AnalyzeError::user(message));
            }
            places.push(place);
        }
        match columns.is_empty() {
            true => Ok(all),
            false => Ok(Self { places, unnamed: false, ..all }),
        }
    }

    /// All columns of a table.
    pub(crate) fn all(name: &str, store: Store) -> Self {
        let schema = match &store {
            Store::Lake(table) => Arc::clone(table.visible_schema()),
            Store::Temporary(table) => Arc::clone(table.schema()),
        };
        let places = (0..schema.fields().len()).collect();
        Self { name: name.to_string(), store, schema, places, unnamed: true }
    }

    /// The columns that rows bring, in their order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &FieldRef> {
        self.places.iter().map(|place| &self.schema.fields()[*place])
    }

    /// A batch of rows to be.
    pub(crate) fn batch(&self) -> Batch {
        match &self.store {
            Store::Lake(table) => Batch::Lake(table.batch()),
            Store::Temporary(table) => Batch::Temporary(Arc::clone(table), Vec::new()),
        }
    }

    /// How rows of these columns become the table's.
    ///
    /// # Errors
    /// Too many or too few of them, a type that is not assigned to the column's, a column that is
    /// not brought and may not be null.
    pub(crate) fn assignment(&self, sources: &[Source]) -> Result<Assignment, AnalyzeError> {
        let (given, wanted) = (sources.len(), self.places.len());
        if given > wanted || (given < wanted && !self.unnamed) {
            let than = if given > wanted { "more" } else { "fewer" };
            let message = format!(
                "there are {than} values ({given}) than columns of \"{}\" ({wanted})",
                self.name
            );
            return Err(AnalyzeError::user(message));
        }
        let mut assignment = Assignment::new(&self.name, &self.schema);
        for (index, (source, place)) in sources.iter().zip(&self.places).enumerate() {
            assignment.assign(*place, index, source)?;
        }
        assignment.check_missing()?;
        Ok(assignment)
    }
}

impl Batch {
    pub(crate) async fn write(&mut self, rows: RecordBatch) -> Result<(), AnalyzeError> {
        match self {
            Self::Lake(batch) => batch.write(&rows).await?,
            Self::Temporary(_, batches) => batches.push(rows),
        }
        Ok(())
    }

    pub(crate) async fn commit(self) -> Result<u64, AnalyzeError> {
        match self {
            Self::Lake(batch) => Ok(batch.commit().await?),
            Self::Temporary(table, batches) => {
                let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
                table.add(batches)?;
                Ok(rows)
            }
        }
    }
}

/// The place of the column a name means.
pub(crate) fn place_of(
    table: &str,
    fields: &[FieldRef],
    column: &str,
    dialect: Dialect,
) -> Result<usize, AnalyzeError> {
    if let Some(exact) = fields.iter().position(|field| field.name() == column) {
        return Ok(exact);
    }
    let near = |field: &FieldRef| field.name().eq_ignore_ascii_case(column);
    let mut folded = (0..fields.len()).filter(|place| near(&fields[*place]));
    match (dialect, folded.next(), folded.next()) {
        (Dialect::Postgres, Some(only), None) => Ok(only),
        _ => {
            let message = format!("column \"{column}\" of table \"{table}\" does not exist");
            let known = fields.iter().map(|field| field.name().as_str());
            Err(AnalyzeError::user(message).did_you_mean(column, known))
        }
    }
}
