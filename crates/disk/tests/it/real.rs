//! While the power is on, the simulated disk answers as the operating system's does.

#![allow(clippy::unwrap_used)]

use crate::model::{ops, path, perform};
use proptest::prelude::*;
use std::path::Path;
use tradewind_disk::{Create, Disk, OsDisk, SimDisk};

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn both_disks_answer_the_same(ops in ops()) {
        let folder = tempfile::tempdir().unwrap();
        let (real, simulated) = (OsDisk, SimDisk::new(0));
        simulated.create_dir_all(Path::new("d")).unwrap();
        for op in &ops {
            let one = perform(&real, folder.path(), op).map_err(|error| error.kind());
            let other = perform(&*simulated, Path::new("d"), op).map_err(|error| error.kind());
            prop_assert_eq!(one, other, "{:?}", op);
        }
        for name in 0..4 {
            let one = real.read(&path(folder.path(), name)).map_err(|error| error.kind());
            let other = simulated.read(&path(Path::new("d"), name)).map_err(|error| error.kind());
            prop_assert_eq!(one, other, "{}", name);
        }
    }
}

#[test]
fn both_disks_refuse_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let disks: [(&dyn Disk, &Path); 2] =
        [(&OsDisk, folder.path()), (&*SimDisk::new(0), Path::new("/t"))];
    let answers = disks.map(|(disk, dir)| {
        disk.create_dir_all(&dir.join("a/b")).unwrap();
        disk.write_atomic(&dir.join("a/f"), b"12").unwrap();
        let mut buffer = [0; 3];
        let short = disk.open(&dir.join("a/f"), Create::No).unwrap().read_exact_at(&mut buffer, 0);
        [
            disk.open(&dir.join("nothing/f"), Create::New).map(drop),
            disk.open(&dir.join("a/f"), Create::New).map(drop),
            disk.open(&dir.join("a/none"), Create::No).map(drop),
            disk.open(&dir.join("a/f/x"), Create::IfMissing).map(drop),
            disk.list(&dir.join("nothing")).map(drop),
            disk.metadata(&dir.join("nothing")).map(drop),
            disk.rename(&dir.join("nothing"), &dir.join("x")),
            disk.remove_file(&dir.join("nothing")),
            disk.remove_dir_all(&dir.join("nothing")),
            disk.sync_dir(&dir.join("nothing")),
            disk.create_dir_all(&dir.join("a/f/x")),
            short,
            disk.remove_dir_all(&dir.join("a")),
            disk.metadata(&dir.join("a/b")).map(drop),
        ]
        .map(|answer| answer.map_err(|error| error.kind()))
    });
    assert_eq!(answers[0], answers[1]);
}
