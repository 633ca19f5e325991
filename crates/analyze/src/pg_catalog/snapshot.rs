//! What there is at one moment: schemas, relations and their columns.
//!
//! Guarantees: an object's oid depends on its schema, kind and name alone, so that it stays the same
//! over restarts and whatever else is made or dropped; it is below 2^31.
//! Left out: rows of the catalogue's relations, which `relations` makes of this.

use super::registry;
use super::types::Type;
use crate::platform::{CATALOG, INFORMATION_SCHEMA, PUBLIC, Platform, SYS};
use crate::write::Temporaries;
use crate::{sys, tables};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use tradewind_sql::catalogue::Definition;
use tradewind_sql::{Dialect, PipelineStatement, TableDefinition, relation_key, split_key};

/// The schema of PostgreSQL's own relations.
pub(crate) const PG_CATALOG: &str = "pg_catalog";
/// The schema of a session's temporary tables.
const TEMPORARY: &str = "pg_temp_1";
/// Oids below this are PostgreSQL's own.
pub(crate) const FIRST_OID: u32 = 16_384;
/// The oid of the role that owns everything.
pub(crate) const OWNER: u32 = 10;

/// A table, a view or an index.
#[derive(Debug)]
pub(crate) struct Relation {
    pub(crate) oid: u32,
    pub(crate) namespace: u32,
    pub(crate) schema: Arc<str>,
    pub(crate) name: Arc<str>,
    /// `r`, `v`, `m` or `i`.
    pub(crate) kind: char,
    pub(crate) columns: Vec<Column>,
    pub(crate) comment: Option<String>,
    /// A view's query as written.
    pub(crate) query: Option<String>,
    pub(crate) key: Option<Key>,
    /// Keys of the relations that a view's query names.
    pub(crate) reads: Vec<String>,
}

/// A declared primary key, as the index and the constraint that PostgreSQL would have made of it.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: Arc<str>,
    pub(crate) index: u32,
    pub(crate) constraint: u32,
    /// Places of its columns, from 0.
    pub(crate) columns: Vec<usize>,
}

/// A column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: Arc<str>,
    pub(crate) ty: Type,
    pub(crate) modifier: i32,
    pub(crate) nullable: bool,
    pub(crate) comment: Option<String>,
}

/// Everything at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) namespaces: Vec<(u32, Arc<str>)>,
    pub(crate) relations: Vec<Relation>,
    /// Schemas that were made, with their comments.
    pub(crate) schemas: BTreeMap<String, Option<String>>,
    pub(crate) settings: Vec<Setting>,
    /// Functions of queries that are not PostgreSQL's own: name and `f`, `a` or `w`.
    pub(crate) functions: Vec<(String, char)>,
    by_oid: HashMap<u32, usize>,
    by_name: HashMap<(Arc<str>, Arc<str>), usize>,
}

/// A setting of the server.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) default: String,
    pub(crate) source: String,
    pub(crate) description: String,
}

/// The columns of relations that must be planned to know them. At most one for each relation there
/// is, as many as the catalogue holds.
#[derive(Default)]
pub(crate) struct Shapes {
    views: Mutex<HashMap<String, (Arc<tradewind_sql::Relation>, SchemaRef)>>,
    system: Mutex<HashMap<&'static str, SchemaRef>>,
}

/// A number for an object: of its kind, its schema and its name.
pub(crate) fn oid(kind: &str, schema: &str, name: &str) -> u32 {
    // FNV-1a: the same in every build and on every machine.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in [kind, schema, name].join("\0").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let spread = (hash ^ (hash >> 32)) % u64::from(i32::MAX.unsigned_abs() - FIRST_OID);
    FIRST_OID + u32::try_from(spread).expect("less than 2^31")
}

pub(crate) fn namespace_oid(name: &str) -> u32 {
    match name {
        PG_CATALOG => 11,
        PUBLIC => 2200,
        other => oid("schema", "", other),
    }
}

