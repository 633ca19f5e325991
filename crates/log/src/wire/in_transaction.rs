//! Whether a partition is part of the transaction in which a client writes to it.
//!
//! Guarantees: the transactions' coordinator is asked unless the partition knows the transaction as
//! open, and what it says holds only for as long as no transaction of this producer ends there.
//! Left out: the numbers clients are told, which differ by API.

use super::broker::Broker;
use crate::transactions::{Identity, RISING_EPOCHS, TransactionError};
use tradewind_types::{LogError, Offset, PartitionId};

/// How often a write is verified again because its producer's last transaction ended meanwhile.
/// Twice is more than one producer can bring about.
pub(crate) const VERIFIED_AGAIN_MAX: usize = 3;

/// Who writes in which transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InTransaction<'a> {
    /// The transactional id.
    pub(crate) id: &'a str,
    pub(crate) client: Identity,
    /// Whether the write makes its partition part of the transaction.
    pub(crate) adds: bool,
}

/// Why nothing may be written.
#[derive(Debug)]
pub(crate) enum Unverified {
    Log(LogError),
    Transaction(TransactionError),
}

impl InTransaction<'_> {
    /// What a write needs to begin the transaction in a partition; `None` where it has begun.
    pub(crate) async fn verify(
        &self,
        broker: &Broker,
        topic: &str,
        partition: PartitionId,
    ) -> Result<Option<Offset>, Unverified> {
        let guard = broker.store.transaction_guard(topic, partition, self.client);
        let Some(guard) = guard.map_err(Unverified::Log)? else { return Ok(None) };
        let coordinator = &broker.transactions;
        let place = (topic.to_owned(), partition);
        let verified = match self.adds {
            true => {
                let places = [place].into();
                coordinator.add_partitions(self.id, self.client, places, RISING_EPOCHS).await
            }
            false => coordinator.verify(self.id, self.client, &place).await,
        };
        verified.map(|()| Some(guard)).map_err(Unverified::Transaction)
    }
}
