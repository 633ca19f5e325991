-- Pack ecommerce, version 1. Dialect: flink.
--
-- `dead_letters`: whatever could not be read, by a collector or by a pipeline: the bytes as they
-- came, where from, and why. Nothing is dropped without a row here.
--
-- topic, topic_partition and topic_offset say where the bytes are: the record a pipeline could not
-- read, or, of input that a collector refused, the letter itself in the topic dead_letters, by whose
-- offset it is tried again. event_date is the date of received_at in UTC.

CREATE TABLE IF NOT EXISTS dead_letters (
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

INSERT INTO dead_letters
SELECT
    store_id,
    CAST(received_at AS DATE) AS event_date,
    received_at,
    source,
    reason,
    raw_base64 AS raw,
    COALESCE(topic, 'dead_letters') AS topic,
    COALESCE(`partition`, 0) AS topic_partition,
    COALESCE(`offset`, letter) AS topic_offset
FROM dead_letters_stream;
