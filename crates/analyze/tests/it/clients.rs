//! What clients of PostgreSQL send when they connect and look around, answered as PostgreSQL answers.
//!
//! Each file in `clients/` is one client. A statement stands behind its title, the values of its
//! parameters, and what PostgreSQL 15.18 answered over the same tables: the columns with their
//! types, and the rows where they do not hold numbers that PostgreSQL hands out.

use crate::support::{ask, error, files_only};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field};
use arrow::util::display::array_value_to_string;
use datafusion::common::ScalarValue;
use std::collections::HashMap;
use std::sync::Arc;
use tradewind_analyze::{Answer, Dialect, PG_TYPE, Platform, PlatformParts, Session};
use tradewind_disk::OsDisk;
use tradewind_lake::{Lake, LakeSettings, TableSpec};
use tradewind_sql::{Catalogue, Owner, PackFile, StatementKind, parse_script};
use tradewind_types::SystemClock;

/// The tables that PostgreSQL had when its answers were written down.
const TABLES: &str = "
CREATE TABLE orders (
    store_id STRING NOT NULL, order_id STRING NOT NULL, placed_at TIMESTAMP_LTZ(3),
    order_date DATE, total DECIMAL(18, 6) COMMENT 'in the currency of the order', items BIGINT,
    paid BOOLEAN, quantity INT, tags ARRAY<STRING>, rate DOUBLE,
    PRIMARY KEY (store_id, order_id) NOT ENFORCED
) COMMENT 'one row an order' WITH ('connector' = 'delta');
CREATE TABLE clicks (visitor_id STRING, url STRING, at TIMESTAMP_LTZ(3), seconds INT)
    WITH ('connector' = 'delta');
CREATE VIEW recent_orders AS SELECT order_id, total FROM orders;
CREATE MATERIALIZED VIEW orders_by_day AS
    SELECT order_date, count(*) AS orders FROM orders GROUP BY order_date;
";

/// A session over those tables.
pub(crate) async fn session(folder: &std::path::Path) -> Session {
    platform(folder).await.session()
}

async fn platform(folder: &std::path::Path) -> Platform {
    let clock = Arc::new(SystemClock);
    let lake = Lake::open(Arc::new(OsDisk), folder, LakeSettings::default(), clock.clone());
    let lake = lake.await.unwrap();
    let catalogue = Catalogue::transient(clock);
    for statement in parse_script(TABLES, Dialect::Flink).unwrap() {
        match statement.kind {
            StatementKind::CreateTable(table) => {
                let definition = &table.definition;
                let spec = TableSpec {
                    name: definition.name.clone(),
                    schema: definition.schema(),
                    partition_columns: vec![],
                };
                lake.create_table(&spec).await.unwrap();
                catalogue.create_table(&table, &Owner::Sql).unwrap();
            }
            StatementKind::CreateView(view) => {
                catalogue.create_view(&view, Dialect::Flink, &Owner::Sql).unwrap();
            }
            StatementKind::CreateMaterializedView(view) => {
                let columns = [("order_date", "DATE"), ("orders", "BIGINT")];
                let columns = columns.map(|(name, of)| (name.to_string(), of.to_string())).to_vec();
                let owner = Owner::Sql;
                catalogue.create_materialized_view(&view, Dialect::Flink, &owner, columns).unwrap();
            }
            _ => panic!("{}", statement.text),
        }
    }
    let parts = PlatformParts {
        catalogue: Some(Arc::new(catalogue)),
        lake: Some(lake),
        ..PlatformParts::default()
    };
    Platform::new(parts).unwrap()
}

/// A statement of a client.
#[derive(Debug, Default)]
struct Asked {
    title: String,
    parameters: Vec<Option<String>>,
    columns: Vec<(String, String)>,
    rows: Option<Vec<Vec<String>>>,
    sql: String,
}

fn asked(file: &str) -> Vec<Asked> {
    let parts = file.split("\n-- # ").skip(1);
    parts.map(one).collect()
}

fn one(part: &str) -> Asked {
    let (title, rest) = part.split_once('\n').unwrap();
    let mut asked = Asked { title: title.into(), ..Asked::default() };
    for line in rest.lines() {
        if let Some(columns) = line.strip_prefix("-- columns: ") {
            asked.columns = columns_of(columns);
        } else if let Some(row) = line.strip_prefix("-- = ") {
            asked.rows.as_mut().unwrap().push(texts(row).into_iter().flatten().collect());
        } else if let Some(count) = line.strip_prefix("-- rows: ") {
            // Where PostgreSQL's cannot be ours, the reason stands in place of the number.
            asked.rows = count.parse::<usize>().ok().map(Vec::with_capacity);
        } else if let Some((_, value)) =
            line.strip_prefix("-- $").and_then(|one| one.split_once(": "))
        {
            asked.parameters.extend(texts(&format!("[{value}]")));
        } else {
            asked.sql.push_str(line);
            asked.sql.push('\n');
        }
    }
    asked
}

