//! Rows in memory: kept as the batches they came in, found again by number.
//!
//! Guarantees: a row's number stays its own until the row is freed, wherever the row is moved to;
//! reading rows costs by rows read and not by rows kept; batches with more dead rows than live
//! ones are rewritten, and small batches are put together, so that memory follows the live rows.
//! Left out: which rows are equal, see [`set`].

mod changes;
mod equal;
pub(crate) mod index;
pub(crate) mod set;

use crate::DataflowError;
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::{interleave, take};
use arrow::datatypes::SchemaRef;
pub(crate) use equal::keep_equal;
pub(crate) use index::NONE;
use std::sync::Arc;

/// Rows in a batch that is made of others: large enough to read by column, small enough to rewrite.
pub(crate) const CHUNK_ROWS: usize = 8_192;
/// Batches of about one size that wait to be put together: with sizes in steps of eight a row is
/// copied at most four times before it lies in a full batch.
const SMALL_CHUNKS_MAX: usize = 8;
/// Batches with fewer rows are small, in classes by size.
const SMALL_ROWS: [usize; 4] = [16, 128, 1_024, CHUNK_ROWS];

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    chunk: u32,
    row: u32,
}

/// In `Place::chunk`: the number is not in use.
const FREE: u32 = u32::MAX;
/// In `Place::chunk`: the row comes with the next call of `fill`; `row` is its place there.
const COMING: u32 = u32::MAX - 1;

#[derive(Default)]
struct Chunk {
    /// `None` where all of its rows are gone.
    batch: Option<Arc<RecordBatch>>,
    /// The number of each row.
    ids: Vec<u32>,
    live: usize,
    /// A list of chunks to rewrite has it: its slot is not to be given to another.
    listed: bool,
    /// It is kept as it is by the owner, who rewrites it.
    page: bool,
    /// A page with changes.
    dirty: bool,
}

pub(crate) struct Rows {
    schema: SchemaRef,
    chunks: Vec<Chunk>,
    free_chunks: Vec<u32>,
    /// By size class.
    small: [Vec<u32>; SMALL_ROWS.len()],
    sparse: Vec<u32>,
    dirty: Vec<u32>,
    places: Vec<Place>,
    free: Vec<u32>,
    /// For each chunk its number among those a read touches; all `NONE` between reads.
    touched: Vec<u32>,
    bytes: usize,
}

/// Rows that a read touches.
pub(crate) struct Located {
    chunks: Vec<u32>,
    /// The place in `chunks` and the row there; missing rows point behind the last chunk.
    places: Vec<(usize, usize)>,
    missing: bool,
}

