//! A small Kafka client, for the command line: what people ask of topics.
//!
//! Guarantees: one connection, one request at a time; an answer longer than [`ANSWER_BYTES_MAX`] is
//! refused. It speaks to any broker that leads every partition itself, as Tradewind does.
//! Left out: consumer groups, several brokers, retries.

use crate::batch;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    DescribeLogDirsRequest, FetchRequest, IncrementalAlterConfigsRequest, ListOffsetsRequest,
    MetadataRequest, ProduceRequest, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tradewind_types::{LogRecord, Offset, PartitionId, Record};

/// The longest answer that is read: the largest batch a topic takes, and then some.
const ANSWER_BYTES_MAX: usize = 512 << 20;
/// How long a broker may be silent before that is said.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a fetch waits for records.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// What one fetch asks for.
const FETCH_BYTES: i32 = 4 << 20;
/// Resources that are topics, for settings.
const TOPIC: i8 = 2;
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// Why a broker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It cannot be reached, or went away.
    #[error("{address} cannot be asked: {reason}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// It said no.
    #[error("{what}: {reason}")]
    Refused {
        /// What was asked about.
        what: String,
        /// The broker's words, or the name of its error.
        reason: String,
    },
    /// Its answer makes no sense.
    #[error("{address} did not answer as a Kafka broker does: {reason}")]
    Protocol {
        /// Where it is.
        address: String,
        /// What does not hold.
        reason: String,
    },
}

/// A topic's partition as a broker tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionPlace {
    /// Its number.
    pub partition: PartitionId,
    /// The first readable offset.
    pub log_start: Offset,
    /// The offset after the last readable record.
    pub high_watermark: Offset,
    /// Bytes on disk.
    pub bytes: i64,
}

/// A setting as a broker tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingPlace {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether the topic has its own.
    pub own: bool,
    /// What it means.
    pub description: String,
}

/// A connection to a broker.
#[derive(Debug)]
pub struct Client {
    address: String,
    stream: TcpStream,
    correlation: i32,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

/// What a broker's error code says.
fn check(what: &str, code: i16, message: Option<StrBytes>) -> Result<(), ClientError> {
    if code == 0 {
        return Ok(());
    }
    let named = || match ResponseError::try_from_code(code) {
        Some(error) => error.to_string(),
        None => format!("error {code}"),
    };
    let reason = message.map(|message| message.to_string()).unwrap_or_else(named);
    Err(ClientError::Refused { what: what.to_owned(), reason })
}

impl Client {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn connect(address: &str) -> Result<Self, ClientError> {
        let unreachable =
            |reason: String| ClientError::Unreachable { address: address.to_owned(), reason };
        let connected = timeout(PATIENCE, TcpStream::connect(address)).await;
        let stream = connected
            .map_err(|_| unreachable("it does not answer".into()))?
            .map_err(|error| unreachable(error.to_string()))?;
        let _ = stream.set_nodelay(true);
        Ok(Self { address: address.to_owned(), stream, correlation: 0 })
    }

    async fn call<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let answer = timeout(PATIENCE, self.exchange(version, request)).await;
        let silent = || ClientError::Unreachable {
            address: self.address.clone(),
            reason: "it does not answer".into(),
        };
        answer.map_err(|_| silent())?
    }

