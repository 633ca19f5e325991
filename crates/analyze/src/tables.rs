//! The tables one statement names, found before it is planned.
//!
//! Guarantees: every name is looked up once, so that one statement sees one definition, and for a
//! lake table one snapshot; a name in single quotes is a path, any other never is.
//! Left out: what each kind of table does when it is read.

use crate::declared::DeclaredTopic;
use crate::error::AnalyzeError;
use crate::names::{self, Known, is_hidden};
use crate::pg_catalog::{self, PG_CATALOG};
use crate::platform::{
    CATALOG, FileAccess, INFORMATION_SCHEMA, PUBLIC, Platform, PlatformParts, SYS,
};
use crate::scan::ScanTable;
use crate::write::{Placed, Temporaries};
use crate::{files, sys};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, SchemaProvider, Session, TableProvider,
};
use datafusion::common::{Result, TableReference};
use datafusion::datasource::{MemTable, ViewTable};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{self, TableFactor, VisitMut, VisitorMut};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use tradewind_lake::LakeTable;
use tradewind_sql::catalogue::Definition;
use tradewind_sql::typing::{self, FlinkExpressions};
use tradewind_sql::{Dialect, TableDefinition, ViewDefinition, relation_key, split_key};

/// Views may stand on views this deep.
const VIEW_DEPTH_MAX: usize = 16;

/// Plans a query: finds its tables, settles its names, hands it to the planner.
pub(crate) async fn plan(
    platform: &Platform,
    state: &SessionState,
    mut statement: ast::Statement,
    dialect: Dialect,
    depth: usize,
) -> Result<LogicalPlan, AnalyzeError> {
    if depth > VIEW_DEPTH_MAX {
        return Err(AnalyzeError::user("views stand on each other more than 16 deep"));
    }
    if let Some(question) = pg_catalog::plan(platform, state, &statement, dialect)? {
        return Ok(question);
    }
    let fold = dialect == Dialect::Postgres;
    match dialect {
        Dialect::Flink => typing::prepare(&mut statement),
        Dialect::Postgres => pg_catalog::settle(platform, state, &mut statement),
    }
    let show_hidden = names::names_hidden(&mut statement);
    let used = Used::of(&mut statement);
    let parsed = Parsed::Statement(Box::new(statement.clone()));
    let (references, _) = resolve_table_references(&parsed, fold)?;
    let mut known = Known::default();
    let mut tables = HashMap::new();
    for reference in references {
        if used.is_function(&reference) {
            continue;
        }
        let finder = Finder { platform, state, depth };
        let table = finder.find(&reference, used.is_path(&reference)).await?;
        let table = if show_hidden { table } else { without_hidden(table) };
        known.add_table(&key(&reference), &table.schema());
        tables.insert(place(&reference), table);
    }
    if used.functions.contains("topic") {
        known.add_table("topic", &crate::topic::schema());
    }
    names::add_aliases(&mut statement, &mut known);
    names::rewrite(&mut statement, &known, fold)?;
    let mut state = platform.planning_state(state, dialect);
    state
        .register_catalog_list(Arc::new(Found { tables, names: Arc::new(public_names(platform)) }));
    state.config_mut().options_mut().sql_parser.enable_ident_normalization = fold;
    let plan = state.statement_to_plan(Parsed::Statement(Box::new(statement))).await?;
    Ok(match dialect {
        Dialect::Postgres => plan,
        // Here and not when it runs: a view means what its own dialect says, whoever asks it.
        Dialect::Flink => FlinkExpressions.analyze(plan, state.config_options())?,
    })
}

/// The schema of one relation: `name` as written, or a path in single quotes.
pub(crate) async fn schema_of(
    platform: &Platform,
    state: &SessionState,
    name: &str,
) -> Result<SchemaRef, AnalyzeError> {
    let finder = Finder { platform, state, depth: 0 };
    let reference = match split_key(name) {
        (PUBLIC, _) => TableReference::bare(name),
        (schema, table) => TableReference::partial(schema, table),
    };
    let path = name.contains('/') || std::path::Path::new(name).exists();
    Ok(without_hidden(finder.find(&reference, path).await?).schema())
}

/// The columns of a relation of the catalogue or the lake, by its key: never a path, never a system
/// table.
pub(crate) async fn relation_schema(
    platform: &Platform,
    state: &SessionState,
    key: &str,
) -> Result<SchemaRef, AnalyzeError> {
    let finder = Finder { platform, state, depth: 0 };
    Ok(without_hidden(finder.relation(key).await?).schema())
}

