//! Lines from a TCP server: `'connector' = 'socket'`.
//!
//! Guarantees: every line that arrived is handed out once; the source ends when the server closes.
//! Left out: reading again: what a server has sent is gone, so a job over a socket is as exact as
//! its one run, and a restart reads on from a new connection.

use super::decode::{Place, RawRecord, RowDecoder};
use super::lines::Lines;
use super::{LineReader, value_columns};
use crate::stream::plan::SourcePlan;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tradewind_sql::SocketTable;
use tradewind_types::connector::Positions;
use tradewind_types::{Offset, PartitionId, Source, SourceBatch, SourceError};

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// A socket has one partition.
const PARTITION: PartitionId = 0;

/// A connection being read.
pub(super) struct SocketSource {
    table: String,
    reader: LineReader,
    decoder: RowDecoder,
    connection: Option<TcpStream>,
    lines: Lines,
    /// Lines handed out: a line's number is its offset.
    count: Offset,
}

impl SocketSource {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(super) async fn open(
        table: &SocketTable,
        plan: &SourcePlan,
        reader: LineReader,
    ) -> Result<Self, SourceError> {
        let definition = &plan.definition;
        let columns = value_columns(definition);
        let decoder = RowDecoder::new(&definition.name, &table.format, &columns, None, &plan.read)?;
        let connection = TcpStream::connect((table.hostname.as_str(), table.port)).await;
        let connection = connection.map_err(|error| SourceError::Decode {
            source_name: definition.name.clone(),
            reason: format!("{}:{}: {error}", table.hostname, table.port),
        })?;
        Ok(Self {
            table: definition.name.clone(),
            reader,
            decoder,
            connection: Some(connection),
            lines: Lines::default(),
            count: 0,
        })
    }
}

#[async_trait]
impl Source for SocketSource {
    fn schema(&self) -> SchemaRef {
        self.decoder.schema()
    }

    async fn poll(&mut self, rows_max: usize) -> Result<Vec<SourceBatch>, SourceError> {
        let taken = self.lines.take(rows_max);
        if taken.lines.is_empty() {
            return Ok(Vec::new());
        }
        let now_us = self.reader.clock.now_us();
        let mut records = Vec::with_capacity(taken.lines.len());
        for (line, offset) in taken.lines.iter().zip(self.count..) {
            records.push(RawRecord::of_line(line.text, offset, now_us));
        }
        self.count += records.len() as Offset;
        let place = Place {
            reader: &self.reader.name,
            name: &self.table,
            partition: PARTITION,
            next_offset: self.count,
            now_us,
        };
        self.decoder.decode(&records, &place)
    }

    async fn ready(&mut self) -> Result<(), SourceError> {
        while !self.lines.has_line() {
            let Some(connection) = &mut self.connection else { return Ok(()) };
            // A connection that breaks has ended: there is no way to read on where it stood.
            match connection.read(self.lines.room(READ_BYTES)).await {
                Ok(0) | Err(_) => {
                    self.connection = None;
                    self.lines.finish();
                }
                Ok(count) => self.lines.filled(count),
            }
        }
        Ok(())
    }

    fn positions(&self) -> Positions {
        Positions::from([(PARTITION, self.count)])
    }

    fn seek(&mut self, positions: &Positions) -> Result<(), SourceError> {
        self.count = positions.get(&PARTITION).copied().unwrap_or(0);
        Ok(())
    }

    fn ended(&self) -> bool {
        self.connection.is_none() && !self.lines.has_line()
    }
}
