//! One builder for each column, after its type.
//!
//! Guarantees: an append adds exactly one value, whatever the input: after an error a filler is
//! added (a null where there may be one) and the first error is kept, so that columns never differ
//! in length.
//! Left out: which records are rows, which the decoder decides.

use super::malformed;
use super::scalar::{ScalarBuilder, raw};
use arrow::array::{ArrayRef, ListArray, MapArray, NullBufferBuilder, StringBuilder, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use sonic_rs::{JsonValueTrait, LazyValue, ObjectJsonIter};
use std::fmt;
use std::sync::Arc;

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
    values: Vec<ValueBuilder>,
    /// For each field the number of the row that has it already.
    filled: Vec<u64>,
    row: u64,
}

impl RowBuilder {
    pub(super) fn new(fields: &Fields) -> Result<Self, String> {
        let values =
            fields.iter().map(|field| ValueBuilder::new(field)).collect::<Result<_, _>>()?;
        Ok(Self { fields: fields.clone(), values, filled: vec![0; fields.len()], row: 0 })
    }

    /// One row from an object.
    pub(super) fn append_record(
        &mut self,
        object: ObjectJsonIter<'_>,
        path: &Path<'_>,
        error: &mut FirstError,
    ) {
        self.row += 1;
        // Fields mostly come in the order of the columns: look on from the last one found.
        let mut next = 0;
        for entry in object {
            let (key, value) = match entry {
                Ok(entry) => entry,
                Err(reason) => {
                    error.get_or_insert_with(|| malformed(&reason));
                    break;
                }
            };
            if let Some(index) = self.find(&key, next) {
                next = index + 1;
                if self.filled[index] != self.row {
                    self.filled[index] = self.row;
                    self.append_field(index, Some(value), path, error);
                }
            }
        }
        self.fill_the_rest(path, error);
    }

    /// One row of fillers, for an object that is not there or is none.
    fn append_filler(&mut self) {
        self.row += 1;
        for (field, values) in self.fields.iter().zip(&mut self.values) {
            values.append_filler(field.is_nullable());
        }
    }

    fn find(&self, key: &str, from: usize) -> Option<usize> {
        let count = self.fields.len();
        (from..count).chain(0..from.min(count)).find(|index| self.fields[*index].name() == key)
    }

    fn append_field(
        &mut self,
        index: usize,
        value: Option<LazyValue<'_>>,
        path: &Path<'_>,
        error: &mut FirstError,
    ) {
        let field = &self.fields[index];
        self.values[index].append(value, field, &Path::Field(path, field.name()), error);
    }

    fn fill_the_rest(&mut self, path: &Path<'_>, error: &mut FirstError) {
        for index in 0..self.values.len() {
            if self.filled[index] != self.row {
                self.append_field(index, None, path, error);
            }
        }
    }

    pub(super) fn finish_columns(&mut self) -> Vec<ArrayRef> {
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
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

struct MapBuilder {
    entries: FieldRef,
    pair: Fields,
    keys: StringBuilder,
    values: ValueBuilder,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
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
                offsets: vec![0],
                valid: NullBufferBuilder::new(0),
            })),
            DataType::Map(entries, _) => Self::Map(Box::new(MapBuilder::new(entries)?)),
            _ => Self::Scalar(ScalarBuilder::new(field)?),
        })
    }

    /// Adds a null where there may be one, else a value that means nothing: its record is rejected
    /// or its parent is null.
    fn append_filler(&mut self, nullable: bool) {
        match self {
            Self::Scalar(scalar) => scalar.append_filler(nullable),
            Self::Row(row, valid) => {
                row.append_filler();
                valid.append(!nullable);
            }
            Self::List(list) => {
                list.offsets.push(last(&list.offsets));
                list.valid.append(!nullable);
            }
            Self::Map(map) => {
                map.offsets.push(last(&map.offsets));
                map.valid.append(!nullable);
            }
        }
    }

    /// Adds one value.
    fn append(
        &mut self,
        value: Option<LazyValue<'_>>,
        field: &Field,
        path: &Path<'_>,
        error: &mut FirstError,
    ) {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            if !field.is_nullable() {
                error.get_or_insert_with(|| format!("{path}: it is NOT NULL and is missing"));
            }
            return self.append_filler(field.is_nullable());
        };
        let taken = match self {
            Self::Scalar(scalar) => scalar.append(&value),
            Self::Row(row, valid) if value.is_object() => {
                let object = value.into_object_iter().expect("it is an object: the guard");
                row.append_record(object, path, error);
                valid.append(true);
                return;
            }
            Self::List(list) if value.is_array() => return list.append(value, path, error),
            Self::Map(map) if value.is_object() => return map.append(value, path, error),
            Self::Row(..) | Self::Map(_) => Err("is no object".to_string()),
            Self::List(_) => Err("is no array".to_string()),
        };
        if let Err(reason) = taken {
            error.get_or_insert_with(|| format!("{path}: {} {reason}", quoted(&value)));
            self.append_filler(field.is_nullable());
        }
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
                let offsets = take_offsets(&mut list.offsets);
                let (values, valid) = (list.values.finish(), list.valid.finish());
                Arc::new(ListArray::new(list.element.clone(), offsets, values, valid))
            }
            Self::Map(map) => map.finish(),
        }
    }
}

impl ListBuilder {
    fn append(&mut self, array: LazyValue<'_>, path: &Path<'_>, error: &mut FirstError) {
        let elements = array.into_array_iter().expect("the caller has seen that it is an array");
        let mut count = last(&self.offsets);
        for (index, element) in elements.enumerate() {
            match element {
                Ok(element) => {
                    let path = Path::Element(path, index);
                    self.values.append(Some(element), &self.element, &path, error);
                    count += 1;
                }
                Err(reason) => {
                    error.get_or_insert_with(|| malformed(&reason));
                    break;
                }
            }
        }
        self.offsets.push(count);
        self.valid.append(true);
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
            offsets: vec![0],
            valid: NullBufferBuilder::new(0),
        })
    }

    fn append(&mut self, object: LazyValue<'_>, path: &Path<'_>, error: &mut FirstError) {
        let entries = object.into_object_iter().expect("the caller has seen that it is an object");
        let mut count = last(&self.offsets);
        for entry in entries {
            match entry {
                Ok((key, value)) => {
                    self.keys.append_value(&key);
                    let path = Path::Field(path, &key);
                    self.values.append(Some(value), &self.pair[1], &path, error);
                    count += 1;
                }
                Err(reason) => {
                    error.get_or_insert_with(|| malformed(&reason));
                    break;
                }
            }
        }
        self.offsets.push(count);
        self.valid.append(true);
    }

    fn finish(&mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()), self.values.finish()];
        let entries = StructArray::new(self.pair.clone(), columns, None);
        let offsets = take_offsets(&mut self.offsets);
        Arc::new(MapArray::new(self.entries.clone(), offsets, entries, self.valid.finish(), false))
    }
}

fn last(offsets: &[i32]) -> i32 {
    *offsets.last().expect("offsets begin with 0")
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, vec![0])))
}

/// A value as it stands in the record, cut short.
fn quoted(value: &LazyValue<'_>) -> String {
    let text = raw(value);
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_string(),
    }
}
