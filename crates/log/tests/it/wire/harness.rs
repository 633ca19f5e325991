//! A Kafka port on a free port over a log in a temporary folder, and a client made of
//! `kafka-protocol` alone.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, ProduceRequest, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tradewind_disk::{Create, Disk, OsDisk};
use tradewind_log::group::GroupCoordinator;
use tradewind_log::wire::{WireLimits, serve};
use tradewind_log::{LogSettings, LogStore};
use tradewind_types::{Log, SystemClock, TopicSpec};
use uuid::Uuid;

/// How long anything may take before a test gives up: far beyond any working case.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running port.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    pub(crate) store: LogStore,
    pub(crate) groups: GroupCoordinator,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
    folder: Option<TempDir>,
}

/// Whether no other process or store holds the lock.
fn free(lock: &std::path::Path) -> bool {
    let file = OsDisk.open(lock, Create::IfMissing).unwrap();
    file.try_lock().is_ok()
}

impl Port {
    pub(crate) async fn start(limits: WireLimits) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), limits).await
    }

    /// A port over the log in `folder`, which may have been another port's.
    pub(crate) async fn start_in(folder: TempDir, limits: WireLimits) -> Self {
        Self::open(folder, LogSettings::default(), limits, 0).await
    }

    /// A port that tells clients to use another port of this machine.
    pub(crate) async fn told_as(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::open(folder, LogSettings::default(), WireLimits::default(), port).await
    }

    /// A port over the log of `folder`.
    async fn open(
        folder: TempDir,
        settings: LogSettings,
        limits: WireLimits,
        told_port: u16,
    ) -> Self {
        let settings = LogSettings { disk_reserve_bytes: 0, ..settings };
        let (store, _) =
            LogStore::open(Arc::new(OsDisk), folder.path(), settings, Arc::new(SystemClock))
                .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let advertised = ("127.0.0.1".to_owned(), told_port);
        let groups = GroupCoordinator::new(store.clone(), limits.groups.clone());
        let shared = (store.clone(), groups.clone());
        let served = tokio::spawn(serve(listener, shared, limits, advertised, shutdown));
        Self { address, store, groups, stop: Some(stop), served, folder: Some(folder) }
    }

    /// Ends this server, cleanly or as a kill would, and starts another on the same log.
    pub(crate) async fn restart(mut self, close: bool) -> Self {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.served).await.unwrap().unwrap();
        if close {
            self.store.close().await.unwrap();
        }
        drop((self.store, self.groups));
        let folder = self.folder.take().unwrap();
        let lock = folder.path().join("LOCK");
        // What still holds the store are tasks that end by themselves.
        let freed = async {
            while !free(&lock) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, freed).await.unwrap();
        Self::open(folder, LogSettings::default(), WireLimits::default(), 0).await
    }

    /// A port with one topic `t`.
    pub(crate) async fn with_topic(partitions: i32) -> Self {
        let port = Self::start(WireLimits::default()).await;
        port.topic("t", partitions).await;
        port
    }

    pub(crate) async fn topic(&self, name: &str, partitions: i32) {
        self.store.create_topic(&TopicSpec::new(name, partitions)).await.unwrap();
    }

    pub(crate) fn topic_id(&self, name: &str) -> Uuid {
        Uuid::from_bytes(self.store.topic(name).unwrap().id)
    }

    pub(crate) async fn client(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), correlation: 0 }
    }

    /// Stops the port and waits until every connection is gone.
    pub(crate) async fn stop(self) {
        self.stop_and_keep().await;
    }

    /// As [`Port::stop`], and closes the log for the next port.
    pub(crate) async fn stop_and_keep(mut self) -> TempDir {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.served).await.unwrap().unwrap();
        self.store.close().await.unwrap();
        self.folder.take().unwrap()
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    correlation: i32,
}

impl Client {
    pub(crate) async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let correlation = self.send(version, request).await;
        self.receive::<R>(version, correlation).await
    }

    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.correlation += 1;
        let frame = frame(R::KEY, version, self.correlation, request);
        self.stream.write_all(&frame).await.unwrap();
        self.correlation
    }

    /// As [`Client::call`], with a body that `kafka-protocol` cannot write, in a flexible version.
    pub(crate) async fn call_with<R: Request>(&mut self, version: i16, body: &[u8]) -> R::Response {
        self.correlation += 1;
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        frame.put_i16(R::KEY);
        frame.put_i16(version);
        frame.put_i32(self.correlation);
        frame.put_i16(-1);
        frame.put_u8(0);
        frame.put_slice(body);
        let length = (frame.len() - 4) as i32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame).await.unwrap();
        self.receive::<R>(version, self.correlation).await
    }

    pub(crate) async fn receive<R: Request>(
        &mut self,
        version: i16,
        correlation: i32,
    ) -> R::Response {
        let mut body = self.receive_frame().await.expect("an answer");
        let header = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut body, header).unwrap();
        assert_eq!(header.correlation_id, correlation);
        let response = R::Response::decode(&mut body, version).unwrap();
        assert!(body.is_empty(), "{} bytes after the answer", body.len());
        response
    }

    /// The next answer's bytes, or `None` when the port has closed the connection.
    pub(crate) async fn receive_frame(&mut self) -> Option<Bytes> {
        let read = async {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length).await.ok()?;
            let mut body = vec![0; i32::from_be_bytes(length) as usize];
            self.stream.read_exact(&mut body).await.ok()?;
            Some(Bytes::from(body))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("an answer or the end in time")
    }

    pub(crate) async fn produce(
        &mut self,
        version: i16,
        acks: i16,
        topic: (&str, Uuid),
        partition: i32,
        records: Bytes,
    ) -> PartitionProduceResponse {
        let request = produce_request(version, acks, topic, partition, records);
        let mut response = self.call(version, &request).await;
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// Waits for an answer that must not come: the port closes the connection instead.
    pub(crate) async fn expect_closed(&mut self) {
        assert!(self.receive_frame().await.is_none(), "the connection should have been closed");
    }
}

