//! Catalogs, schemas, tables and keys, as Flight SQL wants to be told of them.
//!
//! Guarantees: they are what `information_schema` says at that moment, which is what SQL sees.
//! Left out: foreign keys, which no table has.

use super::sessions::Client;
use super::status;
use crate::render::plain_schema;
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTableTypes,
    CommandGetTables,
};
use std::sync::{Arc, LazyLock};
use tonic::Status;
use tradewind_analyze::{Answer, Dialect, type_name};

/// Kinds of tables, as JDBC names them.
const KINDS: [&str; 3] = ["SYSTEM TABLE", "TABLE", "VIEW"];
/// The one catalog.
const CATALOG: &str = "tradewind";
/// Schemas that are there without a table of anybody's.
const OWN_SCHEMAS: [&str; 3] = ["information_schema", "public", "sys"];

pub(super) fn catalogs(asked: CommandGetCatalogs) -> Result<RecordBatch, FlightError> {
    let mut catalogs = asked.into_builder();
    catalogs.append(CATALOG);
    catalogs.build()
}

pub(super) fn kinds(asked: CommandGetTableTypes) -> Result<RecordBatch, FlightError> {
    let mut kinds = asked.into_builder();
    for kind in KINDS {
        kinds.append(kind);
    }
    kinds.build()
}

pub(super) async fn schemas(
    client: &Client,
    asked: CommandGetDbSchemas,
) -> Result<RecordBatch, Status> {
    let found =
        texts(client, "SELECT DISTINCT table_schema FROM information_schema.tables").await?;
    let mut names: Vec<String> = OWN_SCHEMAS.map(str::to_string).into();
    names.extend(found.into_iter().flatten().flatten());
    names.sort();
    names.dedup();
    let mut schemas = asked.into_builder();
    for name in names {
        schemas.append(CATALOG, name);
    }
    schemas.build().map_err(status::of_rows)
}

pub(super) async fn tables(
    client: &Client,
    asked: CommandGetTables,
) -> Result<RecordBatch, Status> {
    let query = format!(
        "SELECT table_schema, table_name, table_type FROM information_schema.tables \
         WHERE table_schema LIKE {} AND table_name LIKE {}",
        literal(asked.db_schema_filter_pattern.as_deref().unwrap_or("%")),
        literal(asked.table_name_filter_pattern.as_deref().unwrap_or("%")),
    );
    let with_schema = asked.include_schema;
    let wanted = asked.table_types.clone();
    let mut tables = asked.into_builder();
    for row in texts(client, &query).await? {
        let [Some(schema), Some(name), Some(kind)] = row.as_slice() else { continue };
        let kind = kind_of(schema, kind);
        if !wanted.is_empty() && !wanted.iter().any(|one| one == kind) {
            continue;
        }
        let columns = match with_schema {
            true => columns(client, schema, name).await,
            false => Schema::empty(),
        };
        tables.append(CATALOG, schema, name, kind, &columns).map_err(status::of_rows)?;
    }
    tables.build().map_err(status::of_rows)
}

/// What JDBC calls a kind of the standard's.
fn kind_of(schema: &str, kind: &str) -> &'static str {
    match kind {
        _ if matches!(schema, "sys" | "information_schema" | "pg_catalog") => KINDS[0],
        "VIEW" => KINDS[2],
        _ => KINDS[1],
    }
}

