//! Keys by number: each key a stream has shown gets a slot, and state lies in columns by slot.
//!
//! Guarantees: one slot for one key, whatever batch it comes in; nulls are equal, and so are all
//! NaNs, and both zeros. A slot whose key is removed is given to a later key, so that slots stay
//! dense. Without key columns there is one key.
//! Left out: which shard a key is of, and what is kept for it.

use super::arena::Arena;
use super::words::{canonical, from_words, is_word, words};
use crate::DataflowError;
use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanBufferBuilder, StringBuilder};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{BinaryType, DataType, Utf8Type};
use arrow::row::{RowConverter, RowParser, SortField};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::sync::Arc;

/// What [`KeyIndex::lookup`] says of a key that has no slot.
pub const NO_SLOT: u32 = u32::MAX;

/// From keys to slots and back.
#[derive(Debug)]
pub struct KeyIndex {
    types: Vec<DataType>,
    table: HashTable<u32>,
    /// By slot. That of a free slot is what its last key had.
    hashes: Vec<u64>,
    live: Vec<bool>,
    free: Vec<u32>,
    keys: Keys,
    /// The slot of null, where the key is one column that is not encoded with its nulls.
    null: u32,
}

/// The keys by slot.
#[derive(Debug)]
enum Keys {
    /// One column whose values fit a word.
    Words(Vec<u64>),
    /// One column of text or bytes.
    Bytes(Arena),
    /// Any columns.
    Rows { converter: Box<RowConverter>, parser: RowParser, arena: Arena },
    /// Columns that cannot be keys: an error as soon as there is one.
    Impossible(String),
}

impl KeyIndex {
    /// An index without keys, for keys of these types. Types that cannot be compared are reported
    /// by the first lookup or insertion.
    pub fn new(types: &[DataType]) -> Self {
        let keys = match types {
            [one] if is_word(one) => Keys::Words(Vec::new()),
            [DataType::Utf8 | DataType::Binary] => Keys::Bytes(Arena::default()),
            _ => {
                let fields = types.iter().map(|one| SortField::new(one.clone())).collect();
                match RowConverter::new(fields) {
                    Ok(converter) => Keys::Rows {
                        parser: converter.parser(),
                        converter: Box::new(converter),
                        arena: Arena::default(),
                    },
                    Err(error) => Keys::Impossible(format!("{types:?} cannot be a key: {error}")),
                }
            }
        };
        Self {
            types: types.to_vec(),
            table: HashTable::new(),
            hashes: Vec::new(),
            live: Vec::new(),
            free: Vec::new(),
            keys,
            null: NO_SLOT,
        }
    }

    /// Keys there are.
    pub fn len(&self) -> usize {
        self.table.len() + usize::from(self.null != NO_SLOT)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots there have been: all are below.
    pub fn slots(&self) -> usize {
        self.hashes.len()
    }

    /// The hash that a slot's key came with.
    pub fn hash(&self, slot: u32) -> u64 {
        self.hashes[slot as usize]
    }

    /// Whether a slot has a key.
    pub fn is_live(&self, slot: u32) -> bool {
        self.live.get(slot as usize).is_some_and(|live| *live)
    }

    /// The slots that have a key, in order.
    pub fn live(&self) -> impl Iterator<Item = u32> + '_ {
        let live = self.live.iter().enumerate();
        live.filter(|(_, live)| **live).map(|(slot, _)| slot as u32)
    }

    /// Bytes in memory, about.
    pub fn bytes(&self) -> usize {
        let keys = match &self.keys {
            Keys::Words(words) => words.capacity() * 8,
            Keys::Bytes(arena) | Keys::Rows { arena, .. } => arena.bytes(),
            Keys::Impossible(_) => 0,
        };
        // A control byte beside each entry.
        keys + self.table.capacity() * 5 + self.hashes.capacity() * 9 + self.free.capacity() * 4
    }