/// `["a", null]`
fn texts(line: &str) -> Vec<Option<String>> {
    let mut texts = Vec::new();
    let mut letters = line.trim_start_matches('[').trim_end_matches(']').chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            'n' => texts.push(None),
            '"' => {
                let mut text = String::new();
                loop {
                    match letters.next().unwrap() {
                        '"' => break,
                        '\\' => text.push(match letters.next().unwrap() {
                            'n' => '\n',
                            't' => '\t',
                            'u' => {
                                let digits: String = letters.by_ref().take(4).collect();
                                char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                            }
                            other => other,
                        }),
                        other => text.push(other),
                    }
                }
                texts.push(Some(text));
            }
            _ => {}
        }
    }
    texts
}

/// `"a" text, "b" numeric(1,2)`
fn columns_of(line: &str) -> Vec<(String, String)> {
    let mut columns = Vec::new();
    let mut rest = line;
    while let Some(from) = rest.strip_prefix('"') {
        let end = from.find('"').unwrap();
        let after = &from[end + 1..];
        let next = after.find(", \"").unwrap_or(after.len());
        // A type named "char" stands in quotes itself.
        let next = match after[..next].trim() {
            "" => after[1..].find(", \"").map_or(after.len(), |at| at + 1),
            _ => next,
        };
        columns.push((from[..end].to_string(), after[..next].trim().to_string()));
        rest = after.get(next + 2..).unwrap_or_default();
    }
    columns
}

struct Client {
    session: Session,
    /// Names of types by their oids.
    types: HashMap<String, String>,
    /// Oids of relations by their names.
    oids: HashMap<String, String>,
}

impl Client {
    async fn new(mut session: Session) -> Self {
        let mut pairs = async |sql: &str| -> HashMap<String, String> {
            let (_, rows) = answer(&mut session, sql, &[]).await.unwrap();
            rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
        };
        let types = pairs("SELECT oid, format_type(oid, NULL) FROM pg_type").await;
        let oids = pairs("SELECT relname, oid FROM pg_class").await;
        Self { session, types, oids }
    }

    /// Relations' names in braces as their oids here.
    fn with_oids(&self, text: &str) -> String {
        let names = ["orders", "recent_orders", "orders_by_day", "clicks"];
        names.iter().fold(text.to_string(), |text, name| {
            text.replace(&format!("{{{name}}}"), &self.oids[*name])
        })
    }

    /// What differs from PostgreSQL's answer.
    async fn differs(&mut self, asked: &Asked) -> Result<(), String> {
        let sql = self.with_oids(&asked.sql);
        let values: Vec<Option<String>> = asked
            .parameters
            .iter()
            .map(|value| value.as_ref().map(|value| self.with_oids(value)))
            .collect();
        let (fields, rows) = answer(&mut self.session, &sql, &values).await?;
        let columns: Vec<(String, String)> =
            fields.iter().map(|field| (field.name().clone(), self.type_of(field))).collect();
        if columns != asked.columns {
            let pairs = columns.iter().zip(&asked.columns).filter(|(own, wanted)| own != wanted);
            let pairs: Vec<_> = pairs.collect();
            return Err(format!("{} columns of {}: {pairs:?}", columns.len(), asked.columns.len()));
        }
        let (mut rows, mut wanted) = (rows, asked.rows.clone());
        // Without an order PostgreSQL's is as good as any.
        if !asked.sql.to_lowercase().contains("order by") {
            rows.sort();
            wanted.iter_mut().for_each(|wanted| wanted.sort());
        }
        match &wanted {
            Some(wanted) if *wanted != rows => {
                let own = rows.iter().find(|row| !wanted.contains(row));
                let missing = wanted.iter().find(|row| !rows.contains(row));
                Err(format!(
                    "{} rows of {}: there is {own:?}, there should be {missing:?}",
                    rows.len(),
                    wanted.len()
                ))
            }
            _ => Ok(()),
        }
    }

    fn type_of(&self, field: &Field) -> String {
        let oid = field.metadata().get(PG_TYPE);
        oid.and_then(|oid| self.types.get(oid))
            .cloned()
            .unwrap_or_else(|| field.data_type().to_string())
    }
}

