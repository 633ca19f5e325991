//! Making topics: on demand, on request, and what is refused.

use super::harness::*;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;
use tradewind_log::wire::{KeptTopics, WireLimits};
use tradewind_types::Log;

fn ask_for(topic: &str, may_create: bool) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
    MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(may_create)
}

#[tokio::test]
async fn naming_a_topic_makes_it_when_both_sides_allow_it() {
    let limits = WireLimits { auto_create_partitions: 3, ..WireLimits::default() };
    let port = Port::start(limits).await;
    let mut client = port.client().await;
    let unknown = client.call(9, &ask_for("orders", false)).await.topics.remove(0);
    assert_eq!((unknown.error_code, port.store.topics().len()), (3, 0));
    let made = client.call(9, &ask_for("orders", true)).await.topics.remove(0);
    assert_eq!((made.error_code, made.partitions.len()), (0, 3));
    let misnamed = client.call(9, &ask_for("no/slash", true)).await.topics.remove(0);
    assert_eq!((misnamed.error_code, port.store.topics().len()), (17, 1));
    port.stop().await;

    let port = Port::start(WireLimits { auto_create_partitions: 0, ..WireLimits::default() }).await;
    let mut client = port.client().await;
    assert_eq!(client.call(9, &ask_for("orders", true)).await.topics[0].error_code, 3);
    assert!(port.store.topics().is_empty());
    port.stop().await;
}

#[tokio::test]
async fn settings_reach_the_topic_and_a_check_makes_nothing() {
    let port = Port::start(WireLimits::default()).await;
    let mut client = port.client().await;
    let config = CreatableTopicConfig::default()
        .with_name(StrBytes::from_static_str("retention.ms"))
        .with_value(Some(StrBytes::from_static_str("3600000")));
    let topic = CreatableTopic::default()
        .with_name(name("t"))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_configs(vec![config]);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]);
    let checked = client.call(5, &request.clone().with_validate_only(true)).await;
    assert_eq!((checked.topics[0].error_code, port.store.topics().len()), (0, 0));
    assert_eq!(client.call(7, &request).await.topics[0].topic_id, port.topic_id("t"));
    let info = port.store.topic("t").unwrap();
    assert_eq!(info.settings.get("retention.ms").map(String::as_str), Some("3600000"));
    port.stop().await;
}

#[tokio::test]
async fn topics_that_cannot_be_are_refused_one_by_one() {
    let port = Port::start(WireLimits::default()).await;
    let mut client = port.client().await;
    let topic = |topic: &str| {
        CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(1)
            .with_replication_factor(1)
    };
    let assigned = |broker: i32| {
        let assignment = CreatableReplicaAssignment::default().with_broker_ids(vec![broker.into()]);
        topic("assigned")
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments(vec![assignment])
    };
    let unknown_setting = CreatableTopicConfig::default()
        .with_name(StrBytes::from_static_str("retention.eons"))
        .with_value(Some(StrBytes::from_static_str("1")));
    let cases = [
        (topic("a/b"), 17),
        (topic(".."), 17),
        (topic("none").with_num_partitions(0), 37),
        (topic("copies").with_replication_factor(3), 38),
        (assigned(9), 39),
        (topic("setting").with_configs(vec![unknown_setting]), 40),
        (topic("fine"), 0),
    ];
    let topics = cases.iter().map(|(topic, _)| topic.clone()).collect();
    let response = client.call(7, &CreateTopicsRequest::default().with_topics(topics)).await;
    for (answer, (topic, code)) in response.topics.iter().zip(&cases) {
        assert_eq!((answer.error_code, &answer.name), (*code, &topic.name));
        assert_eq!(answer.error_message.is_some(), *code != 0);
    }
    let twice = CreateTopicsRequest::default().with_topics(vec![topic("twice"), topic("twice")]);
    let codes: Vec<_> =
        client.call(7, &twice).await.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [42, 42]);
    let assigned = CreateTopicsRequest::default().with_topics(vec![assigned(1)]);
    assert_eq!(client.call(7, &assigned).await.topics[0].num_partitions, 1);
    port.stop().await;
}

#[tokio::test]
async fn a_client_deleted_a_topic_that_the_server_needs() {
    let kept_topics =
        KeptTopics::new(|topic| (topic == "events").then(|| "it is ours".to_string()));
    let port = Port::start(WireLimits { kept_topics, ..WireLimits::default() }).await;
    port.topic("events", 1).await;
    port.topic("theirs", 1).await;
    let mut client = port.client().await;
    let by_name = |topics: &[&str]| {
        DeleteTopicsRequest::default().with_topic_names(topics.iter().map(|it| name(it)).collect())
    };
    let old = client.call(1, &by_name(&["events"])).await;
    assert_eq!(old.responses[0].error_code, 44);
    let id = DeleteTopicState::default().with_name(None).with_topic_id(port.topic_id("events"));
    let by_id = client.call(6, &DeleteTopicsRequest::default().with_topics(vec![id])).await;
    let message = by_id.responses[0].error_message.as_ref().map(ToString::to_string);
    assert_eq!((by_id.responses[0].error_code, message.as_deref()), (73, Some("it is ours")));
    let both = client.call(5, &by_name(&["events", "theirs"])).await;
    let codes: Vec<_> = both.responses.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [73, 0]);
    let left: Vec<_> = port.store.topics().into_iter().map(|topic| topic.name).collect();
    assert_eq!(left, ["events"]);
    port.stop().await;
}

#[tokio::test]
async fn a_topic_that_is_only_checked_is_refused_as_if_it_were_made() {
    let port = Port::start(WireLimits::default()).await;
    let mut client = port.client().await;
    for version in super::versions::range("CreateTopics") {
        let setting = |name: &str, value: &str| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string(name.to_owned()))
                .with_value(Some(StrBytes::from_string(value.to_owned())))
        };
        for (wanted, expected) in [
            (("compression.type", "lz4"), 0),
            (("compression.type", "best"), 40),
            (("dummy.doesntexist", "1"), 40),
        ] {
            let topic = CreatableTopic::default()
                .with_name(name("checked"))
                .with_num_partitions(1)
                .with_replication_factor(1)
                .with_configs(vec![setting(wanted.0, wanted.1)]);
            let request =
                CreateTopicsRequest::default().with_topics(vec![topic]).with_validate_only(true);
            let response = client.call(version, &request).await;
            assert_eq!(response.topics[0].error_code, expected, "{wanted:?}, version {version}");
        }
    }
    assert!(port.store.topic("checked").is_none());
    port.stop().await;
}