    /// Puts the slot of each row's key into `slots`, or [`NO_SLOT`].
    ///
    /// # Errors
    /// The columns are not of this index's types.
    pub fn lookup(
        &self,
        columns: &[ArrayRef],
        hashes: &[u64],
        slots: &mut Vec<u32>,
    ) -> Result<(), DataflowError> {
        slots.clear();
        slots.reserve(hashes.len());
        let found = |slot: Option<&u32>| slot.copied().unwrap_or(NO_SLOT);
        match &self.keys {
            Keys::Words(keys) => {
                let words = words_of(&columns[0])?;
                let nulls = nulls_of(&columns[0]);
                slots.extend(hashes.iter().enumerate().map(|(row, hash)| match nulls {
                    Some(nulls) if nulls.is_null(row) => self.null,
                    _ => found(self.table.find(*hash, |slot| keys[*slot as usize] == words[row])),
                }));
            }
            Keys::Bytes(arena) => {
                let binary = binary_of(&columns[0])?;
                let values = binary.as_bytes::<BinaryType>();
                let nulls = nulls_of(&columns[0]);
                slots.extend(hashes.iter().enumerate().map(|(row, hash)| match nulls {
                    Some(nulls) if nulls.is_null(row) => self.null,
                    _ => {
                        let value = values.value(row);
                        found(self.table.find(*hash, |slot| arena.get(*slot) == value))
                    }
                }));
            }
            Keys::Rows { converter, arena, .. } => {
                if columns.is_empty() {
                    slots.resize(hashes.len(), found(self.table.iter().next()));
                    return Ok(());
                }
                let rows = converter.convert_columns(&canonicals(columns)?)?;
                slots.extend(hashes.iter().enumerate().map(|(row, hash)| {
                    let value = rows.row(row).data();
                    found(self.table.find(*hash, |slot| arena.get(*slot) == value))
                }));
            }
            Keys::Impossible(why) => return Err(DataflowError::Internal(why.clone())),
        }
        Ok(())
    }

    /// Puts the slot of each row's key into `slots`, a new one where the key is new.
    ///
    /// # Errors
    /// The columns are not of this index's types.
    pub fn insert(
        &mut self,
        columns: &[ArrayRef],
        hashes: &[u64],
        slots: &mut Vec<u32>,
    ) -> Result<(), DataflowError> {
        slots.clear();
        slots.reserve(hashes.len());
        let mut places = Places {
            table: &mut self.table,
            hashes: &mut self.hashes,
            live: &mut self.live,
            free: &mut self.free,
        };
        match &mut self.keys {
            Keys::Words(keys) => {
                let words = words_of(&columns[0])?;
                let nulls = nulls_of(&columns[0]);
                for (row, hash) in hashes.iter().enumerate() {
                    if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                        if self.null == NO_SLOT {
                            self.null = places.take(*hash);
                            put(keys, self.null, 0);
                        }
                        slots.push(self.null);
                        continue;
                    }
                    let word = words[row];
                    let (slot, new) = places.find(*hash, |slot| keys[slot as usize] == word);
                    if new {
                        put(keys, slot, word);
                    }
                    slots.push(slot);
                }
            }
            Keys::Bytes(arena) => {
                let binary = binary_of(&columns[0])?;
                let values = binary.as_bytes::<BinaryType>();
                let nulls = nulls_of(&columns[0]);
                for (row, hash) in hashes.iter().enumerate() {
                    if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                        if self.null == NO_SLOT {
                            self.null = places.take(*hash);
                            arena.set(self.null, &[]);
                        }
                        slots.push(self.null);
                        continue;
                    }
                    slots.push(places.find_bytes(*hash, values.value(row), arena));
                }
            }
            Keys::Rows { arena, .. } if columns.is_empty() => {
                if let Some(hash) = hashes.first() {
                    slots.resize(hashes.len(), places.find_bytes(*hash, &[], arena));
                }
            }
            Keys::Rows { converter, arena, .. } => {
                let rows = converter.convert_columns(&canonicals(columns)?)?;
                for (row, hash) in hashes.iter().enumerate() {
                    slots.push(places.find_bytes(*hash, rows.row(row).data(), arena));
                }
            }
            Keys::Impossible(why) => return Err(DataflowError::Internal(why.clone())),
        }
        Ok(())
    }

    /// Forgets a slot's key; the slot is given to a later one.
    pub fn remove(&mut self, slot: u32) {
        debug_assert!(self.is_live(slot));
        if slot == self.null {
            self.null = NO_SLOT;
        } else {
            let hash = self.hashes[slot as usize];
            if let Ok(entry) = self.table.find_entry(hash, |at| *at == slot) {
                entry.remove();
            }
        }
        if let Keys::Bytes(arena) | Keys::Rows { arena, .. } = &mut self.keys {
            arena.remove(slot);
        }
        self.live[slot as usize] = false;
        self.free.push(slot);
    }

    /// The keys of slots, a column for each of the key's.
    ///
    /// # Errors
    /// A bug.
    pub fn keys(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        let nulls = || {
            let null = slots.contains(&self.null) && self.null != NO_SLOT;
            null.then(|| {
                let mut valid = BooleanBufferBuilder::new(slots.len());
                slots.iter().for_each(|slot| valid.append(*slot != self.null));
                NullBuffer::new(valid.finish())
            })
        };
        match &self.keys {
            Keys::Words(keys) => {
                let words = slots.iter().map(|slot| keys[*slot as usize]).collect();
                Ok(vec![from_words(words, nulls(), &self.types[0])?])
            }
            Keys::Bytes(arena) => Ok(vec![self.bytes_of(arena, slots)?]),
            Keys::Rows { .. } if self.types.is_empty() => Ok(Vec::new()),
            Keys::Rows { converter, parser, arena } => {
                let rows = slots.iter().map(|slot| parser.parse(arena.get(*slot)));
                let columns = converter.convert_rows(rows)?.into_iter().zip(&self.types);
                // Dictionaries come back as their values.
                let same = |(column, wanted): (ArrayRef, &DataType)| match column.data_type() {
                    found if found == wanted => Ok(column),
                    _ => Ok(cast(&column, wanted)?),
                };
                columns.map(same).collect()
            }
            Keys::Impossible(why) => Err(DataflowError::Internal(why.clone())),
        }
    }

    fn bytes_of(&self, arena: &Arena, slots: &[u32]) -> Result<ArrayRef, DataflowError> {
        let bytes = slots.iter().map(|slot| arena.get(*slot).len()).sum();
        if self.types[0] == DataType::Binary {
            let mut column = BinaryBuilder::with_capacity(slots.len(), bytes);
            for slot in slots {
                column.append_option((*slot != self.null).then(|| arena.get(*slot)));
            }
            return Ok(Arc::new(column.finish()));
        }
        let mut column = StringBuilder::with_capacity(slots.len(), bytes);
        for slot in slots {
            let text = (*slot != self.null).then(|| std::str::from_utf8(arena.get(*slot)));
            let text = text.transpose();
            column.append_option(text.map_err(|error| {
                DataflowError::Internal(format!("a key of text is none: {error}"))
            })?);
        }
        Ok(Arc::new(column.finish()))
    }
}