impl Snapshot {
    /// Looks at everything there is.
    pub(crate) async fn read(platform: &Platform, state: &SessionState) -> Self {
        let mut snapshot = Self::default();
        snapshot.add_users(platform, state).await;
        snapshot.add_system(platform).await;
        snapshot.add_own();
        snapshot.settings = settings(platform);
        snapshot.functions = functions(state);
        snapshot.index();
        snapshot
    }

    async fn add_users(&mut self, platform: &Platform, state: &SessionState) {
        let catalogue = platform.parts().catalogue.as_ref();
        let declared = catalogue.map(|catalogue| catalogue.relations()).unwrap_or_default();
        for schema in catalogue.map(|catalogue| catalogue.schemas()).unwrap_or_default() {
            self.schemas.insert(schema.name, schema.comment);
        }
        platform.shapes().forget_all_but(&declared);
        let mut known = HashSet::new();
        for relation in &declared {
            known.insert(relation.name().to_string());
            let (kind, mut columns) = match &relation.definition {
                Definition::Table(table) => ('r', table_columns(table)),
                Definition::View(_) => ('v', view_columns(platform, state, relation).await),
                Definition::MaterializedView(_) => {
                    ('m', view_columns(platform, state, relation).await)
                }
            };
            for column in &mut columns {
                column.comment = relation.column_comment(&column.name).map(str::to_string);
                // PostgreSQL says so of tables alone, whatever a view reads.
                column.nullable |= kind != 'r';
            }
            let (schema, name) = split_key(relation.name());
            let mut new = Relation::new(schema, name, kind, columns);
            new.query = relation.query().map(ToString::to_string);
            new.reads = relation.query().map_or_else(Vec::new, |query| {
                named_in(query, relation.dialect()).into_iter().collect()
            });
            new.comment = relation.comment().map(str::to_string);
            if let Some(table) = relation.table() {
                new.set_key(&table.primary_key);
            }
            self.relations.push(new);
        }
        // What is in the lake and was never declared.
        for name in tables::public_names(platform).iter().filter(|name| !known.contains(*name)) {
            let schema = tables::relation_schema(platform, state, name).await;
            let columns = schema.map_or_else(|_| Vec::new(), |schema| arrow_columns(&schema));
            let (schema, name) = split_key(name);
            self.relations.push(Relation::new(schema, name, 'r', columns));
        }
        if let Some(temporaries) = state.config().get_extension::<Temporaries>() {
            for (name, schema) in temporaries.all() {
                let columns = arrow_columns(&schema);
                self.relations.push(Relation::new(TEMPORARY, &name, 'r', columns));
            }
        }
    }

    async fn add_system(&mut self, platform: &Platform) {
        for name in sys::TABLES {
            let schema = match platform.shapes().system(name) {
                Some(schema) => Some(schema),
                None => match sys::table(platform, name).await {
                    Ok(table) => Some(platform.shapes().keep_system(name, table.schema())),
                    Err(_) => None,
                },
            };
            let columns = schema.map_or_else(Vec::new, |schema| arrow_columns(&schema));
            self.relations.push(Relation::new(SYS, name, 'v', columns));
        }
    }

    /// The relations of the catalogue itself.
    fn add_own(&mut self) {
        for definition in registry::all() {
            let columns = definition.columns.iter().map(|column| Column {
                name: column.name.into(),
                ty: column.ty,
                modifier: -1,
                nullable: column.nullable,
                comment: None,
            });
            let (schema, name, kind) = (definition.schema, definition.name, definition.kind);
            let mut relation = Relation::new(schema, name, kind, columns.collect());
            if definition.oid != 0 {
                relation.oid = definition.oid;
            }
            relation.query = definition.query.map(ToString::to_string);
            self.relations.push(relation);
        }
    }

