//! Packs: SQL files a user can read and change, brought into the catalogue as one change.
//!
//! Guarantees: applying a pack twice is applying it once. A definition whose meaning is unchanged
//! is left alone, so comments and layout may change freely.
//! Left out: removing what a pack no longer has; the report names it and it stays, because rows
//! may depend on it.

use super::objects::{
    Definition, NewPipeline, Owner, Pipeline, PipelineStatement, Relation, ViewDefinition,
};
use super::store::Change;
use super::{CatalogueError, State, references};
use crate::{Dialect, Position, SqlError, StatementKind, parse_script};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewind_types::TimestampMicros;

/// A file of a pack.
#[derive(Debug, Clone)]
pub struct PackFile {
    /// Its name, for messages.
    pub name: String,
    /// Its SQL, in the `flink` dialect.
    pub text: String,
}

/// What applying a pack did. Every entry names its object: `table "orders"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackReport {
    /// Made now.
    pub created: Vec<String>,
    /// Already as the pack says.
    pub unchanged: Vec<String>,
    /// Changed, and what that means.
    pub changed: Vec<String>,
    /// Not done, and why; the catalogue's definition stands.
    pub refused: Vec<String>,
    /// Made by an earlier version of the pack and in it no longer; they stay.
    pub left_behind: Vec<String>,
}

/// A pack's statements and what they have come to so far.
struct Applying<'a> {
    state: &'a State,
    owner: Owner,
    now: TimestampMicros,
    report: PackReport,
    changes: Vec<Change>,
    relations: BTreeSet<String>,
    pipelines: BTreeSet<String>,
    /// Relations that mean something else from now on.
    replaced: BTreeSet<String>,
    pipeline_name: Option<String>,
}

pub(super) fn apply(
    state: &mut State,
    pack: &str,
    files: &[PackFile],
    now: TimestampMicros,
) -> Result<PackReport, CatalogueError> {
    let mut applying = Applying {
        state,
        owner: Owner::Pack(pack.to_string()),
        now,
        report: PackReport::default(),
        changes: Vec::new(),
        relations: BTreeSet::new(),
        pipelines: BTreeSet::new(),
        replaced: BTreeSet::new(),
        pipeline_name: None,
    };
    for file in files {
        applying.file(file).map_err(|source| CatalogueError::Pack {
            pack: pack.to_string(),
            file: file.name.clone(),
            source,
        })?;
    }
    applying.renew_readers();
    applying.find_left_behind();
    let Applying { report, changes, .. } = applying;
    if !changes.is_empty() {
        state.apply(changes)?;
    }
    Ok(report)
}