/// The lake table a name means, and that name as the catalogue has it.
pub(crate) fn lake_table(
    platform: &Platform,
    dialect: Dialect,
    name: &str,
) -> Result<(String, Arc<LakeTable>), AnalyzeError> {
    let parts = platform.parts();
    let relation = match &parts.catalogue {
        Some(catalogue) => catalogue
            .resolve(name, dialect)
            .map_err(|error| AnalyzeError::user(error.to_string()))?,
        None => None,
    };
    let folder = match &relation {
        None => name.to_string(),
        Some(relation) => match relation.table() {
            Some(table) if table.is_lake() => table.folder.clone(),
            _ => {
                let (kind, name) = (relation.kind().name(), relation.name());
                let message = format!("\"{name}\" is a {kind} whose rows are not in the lake");
                return Err(AnalyzeError::user(message)
                    .hint("rows go to tables WITH ('connector' = 'delta')"));
            }
        },
    };
    let table = lake_folder(parts, &folder);
    let table = table.filter(|_| relation.is_some() || is_settled(parts, &folder));
    let name = relation.map_or(name.to_string(), |relation| relation.name().to_string());
    match table {
        Some(table) => Ok((name, table)),
        None => {
            let names = public_names(platform);
            Err(AnalyzeError::user(format!("table \"{name}\" does not exist"))
                .did_you_mean(&name, names.iter().map(String::as_str)))
        }
    }
}

/// What a statement's text uses as tables.
#[derive(Default)]
struct Used {
    paths: HashSet<String>,
    functions: HashSet<String>,
}

impl Used {
    fn of(statement: &mut ast::Statement) -> Self {
        struct Collector(Used);
        impl VisitorMut for Collector {
            type Break = ();
            fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
                let TableFactor::Table { name, args, .. } = factor else {
                    return ControlFlow::Continue(());
                };
                let Some(last) = name.0.last().and_then(|part| part.as_ident()) else {
                    return ControlFlow::Continue(());
                };
                match (args, last.quote_style) {
                    (Some(_), _) => drop(self.0.functions.insert(last.value.to_lowercase())),
                    (None, Some('\'')) => drop(self.0.paths.insert(last.value.clone())),
                    _ => {}
                }
                ControlFlow::Continue(())
            }
        }
        let mut collector = Collector(Self::default());
        let _ = statement.visit(&mut collector);
        collector.0
    }

    fn is_path(&self, reference: &TableReference) -> bool {
        self.paths.contains(reference.table())
    }

    fn is_function(&self, reference: &TableReference) -> bool {
        self.functions.contains(&reference.table().to_lowercase())
    }
}

fn key(reference: &TableReference) -> String {
    match reference.schema() {
        Some(schema) => format!("{schema}.{}", reference.table()),
        None => reference.table().to_string(),
    }
}

fn place(reference: &TableReference) -> (String, String) {
    (reference.schema().unwrap_or(PUBLIC).to_string(), reference.table().to_string())
}

/// The names that a query can use without a schema.
pub(crate) fn public_names(platform: &Platform) -> Vec<String> {
    let parts = platform.parts();
    let mut names = BTreeSet::new();
    let catalogue = parts.catalogue.as_ref();
    let relations = catalogue.map(|catalogue| catalogue.relations()).unwrap_or_default();
    names.extend(relations.iter().map(|relation| relation.name().to_string()));
    if let Some(lake) = &parts.lake {
        let named: BTreeSet<String> = relations
            .iter()
            .filter_map(|relation| relation.table())
            .map(|table| table.folder.clone())
            .collect();
        // A table's rows may be in a folder of another name; a folder nobody names is a table.
        let folders = lake.tables();
        let folders = folders.iter().map(|table| table.name().to_string());
        let unnamed = |folder: &String| !named.contains(folder) && lake.is_settled(folder);
        names.extend(folders.filter(unnamed));
    }
    names.into_iter().collect()
}

struct Finder<'a> {
    platform: &'a Platform,
    state: &'a SessionState,
    depth: usize,
}

