//! Reading and listing objects.
//!
//! Guarantees: half-written files are never seen; a range is read by position, so readers share
//! nothing.
//! Left out: caching, which is the operating system's.

use super::{DiskStore, failed, is_temporary};
use bytes::Bytes;
use chrono::DateTime;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{
    Attributes, Error, GetOptions, GetResult, GetResultPayload, ListResult, ObjectMeta, Result,
};
use std::io;
use std::ops::Range;
use std::path::Path as OsPath;
use std::sync::Arc;
use tradewind_disk::{Create, DiskFile, Entry};

/// Bytes of one piece of a whole-object read.
const PIECE_BYTES: u64 = 4 << 20;

impl DiskStore {
    pub(super) fn get_now(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let path = self.os_path(location);
        let entry = self.disk.metadata(&path).map_err(failed(location))?;
        if entry.dir {
            return Err(failed(location)(io::Error::from(io::ErrorKind::NotFound)));
        }
        let meta = meta(location.clone(), &entry);
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            None => 0..meta.size,
            Some(range) => range.as_range(meta.size).map_err(|error| Error::Generic {
                store: super::STORE,
                source: format!("{location}: {error}").into(),
            })?,
        };
        let payload = if options.head {
            GetResultPayload::Stream(futures::stream::empty().boxed())
        } else {
            let file = self.disk.open(&path, Create::No).map_err(failed(location))?;
            self.payload(location, file, range.clone())?
        };
        Ok(GetResult { payload, meta, range, attributes: Attributes::default() })
    }

    /// One piece is read at once; more are read as they are asked for.
    fn payload(
        &self,
        location: &Path,
        file: Arc<dyn DiskFile>,
        range: Range<u64>,
    ) -> Result<GetResultPayload> {
        if range.end - range.start <= PIECE_BYTES {
            let piece = read_range(file.as_ref(), range).map_err(failed(location))?;
            return Ok(GetResultPayload::Stream(
                futures::stream::once(futures::future::ready(Ok(piece))).boxed(),
            ));
        }
        let (store, location) = (self.clone(), location.clone());
        let pieces = futures::stream::try_unfold(range.start, move |start| {
            let (store, location, file) = (store.clone(), location.clone(), file.clone());
            let stop = range.end.min(start + PIECE_BYTES);
            async move {
                if start >= stop {
                    return Ok(None);
                }
                let read = move |_: &DiskStore| {
                    read_range(file.as_ref(), start..stop).map_err(failed(&location))
                };
                Ok(Some((store.blocking(read).await?, stop)))
            }
        });
        Ok(GetResultPayload::Stream(pieces.boxed()))
    }

    /// Every object below `prefix`, in the order of the full path.
    pub(crate) fn list_now(&self, prefix: &Path) -> Result<Vec<ObjectMeta>> {
        let mut objects = Vec::new();
        self.collect(prefix, &mut objects)?;
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
    }

    fn collect(&self, prefix: &Path, objects: &mut Vec<ObjectMeta>) -> Result<()> {
        for entry in self.entries(prefix)? {
            let Some(location) = child(prefix, &entry.path) else { continue };
            if entry.dir {
                self.collect(&location, objects)?;
            } else {
                objects.push(meta(location, &entry));
            }
        }
        Ok(())
    }

    pub(super) fn list_folder_now(&self, prefix: &Path) -> Result<ListResult> {
        let mut result = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
        for entry in self.entries(prefix)? {
            let Some(location) = child(prefix, &entry.path) else { continue };
            if entry.dir {
                result.common_prefixes.push(location);
            } else {
                result.objects.push(meta(location, &entry));
            }
        }
        result.common_prefixes.sort();
        result.objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(result)
    }

    /// No folder is an empty one: object stores have no folders.
    fn entries(&self, prefix: &Path) -> Result<Vec<Entry>> {
        let mut entries = match self.disk.list(&self.os_path(prefix)) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Vec::new()
            }
            other => other.map_err(failed(prefix))?,
        };
        entries.retain(|entry| entry.dir || !is_temporary(&entry.path));
        Ok(entries)
    }
}

/// A file whose name cannot be an object's is none of ours.
fn child(prefix: &Path, path: &OsPath) -> Option<Path> {
    let name = path.file_name()?.to_str()?;
    Path::parse(if prefix.as_ref().is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}/{name}")
    })
    .ok()
}

fn meta(location: Path, entry: &Entry) -> ObjectMeta {
    ObjectMeta {
        location,
        last_modified: DateTime::from_timestamp_millis(entry.modified_ms).unwrap_or_default(),
        size: entry.len,
        e_tag: None,
        version: None,
    }
}

fn read_range(file: &dyn DiskFile, range: Range<u64>) -> io::Result<Bytes> {
    let mut buffer = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut buffer, range.start)?;
    Ok(buffer.into())
}
