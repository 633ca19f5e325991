//! Tables of which the lake alone cannot say whether they are there: those that are being made with
//! their rows, and those that are being dropped.
//!
//! Guarantees: a marker beside the folder, durable before anything else, says that whoever keeps
//! the names of tables decides: at the next start a table he names stays, another goes.
//! Left out: who keeps the names.

use crate::schema::TableSpec;
use crate::{Lake, LakeError, LakeTable, names};
use object_store::{ObjectStoreExt, PutPayload};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Lake {
    /// Makes a table that is gone at the next start unless somebody names it then; see
    /// [`Lake::settle`].
    ///
    /// # Errors
    /// As [`Lake::create_table`].
    pub async fn create_unsettled(&self, spec: &TableSpec) -> Result<Arc<LakeTable>, LakeError> {
        self.unsettle(&spec.name).await?;
        self.create_table(spec).await
    }

    /// From now on it is open whether the table is to stay.
    ///
    /// # Errors
    /// The disk's.
    pub async fn unsettle(&self, name: &str) -> Result<(), LakeError> {
        let store = &self.shared().store;
        let put = store.put(&marker(name).as_str().into(), PutPayload::new()).await;
        put.map_err(|error| LakeError::delta(name)(error.into()))?;
        self.unsettled.write().insert(name.to_owned());
        Ok(())
    }

    /// It is decided: the table stays, or is dropped already.
    ///
    /// # Errors
    /// The disk's.
    pub async fn settle(&self, name: &str) -> Result<(), LakeError> {
        let file = self.dir().join(marker(name));
        let (disk, dir) = (self.disk(), self.dir().clone());
        let removed = move |_: &crate::DiskStore| {
            Ok(disk.remove_file(&file).and_then(|()| disk.sync_dir(&dir)))
        };
        let removed = self.shared().store.blocking(removed).await;
        let removed = removed.map_err(|error| LakeError::delta(name)(error.into()))?;
        self.unsettled.write().remove(name);
        removed.map_err(|error| LakeError::io(self.dir().join(marker(name)), error))
    }

    /// Whether it is decided that a table stays.
    pub fn is_settled(&self, name: &str) -> bool {
        !self.unsettled.read().contains(name)
    }

    /// Whether a new table can have this name: no table and no folder has it.
    pub fn is_free(&self, name: &str) -> bool {
        let folder = self.dir().join(name);
        self.table(name).is_none() && self.disk().metadata(&folder).is_err()
    }

    /// Decides what a stop has left open: tables that are `named` stay, others go. To be called
    /// once, before tables are made.
    ///
    /// # Errors
    /// The disk's.
    pub async fn settle_all(&self, named: &BTreeSet<String>) -> Result<(), LakeError> {
        for entry in self.entries()? {
            let name = crate::lake::file_name(&entry.path);
            let Some(table) = name.strip_suffix(names::UNSETTLED_SUFFIX).filter(|_| !entry.dir)
            else {
                continue;
            };
            if !named.contains(table) {
                tracing::info!(table, "removing a table whose statement did not end");
                self.drop_unsettled(table).await?;
            }
            self.settle(table).await?;
        }
        Ok(())
    }

    /// A table that is there goes as any other, a folder that never became one with it.
    async fn drop_unsettled(&self, name: &str) -> Result<(), LakeError> {
        match self.drop_table(name).await {
            Err(LakeError::NoSuchTable(_)) => {
                let (lake, folder) = (self.clone(), name.to_owned());
                let removed = move |_: &crate::DiskStore| Ok(lake.remove_unmarked(&folder));
                let removed = self.shared().store.blocking(removed).await;
                removed.map_err(|error| LakeError::delta(name)(error.into()))?
            }
            other => other,
        }
    }
}

fn marker(name: &str) -> String {
    format!("{name}{}", names::UNSETTLED_SUFFIX)
}
