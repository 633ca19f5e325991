-- Pack ecommerce, version 1. Dialect: flink.
--
-- `late_events`: rows that came to a window of event time after it had ended: the row as JSON, which
-- pipeline and operator had no window for it, and the record it came from. Nothing is dropped
-- without a row here or in `dead_letters`. event_date is the date of received_at in UTC.

CREATE TABLE IF NOT EXISTS late_events (
    store_id        STRING,
    event_date      DATE,
    received_at     TIMESTAMP_LTZ(6),
    source          STRING,
    reason          STRING,
    raw             BYTES,
    topic           STRING,
    topic_partition INT,
    topic_offset    BIGINT
) PARTITIONED BY (store_id, event_date) WITH ('connector' = 'delta');