    async fn exchange<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        self.correlation += 1;
        let frame = self.frame(version, request).map_err(|reason| self.protocol(reason))?;
        let lost = |error: std::io::Error, address: &str| ClientError::Unreachable {
            address: address.to_owned(),
            reason: error.to_string(),
        };
        self.stream.write_all(&frame).await.map_err(|error| lost(error, &self.address))?;
        let length = self.stream.read_i32().await.map_err(|error| lost(error, &self.address))?;
        let length = usize::try_from(length).ok().filter(|length| *length <= ANSWER_BYTES_MAX);
        let length = length.ok_or_else(|| self.protocol("an answer of no length".into()))?;
        // Grown as it comes: a length is only what somebody says.
        let mut answer = Vec::new();
        let mut part = (&mut self.stream).take(length as u64);
        part.read_to_end(&mut answer).await.map_err(|error| lost(error, &self.address))?;
        if answer.len() < length {
            return Err(self.protocol("it closed in the middle of an answer".into()));
        }
        self.opened::<R>(version, answer.into()).map_err(|reason| self.protocol(reason))
    }

    fn frame<R: Request>(&self, version: i16, request: &R) -> Result<BytesMut, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(StrBytes::from_static_str("tradewind")))
            .encode(&mut frame, R::header_version(version))
            .map_err(|error| said(&error))?;
        request.encode(&mut frame, version).map_err(|error| said(&error))?;
        let length = i32::try_from(frame.len() - 4).map_err(|error| said(&error))?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(frame)
    }

    fn opened<R: Request>(&self, version: i16, mut answer: Bytes) -> Result<R::Response, String> {
        let header = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut answer, header).map_err(|e| e.to_string())?;
        if header.correlation_id != self.correlation {
            return Err("it answers something else".into());
        }
        R::Response::decode(&mut answer, version).map_err(|error| error.to_string())
    }

    fn protocol(&self, reason: String) -> ClientError {
        ClientError::Protocol { address: self.address.clone(), reason }
    }

    /// Every topic, with how many partitions it has.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn topics(&mut self) -> Result<BTreeMap<String, i32>, ClientError> {
        let answer = self.call(9, &MetadataRequest::default().with_topics(None)).await?;
        let topics = answer.topics.into_iter().filter_map(|topic| {
            Some((topic.name?.to_string(), i32::try_from(topic.partitions.len()).ok()?))
        });
        Ok(topics.collect())
    }

    /// Makes a topic; no number of partitions is the broker's default.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn create_topic(
        &mut self,
        topic: &str,
        partitions: Option<i32>,
        settings: &[(String, String)],
    ) -> Result<(), ClientError> {
        let configs = settings.iter().map(|(setting, value)| {
            CreatableTopicConfig::default().with_name(text(setting)).with_value(Some(text(value)))
        });
        let asked = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(partitions.unwrap_or(-1))
            .with_replication_factor(-1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![asked]);
        let answer = self.call(5, &request).await?;
        let results = answer.topics.into_iter();
        results.into_iter().try_for_each(|one| check(topic, one.error_code, one.error_message))
    }

    /// Removes a topic.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn delete_topic(&mut self, topic: &str) -> Result<(), ClientError> {
        let request = DeleteTopicsRequest::default().with_topic_names(vec![name(topic)]);
        let answer = self.call(5, &request).await?;
        let results = answer.responses.into_iter();
        results.into_iter().try_for_each(|one| check(topic, one.error_code, one.error_message))
    }

    /// Sets settings of a topic, and takes those without a value back to their defaults.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn alter_topic(
        &mut self,
        topic: &str,
        settings: &[(String, Option<String>)],
    ) -> Result<(), ClientError> {
        let configs = settings.iter().map(|(setting, value)| {
            AlterableConfig::default()
                .with_name(text(setting))
                .with_config_operation(i8::from(value.is_none()))
                .with_value(value.as_deref().map(text))
        });
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configs(configs.collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let answer = self.call(1, &request).await?;
        let results = answer.responses.into_iter();
        results.into_iter().try_for_each(|one| check(topic, one.error_code, one.error_message))
    }

    /// Gives a topic `count` partitions in all.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn add_partitions(&mut self, topic: &str, count: i32) -> Result<(), ClientError> {
        let asked = CreatePartitionsTopic::default()
            .with_name(name(topic))
            .with_count(count)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![asked]);
        let answer = self.call(1, &request).await?;
        let results = answer.results.into_iter();
        results.into_iter().try_for_each(|one| check(topic, one.error_code, one.error_message))
    }

    /// A topic's settings.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn settings(&mut self, topic: &str) -> Result<Vec<SettingPlace>, ClientError> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![resource])
            .with_include_documentation(true);
        let answer = self.call(3, &request).await?;
        let mut settings = Vec::new();
        for result in answer.results {
            check(topic, result.error_code, result.error_message)?;
            settings.extend(result.configs.into_iter().map(|config| SettingPlace {
                name: config.name.to_string(),
                value: config.value.map(|value| value.to_string()).unwrap_or_default(),
                own: config.config_source == TOPIC_CONFIG,
                description: config.documentation.map(|doc| doc.to_string()).unwrap_or_default(),
            }));
        }
        Ok(settings)
    }

    /// Where a topic's partitions begin and end, and what they take.
    ///
    /// # Errors
    /// As [`ClientError`] says; a topic that is not there is refused.
    pub async fn partitions(&mut self, topic: &str) -> Result<Vec<PartitionPlace>, ClientError> {
        let known = self.topics().await?;
        let Some(count) = known.get(topic).copied() else {
            let reason = "there is no such topic".to_owned();
            return Err(ClientError::Refused { what: topic.to_owned(), reason });
        };
        let starts = self.offsets(topic, count, EARLIEST).await?;
        let ends = self.offsets(topic, count, LATEST).await?;
        let sizes = self.sizes(topic).await?;
        let place = |partition: PartitionId| PartitionPlace {
            partition,
            log_start: starts.get(&partition).copied().unwrap_or(0),
            high_watermark: ends.get(&partition).copied().unwrap_or(0),
            bytes: sizes.get(&partition).copied().unwrap_or(0),
        };
        Ok((0..count).map(place).collect())
    }

    /// The first offset at or after a time of each partition that has one.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn offsets(
        &mut self,
        topic: &str,
        partitions: i32,
        timestamp_ms: i64,
    ) -> Result<BTreeMap<PartitionId, Offset>, ClientError> {
        let asked = (0..partitions).map(|partition| {
            ListOffsetsPartition::default()
                .with_partition_index(partition)
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp_ms)
        });
        let asked =
            ListOffsetsTopic::default().with_name(name(topic)).with_partitions(asked.collect());
        let request =
            ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
        let answer = self.call(6, &request).await?;
        let mut found = BTreeMap::new();
        for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            check(topic, partition.error_code, None)?;
            if partition.offset >= 0 {
                found.insert(partition.partition_index, partition.offset);
            }
        }
        Ok(found)
    }

    async fn sizes(&mut self, topic: &str) -> Result<BTreeMap<PartitionId, i64>, ClientError> {
        let answer = self.call(2, &DescribeLogDirsRequest::default().with_topics(None)).await?;
        let topics = answer.results.into_iter().flat_map(|dir| dir.topics);
        let of = topics.filter(|one| one.name.as_str() == topic);
        let sizes = of.flat_map(|one| one.partitions);
        Ok(sizes.map(|one| (one.partition_index, one.partition_size)).collect())
    }

    /// Appends records as one batch, durably; answers the first one's offset.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn produce(
        &mut self,
        topic: &str,
        partition: PartitionId,
        records: &[Record],
    ) -> Result<Offset, ClientError> {
        let refused = |reason| ClientError::Refused { what: topic.to_owned(), reason };
        let batch = batch::encode(records, ANSWER_BYTES_MAX).map_err(refused)?;
        let data =
            PartitionProduceData::default().with_index(partition).with_records(Some(batch.into()));
        let data =
            TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(PATIENCE.as_millis() as i32)
            .with_topic_data(vec![data]);
        let answer = self.call(9, &request).await?;
        let mut parts = answer.responses.into_iter().flat_map(|one| one.partition_responses);
        let part = parts.next().ok_or_else(|| self.protocol("it says nothing of it".into()))?;
        check(topic, part.error_code, part.error_message)?;
        Ok(part.base_offset)
    }

    /// Records from `from` on, waited for a moment, and the offset to go on at.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn fetch(
        &mut self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
    ) -> Result<(Vec<LogRecord>, Offset), ClientError> {
        let asked = FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(from)
            .with_partition_max_bytes(FETCH_BYTES);
        let asked = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![asked]);
        let request = FetchRequest::default()
            .with_max_wait_ms(FETCH_WAIT.as_millis() as i32)
            .with_min_bytes(1)
            .with_max_bytes(FETCH_BYTES)
            .with_topics(vec![asked]);
        let answer = self.call(11, &request).await?;
        check(topic, answer.error_code, None)?;
        let mut parts = answer.responses.into_iter().flat_map(|one| one.partitions);
        let part = parts.next().ok_or_else(|| self.protocol("it says nothing of it".into()))?;
        check(topic, part.error_code, None)?;
        let bytes = part.records.unwrap_or_default();
        decoded(&bytes, from).map_err(|reason| self.protocol(reason))
    }
}

/// Where a setting's value comes from when it is the topic's own.
const TOPIC_CONFIG: i8 = 1;

/// The records of whole batches from `from` on; what is cut short at the end is left out.
fn decoded(bytes: &Bytes, from: Offset) -> Result<(Vec<LogRecord>, Offset), String> {
    let (mut records, mut next, mut position) = (Vec::new(), from, 0);
    while let Ok(header) = batch::check_batch(&bytes[position..]) {
        let batch = bytes.slice(position..position + header.bytes);
        if !header.control() {
            batch::decode_records_at(&header, &batch, from, &mut records)?;
        }
        next = next.max(header.end_offset());
        position += header.bytes;
    }
    Ok((records, next))
}
