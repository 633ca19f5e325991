-- What Grafana sends (postgresMetaQuery.ts of grafana/grafana).
-- Columns and rows are what PostgreSQL 15.18 answers; where it could not be the same, the reason is said.

-- # version
-- columns: "version" integer
SELECT current_setting('server_version_num')::int/100 as version

-- # timescale
-- columns: "extversion" text
-- rows: 0
SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'

-- # schemas
-- columns: "name" name
-- rows: 2
-- = ["public"]
-- = ["sys"]
SELECT schema_name AS "name"
    FROM information_schema.schemata
    WHERE schema_name NOT IN ('information_schema', 'pg_catalog', 'pg_toast', '_timescaledb_cache', '_timescaledb_catalog')
    ORDER BY schema_name

-- # tables of a schema
-- columns: "table" text
SELECT quote_ident(table_name) AS "table"
      FROM information_schema.tables
      WHERE quote_ident(table_schema) = 'public'
      ORDER BY 1

-- # tables
-- columns: "table" text
SELECT
    CASE WHEN 
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )
      THEN quote_ident(table_name)
      ELSE quote_ident(table_schema) || '.' || quote_ident(table_name)
    END AS "table"
    FROM information_schema.tables
    WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache')
    ORDER BY CASE WHEN 
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          ) THEN 0 ELSE 1 END, 1

-- # columns
-- columns: "column" text, "type" character varying
-- rows: 10
-- = ["store_id", "text"]
-- = ["order_id", "text"]
-- = ["placed_at", "timestamp with time zone"]
-- = ["order_date", "date"]
-- = ["total", "numeric"]
-- = ["items", "bigint"]
-- = ["paid", "boolean"]
-- = ["quantity", "integer"]
-- = ["tags", "ARRAY"]
-- = ["rate", "double precision"]
SELECT quote_ident(column_name) AS "column", data_type AS "type"
    FROM information_schema.columns
    WHERE
      CASE WHEN array_length(parse_ident('orders'),1) = 2
        THEN quote_ident(table_schema) = (parse_ident('orders'))[1]
          AND quote_ident(table_name) = (parse_ident('orders'))[2]
        ELSE quote_ident(table_name) = 'orders'
          AND 
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )
      END
