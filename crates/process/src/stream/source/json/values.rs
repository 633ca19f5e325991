//! One builder for each column, after its type.
//!
//! Guarantees: an append adds exactly one value, whatever the input: after an error a filler is
//! added (a null where there may be one) and the first error is kept, so that columns never differ
//! in length. Where the text is broken nothing behind it is read.
//! Left out: which records are rows, which the decoder decides.

use super::malformed;
use super::scalar::{ScalarBuilder, Stop};
use arrow::array::{ArrayRef, ListArray, MapArray, NullBufferBuilder, StringBuilder, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use std::fmt;
use std::sync::Arc;
use tradewind_json::{Cursor, Fault, Keys};

/// Longest text of a value quoted in a reason, in characters.
const QUOTED_CHARS_MAX: usize = 40;

/// Where in a record a value stands; built on the stack, written out only for an error.
pub(super) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Element(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => write!(f, "{name}"),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The first thing that was wrong with a record.
type FirstError = Option<String>;

/// An object's fields.
pub(super) struct RowBuilder {
    fields: Fields,
    keys: Keys,
    values: Vec<ValueBuilder>,
    /// For each field the number of the row that has it already.
    filled: Vec<u64>,
    row: u64,
    /// Rows of fillers that are still to be added: all at once is faster.
    missing: usize,
}

impl RowBuilder {
    pub(super) fn new(fields: &Fields) -> Result<Self, String> {
        let values =
            fields.iter().map(|field| ValueBuilder::new(field)).collect::<Result<_, _>>()?;
        let keys = Keys::new(fields.iter().map(|field| field.name().as_str()));
        Ok(Self {
            fields: fields.clone(),
            keys,
            values,
            filled: vec![0; fields.len()],
            row: 0,
            missing: 0,
        })
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        for values in &mut self.values {
            values.reserve(rows);
        }
    }

    /// One row from the object at the cursor.
    pub(super) fn append_object(
        &mut self,
        cursor: &mut Cursor<'_>,
        path: &Path<'_>,
        error: &mut FirstError,
    ) -> Result<(), Fault> {
        self.row += 1;
        self.append_fillers();
        let read = self.append_fields(cursor, path, error);
        if let Err(fault) = read {
            error.get_or_insert_with(|| malformed(fault, cursor.at()));
        }
        for (index, field) in self.fields.iter().enumerate() {
            if self.filled[index] != self.row {
                let path = Path::Field(path, field.name());
                self.values[index].append_missing(field, &path, error);
            }
        }
        read
    }

    #[inline(always)]
    fn append_fields(
        &mut self,
        cursor: &mut Cursor<'_>,
        path: &Path<'_>,
        error: &mut FirstError,
    ) -> Result<(), Fault> {
        let mut more = cursor.enter(b'{', b'}')?;
        let mut place = 0;
        while more {
            match self.keys.next(cursor, &mut place)? {
                Some(index) if self.filled[index] != self.row => {
                    self.filled[index] = self.row;
                    let field = &self.fields[index];
                    let path = Path::Field(path, field.name());
                    self.values[index].append(cursor, field, &path, error)?;
                }
                _ => cursor.skip()?,
            }
            more = cursor.another(b'}')?;
        }
        Ok(())
    }

    /// Adds the rows of fillers that are still to be added.
    #[inline(always)]
    fn append_fillers(&mut self) {
        if self.missing > 0 {
            let missing = std::mem::take(&mut self.missing);
            for (field, values) in self.fields.iter().zip(&mut self.values) {
                values.append_fillers(field.is_nullable(), missing);
            }
        }
    }

    pub(super) fn finish_columns(&mut self) -> Vec<ArrayRef> {
        self.append_fillers();
        self.values.iter_mut().map(ValueBuilder::finish).collect()
    }
}

/// A builder of one type.
enum ValueBuilder {
    Scalar(ScalarBuilder),
    Row(Box<RowBuilder>, NullBufferBuilder),
    List(Box<ListBuilder>),
    Map(Box<MapBuilder>),
}

struct ListBuilder {
    element: FieldRef,
    values: ValueBuilder,
    lengths: LengthsBuilder,
}

struct MapBuilder {
    entries: FieldRef,
    pair: Fields,
    keys: StringBuilder,
    values: ValueBuilder,
    lengths: LengthsBuilder,
}

/// How many elements each list has, or that it is null.
struct LengthsBuilder {
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

impl LengthsBuilder {
    fn new() -> Self {
        Self { offsets: vec![0], valid: NullBufferBuilder::new(0) }
    }

    fn last(&self) -> i32 {
        *self.offsets.last().expect("offsets begin with 0")
    }

    fn append(&mut self, length: usize) {
        self.offsets.push(self.last() + length as i32);
        self.valid.append(true);
    }

    fn append_fillers(&mut self, nullable: bool, count: usize) {
        self.offsets.extend(std::iter::repeat_n(self.last(), count));
        append_validity(&mut self.valid, nullable, count);
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), self.valid.finish())
    }
}

impl ValueBuilder {
    fn new(field: &Field) -> Result<Self, String> {
        Ok(match field.data_type() {
            DataType::Struct(fields) => {
                Self::Row(Box::new(RowBuilder::new(fields)?), NullBufferBuilder::new(0))
            }
            DataType::List(element) => Self::List(Box::new(ListBuilder {
                element: element.clone(),
                values: Self::new(element)?,
                lengths: LengthsBuilder::new(),
            })),
            DataType::Map(entries, _) => Self::Map(Box::new(MapBuilder::new(entries)?)),
            _ => Self::Scalar(ScalarBuilder::new(field)?),
        })
    }

    /// Adds nulls where there may be some, else values that mean nothing: their records are
    /// rejected or their parents are null.
    fn append_fillers(&mut self, nullable: bool, count: usize) {
        match self {
            Self::Scalar(scalar) => scalar.append_fillers(nullable, count),
            Self::Row(row, valid) => {
                row.missing += count;
                append_validity(valid, nullable, count);
            }
            Self::List(list) => list.lengths.append_fillers(nullable, count),
            Self::Map(map) => map.lengths.append_fillers(nullable, count),
        }
    }

    fn reserve(&mut self, rows: usize) {
        match self {
            Self::Scalar(scalar) => scalar.reserve(rows),
            Self::Row(row, _) => row.reserve(rows),
            // How many elements they will have nobody knows.
            Self::List(_) | Self::Map(_) => {}
        }
    }

    /// Adds the value at the cursor.
    #[inline(always)]
    fn append(
        &mut self,
        cursor: &mut Cursor<'_>,
        field: &Field,
        path: &Path<'_>,
        error: &mut FirstError,
    ) -> Result<(), Fault> {
        let first = cursor.peek();
        let start = cursor.at();
        let taken = match (&mut *self, first) {
            (_, b'n') => {
                let read = cursor.skip();
                if let Err(fault) = read {
                    error.get_or_insert_with(|| malformed(fault, cursor.at()));
                }
                self.append_missing(field, path, error);
                return read;
            }
            (Self::Scalar(scalar), _) => scalar.append(cursor, first),
            (Self::Row(row, valid), b'{') => {
                valid.append(true);
                return row.append_object(cursor, path, error);
            }
            (Self::List(list), b'[') => return list.append(cursor, path, error),
            (Self::Map(map), b'{') => return map.append(cursor, path, error),
            (Self::Row(..) | Self::Map(_), _) => misfit(cursor, "is no object"),
            (Self::List(_), _) => misfit(cursor, "is no array"),
        };
        match taken {
            Ok(()) => Ok(()),
            Err(stop) => self.not_taken(stop, cursor, start, field, path, error),
        }
    }

    /// Adds a filler for a value that was not taken.
    #[cold]
    fn not_taken(
        &mut self,
        stop: Stop,
        cursor: &Cursor<'_>,
        start: usize,
        field: &Field,
        path: &Path<'_>,
        error: &mut FirstError,
    ) -> Result<(), Fault> {
        self.append_fillers(field.is_nullable(), 1);
        match stop {
            Stop::Broken(fault) => {
                error.get_or_insert_with(|| malformed(fault, cursor.at()));
                Err(fault)
            }
            Stop::Misfit(reason) => {
                let value = cursor.since(start);
                error.get_or_insert_with(|| format!("{path}: {} {reason}", quoted(value)));
                Ok(())
            }
        }
    }

    /// Adds what a record has not, or has as null.
    #[inline(always)]
    fn append_missing(&mut self, field: &Field, path: &Path<'_>, error: &mut FirstError) {
        if !field.is_nullable() {
            error.get_or_insert_with(|| format!("{path}: it is NOT NULL and is missing"));
        }
        self.append_fillers(field.is_nullable(), 1);
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Scalar(scalar) => scalar.finish(),
            Self::Row(row, valid) => {
                let (count, columns) = (valid.len(), row.finish_columns());
                let array = StructArray::try_new_with_length(
                    row.fields.clone(),
                    columns,
                    valid.finish(),
                    count,
                );
                Arc::new(array.expect("each field was appended once for each row"))
            }
            Self::List(list) => {
                let ((offsets, valid), values) = (list.lengths.finish(), list.values.finish());
                Arc::new(ListArray::new(list.element.clone(), offsets, values, valid))
            }
            Self::Map(map) => map.finish(),
        }
    }
}