/// The answer's columns and its rows, as PostgreSQL writes values.
async fn answer(
    session: &mut Session,
    sql: &str,
    values: &[Option<String>],
) -> Result<(Vec<Arc<Field>>, Vec<Vec<String>>), String> {
    let shown = |error: tradewind_analyze::AnalyzeError| error.to_string();
    let statements = session.parse(sql).map_err(shown)?;
    let prepared =
        session.prepare(&statements[0], &vec![None; values.len()]).await.map_err(shown)?;
    let typed: Result<Vec<ScalarValue>, _> = values
        .iter()
        .zip(&prepared.parameters)
        .map(|(value, of)| {
            let text = ScalarValue::Utf8(value.clone());
            // Arrays come as text; whoever reads the wire makes values of them.
            text.cast_to(of).or_else(|_| list_of(value.as_deref().unwrap_or("{}"), of))
        })
        .collect();
    let typed = typed.map_err(|error| error.to_string())?;
    let described = prepared.schema.clone().unwrap();
    let answer = session.execute_prepared(&prepared, &typed).await.map_err(shown)?;
    let Answer::Rows(rows) = answer else { return Err("no rows".into()) };
    if described.fields() != rows.schema().fields() {
        return Err(format!("described {described:?}, answered {:?}", rows.schema()));
    }
    let fields = rows.schema().fields().to_vec();
    let mut out = Vec::new();
    for batch in rows.collect().await.map_err(shown)? {
        for row in 0..batch.num_rows() {
            out.push(batch.columns().iter().map(|column| text(column, row)).collect());
        }
    }
    Ok((fields, out))
}

fn list_of(text: &str, of: &DataType) -> Result<ScalarValue, datafusion::common::DataFusionError> {
    let DataType::List(item) = of else { return ScalarValue::try_new_null(of) };
    let items = text.trim_matches(['{', '}']).split(',').filter(|item| !item.is_empty());
    let items =
        items.map(|item| ScalarValue::from(item.trim_matches('"')).cast_to(item.data_type_of(of)));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&items, item.data_type())))
}

trait ItemOf {
    fn data_type_of<'a>(&self, list: &'a DataType) -> &'a DataType;
}

impl ItemOf for str {
    fn data_type_of<'a>(&self, list: &'a DataType) -> &'a DataType {
        match list {
            DataType::List(item) => item.data_type(),
            other => other,
        }
    }
}

fn text(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "\\N".into();
    }
    match column.data_type() {
        DataType::Boolean => if column.as_boolean().value(row) { "t" } else { "f" }.into(),
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            let items = (0..items.len()).map(|at| text(&items, at));
            format!("{{{}}}", items.collect::<Vec<_>>().join(","))
        }
        DataType::Float64 | DataType::Float32 => {
            array_value_to_string(column, row).unwrap().trim_end_matches(".0").to_string()
        }
        _ => array_value_to_string(column, row).unwrap(),
    }
}

async fn all_of(file: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut client = Client::new(session(folder.path()).await).await;
    let mut different = Vec::new();
    let statements = asked(file);
    assert!(statements.len() >= 5, "{} statements", statements.len());
    for asked in &statements {
        assert!(!asked.columns.is_empty(), "{asked:?}");
        if let Err(why) = client.differs(asked).await {
            different.push(format!("{}: {why}", asked.title));
        }
    }
    let (count, of) = (different.len(), statements.len());
    assert!(different.is_empty(), "{count} of {of} differ:\n{}", different.join("\n"));
}

macro_rules! clients {
    ($($name:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            all_of(include_str!(concat!("clients/", stringify!($name), ".sql"))).await;
        })*
    };
}

clients! { dbeaver dbt grafana jdbc metabase psql sqlalchemy }

