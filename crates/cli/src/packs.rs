//! The packs that come with the program, and the user's own.
//!
//! Guarantees: files are applied in the order of their names.
//! Left out: what applying does, which is the catalogue's.

use std::io;
use std::path::Path;
use tradewind_sql::PackFile;

/// The e-commerce pack's files.
const ECOMMERCE: [(&str, &str); 9] = [
    ("00_topics.sql", include_str!("../../../packs/ecommerce/00_topics.sql")),
    ("10_events.sql", include_str!("../../../packs/ecommerce/10_events.sql")),
    ("20_orders.sql", include_str!("../../../packs/ecommerce/20_orders.sql")),
    ("30_order_lines.sql", include_str!("../../../packs/ecommerce/30_order_lines.sql")),
    ("40_refunds.sql", include_str!("../../../packs/ecommerce/40_refunds.sql")),
    ("50_dead_letters.sql", include_str!("../../../packs/ecommerce/50_dead_letters.sql")),
    (
        "52_dead_letter_retries.sql",
        include_str!("../../../packs/ecommerce/52_dead_letter_retries.sql"),
    ),
    ("55_late_events.sql", include_str!("../../../packs/ecommerce/55_late_events.sql")),
    ("60_live.sql", include_str!("../../../packs/ecommerce/60_live.sql")),
];

/// A pack to apply.
#[derive(Debug, Clone)]
pub struct Pack {
    /// Its name, the owner of what it makes.
    pub name: String,
    /// Its files, in order.
    pub files: Vec<PackFile>,
}

/// The pack that comes with the program.
pub fn ecommerce() -> Pack {
    let files = ECOMMERCE.map(|(name, text)| PackFile { name: name.into(), text: text.into() });
    Pack { name: "ecommerce".into(), files: files.into() }
}

/// The packs in `dir`, one a folder of `.sql` files; none when there is no such folder.
///
/// # Errors
/// A folder or file that cannot be read.
pub fn in_folder(dir: &Path) -> io::Result<Vec<Pack>> {
    let mut packs = Vec::new();
    let folders = match std::fs::read_dir(dir) {
        Ok(folders) => folders,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(packs),
        Err(error) => return Err(error),
    };
    for folder in folders {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        let mut files = Vec::new();
        for file in std::fs::read_dir(folder.path())? {
            let path = file?.path();
            if path.extension().is_some_and(|ending| ending == "sql") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.push(PackFile { name, text: std::fs::read_to_string(&path)? });
            }
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        packs.push(Pack { name: folder.file_name().to_string_lossy().into_owned(), files });
    }
    packs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(packs)
}
