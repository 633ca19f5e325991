//! DescribeConfigs: the settings of topics and of the broker.
//!
//! Guarantees: every value that holds is named, with where it comes from and what it means.
//! Left out: brokers' loggers and clients' metrics, which there are none of.

use super::{Api, Pending};
use crate::topic_settings::{SettingKind, TOPIC_SETTINGS, TopicSetting};
use crate::wire::WireError;
use crate::wire::broker::{Broker, NODE_ID};
use crate::wire::broker_settings::{self, BrokerSetting};
use crate::wire::budget::Charge;
use crate::wire::error_code::number;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use crate::wire::topics::valid_topic_name;
use crate::{LogStore, TopicDefaults};
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use tradewind_types::Log;

const RESOURCE: Shape = Shape {
    fields: &[
        Field::new(Kind::Fixed(1)),
        Field::new(Kind::Text),
        Field::new(Kind::Each(&Kind::Text)),
    ],
    tags: &[],
};

pub(crate) const API: Api = Api {
    name: "DescribeConfigs",
    key: 32,
    min: 1,
    max: 4,
    flexible_from: 4,
    request: &Shape {
        fields: &[
            Field::new(Kind::Array(&RESOURCE)),
            Field::new(Kind::Fixed(1)),
            Field::from(3, Kind::Fixed(1)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<DescribeConfigsRequest>,
};

/// Kinds of resources, by the protocol's numbers.
pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;

/// Where a value comes from, by the protocol's numbers.
const FROM_TOPIC: i8 = 1;
const FROM_BROKER_FILE: i8 = 4;
const FROM_DEFAULT: i8 = 5;

/// What a resource's settings take while the answer is made, with synonyms and documentation.
const RESOURCE_BYTES: usize = 32 << 10;

/// Why a resource is not described.
type Refusal = (ResponseError, String);

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let mut asked: DescribeConfigsRequest = request.decode()?;
    // Each once, however often a request repeats it: the answer stays as small as the log.
    let mut seen = BTreeSet::new();
    asked.resources.retain(|one| seen.insert((one.resource_type, one.resource_name.clone())));
    Ok(async move {
        let mut charge = Charge::default();
        let known = |one: &&DescribeConfigsResource| {
            one.resource_type != TOPIC || broker.store.topic(&one.resource_name).is_some()
        };
        let described = asked.resources.iter().filter(known).count();
        broker.answers.charge(&mut charge, described * RESOURCE_BYTES).await;
        let results = asked.resources.iter().map(|resource| {
            let wants = Wants {
                names: resource.configuration_keys.as_deref(),
                synonyms: asked.include_synonyms,
                documentation: asked.include_documentation && request.version >= 3,
                version: request.version,
            };
            result(resource, describe(&broker, resource, &wants))
        });
        let response = DescribeConfigsResponse::default().with_results(results.collect());
        let mut reply = request.reply(&response)?;
        charge.shrink_to(reply.len());
        reply.charge = charge;
        Ok(Some(reply))
    }
    .boxed())
}

fn result(
    resource: &DescribeConfigsResource,
    described: Result<Vec<DescribeConfigsResourceResult>, Refusal>,
) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone());
    match described {
        Ok(configs) => result.with_error_message(None).with_configs(configs),
        Err((error, reason)) => result
            .with_error_code(number(error))
            .with_error_message(Some(StrBytes::from_string(reason))),
    }
}

/// What a request wants to know of each setting.
struct Wants<'a> {
    /// Settings by name; none, or null, are all.
    names: Option<&'a [StrBytes]>,
    synonyms: bool,
    documentation: bool,
    version: i16,
}