/// A request as it goes over the wire.
pub(crate) fn frame<R>(key: i16, version: i16, correlation: i32, request: &R) -> Bytes
where
    R: Encodable + HeaderVersion,
{
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str("test")))
        .encode(&mut frame, R::header_version(version))
        .unwrap();
    request.encode(&mut frame, version).unwrap();
    let length = (frame.len() - 4) as i32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.freeze()
}

pub(crate) fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

pub(crate) fn produce_request(
    version: i16,
    acks: i16,
    (topic, id): (&str, Uuid),
    partition: i32,
    records: Bytes,
) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic = match version {
        13.. => TopicProduceData::default().with_topic_id(id),
        _ => TopicProduceData::default().with_name(name(topic)),
    };
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic.with_partition_data(vec![data])])
}

/// What a fetch asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    pub(crate) max_wait_ms: i32,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
    pub(crate) partition_max_bytes: i32,
}

impl Default for Want {
    fn default() -> Self {
        Self { max_wait_ms: 0, min_bytes: 1, max_bytes: 1 << 20, partition_max_bytes: 1 << 20 }
    }
}

pub(crate) fn fetch_request(
    version: i16,
    (topic, id): (&str, Uuid),
    from: &[(i32, i64)],
    want: Want,
) -> FetchRequest {
    let partitions = from.iter().map(|&(partition, offset)| {
        FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(want.partition_max_bytes)
    });
    let topic = match version {
        13.. => FetchTopic::default().with_topic_id(id),
        _ => FetchTopic::default().with_topic(name(topic)),
    };
    FetchRequest::default()
        .with_max_wait_ms(want.max_wait_ms)
        .with_min_bytes(want.min_bytes)
        .with_max_bytes(want.max_bytes)
        .with_topics(vec![topic.with_partitions(partitions.collect())])
}

/// One uncompressed batch of these values, at one timestamp each.
pub(crate) fn batch(values: &[(i64, &[u8])]) -> Bytes {
    let records = values.iter().enumerate().map(|(index, (timestamp, value))| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: index as i64,
        sequence: index as i32,
        timestamp: *timestamp,
        key: None,
        value: Some(Bytes::copy_from_slice(value)),
        headers: IndexMap::new(),
    });
    let records = records.collect::<Vec<_>>();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    bytes.freeze()
}

/// A producer with an id, and the number of its next record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbered {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) sequence: i32,
    pub(crate) transactional: bool,
}

impl Numbered {
    /// The batch of `values` at this place.
    pub(crate) fn batch(&self, values: &[&[u8]]) -> Bytes {
        let records = values.iter().enumerate().map(|(index, value)| Record {
            transactional: self.transactional,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: self.id,
            producer_epoch: self.epoch,
            timestamp_type: TimestampType::Creation,
            offset: index as i64,
            sequence: self.sequence + index as i32,
            timestamp: 1_000_000,
            key: None,
            value: Some(Bytes::copy_from_slice(value)),
            headers: IndexMap::new(),
        });
        let records = records.collect::<Vec<_>>();
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
        bytes.freeze()
    }
}

/// One batch with one value.
pub(crate) fn one(value: &[u8]) -> Bytes {
    batch(&[(1_700_000_000_000, value)])
}

/// The records of a fetch answer's first partition: offset and value.
pub(crate) fn fetched(response: &FetchResponse) -> Vec<(i64, Bytes)> {
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    records(partition.records.clone().unwrap())
}

pub(crate) fn records(mut bytes: Bytes) -> Vec<(i64, Bytes)> {
    let mut all = Vec::new();
    while bytes.has_remaining() {
        let set = RecordBatchDecoder::decode(&mut bytes).unwrap();
        all.extend(set.records.into_iter().map(|r| (r.offset, r.value.unwrap_or_default())));
    }
    all
}
