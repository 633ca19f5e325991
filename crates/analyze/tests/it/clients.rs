//! What clients of PostgreSQL send when they connect and look around, answered as PostgreSQL answers.
//!
//! Each file in `clients/` is one client. A statement stands behind its title, the values of its
//! parameters, and what PostgreSQL 15.18 answered over the same tables: the columns with their
//! types, and the rows where they do not hold numbers that PostgreSQL hands out.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use datafusion::common::ScalarValue;
use std::collections::HashMap;
use std::sync::Arc;
use tradewind_analyze::{Answer, Dialect, PG_TYPE, Platform, PlatformParts, Session};
use tradewind_disk::OsDisk;
use tradewind_lake::{Lake, LakeSettings, TableSpec};
use tradewind_sql::{Catalogue, Owner, StatementKind, parse_script};
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
        } else if line.starts_with("-- rows: ") {
            asked.rows = Some(Vec::new());
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
        match &asked.rows {
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
#[tokio::test(flavor = "multi_thread")]
async fn the_pack_is_described() {
    let _ = Schema::empty();
}
