//! `sys.consumer_groups`, and whoever knows the consumer groups.
//!
//! Guarantees: committed offsets are durable, lag is as of the query.
//! Left out: how groups work, which the log knows.

use crate::error::AnalyzeError;
use crate::platform::Platform;
use crate::sys::text;
use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use async_trait::async_trait;
use std::sync::Arc;
use tradewind_types::TimestampMicros;

/// Knows the consumer groups.
#[async_trait]
pub trait ConsumerGroups: Send + Sync + 'static {
    /// Every group, as it is now.
    ///
    /// # Errors
    /// They are still being loaded.
    async fn groups(&self) -> Result<Vec<GroupRow>, AnalyzeError>;
}

/// A partition a group reads or has read; one row without a partition for a group that has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupRow {
    /// The group's id.
    pub group: String,
    /// `Empty`, `PreparingRebalance`, `CompletingRebalance` or `Stable`.
    pub state: String,
    /// `consumer`, or what its members call themselves; empty when it never had any.
    pub protocol_type: String,
    /// How its members share out partitions.
    pub protocol: Option<String>,
    /// How many generations it has had.
    pub generation: i32,
    /// How many members it has.
    pub members: i32,
    /// The topic.
    pub topic: Option<String>,
    /// The partition.
    pub partition: Option<i32>,
    /// The next record the group wants.
    pub committed: Option<i64>,
    /// The end of the partition.
    pub log_end: Option<i64>,
    /// Records between the two.
    pub lag: Option<i64>,
    /// When it was committed.
    pub committed_at: Option<TimestampMicros>,
    /// What the client said about the offset.
    pub metadata: Option<String>,
    /// The member that reads the partition.
    pub member_id: Option<String>,
    /// `group.instance.id` of that member.
    pub instance_id: Option<String>,
    /// What that member's client calls itself.
    pub client_id: Option<String>,
    /// Where that member connects from.
    pub client_host: Option<String>,
}

/// One row a partition of a group.
pub(crate) async fn table(
    platform: &Platform,
) -> Result<Vec<(&'static str, ArrayRef)>, AnalyzeError> {
    let rows = match &platform.parts().groups {
        Some(groups) => groups.groups().await?,
        None => Vec::new(),
    };
    let words = |of: fn(&GroupRow) -> &str| text(rows.iter().map(of));
    let some = |of: fn(&GroupRow) -> Option<&String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(rows.iter().map(of)))
    };
    let long = |of: fn(&GroupRow) -> Option<i64>| -> ArrayRef {
        Arc::new(Int64Array::from_iter(rows.iter().map(of)))
    };
    let int = |of: fn(&GroupRow) -> Option<i32>| -> ArrayRef {
        Arc::new(Int32Array::from_iter(rows.iter().map(of)))
    };
    let at = TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.committed_at));
    Ok(vec![
        ("group_id", words(|row| &row.group)),
        ("state", words(|row| &row.state)),
        ("topic", some(|row| row.topic.as_ref())),
        ("partition", int(|row| row.partition)),
        ("committed", long(|row| row.committed)),
        ("log_end", long(|row| row.log_end)),
        ("lag", long(|row| row.lag)),
        ("committed_at", Arc::new(at.with_timezone("UTC"))),
        ("metadata", some(|row| row.metadata.as_ref())),
        ("member_id", some(|row| row.member_id.as_ref())),
        ("instance_id", some(|row| row.instance_id.as_ref())),
        ("client_id", some(|row| row.client_id.as_ref())),
        ("client_host", some(|row| row.client_host.as_ref())),
        ("members", int(|row| Some(row.members))),
        ("generation", int(|row| Some(row.generation))),
        ("protocol_type", words(|row| &row.protocol_type)),
        ("protocol", some(|row| row.protocol.as_ref())),
    ])
}
