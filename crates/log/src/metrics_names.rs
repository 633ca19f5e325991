//! The names this crate's metrics are counted under.
//!
//! Guarantees: one place for all of them, described for whoever exports them.
//! Left out: labels by topic, which would be a look-up on each append.

/// Bytes of batches written.
pub(crate) const APPEND_BYTES: &str = "tradewind_log_append_bytes_total";
/// Records written.
pub(crate) const APPEND_RECORDS: &str = "tradewind_log_append_records_total";
/// Fsyncs of segments.
pub(crate) const FSYNCS: &str = "tradewind_log_fsyncs_total";
/// How long an fsync took.
pub(crate) const FSYNC_SECONDS: &str = "tradewind_log_fsync_seconds";
/// Batches one fsync made durable.
pub(crate) const BATCHES_PER_FSYNC: &str = "tradewind_log_batches_per_fsync";
/// Partitions whose fsync failed.
pub(crate) const OFFLINE_PARTITIONS: &str = "tradewind_log_offline_partitions";
/// Bytes returned to readers.
pub(crate) const READ_BYTES: &str = "tradewind_log_read_bytes_total";
/// Segments removed by retention.
pub(crate) const SEGMENTS_DELETED: &str = "tradewind_log_retention_segments_deleted_total";
/// Segments removed although a pipeline held them.
pub(crate) const HOLDS_OVERRIDDEN: &str = "tradewind_log_retention_holds_overridden_total";
/// Bytes that compaction saved.
pub(crate) const COMPACTED_BYTES: &str = "tradewind_log_compaction_bytes_saved_total";
/// Bytes of torn tails that were cut.
pub(crate) const TORN_BYTES: &str = "tradewind_log_torn_bytes_total";
/// Places where durable bytes are not what was written.
pub(crate) const CORRUPTIONS: &str = "tradewind_log_corruptions_total";

/// Batches a producer sent again, which were there already.
pub(crate) const REPEATED_BATCHES: &str = "tradewind_log_repeated_batches_total";
/// Transactions that ended, by how.
pub(crate) const TRANSACTIONS: &str = "tradewind_log_transactions_total";

/// Tells the installed recorder what each metric means.
pub fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!(APPEND_BYTES, Unit::Bytes, "bytes of record batches written");
    describe_counter!(APPEND_RECORDS, Unit::Count, "records written");
    describe_counter!(FSYNCS, Unit::Count, "fsyncs of segments");
    describe_histogram!(FSYNC_SECONDS, Unit::Seconds, "how long an fsync took");
    describe_histogram!(BATCHES_PER_FSYNC, Unit::Count, "batches one fsync made durable");
    describe_gauge!(OFFLINE_PARTITIONS, Unit::Count, "partitions offline since a failed fsync");
    describe_counter!(READ_BYTES, Unit::Bytes, "bytes of record batches read");
    describe_counter!(SEGMENTS_DELETED, Unit::Count, "segments removed by retention");
    describe_counter!(HOLDS_OVERRIDDEN, Unit::Count, "segments removed although they were held");
    describe_counter!(COMPACTED_BYTES, Unit::Bytes, "bytes that compaction saved");
    describe_counter!(TORN_BYTES, Unit::Bytes, "bytes of torn tails that were cut");
    describe_counter!(REPEATED_BATCHES, Unit::Count, "batches that were sent again and not stored");
    describe_counter!(TRANSACTIONS, Unit::Count, "transactions that ended");
    describe_counter!(CORRUPTIONS, Unit::Count, "places where durable bytes are garbled");
}
