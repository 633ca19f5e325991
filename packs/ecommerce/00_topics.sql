-- Pack ecommerce, version 1. Dialect: flink.
--
-- The topics the store's pipelines read, as tables.
--
-- One topic may be read through several tables: each names only the fields its pipelines need,
-- and only those are decoded. A field that is absent or null in the JSON is NULL here. A STRING
-- column over a JSON object holds the object's text as it was sent. Amounts become DECIMAL from
-- their text and never pass through a float.
--
-- What retention takes from the topic is still in the table `events`, and a pipeline that wants the
-- beginning reads it there.

-- Every accepted event, its payloads as raw JSON text.
CREATE TABLE IF NOT EXISTS events_stream (
    message_id     STRING,
    store_id       STRING,
    source         STRING,
    `type`         STRING,
    event          STRING,
    original_event STRING,
    event_time     TIMESTAMP_LTZ(6),
    received_at    TIMESTAMP_LTZ(6),
    clock_clamped  BOOLEAN,
    visitor_id     STRING,
    user_id        STRING,
    anonymous_id   STRING,
    group_id       STRING,
    previous_id    STRING,
    properties     STRING,
    traits         STRING,
    context        STRING,
    consent        STRING,
    integrations   STRING,
    extra          STRING
) WITH (
    'connector' = 'kafka',
    'topic' = 'events',
    'format' = 'json',
    'json.timestamp-format.standard' = 'ISO-8601',
    'history.table' = 'events'
);

-- The same topic, with what orders and refunds say spelled out.
CREATE TABLE IF NOT EXISTS order_events_stream (
    message_id    STRING,
    store_id      STRING,
    event         STRING,
    event_time    TIMESTAMP_LTZ(6),
    received_at   TIMESTAMP_LTZ(6),
    visitor_id    STRING,
    user_id       STRING,
    properties    ROW<
        order_id     STRING,
        checkout_id  STRING,
        affiliation  STRING,
        subtotal     DECIMAL(18, 6),
        total        DECIMAL(18, 6),
        revenue      DECIMAL(18, 6),
        shipping     DECIMAL(18, 6),
        tax          DECIMAL(18, 6),
        discount     DECIMAL(18, 6),
        coupon       STRING,
        currency     STRING,
        country      STRING,
        products     ARRAY<ROW<
            product_id STRING,
            sku        STRING,
            name       STRING,
            category   STRING,
            brand      STRING,
            variant    STRING,
            coupon     STRING,
            price      DECIMAL(18, 6),
            quantity   DECIMAL(18, 6)
        >>
    >,
    context       ROW<location ROW<country STRING>>
) WITH (
    'connector' = 'kafka',
    'topic' = 'events',
    'format' = 'json',
    'json.timestamp-format.standard' = 'ISO-8601',
    'history.table' = 'events'
);

-- What could not be read. A BYTES column over a JSON string is decoded from base64. letter is its
-- own offset, by which it is tried again.
CREATE TABLE IF NOT EXISTS dead_letters_stream (
    store_id    STRING,
    source      STRING,
    reason      STRING,
    received_at TIMESTAMP_LTZ(6),
    raw_base64  BYTES,
    topic       STRING,
    `partition` INT,
    `offset`    BIGINT,
    letter      BIGINT METADATA FROM 'offset' VIRTUAL
) WITH (
    'connector' = 'kafka',
    'topic' = 'dead_letters',
    'format' = 'json',
    'json.timestamp-format.standard' = 'ISO-8601'
);

-- What became of dead letters that were tried again.
CREATE TABLE IF NOT EXISTS dead_letter_retries_stream (
    letter     BIGINT,
    state      STRING,
    tried_at   TIMESTAMP_LTZ(6),
    store_id   STRING,
    source     STRING,
    accepted   BIGINT,
    duplicates BIGINT
) WITH (
    'connector' = 'kafka',
    'topic' = 'dead_letter_retries',
    'format' = 'json',
    'json.timestamp-format.standard' = 'ISO-8601'
);
