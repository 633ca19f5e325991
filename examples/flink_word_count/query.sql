-- The words of a socket, counted while they come: Flink's first program, as SQL.
-- Feed it with `nc -lk 8888`, then `tradewind run examples/flink_word_count/query.sql`.
CREATE TABLE lines (
    line STRING
) WITH (
    'connector' = 'socket',
    'hostname' = 'localhost',
    'port' = '8888',
    'format' = 'raw'
);

CREATE TABLE counts (
    word STRING,
    count_of BIGINT
) WITH ('connector' = 'print');

INSERT INTO counts
SELECT word, COUNT(*) AS count_of
FROM lines CROSS JOIN UNNEST(SPLIT(LOWER(line), ' ')) AS words (word)
WHERE word <> ''
GROUP BY word;
