//! What a write under way will change: checked batch by batch, taken over once it is written.
//!
//! Guarantees: a batch is checked against everything before it, the batches of the same write
//! included; a write that fails leaves no trace. Left out: who waits for which answer (append).

use super::{Decided, Producer, Producers, SentBatch, sequence_after};
use crate::batch::{BatchHeader, Marker};
use crate::segment::Aborted;
use std::collections::HashMap;
use tradewind_types::Offset;
use tradewind_types::log::ProducerFault;

/// Who an append comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This process: no producer, nothing to check.
    Own,
    /// A pipeline of this process, in a transaction that spans this partition: no sequence numbers.
    Pipeline,
    /// A client. `verified` is [`Producers::guard`] from before the transaction's coordinator said
    /// that this partition is part of it.
    Client { verified: Option<Offset> },
    /// A group's coordinator: offsets, which have no sequence numbers. `verified` is as for clients.
    Offsets { verified: Option<Offset> },
    /// The transactions' coordinator: how a transaction ends.
    Marker(Marker),
}

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It is to be written.
    New,
    /// It is in the log, from this offset on.
    Repeated(Offset),
}

/// Why a batch is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Fault(ProducerFault),
    /// There are too many producers that wrote lately.
    Full,
}

impl From<ProducerFault> for Refused {
    fn from(fault: ProducerFault) -> Self {
        Self::Fault(fault)
    }
}

/// Changes of a write that is not done yet.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    changed: HashMap<i64, Producer>,
    /// How many of those the partition did not know.
    added: usize,
    events: Vec<Event>,
    ids_until: Offset,
}

#[derive(Debug)]
enum Event {
    Begun { producer_id: i64, first: Offset },
    Ended { producer_id: i64, first: Offset, marker: Offset, committed: bool },
}

impl Producers {
    /// Checks the batch of `header`, which would be written at `base`, and drafts what it changes.
    pub(crate) fn admit(
        &mut self,
        draft: &mut Draft,
        origin: Origin,
        header: &BatchHeader,
        base: Offset,
        now_ms: i64,
    ) -> Result<Admitted, Refused> {
        let id = header.producer_id;
        let known = draft.changed.get(&id).or_else(|| self.by_id.get(&id)).cloned();
        match origin {
            Origin::Client { verified } => match check(known.as_ref(), header, verified)? {
                Admitted::New => {}
                repeated => return Ok(repeated),
            },
            Origin::Offsets { verified } => {
                check_epoch(known.as_ref(), header)?;
                check_transaction(known.as_ref(), header, verified)?;
            }
            Origin::Marker(_) | Origin::Own | Origin::Pipeline => {
                check_epoch(known.as_ref(), header)?;
            }
        }
        let mut producer = match known {
            Some(known) => known,
            None if self.make_room(draft.added + 1, now_ms) => {
                draft.added += 1;
                Producer::new(header.producer_epoch)
            }
            None => return Err(Refused::Full),
        };
        producer.seen_ms = now_ms;
        let marker = match origin {
            Origin::Marker(marker) => Some(marker),
            Origin::Own | Origin::Pipeline | Origin::Client { .. } | Origin::Offsets { .. } => None,
        };
        draft.take(producer, marker, header, base);
        Ok(Admitted::New)
    }

    /// Takes a batch of the log for granted, as a start does. `marker` is what it says if it is a
    /// control batch.
    pub(super) fn replay(&mut self, header: &BatchHeader, marker: Option<Marker>, now_ms: i64) {
        if header.producer_id < 0 || (header.control() && marker.is_none()) {
            return;
        }
        let known = self.by_id.get(&header.producer_id).cloned();
        if known.is_none() {
            // What is in the log is taken over, whether there is room for it or not.
            self.make_room(1, now_ms);
        }
        let mut producer = known.unwrap_or_else(|| Producer::new(header.producer_epoch));
        producer.seen_ms = now_ms;
        let mut draft = Draft::default();
        draft.take(producer, marker, header, header.base_offset);
        self.commit(draft);
        self.settle(header.end_offset());
    }