impl ListBuilder {
    fn append(
        &mut self,
        cursor: &mut Cursor<'_>,
        path: &Path<'_>,
        error: &mut FirstError,
    ) -> Result<(), Fault> {
        let mut count = 0;
        let read = self.append_elements(cursor, path, error, &mut count);
        if let Err(fault) = read {
            error.get_or_insert_with(|| malformed(fault, cursor.at()));
        }
        self.lengths.append(count);
        read
    }

    fn append_elements(
        &mut self,
        cursor: &mut Cursor<'_>,
        path: &Path<'_>,
        error: &mut FirstError,
        count: &mut usize,
    ) -> Result<(), Fault> {
        let mut more = cursor.enter(b'[', b']')?;
        while more {
            let path = Path::Element(path, *count);
            *count += 1;
            self.values.append(cursor, &self.element, &path, error)?;
            more = cursor.another(b']')?;
        }
        Ok(())
    }
}

impl MapBuilder {
    fn new(entries: &FieldRef) -> Result<Self, String> {
        let DataType::Struct(pair) = entries.data_type() else {
            return Err("a MAP has keys and values".to_string());
        };
        Ok(Self {
            entries: entries.clone(),
            pair: pair.clone(),
            keys: StringBuilder::new(),
            values: ValueBuilder::new(&pair[1])?,
            lengths: LengthsBuilder::new(),
        })
    }

