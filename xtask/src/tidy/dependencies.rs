//! Who may depend on whom, and who may name the query engine.
//!
//! Guarantees: a person who writes a collector never compiles a query engine; siblings never
//! import each other. All kinds of dependencies count, those of tests too.
//! Left out: dependencies of dependencies, which follow from these.

use super::tree::{File, Tree};
use anyhow::{Context, Result};
use toml::{Table, Value};

/// A crate's folder, what it may use of ours beside [`ANYBODYS`], and whether it may name the
/// engine. A crate that is not here is refused until somebody decides.
const CRATES: &[(&str, &[&str], bool)] = &[
    ("types", &[], false),
    ("disk", &[], false),
    ("json", &[], false),
    ("log", &[], false),
    ("collect", &[], false),
    ("dataflow", &[], false),
    ("sql", &[], true),
    ("lake", &["sql"], true),
    ("process", &["sql", "dataflow"], true),
    ("analyze", &["sql", "lake"], true),
    ("serve", &["sql", "analyze", "process"], true),
    ("cli", &["log", "collect", "sql", "dataflow", "lake", "process", "analyze", "serve"], true),
];

/// What a crate's tests may use beyond that: the neighbour behind a trait, to test the real pair.
const TESTS: &[(&str, &[&str])] = &[("collect", &["log"]), ("process", &["log"])];

/// What every crate but these themselves may use.
const ANYBODYS: &[&str] = &["types", "disk", "json"];

/// Packages that are the engine or bring it along, by how their names begin.
const ENGINE_PREFIXES: &[&str] = &["datafusion", "deltalake", "ballista"];
/// Packages that are the engine or bring it along, by name.
const ENGINE_NAMES: &[&str] = &["parquet", "sqlparser"];

/// Dependencies that cross a line.
pub(super) fn findings(tree: &Tree) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for manifest in &tree.manifests {
        let parts: Vec<_> = manifest.path.split('/').collect();
        if let ["crates", folder, "Cargo.toml"] = parts[..] {
            findings.extend(crossings(folder, manifest)?);
        }
    }
    Ok(findings)
}

fn crossings(folder: &str, manifest: &File) -> Result<Vec<String>> {
    let path = &manifest.path;
    let Some((_, allowed, engine)) = CRATES.iter().find(|(name, ..)| *name == folder) else {
        return Ok(vec![format!(
            "{path}: crate {folder:?} is not in the table of xtask/src/tidy/dependencies.rs"
        )]);
    };
    let table: Table = manifest.text.parse().with_context(|| format!("{path} is not TOML"))?;
    let mut findings = Vec::new();
    let package = table.get("package").and_then(|package| package.get("name"));
    if package.and_then(Value::as_str) != Some(&format!("tradewind-{folder}")) {
        findings.push(format!("{path}: the package must be named tradewind-{folder}"));
    }
    for (name, kind) in dependencies(&table) {
        if let Some(ours) = name.strip_prefix("tradewind-") {
            let for_tests = kind == TESTS_KIND && in_tests(folder).contains(&ours);
            let anybodys = ANYBODYS.contains(&ours) && !ANYBODYS.contains(&folder);
            if !allowed.contains(&ours) && !anybodys && !for_tests {
                findings.push(format!("{path}: {folder} may not depend on {ours}"));
            }
        } else if !engine && is_engine(&name) {
            findings.push(format!("{path}: {folder} may not name the engine ({name})"));
        }
    }
    Ok(findings)
}

fn in_tests(folder: &str) -> &'static [&'static str] {
    TESTS.iter().find(|(name, _)| *name == folder).map_or(&[], |(_, allowed)| allowed)
}

fn is_engine(name: &str) -> bool {
    ENGINE_NAMES.contains(&name) || ENGINE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The table of what only tests depend on.
const TESTS_KIND: &str = "dev-dependencies";

/// The packages named in any dependency table, those for one target included, with the kind.
fn dependencies(manifest: &Table) -> Vec<(String, &'static str)> {
    const KINDS: &[&str] = &["dependencies", TESTS_KIND, "build-dependencies"];
    let mut tables = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(Value::as_table) {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let mut names = Vec::new();
    for (table, kind) in tables.iter().flat_map(|table| KINDS.iter().map(move |kind| (table, kind)))
    {
        let Some(listed) = table.get(*kind).and_then(Value::as_table) else { continue };
        for (name, details) in listed {
            // `x = { package = "y" }` is y.
            let package = details.get("package").and_then(Value::as_str);
            names.push((package.unwrap_or(name).to_owned(), *kind));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tree::tests::tree;
    use super::*;

    fn found(folder: &str, dependencies: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"tradewind-{folder}\"\n{dependencies}");
        findings(&tree(&[(&format!("crates/{folder}/Cargo.toml"), &text)])).unwrap()
    }

    #[test]
    fn what_the_design_allows_passes() {
        assert!(found("log", "[dependencies]\ntradewind-types.workspace = true\n").is_empty());
        assert!(found("log", "[dependencies]\ntradewind-disk.workspace = true\n").is_empty());
        // Columns are no query engine: operators and models work on them below the line.
        assert!(found("dataflow", "[dependencies]\narrow = \"59\"\n").is_empty());
        assert!(
            found("lake", "[dependencies]\ntradewind-sql = \"*\"\ndatafusion = \"1\"\n").is_empty()
        );
        assert!(
            found("types", "[dependencies]\narrow-array = \"1\"\narrow-schema = \"1\"\n")
                .is_empty()
        );
    }

    #[test]
    fn the_engine_line_holds_in_every_kind_of_dependency() {
        for table in ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"] {
            for engine in ["datafusion", "datafusion-common", "deltalake-core", "parquet"] {
                let found = found("collect", &format!("[{table}]\n{engine} = \"1\"\n"));
                let line = format!("collect may not name the engine ({engine})");
                assert!(
                    found.len() == 1 && found[0].ends_with(&line),
                    "{table} {engine}: {found:?}"
                );
            }
        }
        let renamed = "[dependencies]\nquery = { package = \"datafusion\", version = \"1\" }\n";
        assert_eq!(found("log", renamed).len(), 1);
    }

    #[test]
    fn siblings_do_not_meet_and_foundations_stand_alone() {
        for (folder, other) in [
            ("log", "collect"),
            ("collect", "log"),
            ("lake", "process"),
            ("process", "log"),
            ("analyze", "process"),
            ("types", "disk"),
            ("disk", "types"),
        ] {
            let found = found(folder, &format!("[dependencies]\ntradewind-{other} = \"*\"\n"));
            assert_eq!(found.len(), 1, "{folder} on {other}");
        }
    }

    #[test]
    fn a_neighbour_may_be_tested_with_but_not_built_on() {
        let log = "tradewind-log.workspace = true\n";
        assert!(found("collect", &format!("[dev-dependencies]\n{log}")).is_empty());
        assert_eq!(found("collect", &format!("[dependencies]\n{log}")).len(), 1);
        assert_eq!(found("lake", &format!("[dev-dependencies]\n{log}")).len(), 1);
    }

    #[test]
    fn a_new_crate_and_a_wrong_name_are_found() {
        assert!(found("mine", "")[0].contains("is not in the table"));
        let tree = tree(&[("crates/log/Cargo.toml", "[package]\nname = \"log\"\n")]);
        assert!(findings(&tree).unwrap()[0].contains("must be named tradewind-log"));
    }
}