    fn index(&mut self) {
        let own = [PG_CATALOG, PUBLIC, SYS, INFORMATION_SCHEMA].map(String::from);
        let used = self.relations.iter().map(|relation| relation.schema.to_string());
        let schemas: BTreeSet<String> =
            used.chain(own).chain(self.schemas.keys().cloned()).collect();
        self.namespaces =
            schemas.iter().map(|name| (namespace_oid(name), name.as_str().into())).collect();
        let mut taken = HashSet::new();
        for (at, relation) in self.relations.iter_mut().enumerate() {
            // Two names with one number are rare, and the second gets the next that is free.
            while !taken.insert(relation.oid) {
                relation.oid = FIRST_OID.max(relation.oid.wrapping_add(1) & 0x7fff_ffff);
            }
            self.by_oid.insert(relation.oid, at);
            let name = (Arc::clone(&relation.schema), Arc::clone(&relation.name));
            self.by_name.insert(name, at);
        }
        for (at, relation) in self.relations.iter().enumerate() {
            if let Some(key) = &relation.key {
                let name = (Arc::clone(&relation.schema), Arc::clone(&key.name));
                self.by_name.entry(name).or_insert(at);
            }
        }
    }

    pub(crate) fn relation(&self, oid: i64) -> Option<&Relation> {
        let oid = u32::try_from(oid).ok()?;
        self.by_oid.get(&oid).map(|at| &self.relations[*at])
    }

    /// The relation with an index or constraint of that oid.
    pub(crate) fn keyed(&self, oid: i64) -> Option<(&Relation, &Key)> {
        let keys = self.relations.iter().filter_map(|one| Some((one, one.key.as_ref()?)));
        let mut keys =
            keys.filter(|(_, key)| [key.index, key.constraint].map(i64::from).contains(&oid));
        keys.next()
    }

    /// The oid of the relation or index of that name.
    pub(crate) fn named(&self, schema: &str, name: &str) -> Option<u32> {
        let at = *self.by_name.get(&(Arc::from(schema), Arc::from(name)))?;
        let relation = &self.relations[at];
        match &relation.key {
            Some(key) if *key.name == *name && *relation.name != *name => Some(key.index),
            _ => Some(relation.oid),
        }
    }

    pub(crate) fn namespace(&self, oid: i64) -> Option<&str> {
        let found = self.namespaces.iter().find(|(one, _)| i64::from(*one) == oid);
        found.map(|(_, name)| &**name)
    }
}

impl Relation {
    fn new(schema: &str, name: &str, kind: char, columns: Vec<Column>) -> Self {
        Self {
            oid: oid("relation", schema, name),
            namespace: namespace_oid(schema),
            schema: schema.into(),
            name: name.into(),
            kind,
            columns,
            comment: None,
            query: None,
            key: None,
            reads: Vec::new(),
        }
    }

    fn set_key(&mut self, key: &[String]) {
        let place = |name: &String| self.columns.iter().position(|one| *one.name == **name);
        let columns: Option<Vec<usize>> = key.iter().map(place).collect();
        let Some(columns) = columns.filter(|columns| !columns.is_empty()) else { return };
        // What is in a key is not null, said or not.
        columns.iter().for_each(|at| self.columns[*at].nullable = false);
        let name = format!("{}_pkey", self.name);
        self.key = Some(Key {
            index: oid("relation", &self.schema, &name),
            constraint: oid("constraint", &self.schema, &name),
            name: name.into(),
            columns,
        });
    }
}

impl Shapes {
    fn forget_all_but(&self, relations: &[Arc<tradewind_sql::Relation>]) {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        if !views.is_empty() {
            let there: HashSet<&str> = relations.iter().map(|one| one.name()).collect();
            views.retain(|name, _| there.contains(name.as_str()));
        }
    }

    fn view(&self, relation: &Arc<tradewind_sql::Relation>) -> Option<SchemaRef> {
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, schema) = views.get(relation.name())?;
        Arc::ptr_eq(of, relation).then(|| Arc::clone(schema))
    }

    fn keep_view(&self, relation: &Arc<tradewind_sql::Relation>, schema: SchemaRef) {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.insert(relation.name().to_string(), (Arc::clone(relation), schema));
    }

    fn system(&self, name: &str) -> Option<SchemaRef> {
        self.system.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn keep_system(&self, name: &'static str, schema: SchemaRef) -> SchemaRef {
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        system.insert(name, Arc::clone(&schema));
        schema
    }
}

