//! State out of memory where it does not fit.
//!
//! An operator's state is one table for each worker as long as all state fits. When it comes to
//! half of the bound the largest tables are taken apart into shards, as for a moment they are there
//! twice; past the bound the shards that have gone longest without rows are evicted.
//!
//! Guarantees: looked at between ticks only; costs nothing by row while all fits. After a tick what
//! is evictable is below the bound, or nothing of it is in memory. The rows of materialized views
//! are what readers read and stay; their bound ends the tick with an error.
//! Left out: files, which are the [`Scratch`]'s; putting shards together again when there is room.

use super::Executor;
use crate::budget::Share;
use crate::operator::Stateful;
use crate::operator::sharded::Sharded;
use crate::{DataflowError, NodeIndex, Scratch, ShardRange, StateBudget};
use std::sync::Arc;

/// Ticks without rows after which a shard makes room for one that has some.
const COLD_TICKS: u64 = 64;

/// Tables that are, all together, a smaller part of the bound than this stay whole.
const WHOLE_PART: usize = 8;

/// What an executor needs to evict state.
#[derive(Debug, Clone)]
pub struct Eviction {
    /// How much may stay in memory.
    pub budget: Arc<StateBudget>,
    /// Where the rest goes.
    pub scratch: Arc<dyn Scratch>,
}

/// The same, in an executor.
pub(super) struct Evicting {
    share: Share,
    scratch: Arc<dyn Scratch>,
}

/// Bytes in memory.
#[derive(Default)]
struct Memory {
    /// In one table for each worker.
    whole: usize,
    /// In shards.
    sharded: usize,
    views: usize,
}

impl Memory {
    fn state(&self) -> usize {
        self.whole + self.sharded
    }
}

impl Executor {
    /// Evicts state from now on where it does not fit. Before the first tick and any restore.
    #[must_use]
    pub fn evicting(mut self, eviction: Eviction) -> Self {
        let share = Share::new(eviction.budget);
        self.evicting = Some(Evicting { share, scratch: eviction.scratch });
        self
    }

    /// Whether any state is out of memory.
    pub fn has_evicted(&self) -> bool {
        self.states.iter().flatten().any(|state| match state {
            Stateful::Sharded(sharded) => sharded.has_evicted(),
            _ => false,
        })
    }

    /// Whether any state is in shards.
    pub fn is_sharded(&self) -> bool {
        self.states.iter().flatten().any(|state| matches!(state, Stateful::Sharded(_)))
    }

    /// Makes state fit.
    pub(super) fn fit(&mut self) -> Result<(), DataflowError> {
        let Some(mut evicting) = self.evicting.take() else { return Ok(()) };
        let fitted = self.fit_into(&mut evicting);
        self.evicting = Some(evicting);
        fitted
    }

    fn fit_into(&mut self, evicting: &mut Evicting) -> Result<(), DataflowError> {
        let mut memory = self.memory();
        evicting.share.set(memory.state(), memory.views);
        evicting.share.check_views()?;
        let bytes_max = evicting.share.state_bytes_max();
        while memory.state() > bytes_max / 2
            && memory.whole > bytes_max / WHOLE_PART
            && self.split_largest(&evicting.scratch)?
        {
            memory = self.memory();
        }
        if memory.state() > bytes_max {
            // An eighth below, so that not every tick evicts.
            self.evict_down(bytes_max - bytes_max / 8, memory)?;
        } else if memory.sharded > 0 || self.is_sharded() {
            self.bring_back(bytes_max, memory.state())?;
        }
        let memory = self.memory();
        evicting.share.set(memory.state(), memory.views);
        Ok(())
    }

    fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for state in self.states.iter().flatten() {
            let bytes = state.held().bytes();
            match state {
                Stateful::Materialize(_) => memory.views += bytes,
                Stateful::Sharded(_) => memory.sharded += bytes,
                _ => memory.whole += bytes,
            }
        }
        memory
    }

    /// Takes the largest whole table apart; whether there was one with keys.
    fn split_largest(&mut self, scratch: &Arc<dyn Scratch>) -> Result<bool, DataflowError> {
        let all = self.states.iter().enumerate().flat_map(|(node, states)| {
            states.iter().enumerate().map(move |(worker, state)| (node, worker, state))
        });
        let whole = all.filter(|(.., state)| {
            !matches!(state, Stateful::Materialize(_) | Stateful::Sharded(_))
                && state.held().keys() > 0
        });
        let largest = whole.max_by_key(|(.., state)| state.held().bytes());
        let Some((node, worker, _)) = largest else { return Ok(false) };
        self.split(node, worker, scratch)?;
        Ok(true)
    }

    fn split(
        &mut self,
        node: NodeIndex,
        worker: usize,
        scratch: &Arc<dyn Scratch>,
    ) -> Result<(), DataflowError> {
        let graph = &self.router.graph;
        let shards = ShardRange::of(worker, self.settings.workers);
        let life = (self.settings.state_ttl_ms, self.now_ms);
        let new = || Sharded::new(graph, node, shards.clone(), scratch.clone(), life);
        let place = &mut self.states[node][worker];
        let whole = std::mem::replace(place, Stateful::Sharded(Box::new(new())));
        let sharded = new().split(whole)?;
        *place = Stateful::Sharded(Box::new(sharded));
        Ok(())
    }

    fn sharded(&mut self) -> impl Iterator<Item = &mut Sharded> {
        self.states.iter_mut().flatten().filter_map(|state| match state {
            Stateful::Sharded(sharded) => Some(&mut **sharded),
            _ => None,
        })
    }

    /// Evicts the shards that have gone longest without rows, until `bytes` are left.
    fn evict_down(&mut self, bytes: usize, memory: Memory) -> Result<(), DataflowError> {
        let mut residents = Vec::new();
        for (index, sharded) in self.sharded().enumerate() {
            residents.extend(sharded.residents().into_iter().map(|one| (index, one)));
        }
        residents.sort_by_key(|(index, one)| (std::cmp::Reverse(one.idle), *index, one.place));
        let mut left = memory.state();
        let mut going: Vec<(usize, usize)> = Vec::new();
        for (index, one) in residents {
            if left <= bytes {
                break;
            }
            left = left.saturating_sub(one.bytes);
            going.push((index, one.place));
        }
        self.evict_all(going)
    }

    /// Evicts shards: the how manieth operator's part in shards, and the place in it.
    fn evict_all(&mut self, mut going: Vec<(usize, usize)>) -> Result<(), DataflowError> {
        going.sort_unstable();
        for (index, sharded) in self.sharded().enumerate() {
            for (_, place) in going.iter().filter(|(of, _)| *of == index) {
                sharded.evict(*place)?;
            }
        }
        Ok(())
    }

    /// Takes shards that have rows into memory again where there is room, and lets cold ones make
    /// room where there is not.
    fn bring_back(&mut self, bytes_max: usize, state: usize) -> Result<(), DataflowError> {
        let (mut room, mut cold) = ((bytes_max / 4 * 3).saturating_sub(state), Vec::new());
        for (index, sharded) in self.sharded().enumerate() {
            for (place, on_disk) in sharded.wanted() {
                // In memory there are hash tables beside it.
                let wanted = usize::try_from(on_disk).unwrap_or(usize::MAX).saturating_mul(2);
                if wanted <= room {
                    room -= wanted;
                    sharded.bring_back(place)?;
                } else {
                    cold.push(index);
                }
            }
        }
        if cold.is_empty() {
            return Ok(());
        }
        let mut going = Vec::new();
        for (index, sharded) in self.sharded().enumerate() {
            let residents = sharded.residents().into_iter().filter(|one| one.idle > COLD_TICKS);
            going.extend(residents.map(|one| (index, one.place)));
        }
        self.evict_all(going)
    }
}
