-- Pack ecommerce, version 1. Dialect: flink.
--
-- `events`: every accepted event of every kind, one row each.
--
-- event_time is the shopper's clock and an instant; event_date is its date in UTC, whatever the
-- session's time zone. event is the e-commerce name in its current spelling; original_event is
-- what the client sent where that was an older one. properties, traits, context, consent,
-- integrations and extra (whatever has no column of its own) are the JSON text as sent.

CREATE TABLE IF NOT EXISTS events (
    store_id       STRING,
    event_date     DATE,
    event_time     TIMESTAMP_LTZ(6),
    received_at    TIMESTAMP_LTZ(6),
    message_id     STRING,
    source         STRING,
    `type`         STRING,
    event          STRING,
    original_event STRING,
    visitor_id     STRING,
    user_id        STRING,
    anonymous_id   STRING,
    group_id       STRING,
    previous_id    STRING,
    clock_clamped  BOOLEAN,
    properties     STRING,
    traits         STRING,
    context        STRING,
    consent        STRING,
    integrations   STRING,
    extra          STRING
) PARTITIONED BY (store_id, event_date) WITH ('connector' = 'delta');

INSERT INTO events
SELECT
    store_id,
    CAST(event_time AS DATE) AS event_date,
    event_time,
    received_at,
    message_id,
    source,
    `type`,
    event,
    original_event,
    visitor_id,
    user_id,
    anonymous_id,
    group_id,
    previous_id,
    COALESCE(clock_clamped, FALSE) AS clock_clamped,
    properties,
    traits,
    context,
    consent,
    integrations,
    extra
FROM events_stream;