/// Everything of an index but its keys, so that both can be borrowed.
struct Places<'a> {
    table: &'a mut HashTable<u32>,
    hashes: &'a mut Vec<u64>,
    live: &'a mut Vec<bool>,
    free: &'a mut Vec<u32>,
}

impl Places<'_> {
    /// The slot of a key, and whether it is new.
    #[inline(always)]
    fn find(&mut self, hash: u64, is_same: impl Fn(u32) -> bool) -> (u32, bool) {
        let (hashes, free) = (&*self.hashes, &*self.free);
        let next = || free.last().copied().unwrap_or(hashes.len() as u32);
        match self.table.entry(hash, |slot| is_same(*slot), |slot| hashes[*slot as usize]) {
            Entry::Occupied(entry) => (*entry.get(), false),
            Entry::Vacant(entry) => {
                let slot = next();
                entry.insert(slot);
                (self.take(hash), true)
            }
        }
    }

    /// The next free slot.
    fn take(&mut self, hash: u64) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.hashes[slot as usize] = hash;
                self.live[slot as usize] = true;
                slot
            }
            None => {
                self.hashes.push(hash);
                self.live.push(true);
                (self.hashes.len() - 1) as u32
            }
        }
    }

    #[inline(always)]
    fn find_bytes(&mut self, hash: u64, value: &[u8], arena: &mut Arena) -> u32 {
        let (slot, new) = self.find(hash, |slot| arena.get(slot) == value);
        if new {
            arena.set(slot, value);
        }
        slot
    }
}

fn put(keys: &mut Vec<u64>, slot: u32, word: u64) {
    match keys.get_mut(slot as usize) {
        Some(key) => *key = word,
        None => keys.push(word),
    }
}

fn nulls_of(column: &ArrayRef) -> Option<&NullBuffer> {
    column.nulls().filter(|nulls| nulls.null_count() > 0)
}

fn words_of(column: &ArrayRef) -> Result<arrow::buffer::ScalarBuffer<u64>, DataflowError> {
    let wrong = || DataflowError::Internal(format!("a key of type {}", column.data_type()));
    words(column).ok_or_else(wrong)
}

fn binary_of(column: &ArrayRef) -> Result<ArrayRef, DataflowError> {
    match column.data_type() {
        DataType::Binary => Ok(column.clone()),
        DataType::Utf8 => {
            let text = column.as_bytes::<Utf8Type>().clone();
            Ok(Arc::new(arrow::array::BinaryArray::from(text)))
        }
        other => Err(DataflowError::Internal(format!("a key of type {other}"))),
    }
}

fn canonicals(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, DataflowError> {
    columns.iter().map(canonical).collect()
}