/// A table's columns with the names of their types; none where it cannot be read now.
async fn columns(client: &Client, schema: &str, name: &str) -> Schema {
    let query = format!("SELECT * FROM {}.{}", quoted(schema), quoted(name));
    let found = async {
        let session = client.session.lock().await;
        let statements = session.parse(&query).ok()?;
        session.prepare(statements.first()?, &[]).await.ok()?.schema
    };
    let Some(found) = found.await else { return Schema::empty() };
    let plain = plain_schema(&found);
    let fields = plain.fields().iter().map(|field| {
        let mut metadata = field.metadata().clone();
        metadata.insert("ARROW:FLIGHT:SQL:CATALOG_NAME".into(), CATALOG.into());
        metadata.insert("ARROW:FLIGHT:SQL:SCHEMA_NAME".into(), schema.into());
        metadata.insert("ARROW:FLIGHT:SQL:TABLE_NAME".into(), name.into());
        metadata.insert("ARROW:FLIGHT:SQL:TYPE_NAME".into(), type_name(field.data_type()));
        if let DataType::Decimal128(precision, scale) = field.data_type() {
            metadata.insert("ARROW:FLIGHT:SQL:PRECISION".into(), precision.to_string());
            metadata.insert("ARROW:FLIGHT:SQL:SCALE".into(), scale.to_string());
        }
        field.as_ref().clone().with_metadata(metadata)
    });
    Schema::new(fields.collect::<Vec<Field>>())
}

/// The schema of [`primary_keys`].
pub(super) static KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        text("key_name", true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
});

/// The schema of foreign keys, in whichever direction they are asked for.
pub(super) static REFERENCES: LazyLock<SchemaRef> = LazyLock::new(|| {
    let side = |side: &str| {
        [
            ("catalog_name", true),
            ("db_schema_name", true),
            ("table_name", false),
            ("column_name", false),
        ]
        .map(|(name, nullable)| Field::new(format!("{side}_{name}"), DataType::Utf8, nullable))
    };
    let mut fields: Vec<Field> = side("pk").into_iter().chain(side("fk")).collect();
    fields.push(Field::new("key_sequence", DataType::Int32, false));
    fields.push(Field::new("fk_key_name", DataType::Utf8, true));
    fields.push(Field::new("pk_key_name", DataType::Utf8, true));
    fields.push(Field::new("update_rule", DataType::UInt8, false));
    fields.push(Field::new("delete_rule", DataType::UInt8, false));
    Arc::new(Schema::new(fields))
});

pub(super) async fn primary_keys(
    client: &Client,
    asked: CommandGetPrimaryKeys,
) -> Result<RecordBatch, Status> {
    let schema = asked.db_schema.as_deref().unwrap_or("public");
    let columns = match schema {
        "public" => client.session.lock().await.primary_key(&asked.table),
        _ => Vec::new(),
    };
    let all = |text: &str| Arc::new(StringArray::from(vec![text; columns.len()])) as ArrayRef;
    let places = (1..).take(columns.len());
    let batch = RecordBatch::try_new(
        Arc::clone(&KEYS),
        vec![
            all(CATALOG),
            all(schema),
            all(&asked.table),
            Arc::new(StringArray::from_iter_values(&columns)),
            all(&format!("{}_pkey", asked.table)),
            Arc::new(Int32Array::from_iter_values(places)),
        ],
    );
    batch.map_err(status::of_arrow)
}

/// A query's rows as texts. The answers are as long as the catalogue.
async fn texts(client: &Client, query: &str) -> Result<Vec<Vec<Option<String>>>, Status> {
    let answer = {
        let mut session = client.session.lock().await;
        let own = session.dialect();
        session.set_dialect(Dialect::Postgres);
        let answer = session.execute(query).await;
        session.set_dialect(own);
        answer
    };
    let Answer::Rows(rows) = answer.map_err(status::of)? else {
        return Err(Status::internal("a query of ours has no rows"));
    };
    let mut found = Vec::new();
    for batch in rows.collect().await.map_err(status::of)? {
        let columns = batch.columns().iter().map(|column| cast(column, &DataType::Utf8));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(status::of_arrow)?;
        for row in 0..batch.num_rows() {
            let value = |column: &ArrayRef| {
                let texts = column.as_string::<i32>();
                texts.is_valid(row).then(|| texts.value(row).to_string())
            };
            found.push(columns.iter().map(value).collect());
        }
    }
    Ok(found)
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