impl Finder<'_> {
    async fn find(
        &self,
        reference: &TableReference,
        path: bool,
    ) -> Result<Arc<dyn TableProvider>, AnalyzeError> {
        let name = reference.table();
        if path {
            return match self.platform.parts().settings.files {
                FileAccess::Anywhere => files::table(name, self.state).await,
                FileAccess::Nowhere => Err(AnalyzeError::user("files cannot be read here")),
            };
        }
        match reference.schema() {
            None if pg_catalog::is_implicit(name) => self.catalogue(PG_CATALOG, name),
            None | Some(PUBLIC) => self.relation(name).await,
            Some(SYS) => sys::table(self.platform, name).await,
            Some(schema) if pg_catalog::is_schema(schema) => self.catalogue(schema, name),
            Some(other) if self.has_schema(other) => {
                self.relation(&relation_key(vec![other.to_string(), name.to_string()])).await
            }
            Some(other) => {
                let catalogue = self.platform.parts().catalogue.as_ref();
                let made = catalogue.map(|catalogue| catalogue.schemas()).unwrap_or_default();
                let made = made.iter().map(|schema| schema.name.as_str());
                let own = [PUBLIC, SYS, PG_CATALOG, INFORMATION_SCHEMA];
                Err(AnalyzeError::user(format!("schema \"{other}\" does not exist"))
                    .did_you_mean(other, made.chain(own)))
            }
        }
    }

    fn catalogue(&self, schema: &str, name: &str) -> Result<Arc<dyn TableProvider>, AnalyzeError> {
        match pg_catalog::table(self.platform, self.state, schema, name)? {
            Some(table) => Ok(table),
            None => Err(sys::missing(schema, name, &pg_catalog::names(schema))),
        }
    }

    fn has_schema(&self, name: &str) -> bool {
        let catalogue = self.platform.parts().catalogue.as_ref();
        catalogue.is_some_and(|catalogue| catalogue.has_schema(name))
    }

    async fn relation(&self, name: &str) -> Result<Arc<dyn TableProvider>, AnalyzeError> {
        if let Some(table) = self.own(name)? {
            return Ok(table);
        }
        let names = public_names(self.platform);
        let name = exact_or_unique(name, &names)?;
        let parts = self.platform.parts();
        let relation = parts.catalogue.as_ref().and_then(|catalogue| catalogue.relation(name));
        match relation.as_ref().map(|relation| &relation.definition) {
            Some(Definition::View(view)) => self.view(view).await,
            Some(Definition::MaterializedView(_)) => self.materialized(name),
            Some(Definition::Table(table)) if table.topic().is_some() => self.topic(table),
            Some(Definition::Table(table)) => match lake_folder(parts, &table.folder) {
                Some(table) => Ok(table.provider()),
                None => Err(AnalyzeError::user(format!("table \"{name}\" has no rows to read"))),
            },
            None => match lake_folder(parts, name).filter(|_| is_settled(parts, name)) {
                Some(table) => Ok(table.provider()),
                None => Err(AnalyzeError::user(format!("table \"{name}\" does not exist"))
                    .did_you_mean(name, names.iter().map(String::as_str))),
            },
        }
    }

    /// What a name means to this statement alone: the table it changes, a temporary one. Views do
    /// not see these.
    fn own(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, AnalyzeError> {
        if self.depth > 0 {
            return Ok(None);
        }
        let config = self.state.config();
        if let Some(placed) = config.get_extension::<Placed>().filter(|placed| placed.name == name)
        {
            return Ok(Some(Arc::clone(&placed.rows)));
        }
        let temporaries = config.get_extension::<Temporaries>();
        let found = temporaries.and_then(|temporaries| temporaries.get(name));
        found.map(|table| table.provider()).transpose()
    }

    /// A materialized view as of now: the statement sees this one moment of it.
    fn materialized(&self, name: &str) -> Result<Arc<dyn TableProvider>, AnalyzeError> {
        let Some(control) = &self.platform.parts().control else {
            return Err(AnalyzeError::user("materialized views are kept by a server")
                .hint("give --data-dir, or --url to ask a server"));
        };
        let (schema, chunks) = control.view(name)?;
        Ok(Arc::new(MemTable::try_new(schema, vec![chunks])?))
    }

    fn topic(&self, table: &TableDefinition) -> Result<Arc<dyn TableProvider>, AnalyzeError> {
        let parts = self.platform.parts();
        let both = parts.log.as_ref().zip(parts.control.as_ref());
        let declared = both.and_then(|(log, control)| DeclaredTopic::new(log, control, table));
        match declared {
            Some(declared) => Ok(Arc::new(ScanTable(declared))),
            None => Err(AnalyzeError::user("topics are in a data folder, and none is open")
                .hint("give --data-dir, or --url to ask a server")),
        }
    }

    async fn view(&self, view: &ViewDefinition) -> Result<Arc<dyn TableProvider>, AnalyzeError> {
        let query = ast::Statement::Query(view.query.clone());
        let plan = Box::pin(plan(self.platform, self.state, query, view.dialect, self.depth + 1));
        let plan = plan.await?;
        let plan = match view.columns.is_empty() {
            true => plan,
            false => renamed(plan, &view.columns)?,
        };
        Ok(Arc::new(ViewTable::new(plan, Some(view.sql.clone()))))
    }
}