    fn append(
        &mut self,
        cursor: &mut Cursor<'_>,
        path: &Path<'_>,
        error: &mut FirstError,
    ) -> Result<(), Fault> {
        let mut count = 0;
        let read = self.append_entries(cursor, path, error, &mut count);
        if let Err(fault) = read {
            error.get_or_insert_with(|| malformed(fault, cursor.at()));
        }
        self.lengths.append(count);
        read
    }

    fn append_entries(
        &mut self,
        cursor: &mut Cursor<'_>,
        path: &Path<'_>,
        error: &mut FirstError,
        count: &mut usize,
    ) -> Result<(), Fault> {
        let mut more = cursor.enter(b'{', b'}')?;
        while more {
            let key = cursor.string()?.characters()?;
            cursor.colon()?;
            self.keys.append_value(&key);
            *count += 1;
            self.values.append(cursor, &self.pair[1], &Path::Field(path, &key), error)?;
            more = cursor.another(b'}')?;
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()), self.values.finish()];
        let entries = StructArray::new(self.pair.clone(), columns, None);
        let (offsets, valid) = self.lengths.finish();
        Arc::new(MapArray::new(self.entries.clone(), offsets, entries, valid, false))
    }
}

/// Says of as many fillers whether they are nulls.
fn append_validity(valid: &mut NullBufferBuilder, nullable: bool, count: usize) {
    match nullable {
        true => valid.append_n_nulls(count),
        false => valid.append_n_non_nulls(count),
    }
}

/// Passes over a value that is nothing for its column.
#[cold]
fn misfit(cursor: &mut Cursor<'_>, reason: &str) -> Result<(), Stop> {
    cursor.skip()?;
    Err(Stop::Misfit(reason.to_string()))
}

/// A value as it stands in the record, cut short.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_string(),
    }
}