impl Rows {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            chunks: Vec::new(),
            free_chunks: Vec::new(),
            small: Default::default(),
            sparse: Vec::new(),
            dirty: Vec::new(),
            places: Vec::new(),
            free: Vec::new(),
            touched: Vec::new(),
            bytes: 0,
        }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Numbers given out so far, those free again included.
    pub(crate) fn numbers(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn is_kept(&self, id: u32) -> bool {
        self.places[id as usize].chunk != FREE
    }

    /// Takes all rows of a batch in and numbers them in a row.
    pub(crate) fn append(
        &mut self,
        batch: RecordBatch,
    ) -> Result<std::ops::Range<u32>, DataflowError> {
        debug_assert!(self.free.is_empty(), "rows of such a store are never freed");
        let first = self.places.len() as u32;
        let ids = first..first + batch.num_rows() as u32;
        self.places.resize(ids.end as usize, Place { chunk: COMING, row: 0 });
        self.fill(batch, ids.clone().collect())?;
        Ok(ids)
    }

    /// A number for a row that will be row `row` of the batch the next `fill` takes rows from.
    pub(crate) fn reserve(&mut self, row: u32) -> u32 {
        let place = Place { chunk: COMING, row };
        match self.free.pop() {
            Some(id) => {
                self.places[id as usize] = place;
                id
            }
            None => {
                self.places.push(place);
                self.places.len() as u32 - 1
            }
        }
    }

    /// The row in the batch that is coming, of a number that was reserved for one.
    pub(crate) fn coming(&self, id: u32) -> Option<u32> {
        let place = self.places[id as usize];
        (place.chunk == COMING).then_some(place.row)
    }

    /// Takes rows in under numbers given out for them before.
    pub(crate) fn fill(&mut self, batch: RecordBatch, ids: Vec<u32>) -> Result<(), DataflowError> {
        let rows = ids.len();
        if rows == 0 {
            return Ok(());
        }
        let slot = self.add(Arc::new(batch), ids);
        let Some(class) = SMALL_ROWS.iter().position(|limit| rows < *limit) else { return Ok(()) };
        self.list(class, slot);
        for class in 0..SMALL_ROWS.len() {
            if self.small[class].len() >= SMALL_CHUNKS_MAX {
                let chunks = std::mem::take(&mut self.small[class]);
                self.rewrite(&chunks)?;
            }
        }
        Ok(())
    }

    fn list(&mut self, class: usize, slot: u32) {
        self.chunks[slot as usize].listed = true;
        self.small[class].push(slot);
    }

    /// Puts a batch into a slot, and its rows' places there.
    fn add(&mut self, batch: Arc<RecordBatch>, ids: Vec<u32>) -> u32 {
        let slot = self.free_chunks.pop().unwrap_or_else(|| {
            self.chunks.push(Chunk::default());
            self.touched.push(NONE);
            self.chunks.len() as u32 - 1
        });
        let mut live = 0;
        for (row, id) in ids.iter().enumerate() {
            let old = self.places[*id as usize];
            if old.chunk == slot {
                // A page has a row more than once: the first is its place.
                continue;
            }
            self.leave(old.chunk);
            self.places[*id as usize] = Place { chunk: slot, row: row as u32 };
            live += 1;
        }
        self.bytes += batch.get_array_memory_size();
        self.chunks[slot as usize] = Chunk { batch: Some(batch), ids, live, ..Chunk::default() };
        slot
    }

    /// Lets go of a row.
    pub(crate) fn release(&mut self, id: u32) {
        let slot = std::mem::replace(&mut self.places[id as usize].chunk, FREE);
        self.free.push(id);
        self.leave(slot);
    }

    /// A row is not in a chunk any more, if that is one.
    fn leave(&mut self, slot: u32) {
        let Some(chunk) = self.chunks.get_mut(slot as usize) else { return };
        chunk.live -= 1;
        if chunk.page {
            return;
        }
        if chunk.live == 0 {
            self.empty(slot);
        } else if chunk.live * 2 < chunk.ids.len() && !chunk.listed {
            chunk.listed = true;
            self.sparse.push(slot);
        }
    }

    /// Lets go of a chunk's batch; of its slot too, unless a list has it.
    fn empty(&mut self, slot: u32) {
        let chunk = &mut self.chunks[slot as usize];
        debug_assert_eq!(chunk.live, 0);
        if let Some(batch) = chunk.batch.take() {
            self.bytes -= batch.get_array_memory_size();
            let listed = chunk.listed;
            *chunk = Chunk { listed, ..Chunk::default() };
            if !listed {
                self.free_chunks.push(slot);
            }
        }
    }

    /// Rewrites what is more than half dead.
    pub(crate) fn tidy(&mut self) -> Result<(), DataflowError> {
        let sparse = std::mem::take(&mut self.sparse);
        self.rewrite(&sparse)
    }

    /// The numbers of a chunk's rows that are there.
    fn live_ids(&self, slot: u32) -> impl Iterator<Item = u32> {
        let here = move |(row, id): &(usize, &u32)| {
            self.places[**id as usize] == Place { chunk: slot, row: *row as u32 }
        };
        self.chunks[slot as usize].ids.iter().enumerate().filter(here).map(|(_, id)| *id)
    }

    /// Puts the live rows of listed chunks into new chunks.
    fn rewrite(&mut self, chunks: &[u32]) -> Result<(), DataflowError> {
        let ids: Vec<u32> = chunks.iter().flat_map(|slot| self.live_ids(*slot)).collect();
        for ids in ids.chunks(CHUNK_ROWS) {
            let batch = self.batch(ids)?;
            let slot = self.add(Arc::new(batch), ids.to_vec());
            if let Some(class) = SMALL_ROWS.iter().position(|limit| ids.len() < *limit) {
                self.list(class, slot);
            }
        }
        for slot in chunks {
            self.chunks[*slot as usize].listed = false;
            match self.chunks[*slot as usize].batch {
                Some(_) => self.empty(*slot),
                None => self.free_chunks.push(*slot),
            }
        }
        Ok(())
    }

    /// Where rows are; `NONE` stands for a row of nulls.
    pub(crate) fn locate(&mut self, ids: &[u32]) -> Located {
        let mut chunks = Vec::new();
        let mut missing = false;
        let mut places = Vec::with_capacity(ids.len());
        for id in ids {
            if *id == NONE {
                missing = true;
                places.push((usize::MAX, 0));
                continue;
            }
            let place = self.places[*id as usize];
            let touched = &mut self.touched[place.chunk as usize];
            if *touched == NONE {
                *touched = chunks.len() as u32;
                chunks.push(place.chunk);
            }
            places.push((*touched as usize, place.row as usize));
        }
        for slot in &chunks {
            self.touched[*slot as usize] = NONE;
        }
        if missing {
            let behind = chunks.len();
            for place in &mut places {
                place.0 = place.0.min(behind);
            }
        }
        Located { chunks, places, missing }
    }

    fn arrays(&self, located: &Located, column: usize) -> Vec<&dyn Array> {
        let of = |slot: &u32| {
            let batch = self.chunks[*slot as usize].batch.as_ref();
            batch.expect("rows with a place are in a batch").column(column).as_ref()
        };
        located.chunks.iter().map(of).collect()
    }

    /// One column of rows.
    pub(crate) fn column(
        &self,
        located: &Located,
        column: usize,
    ) -> Result<ArrayRef, DataflowError> {
        let mut arrays = self.arrays(located, column);
        if let ([array], false) = (&arrays[..], located.missing) {
            let rows = located.places.iter().map(|(_, row)| *row as u32);
            return Ok(take(*array, &UInt32Array::from_iter_values(rows), None)?);
        }
        let data_type = self.schema.field(column).data_type();
        if arrays.is_empty() {
            return Ok(new_null_array(data_type, located.places.len()));
        }
        let nulls = located.missing.then(|| new_null_array(data_type, 1));
        arrays.extend(nulls.as_deref());
        Ok(interleave(&arrays, &located.places)?)
    }

    /// All columns of rows.
    pub(crate) fn columns(&self, located: &Located) -> Result<Vec<ArrayRef>, DataflowError> {
        (0..self.schema.fields().len()).map(|column| self.column(located, column)).collect()
    }

    /// Rows as a batch.
    pub(crate) fn batch(&mut self, ids: &[u32]) -> Result<RecordBatch, DataflowError> {
        let located = self.locate(ids);
        let options = RecordBatchOptions::new().with_row_count(Some(ids.len()));
        let columns = self.columns(&located)?;
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// Clears `equal[i]` where `left` has another value at `left_rows[i]` than the located row `i`.
    pub(crate) fn keep_equal(
        &self,
        located: &Located,
        column: usize,
        left: &dyn Array,
        left_rows: &[u32],
        equal: &mut [bool],
    ) -> Result<(), DataflowError> {
        debug_assert!(!located.missing);
        keep_equal(left, left_rows, &self.arrays(located, column), &located.places, equal)
    }

    /// Bytes of batches and numbers.
    pub(crate) fn bytes(&self) -> usize {
        let ids = self.places.len() * (size_of::<Place>() + size_of::<u32>());
        self.bytes + ids + self.chunks.len() * size_of::<Chunk>()
    }
}

/// Pages: chunks that the owner arranges.
impl Rows {
    /// Makes a page of rows that are here already. A row may stand in it more than once.
    pub(crate) fn add_page(&mut self, ids: Vec<u32>) -> Result<u32, DataflowError> {
        let batch = Arc::new(self.batch(&ids)?);
        let slot = self.add(batch, ids);
        self.chunks[slot as usize].page = true;
        Ok(slot)
    }

    /// Lets go of a page whose rows are all elsewhere or gone.
    pub(crate) fn drop_page(&mut self, slot: u32) {
        self.chunks[slot as usize].page = false;
        self.empty(slot);
    }

    pub(crate) fn page(&self, slot: u32) -> Option<&Arc<RecordBatch>> {
        self.chunks[slot as usize].batch.as_ref()
    }

    /// The rows of a page that are still there, each once.
    pub(crate) fn page_ids(&self, slot: u32) -> Vec<u32> {
        self.live_ids(slot).collect()
    }

    /// Notes that a row's page is to be made again.
    pub(crate) fn touch(&mut self, id: u32) {
        let slot = self.places[id as usize].chunk;
        if let Some(chunk) = self.chunks.get_mut(slot as usize)
            && chunk.page
            && !std::mem::replace(&mut chunk.dirty, true)
        {
            self.dirty.push(slot);
        }
    }

    /// The pages with changes since the last call.
    pub(crate) fn take_dirty(&mut self) -> Vec<u32> {
        for slot in &self.dirty {
            self.chunks[*slot as usize].dirty = false;
        }
        std::mem::take(&mut self.dirty)
    }

    pub(crate) fn is_paged(&self, id: u32) -> bool {
        let slot = self.places[id as usize].chunk;
        self.chunks.get(slot as usize).is_some_and(|chunk| chunk.page)
    }

    /// Makes a page again with other rows. Those it has not any more are elsewhere or gone.
    pub(crate) fn set_page(&mut self, slot: u32, ids: Vec<u32>) -> Result<(), DataflowError> {
        let batch = Arc::new(self.batch(&ids)?);
        let mut live = 0;
        for (row, id) in
            ids.iter().enumerate().filter(|(row, id)| *row == 0 || ids[row - 1] != **id)
        {
            let old = std::mem::replace(
                &mut self.places[*id as usize],
                Place { chunk: slot, row: row as u32 },
            );
            if old.chunk != slot {
                self.leave(old.chunk);
            }
            live += 1;
        }
        self.bytes += batch.get_array_memory_size();
        let page = Chunk { batch: Some(batch), ids, live, page: true, ..Chunk::default() };
        let old = std::mem::replace(&mut self.chunks[slot as usize], page);
        self.bytes -= old.batch.map_or(0, |batch| batch.get_array_memory_size());
        Ok(())
    }

    /// Moves rows out of pages.
    pub(crate) fn move_out(&mut self, ids: Vec<u32>) -> Result<(), DataflowError> {
        let batch = self.batch(&ids)?;
        self.fill(batch, ids)
    }
}