fn lake_folder(parts: &PlatformParts, folder: &str) -> Option<Arc<LakeTable>> {
    parts.lake.as_ref()?.table(folder)
}

/// Whether nobody is making or dropping the table of a folder.
fn is_settled(parts: &PlatformParts, folder: &str) -> bool {
    parts.lake.as_ref().is_some_and(|lake| lake.is_settled(folder))
}

/// A view's columns under the names its definition lists.
fn renamed(plan: LogicalPlan, columns: &[String]) -> Result<LogicalPlan, AnalyzeError> {
    let old = plan.schema().columns();
    if old.len() != columns.len() {
        return Err(AnalyzeError::user(format!(
            "the view names {} columns and its query has {}",
            columns.len(),
            old.len()
        )));
    }
    let named = old.into_iter().zip(columns).map(|(column, name)| Expr::Column(column).alias(name));
    Ok(datafusion::logical_expr::LogicalPlanBuilder::from(plan).project(named)?.build()?)
}

/// `name`, or the one name that differs from it in case alone.
fn exact_or_unique<'a>(name: &'a str, names: &'a [String]) -> Result<&'a str, AnalyzeError> {
    if names.iter().any(|known| known == name) {
        return Ok(name);
    }
    let mut near = names.iter().filter(|known| known.to_lowercase() == name.to_lowercase());
    match (near.next(), near.next()) {
        (Some(only), None) => Ok(only),
        (Some(one), Some(other)) => Err(AnalyzeError::user(format!(
            "table \"{name}\" is ambiguous: it may mean \"{one}\" or \"{other}\""
        ))
        .hint("put double quotes around the one you mean")),
        _ => Ok(name),
    }
}

/// The table without its hidden columns, which are its last.
fn without_hidden(table: Arc<dyn TableProvider>) -> Arc<dyn TableProvider> {
    let schema = table.schema();
    let visible = schema.fields().iter().take_while(|field| !is_hidden(field.name())).count();
    if visible == schema.fields().len() {
        return table;
    }
    let indices: Vec<usize> = (0..visible).collect();
    let schema = Arc::new(schema.project(&indices).expect("a prefix of the schema's fields"));
    Arc::new(Visible { table, schema, indices })
}

#[derive(Debug)]
struct Visible {
    table: Arc<dyn TableProvider>,
    schema: SchemaRef,
    indices: Vec<usize>,
}

#[async_trait]
impl TableProvider for Visible {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Visible columns come first, so their places are the same in both schemas.
        self.table.scan(state, Some(projection.unwrap_or(&self.indices)), filters, limit).await
    }
}

/// The statement's tables as the planner asks for them.
#[derive(Debug, Clone)]
struct Found {
    tables: HashMap<(String, String), Arc<dyn TableProvider>>,
    names: Arc<Vec<String>>,
}

impl CatalogProviderList for Found {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.into()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(self.clone()) as Arc<dyn CatalogProvider>)
    }
}

impl CatalogProvider for Found {
    fn schema_names(&self) -> Vec<String> {
        [PUBLIC, SYS, PG_CATALOG, INFORMATION_SCHEMA].map(String::from).to_vec()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let schema = name.to_string();
        Some(Arc::new(FoundSchema { schema, found: self.clone() }))
    }
}

#[derive(Debug)]
struct FoundSchema {
    schema: String,
    found: Found,
}

impl FoundSchema {
    fn get(&self, name: &str) -> Option<&Arc<dyn TableProvider>> {
        self.found.tables.get(&(self.schema.clone(), name.to_string()))
    }
}

#[async_trait]
impl SchemaProvider for FoundSchema {
    fn table_names(&self) -> Vec<String> {
        self.found.names.to_vec()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.get(name).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}