impl Wants<'_> {
    fn named(&self, name: &str) -> bool {
        self.names.is_none_or(|names| {
            names.is_empty() || names.iter().any(|wanted| wanted.as_str() == name)
        })
    }

    fn described(
        &self,
        (name, kind, doc): (&'static str, SettingKind, &'static str),
        synonyms: Vec<(&'static str, String, i8)>,
        read_only: bool,
    ) -> DescribeConfigsResourceResult {
        let (value, source) = synonyms
            .first()
            .map(|(_, value, source)| (value.clone(), *source))
            .expect("every setting has a value");
        let synonyms = synonyms.into_iter().filter(|_| self.synonyms).map(|(name, value, from)| {
            DescribeConfigsSynonym::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_string(value)))
                .with_source(from)
        });
        let result = DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_string(value)))
            .with_read_only(read_only)
            .with_config_source(source)
            .with_synonyms(synonyms.collect());
        if self.version < 3 {
            return result;
        }
        let doc = self.documentation.then(|| StrBytes::from_static_str(doc));
        result.with_config_type(kind as i8).with_documentation(doc)
    }
}

fn describe(
    broker: &Broker,
    resource: &DescribeConfigsResource,
    wants: &Wants<'_>,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = resource.resource_name.as_str();
    match resource.resource_type {
        TOPIC => describe_topic(&broker.store, name, wants),
        BROKER => {
            check_broker(name)?;
            // Without a name: what was set for all brokers alike while they run, which is nothing.
            let settings = if name.is_empty() { &[] } else { broker_settings::BROKER_SETTINGS };
            Ok(describe_broker(broker, settings, wants))
        }
        other => Err(unknown_kind(other)),
    }
}

/// Whether a resource names this broker, or all brokers.
pub(crate) fn check_broker(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.parse() == Ok(NODE_ID) {
        return Ok(());
    }
    let reason = format!("broker {name:?} is not here, this is broker {NODE_ID}");
    Err((ResponseError::InvalidRequest, reason))
}

pub(crate) fn unknown_kind(kind: i8) -> Refusal {
    let reason =
        format!("resources of kind {kind} have no settings, topics (2) and brokers (4) do");
    (ResponseError::InvalidRequest, reason)
}

fn describe_topic(
    store: &LogStore,
    name: &str,
    wants: &Wants<'_>,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let Some(info) = store.topic(name) else {
        let error = match valid_topic_name(name) {
            true => ResponseError::UnknownTopicOrPartition,
            false => ResponseError::InvalidTopicException,
        };
        return Err((error, format!("topic {name:?} does not exist")));
    };
    let (ours, theirs) = (store.topic_defaults(), TopicDefaults::default());
    let settings = TOPIC_SETTINGS.iter().filter(|setting| wants.named(setting.name));
    let described = settings.map(|setting| {
        let own = info.settings.get(setting.name);
        let own = own.map(|value| (setting.name, value.clone(), FROM_TOPIC));
        let synonyms = own.into_iter().chain(inherited(setting, ours, &theirs)).collect();
        wants.described((setting.name, setting.kind, setting.doc), synonyms, false)
    });
    Ok(described.collect())
}

/// A setting's value for topics that have none of their own: the server's, then the default.
fn inherited(
    setting: &TopicSetting,
    ours: &TopicDefaults,
    theirs: &TopicDefaults,
) -> Vec<(&'static str, String, i8)> {
    let (ours, theirs) = (setting.value(ours), setting.value(theirs));
    let name = setting.broker_name;
    let mut values = Vec::new();
    if ours != theirs {
        values.push((name, ours, FROM_BROKER_FILE));
    }
    values.push((name, theirs, FROM_DEFAULT));
    values
}

fn describe_broker(
    broker: &Broker,
    settings: &[BrokerSetting],
    wants: &Wants<'_>,
) -> Vec<DescribeConfigsResourceResult> {
    let own = settings.iter().filter(|setting| wants.named(setting.name)).map(|setting| {
        let values = vec![(setting.name, (setting.value)(broker), FROM_BROKER_FILE)];
        wants.described((setting.name, setting.kind, setting.doc), values, true)
    });
    let (ours, theirs) = (broker.store.topic_defaults(), TopicDefaults::default());
    let of_topics = TOPIC_SETTINGS
        .iter()
        .filter(|setting| !settings.is_empty() && wants.named(setting.broker_name));
    let of_topics = of_topics.map(|setting| {
        let named = (setting.broker_name, setting.kind, setting.doc);
        wants.described(named, inherited(setting, ours, &theirs), true)
    });
    own.chain(of_topics).collect()
}
