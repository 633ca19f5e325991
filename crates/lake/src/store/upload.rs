//! Objects written in parts.
//!
//! Guarantees: nothing is visible before `complete`; parts land in the order they were given.
//! Left out: resuming; what was begun and not completed is removed at the next open.

use super::{DiskStore, failed};
use async_trait::async_trait;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use std::path::PathBuf;
use std::sync::Arc;
use tradewind_disk::DiskFile;

#[derive(Debug)]
pub(super) struct Upload {
    store: DiskStore,
    location: Path,
    temporary: PathBuf,
    file: Arc<dyn DiskFile>,
    position: u64,
}

impl Upload {
    pub(super) fn new(
        store: DiskStore,
        location: Path,
        temporary: PathBuf,
        file: Arc<dyn DiskFile>,
    ) -> Self {
        Self { store, location, temporary, file, position: 0 }
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let start = self.position;
        self.position += data.content_length() as u64;
        let (store, location, file) =
            (self.store.clone(), self.location.clone(), self.file.clone());
        Box::pin(async move {
            let write = move |_: &DiskStore| {
                let mut position = start;
                for piece in &data {
                    file.write_all_at(piece, position).map_err(failed(&location))?;
                    position += piece.len() as u64;
                }
                Ok(())
            };
            store.blocking(write).await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (file, temporary) = (self.file.clone(), self.temporary.clone());
        let location = self.location.clone();
        let publish = move |store: &DiskStore| {
            file.sync().map_err(failed(&location))?;
            store.publish(&temporary, &store.os_path(&location), false).map_err(failed(&location))
        };
        self.store.blocking(publish).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        let (temporary, location) = (self.temporary.clone(), self.location.clone());
        self.store
            .blocking(move |store| store.disk.remove_file(&temporary).map_err(failed(&location)))
            .await
    }
}
