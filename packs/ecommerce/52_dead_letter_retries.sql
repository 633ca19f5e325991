-- Pack ecommerce, version 1. Dialect: flink.
--
-- `dead_letter_retries`: each step of a dead letter that was tried again. letter is its offset in the
-- topic dead_letters, which `dead_letters` has as topic_offset. state is 'begun' before its events are
-- appended and 'done' after, with how many were new and how many were there already; 'in doubt' where
-- the server was away for so long in between that nobody can tell.

CREATE TABLE IF NOT EXISTS dead_letter_retries (
    store_id   STRING,
    letter     BIGINT,
    state      STRING,
    tried_at   TIMESTAMP_LTZ(6),
    source     STRING,
    accepted   BIGINT,
    duplicates BIGINT
) WITH ('connector' = 'delta');

INSERT INTO dead_letter_retries
SELECT store_id, letter, state, tried_at, source, accepted, duplicates
FROM dead_letter_retries_stream;
