//! Answers with rows, sent as they are made.
//!
//! Guarantees: no more of an answer is in memory than a batch and what is being sent; a statement
//! ends when its client goes away, asks for that, or its time is up.
//! Left out: who asks for rows, and in which words.

use super::cancel::Flag;
use super::encode::{self, Form};
use super::failure::{Failure, cancelled, timed_out};
use super::io::Io;
use super::types;
use crate::subscribe::Place;
use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::BytesMut;
use pgwire::messages::data::{FieldDescription, RowDescription};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tradewind_analyze::{AnalyzeError, Change, Changes, Rows};

/// When a statement has to end.
#[derive(Clone, Copy)]
pub(crate) struct Until<'a> {
    /// Raised when somebody asks for it.
    pub(crate) flag: &'a Flag,
    /// How long it may take, and when that is over.
    pub(crate) deadline: Option<(Duration, Instant)>,
}

impl<'a> Until<'a> {
    pub(crate) fn new(flag: &'a Flag, time: Option<Duration>) -> Self {
        Self { flag, deadline: time.map(|time| (time, Instant::now() + time)) }
    }

    /// Does a part of the statement's work, unless it has to end before.
    pub(crate) async fn guard<S, T>(
        &self,
        io: &mut Io<S>,
        work: impl Future<Output = Result<T, AnalyzeError>>,
    ) -> Result<T, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (time, end) = self.deadline.unzip();
        tokio::select! {
            biased;
            () = self.flag.raised() => Err(cancelled()),
            () = until(end) => Err(timed_out(time.unwrap_or_default())),
            done = work => Ok(done?),
            () = io.gone() => Err(super::WireError::Cut.into()),
        }
    }
}

/// Resolves at `deadline`, or never.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Where rows come from.
pub(crate) struct RowSource {
    kind: Kind,
    schema: SchemaRef,
    /// The batch that is being sent, and its first row that is not yet.
    batch: Option<(Vec<ArrayRef>, usize, usize)>,
}

enum Kind {
    Rows(Rows),
    /// Changes of a view, and the place they take among all subscribers'.
    Changes(Changes, Place),
}

/// What becomes of a row.
pub(crate) trait Sender {
    /// In which forms columns are written.
    fn forms(&self) -> &[Form];

    /// Appends one row's messages.
    fn row(
        &mut self,
        rows: &encode::Rows<'_>,
        row: usize,
        out: &mut BytesMut,
    ) -> Result<(), arrow::error::ArrowError>;
}

/// Rows as an answer.
pub(crate) struct DataRows<'a>(pub(crate) &'a [Form]);

impl Sender for DataRows<'_> {
    fn forms(&self) -> &[Form] {
        self.0
    }

    fn row(
        &mut self,
        rows: &encode::Rows<'_>,
        row: usize,
        out: &mut BytesMut,
    ) -> Result<(), arrow::error::ArrowError> {
        rows.data_row(row, out)
    }
}

/// Rows that are passed by.
pub(crate) struct Passed;

impl Sender for Passed {
    fn forms(&self) -> &[Form] {
        &[]
    }

    fn row(
        &mut self,
        _: &encode::Rows<'_>,
        _: usize,
        _: &mut BytesMut,
    ) -> Result<(), arrow::error::ArrowError> {
        Ok(())
    }
}

impl RowSource {
    pub(crate) fn of_rows(rows: Rows) -> Self {
        let schema = rows.schema();
        Self { kind: Kind::Rows(rows), schema, batch: None }
    }

    pub(crate) fn of_changes(changes: Changes, place: Place) -> Self {
        let schema = changes_schema(&changes.schema());
        Self { kind: Kind::Changes(changes, place), schema, batch: None }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>, AnalyzeError> {
        match &mut self.kind {
            Kind::Rows(rows) => rows.next().await.transpose(),
            Kind::Changes(changes, place) => {
                let change = tokio::select! {
                    biased;
                    () = place.stopped() => return Ok(None),
                    change = changes.next() => change?,
                };
                change.map(|change| change_batch(change, &self.schema)).transpose()
            }
        }
    }

    /// Sends at most `rows_max` rows; returns how many there were and whether that were all.
    pub(crate) async fn send<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut Io<S>,
        until: Until<'_>,
        zone: &Tz,
        rows_max: Option<u64>,
        sender: &mut impl Sender,
    ) -> Result<(u64, bool), Failure> {
        let most = rows_max.unwrap_or(u64::MAX);
        let mut sent = 0;
        while sent < most {
            let (columns, next, end) = match self.batch.take() {
                Some(batch) => batch,
                None => match until.guard(io, self.next()).await? {
                    Some(batch) => (encode::brought(&batch)?, 0, batch.num_rows()),
                    None => return Ok((sent, true)),
                },
            };
            let left = usize::try_from(most - sent).unwrap_or(usize::MAX);
            let stop = end.min(next.saturating_add(left));
            let mut row = next;
            {
                let rows = encode::Rows::new(&columns, sender.forms(), zone)?;
                while row < stop && !io.full() {
                    sender.row(&rows, row, io.out())?;
                    row += 1;
                }
            }
            sent += (row - next) as u64;
            if row < end {
                self.batch = Some((columns, row, end));
            }
            // Changes are for those who wait for them.
            if io.full() || matches!(self.kind, Kind::Changes(..)) {
                io.flush().await?;
            }
        }
        Ok((sent, false))
    }
}

/// The columns of a subscription: what becomes of a row, where to go on from, then the view's.
pub(crate) fn changes_schema(view: &Schema) -> SchemaRef {
    let own = ["kind", "token"].map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
    let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
    let fields: Vec<_> = own.into_iter().chain(view.fields().iter().map(nullable)).collect();
    Arc::new(Schema::new(fields))
}

fn change_batch(change: Change, schema: &SchemaRef) -> Result<RecordBatch, AnalyzeError> {
    let (kinds, token, columns) = match change {
        Change::Rows { batch, kinds } => {
            let places = UInt64Array::from_iter_values(kinds.iter().map(|(row, _)| *row as u64));
            let columns = batch.columns().iter().map(|column| take(column, &places, None));
            let columns = columns.collect::<Result<Vec<_>, _>>();
            let columns = columns.map_err(datafusion::common::DataFusionError::from)?;
            (kinds.iter().map(|(_, kind)| kind.text()).collect(), None, Some(columns))
        }
        Change::Progress { token, .. } => (vec!["progress"], Some(token), None),
        Change::Reset => (vec!["reset"], None, None),
    };
    let rows = kinds.len();
    let token = StringArray::from(vec![token; rows]);
    let mut all: Vec<ArrayRef> = vec![Arc::new(StringArray::from(kinds)), Arc::new(token)];
    all.extend(columns.unwrap_or_else(|| {
        let fields = schema.fields().iter().skip(2);
        fields.map(|field| new_null_array(field.data_type(), rows)).collect()
    }));
    RecordBatch::try_new(Arc::clone(schema), all)
        .map_err(|error| AnalyzeError::bug(error.to_string()))
}

/// What rows are to be expected.
pub(crate) fn description(schema: &Schema, forms: &[Form]) -> RowDescription {
    let fields = schema.fields().iter().enumerate().map(|(index, field)| {
        let of = types::of_field(field);
        let form = i16::from(forms.get(index) == Some(&Form::Binary));
        FieldDescription::new(
            field.name().clone(),
            0,
            0,
            of.oid(),
            types::size(&of),
            types::modifier(field.data_type()),
            form,
        )
    });
    RowDescription::new(fields.collect())
}