/// The tables of the store's own pack.
async fn pack() -> Session {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/ecommerce");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".sql") {
            files.push(PackFile { name, text: std::fs::read_to_string(&path).unwrap() });
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    let catalogue = Catalogue::transient(Arc::new(SystemClock));
    catalogue.apply_pack("ecommerce", &files).unwrap();
    let parts = PlatformParts { catalogue: Some(Arc::new(catalogue)), ..PlatformParts::default() };
    Platform::new(parts).unwrap().session()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pack_is_described_and_oids_stay() {
    let (mut one, mut other) = (pack().await, pack().await);
    let sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
    assert_eq!(
        ask(&mut one, sql).await.unwrap(),
        "dead_letter_retries\ndead_letter_retries_stream\ndead_letters\ndead_letters_stream\nevents\nevents_stream\nlate_events\norder_events_stream\n\
         order_lines\norders\nrefunds"
    );
    let sql = "SELECT matviewname FROM pg_matviews WHERE matviewname LIKE 'sales%' ORDER BY 1";
    assert_eq!(ask(&mut one, sql).await.unwrap(), "sales_per_day\nsales_per_minute");
    let sql = "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a \
               WHERE a.attrelid = 'orders'::regclass AND a.attnum IN (2, 3, 14) ORDER BY a.attnum";
    assert_eq!(
        ask(&mut one, sql).await.unwrap(),
        "event_date|date\nevent_time|timestamp with time zone\ntotal|numeric(18,6)"
    );
    let sql = "SELECT numeric_precision, numeric_scale, udt_name FROM information_schema.columns \
               WHERE table_name = 'orders' AND column_name = 'total'";
    assert_eq!(ask(&mut one, sql).await.unwrap(), "18|6|numeric");
    let oids = "SELECT relname, oid, relnamespace FROM pg_class ORDER BY relname, oid";
    let all = ask(&mut one, oids).await.unwrap();
    assert!(all.lines().count() > 200, "{all}");
    assert_eq!(all, ask(&mut other, oids).await.unwrap());
    let twice = "SELECT oid FROM pg_class GROUP BY oid HAVING count(*) > 1";
    assert_eq!(ask(&mut one, twice).await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_relation_can_be_read() {
    let mut session = files_only();
    let sql = "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n \
               ON n.oid = c.relnamespace WHERE n.nspname IN ('pg_catalog', 'information_schema')";
    let names = ask(&mut session, sql).await.unwrap();
    assert!(names.lines().count() > 190, "{names}");
    for name in names.lines() {
        ask(&mut session, &format!("SELECT * FROM {name}")).await.unwrap();
        // Beside a table that is not the catalogue's it is one of DataFusion's.
        let beside = format!("SELECT count(*) FROM {name}, sys.settings");
        ask(&mut session, &beside).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgresql_answers_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = session(folder.path()).await;
    // Each answer is PostgreSQL 15's.
    for (sql, expected) in [
        ("SELECT (current_schemas(true))[1], current_schemas(false)", "pg_catalog|[public]"),
        (
            "SELECT 'orders'::regclass::text, 'pg_class'::regclass::oid, 25::regtype::text",
            "orders|1259|text",
        ),
        (
            "SELECT 'int4'::regtype, 'public'::regnamespace, to_regclass('nothing')",
            "integer|public|",
        ),
        (
            "SELECT format_type(1700, 1179658), format_type(1009, NULL), format_type(NULL, 1)",
            "numeric(18,6)|text[]|",
        ),
        (
            "SELECT quote_ident('Order'), quote_ident('order'), quote_ident('orders')",
            "\"Order\"|\"order\"|orders",
        ),
        ("SELECT parse_ident('a.\"B c\".D'), pg_encoding_to_char(6)", "[a, B c, d]|UTF8"),
        (
            "SELECT count(*) FROM pg_class WHERE relname ~ '^orders$' AND relkind = ANY('{r,v}')",
            "1",
        ),
        (
            "SELECT conkey, pg_get_constraintdef(oid) FROM pg_constraint",
            "[1, 2]|PRIMARY KEY (store_id, order_id)",
        ),
        ("SELECT indkey[0], indkey, array_upper(indkey, 1) FROM pg_index", "1|1 2|1"),
        (
            "SELECT (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = 1) \
             FROM pg_class c WHERE relname = 'clicks'",
            "visitor_id",
        ),
        (
            "SELECT c.relname, x.n, x.x FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
             CROSS JOIN LATERAL information_schema._pg_expandarray(i.indkey) AS x",
            "orders|1|1\norders|2|2",
        ),
        (
            "SELECT ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid ORDER BY a.attnum DESC \
             LIMIT 2) FROM pg_class c WHERE c.relname = 'clicks'",
            "[seconds, at]",
        ),
        (
            "SELECT 'a' IN (SELECT word FROM pg_get_keywords()), 'all' IN (SELECT word FROM pg_get_keywords())",
            "false|true",
        ),
        ("SELECT current_user, count(*) FROM orders", "tradewind|0"),
        (
            "SELECT c.relname, o.n FROM pg_class c, (SELECT count(*) AS n FROM orders) o \
             WHERE c.relname = 'clicks'",
            "clicks|0",
        ),
    ] {
        assert_eq!(ask(&mut session, sql).await.unwrap(), expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_as_postgresql_says_it() {
    let mut session = files_only();
    for (sql, expected) in [
        ("SELECT 'nothing'::regclass", "relation \"nothing\" does not exist"),
        ("SELECT nothing FROM pg_class", "column \"nothing\" does not exist"),
        ("SELECT oid FROM pg_class, pg_type", "ambiguous"),
        ("SELECT * FROM pg_nothing", "pg_nothing"),
        ("SELECT current_setting('nothing')", "nothing"),
        ("SELECT (SELECT oid FROM pg_class)", "more than one row"),
    ] {
        let message = error(&mut session, sql).await;
        assert!(message.contains(expected), "{sql}: {message}");
    }
}