/// A table's columns as they can be queried: without the computed ones.
fn table_columns(table: &TableDefinition) -> Vec<Column> {
    let read = table.columns.iter().filter(|column| !column.is_computed());
    let column = |column: &tradewind_sql::Column| {
        let (ty, modifier) = Type::of(&column.data_type);
        let is_time = matches!(ty, Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ);
        // Microseconds are what a time has in PostgreSQL where nothing is said.
        let digits = column.digits.filter(|digits| is_time && *digits < 6);
        Column {
            name: column.name.as_str().into(),
            ty,
            modifier: digits.map_or(modifier, i32::from),
            nullable: column.nullable,
            comment: column.comment.clone(),
        }
    };
    read.map(column).collect()
}

fn arrow_columns(schema: &SchemaRef) -> Vec<Column> {
    let column = |name: &str, data_type: &DataType, nullable: bool| {
        let (ty, modifier) = Type::of(data_type);
        Column { name: name.into(), ty, modifier, nullable, comment: None }
    };
    let fields = schema.fields().iter();
    fields.map(|field| column(field.name(), field.data_type(), field.is_nullable())).collect()
}

/// A view's columns, as its query is planned; of a materialized view that does not run yet, as they
/// were when its pipeline was made.
async fn view_columns(
    platform: &Platform,
    state: &SessionState,
    relation: &Arc<tradewind_sql::Relation>,
) -> Vec<Column> {
    if let Some(schema) = platform.shapes().view(relation) {
        return arrow_columns(&schema);
    }
    // Boxed: a view may stand on the catalogue, which is read again to plan it.
    if let Ok(schema) = Box::pin(tables::relation_schema(platform, state, relation.name())).await {
        platform.shapes().keep_view(relation, Arc::clone(&schema));
        return arrow_columns(&schema);
    }
    let catalogue = platform.parts().catalogue.as_ref();
    let pipeline = catalogue.and_then(|catalogue| catalogue.pipeline(relation.name()));
    let pipeline = pipeline.filter(|one| matches!(one.statement, PipelineStatement::View(_)));
    let columns = pipeline.map_or_else(Vec::new, |pipeline| pipeline.columns.clone());
    let column = |(name, data_type): (String, String)| {
        let data_type = tradewind_sql::parse_type(&data_type).unwrap_or(DataType::Utf8);
        let (ty, modifier) = Type::of(&data_type);
        Column { name: name.into(), ty, modifier, nullable: true, comment: None }
    };
    columns.into_iter().map(column).collect()
}

/// The keys of what a query names as relations.
fn named_in(query: &ast::Query, dialect: Dialect) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let _ = ast::visit_relations(query, |name: &ast::ObjectName| {
        let idents = name.0.iter().filter_map(ast::ObjectNamePart::as_ident);
        names.insert(relation_key(idents.map(|ident| dialect.fold(ident)).collect()));
        ControlFlow::<()>::Continue(())
    });
    names
}

/// The server's own settings; those of PostgreSQL's are the session's.
fn settings(platform: &Platform) -> Vec<Setting> {
    let setting = |row: &crate::platform::SettingRow| Setting {
        name: row.name.clone(),
        value: row.value.clone(),
        default: row.default.clone(),
        source: row.source.clone(),
        description: row.description.clone(),
    };
    platform.parts().configuration.iter().map(setting).collect()
}

fn functions(state: &SessionState) -> Vec<(String, char)> {
    let scalar = state.scalar_functions().keys().map(|name| (name.clone(), 'f'));
    let aggregate = state.aggregate_functions().keys().map(|name| (name.clone(), 'a'));
    let window = state.window_functions().keys().map(|name| (name.clone(), 'w'));
    let all: BTreeSet<(String, char)> = scalar.chain(aggregate).chain(window).collect();
    all.into_iter().collect()
}

/// The database's name.
pub(crate) const DATABASE: &str = CATALOG;