    /// What was drafted has been written.
    pub(crate) fn commit(&mut self, draft: Draft) {
        self.ids_until = self.ids_until.max(draft.ids_until);
        for event in draft.events {
            match event {
                Event::Begun { producer_id, first } => drop(self.open.insert(first, producer_id)),
                Event::Ended { producer_id, first, marker, committed } => {
                    self.open.remove(&first);
                    self.decided.push(Decided { first, marker });
                    let last_stable = self.open.keys().next().copied().unwrap_or(marker + 1);
                    if !committed {
                        let last = marker;
                        self.aborted.push(Aborted { producer_id, first, last, last_stable });
                    }
                }
            }
        }
        for (id, producer) in draft.changed {
            self.insert(id, producer);
        }
    }
}

/// Checks a client's batch against what is known of its producer.
fn check(
    known: Option<&Producer>,
    header: &BatchHeader,
    verified: Option<Offset>,
) -> Result<Admitted, ProducerFault> {
    if let Some(known) = known {
        let (first, last) = (header.base_sequence, last_of(header));
        let same = |sent: &&SentBatch| (sent.first_sequence, sent.last_sequence) == (first, last);
        let here = known.epoch == header.producer_epoch;
        if let Some(sent) = known.batches.iter().find(same).filter(|_| here) {
            return Ok(Admitted::Repeated(sent.base_offset));
        }
        check_epoch(Some(known), header)?;
        let due = if here { due_after(known.last_sequence()) } else { 0 };
        if first != due {
            let producer_id = header.producer_id;
            return Err(ProducerFault::OutOfOrder { producer_id, sent: first, due });
        }
    }
    check_transaction(known, header, verified)?;
    Ok(Admitted::New)
}

fn check_transaction(
    known: Option<&Producer>,
    header: &BatchHeader,
    verified: Option<Offset>,
) -> Result<(), ProducerFault> {
    let open = known.is_some_and(|known| known.open_from.is_some());
    let ended_at = known.map_or(-1, |known| known.ended_at);
    let holds = match (open, header.transactional()) {
        (true, transactional) => transactional,
        (false, true) => verified == Some(ended_at),
        (false, false) => true,
    };
    if holds {
        return Ok(());
    }
    Err(ProducerFault::NoTransaction { producer_id: header.producer_id })
}

fn check_epoch(known: Option<&Producer>, header: &BatchHeader) -> Result<(), ProducerFault> {
    let (producer_id, sent) = (header.producer_id, header.producer_epoch);
    match known {
        Some(Producer { epoch, .. }) if sent < *epoch => {
            Err(ProducerFault::StaleEpoch { producer_id, sent, known: *epoch })
        }
        _ => Ok(()),
    }
}

fn last_of(header: &BatchHeader) -> i32 {
    sequence_after(header.base_sequence, header.last_offset_delta)
}

fn due_after(last: i32) -> i32 {
    last.checked_add(1).unwrap_or(0)
}

impl Draft {
    fn take(
        &mut self,
        mut producer: Producer,
        marker: Option<Marker>,
        header: &BatchHeader,
        base: Offset,
    ) {
        let producer_id = header.producer_id;
        producer.enter(header.producer_epoch);
        producer.timestamp_ms = header.max_timestamp;
        match marker {
            Some(marker) => {
                if let Some(first) = producer.open_from.take() {
                    let committed = marker.committed;
                    self.events.push(Event::Ended { producer_id, first, marker: base, committed });
                }
                producer.ended_at = base;
            }
            None => {
                if header.base_sequence >= 0 {
                    producer.push(SentBatch {
                        first_sequence: header.base_sequence,
                        last_sequence: last_of(header),
                        base_offset: base,
                        timestamp_ms: header.max_timestamp,
                    });
                }
                if header.transactional() && producer.open_from.is_none() {
                    producer.open_from = Some(base);
                    self.events.push(Event::Begun { producer_id, first: base });
                }
            }
        }
        self.ids_until = base + i64::from(header.last_offset_delta) + 1;
        self.changed.insert(producer_id, producer);
    }
}
