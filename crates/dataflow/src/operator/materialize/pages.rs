//! A set's rows as pages for readers.
//!
//! Guarantees: a page never changes; publishing costs by the pages with changes, not by the table;
//! a row of weight n is there n times.
//! Left out: order.

use crate::DataflowError;
use crate::state::rows::set::RowSet;
use arrow::array::RecordBatch;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows in a page: few enough that making one again takes some ten microseconds, and enough that
/// reading costs by row and not by page.
const PAGE_ROWS: usize = 1_024;
/// A page with fewer rows than this is given up and its rows go elsewhere.
const PAGE_ROWS_MIN: usize = PAGE_ROWS / 2;
/// Rows noted as new beyond the table's own, at which those noted twice are looked for.
const STAGED_SPARE: usize = 65_536;

#[derive(Default)]
pub(super) struct Pages {
    slots: Vec<u32>,
    /// A page with room for rows that come.
    open: Option<u32>,
    /// Rows that may be in no page yet.
    staged: Vec<u32>,
    /// Of a row that is there more often than a page has room for: a page full of it, which is
    /// published as often as needed.
    heavy: BTreeMap<u32, Option<Arc<RecordBatch>>>,
}

/// How often a row is in its page; the rest of it fills pages of its own.
fn copies(weight: i64) -> usize {
    let weight = weight.max(0) as usize;
    if weight > PAGE_ROWS { (weight - 1) % PAGE_ROWS + 1 } else { weight }
}

impl Pages {
    /// A row's weight has changed.
    pub(super) fn note(&mut self, set: &mut RowSet, id: u32) {
        set.rows.touch(id);
        let weight = set.weight(id);
        if weight > 0 && !set.rows.is_paged(id) {
            self.stage(set, id..id + 1);
        }
        if weight > PAGE_ROWS as i64 {
            self.heavy.entry(id).or_default();
        } else if !self.heavy.is_empty() {
            self.heavy.remove(&id);
        }
    }

    /// Rows are new.
    pub(super) fn stage(&mut self, set: &RowSet, ids: std::ops::Range<u32>) {
        self.staged.extend(ids);
        if self.staged.len() > set.rows.len() + STAGED_SPARE {
            self.unstage(set);
        }
    }

    /// Leaves the rows that are in no page, each once.
    fn unstage(&mut self, set: &RowSet) {
        let wanted =
            |id: &u32| set.rows.is_kept(*id) && set.weight(*id) > 0 && !set.rows.is_paged(*id);
        self.staged.retain(wanted);
        self.staged.sort_unstable();
        self.staged.dedup();
    }

    /// Brings the pages up to the set.
    pub(super) fn arrange(&mut self, set: &mut RowSet) -> Result<(), DataflowError> {
        self.unstage(set);
        let mut dirty = set.rows.take_dirty();
        if let Some(open) = self.open.filter(|_| !self.staged.is_empty())
            && !dirty.contains(&open)
        {
            dirty.push(open);
        }
        let (kept, given_up) = self.sort_out(set, dirty)?;
        let mut pool = std::mem::take(&mut self.staged).into_iter().peekable();
        for (slot, mut ids) in kept {
            if fill(set, &mut ids, &mut pool) < PAGE_ROWS {
                self.open = Some(slot);
            }
            set.rows.set_page(slot, expand(set, &ids))?;
        }
        while pool.peek().is_some() {
            let mut ids = Vec::new();
            let rows = fill(set, &mut ids, &mut pool);
            let slot = set.rows.add_page(expand(set, &ids))?;
            self.slots.push(slot);
            self.open = (rows < PAGE_ROWS).then_some(slot);
        }
        if !given_up.is_empty() {
            self.slots.retain(|slot| given_up.binary_search(slot).is_err());
            given_up.into_iter().for_each(|slot| set.rows.drop_page(slot));
        }
        for (id, page) in &mut self.heavy {
            if page.is_none() {
                *page = Some(Arc::new(set.rows.batch(&[*id; PAGE_ROWS])?));
            }
        }
        Ok(())
    }

    /// Divides pages with changes into those that stay, with the rows they keep, and those that
    /// have too few rows for that: their rows wait for another page.
    #[allow(clippy::type_complexity, reason = "two lists, taken apart at once")]
    fn sort_out(
        &mut self,
        set: &mut RowSet,
        dirty: Vec<u32>,
    ) -> Result<(Vec<(u32, Vec<u32>)>, Vec<u32>), DataflowError> {
        let (mut kept, mut given_up, mut gone, mut moving) = (vec![], vec![], vec![], vec![]);
        for slot in dirty {
            let (ids, dead): (Vec<u32>, Vec<u32>) =
                set.rows.page_ids(slot).into_iter().partition(|id| set.weight(*id) > 0);
            gone.extend(dead);
            if self.open == Some(slot) {
                self.open = None;
            }
            let rows: usize = ids.iter().map(|id| copies(set.weight(*id))).sum();
            if rows < PAGE_ROWS_MIN {
                moving.extend(ids);
                given_up.push(slot);
            } else {
                kept.push((slot, ids));
            }
        }
        // Rows that are gone may still be wanted as changes.
        set.rows.move_out(gone)?;
        moving.append(&mut self.staged);
        self.staged = moving;
        given_up.sort_unstable();
        Ok((kept, given_up))
    }

    pub(super) fn chunks(&self, set: &RowSet) -> Vec<Arc<RecordBatch>> {
        let pages = self.slots.iter().filter_map(|slot| set.rows.page(*slot)).cloned();
        let mut chunks: Vec<_> = pages.collect();
        for (id, page) in &self.heavy {
            let weight = set.weight(*id);
            let times = (weight.max(0) as usize - copies(weight)) / PAGE_ROWS;
            chunks.extend(page.iter().flat_map(|page| std::iter::repeat_n(page, times)).cloned());
        }
        chunks
    }
}

/// Takes rows from the pool until a page is full. Returns how many rows it has.
fn fill(
    set: &RowSet,
    ids: &mut Vec<u32>,
    pool: &mut std::iter::Peekable<std::vec::IntoIter<u32>>,
) -> usize {
    let mut rows: usize = ids.iter().map(|id| copies(set.weight(*id))).sum();
    while rows < PAGE_ROWS
        && let Some(id) = pool.next()
    {
        rows += copies(set.weight(id));
        ids.push(id);
    }
    rows
}

/// Each row as often as its page has it.
fn expand(set: &RowSet, ids: &[u32]) -> Vec<u32> {
    ids.iter().flat_map(|id| std::iter::repeat_n(*id, copies(set.weight(*id)))).collect()
}
