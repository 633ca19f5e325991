//! Changing settings on behalf of a client: what AlterConfigs and its successor share.
//!
//! Guarantees: a change is durable before it is answered, and all of a resource's settings change
//! or none. A request that names a resource or a setting twice is refused there, as Kafka does.
//! Left out: the broker's settings: they are in its file, and the answer says so.

use super::apis::{BROKER_RESOURCE, TOPIC_RESOURCE, check_broker, unknown_kind};
use super::broker::Broker;
use super::error_code::{number, of_log_error};
use super::topics::valid_topic_name;
use crate::settings::TopicDefaults;
use crate::store::Change;
use crate::topic_settings::{SettingKind, topic_setting};
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};
use tradewind_types::LogError;

/// What can be done to a setting, by the protocol's numbers.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// What a request wants to change.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) kind: i8,
    pub(crate) name: StrBytes,
    /// The settings it names.
    pub(crate) names: Vec<StrBytes>,
}

/// One step of a change.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: StrBytes,
    pub(crate) operation: i8,
    pub(crate) value: Option<StrBytes>,
}

/// What a resource's part of the answer says.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) code: i16,
    pub(crate) message: Option<StrBytes>,
}

type Refusal = (ResponseError, String);

/// The resources of a request that it names more than once.
pub(crate) fn named_twice(resources: &[Resource]) -> BTreeSet<(i8, StrBytes)> {
    let mut seen = BTreeSet::new();
    let name = |resource: &Resource| (resource.kind, resource.name.clone());
    resources.iter().map(name).filter(|one| !seen.insert(one.clone())).collect()
}

/// Changes one of a request's resources, `twice` being those that it names more than once.
pub(crate) async fn apply(
    broker: &Broker,
    twice: &BTreeSet<(i8, StrBytes)>,
    resource: &Resource,
    check_only: bool,
    change: Change,
) -> Outcome {
    let changed = match check(twice, resource) {
        Ok(()) => change_topic(broker, resource, check_only, change).await,
        Err(refusal) => Err(refusal),
    };
    match changed {
        Ok(()) => Outcome::default(),
        Err((error, reason)) => {
            Outcome { code: number(error), message: Some(StrBytes::from_string(reason)) }
        }
    }
}

fn check(twice: &BTreeSet<(i8, StrBytes)>, resource: &Resource) -> Result<(), Refusal> {
    if twice.contains(&(resource.kind, resource.name.clone())) {
        return Err((ResponseError::InvalidRequest, "the request names it twice".into()));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = resource.names.iter().find(|name| !seen.insert(*name)) {
        let reason = format!("the request names `{}` twice", twice.as_str());
        return Err((ResponseError::InvalidRequest, reason));
    }
    match resource.kind {
        TOPIC_RESOURCE => Ok(()),
        BROKER_RESOURCE => {
            check_broker(resource.name.as_str())?;
            let reason = "a broker's settings are in its configuration file, and take a restart";
            Err((ResponseError::InvalidRequest, reason.into()))
        }
        other => Err(unknown_kind(other)),
    }
}

async fn change_topic(
    broker: &Broker,
    resource: &Resource,
    check_only: bool,
    change: Change,
) -> Result<(), Refusal> {
    let name = resource.name.as_str();
    if !valid_topic_name(name) {
        let reason = format!("topic name {name:?} is not valid");
        return Err((ResponseError::InvalidTopicException, reason));
    }
    let kept = broker.limits.kept_topics.why(name);
    let compacted = broker.store.topic_settings(name).is_some_and(|has| has.cleanup.compact);
    let guarded: Change = Box::new(move |settings| {
        change(settings)?;
        let policy = settings.get("cleanup.policy");
        let compacts = policy.is_some_and(|policy| policy.contains("compact"));
        match kept.filter(|_| compacts && !compacted) {
            // Compaction would take away what counts on every record.
            Some(reason) => Err(LogError::Invalid(format!(
                "`cleanup.policy` stays, and so do its records: {reason}"
            ))),
            None => Ok(()),
        }
    });
    match broker.store.alter_settings(name, check_only, guarded).await {
        Ok(()) => Ok(()),
        Err(LogError::Invalid(reason)) => Err((ResponseError::InvalidConfig, reason)),
        Err(error) => Err((of_log_error(&error), error.to_string())),
    }
}

/// Exactly these settings; null is the default.
pub(crate) fn replace(settings: Vec<(StrBytes, Option<StrBytes>)>) -> Change {
    Box::new(move |to| {
        let given = settings.into_iter();
        *to = given
            .filter_map(|(name, value)| Some((name.to_string(), value?.to_string())))
            .collect();
        Ok(())
    })
}

/// One step after the other.
pub(crate) fn step_by_step(steps: Vec<Step>, defaults: TopicDefaults) -> Change {
    Box::new(move |settings| steps.into_iter().try_for_each(|step| take(step, settings, &defaults)))
}

fn take(
    step: Step,
    settings: &mut BTreeMap<String, String>,
    defaults: &TopicDefaults,
) -> Result<(), LogError> {
    let Step { name, operation, value } = step;
    let name = name.to_string();
    if operation == DELETE {
        // One that nobody knows is refused as it would be when it is set.
        if topic_setting(&name).is_none() {
            settings.insert(name, String::new());
        } else {
            settings.remove(&name);
        }
        return Ok(());
    }
    let value = value.ok_or_else(|| LogError::Invalid(format!("`{name}` has no value")))?;
    match operation {
        SET => drop(settings.insert(name, value.to_string())),
        APPEND | SUBTRACT => {
            let setting = topic_setting(&name);
            let list = setting.filter(|setting| setting.kind == SettingKind::List);
            let Some(list) = list else {
                return Err(LogError::Invalid(format!("`{name}` is not a list")));
            };
            let now = settings.get(&name).cloned().unwrap_or_else(|| list.value(defaults));
            let mut entries: Vec<&str> = now.split(',').map(str::trim).collect();
            for entry in value.split(',').map(str::trim) {
                entries.retain(|there| *there != entry);
                if operation == APPEND {
                    entries.push(entry);
                }
            }
            let joined = entries.join(",");
            settings.insert(name, joined);
        }
        other => {
            return Err(LogError::Invalid(format!("operation {other} on `{name}` is not known")));
        }
    }
    Ok(())
}