impl Applying<'_> {
    fn file(&mut self, file: &PackFile) -> Result<(), SqlError> {
        for statement in parse_script(&file.text, Dialect::Flink)? {
            let start = statement.span.start;
            match statement.kind {
                StatementKind::CreateTable(table) => {
                    self.relation(Definition::Table(Box::new(table.definition)));
                }
                StatementKind::CreateView(view) => {
                    let view = ViewDefinition::new(&view, Dialect::Flink);
                    self.relation(Definition::View(view));
                }
                StatementKind::CreateMaterializedView(view) => {
                    let definition = ViewDefinition::new(&view, Dialect::Flink);
                    self.relation(Definition::MaterializedView(definition));
                    self.pipeline(PipelineStatement::View(*view), start)?;
                }
                StatementKind::Insert(insert) => {
                    self.pipeline(PipelineStatement::Insert(*insert), start)?;
                }
                StatementKind::Set { key, value } if key == "pipeline.name" => {
                    self.pipeline_name = Some(value);
                }
                _ => {
                    return Err(SqlError::at(
                        start,
                        "a pack only creates tables, views and pipelines",
                    ));
                }
            }
        }
        Ok(())
    }

    fn relation(&mut self, definition: Definition) {
        let name = definition.name().to_string();
        let new = Relation {
            definition,
            owner: self.owner.clone(),
            created_at: self.now,
            comments: BTreeMap::new(),
        };
        let label = format!("{} {name:?}", new.kind().name());
        self.relations.insert(name.clone());
        match self.state.relations.get(&name) {
            None => {
                self.report.created.push(label);
                self.changes.push(Change::PutRelation(Arc::new(new)));
            }
            Some(old) if old.definition.same_meaning(&new.definition) => {
                self.report.unchanged.push(label);
            }
            Some(old) if old.owner != self.owner => {
                self.report.refused.push(format!("{label} belongs to {}", old.owner));
            }
            Some(old) if old.table().is_some_and(|table| table.is_lake()) => {
                self.report.refused.push(format!(
                    "{label} has rows in its present form: a changed lake table needs another name"
                ));
            }
            Some(_) => {
                self.report.changed.push(format!("{label}: pipelines that read it are renewed"));
                self.replaced.insert(name);
                self.changes.push(Change::PutRelation(Arc::new(new)));
            }
        }
    }

    fn pipeline(&mut self, statement: PipelineStatement, start: Position) -> Result<(), SqlError> {
        let name = match &statement {
            PipelineStatement::Insert(insert) => self.next_pipeline_name(&insert.target),
            PipelineStatement::View(view) => view.name.clone(),
        };
        if !self.pipelines.insert(name.clone()) {
            return Err(SqlError::at(start, format!("pipeline {name:?} is there twice")));
        }
        let label = format!("pipeline {name:?}");
        match self.state.pipelines.get(&name) {
            None => {
                let new = NewPipeline {
                    name,
                    sql: statement.sql().to_string(),
                    dialect: Dialect::Flink,
                    owner: self.owner.clone(),
                    columns: Vec::new(),
                };
                let pipeline = Pipeline::new(&new, self.now)
                    .map_err(|error| SqlError::at(start, error.to_string()))?;
                self.report.created.push(label);
                self.changes.push(Change::PutPipeline(Arc::new(pipeline)));
            }
            Some(old) if old.owner != self.owner => {
                self.report.refused.push(format!("{label} belongs to {}", old.owner));
            }
            Some(old) if old.same_meaning(&statement, Dialect::Flink) => {
                self.report.unchanged.push(label);
            }
            Some(old) => {
                let pipeline = Pipeline {
                    incarnation: old.incarnation + 1,
                    sql: statement.sql().to_string(),
                    target: statement.target().to_string(),
                    statement,
                    columns: Vec::new(),
                    ..Pipeline::clone(old)
                };
                self.report.changed.push(renewed(&pipeline));
                self.changes.push(Change::PutPipeline(Arc::new(pipeline)));
            }
        }
        Ok(())
    }

    /// What `SET 'pipeline.name'` said, or the target's name, numbered from the second on.
    fn next_pipeline_name(&mut self, target: &str) -> String {
        if let Some(name) = self.pipeline_name.take() {
            return name;
        }
        let numbered = (2..).map(|number| format!("{target}_{number}"));
        std::iter::once(target.to_string())
            .chain(numbered)
            .find(|name| !self.pipelines.contains(name))
            .expect("the numbers do not end")
    }

    /// Pipelines of anyone over a relation that has changed become a new incarnation.
    fn renew_readers(&mut self) {
        if self.replaced.is_empty() {
            return;
        }
        let mut relations: BTreeMap<_, _> = self.state.relations.clone();
        let mut renewed_already = BTreeSet::new();
        for change in &self.changes {
            match change {
                Change::PutRelation(relation) => {
                    relations.insert(relation.name().to_string(), relation.clone());
                }
                Change::PutPipeline(pipeline) => {
                    renewed_already.insert(pipeline.name.clone());
                }
                _ => {}
            }
        }
        for pipeline in self.state.pipelines.values() {
            let reads = references::through_views(pipeline, &relations);
            if renewed_already.contains(&pipeline.name) || reads.is_disjoint(&self.replaced) {
                continue;
            }
            let mut next = Pipeline::clone(pipeline);
            next.incarnation += 1;
            next.columns.clear();
            let label = format!("pipeline {:?}", pipeline.name);
            self.report.unchanged.retain(|unchanged| *unchanged != label);
            self.report.changed.push(renewed(&next));
            self.changes.push(Change::PutPipeline(Arc::new(next)));
        }
    }

    fn find_left_behind(&mut self) {
        let relations = self.state.relations.values().filter(|relation| {
            relation.owner == self.owner && !self.relations.contains(relation.name())
        });
        let pipelines = self.state.pipelines.values().filter(|pipeline| {
            pipeline.owner == self.owner && !self.pipelines.contains(&pipeline.name)
        });
        let left: Vec<String> = relations
            .map(|relation| format!("{} {:?}", relation.kind().name(), relation.name()))
            .chain(pipelines.map(|pipeline| format!("pipeline {:?}", pipeline.name)))
            .collect();
        self.report.left_behind = left;
    }
}

fn renewed(pipeline: &Pipeline) -> String {
    format!(
        "pipeline {:?} is incarnation {} now: it goes on where the old one stood, rows written before stay as they are",
        pipeline.name, pipeline.incarnation
    )
}
