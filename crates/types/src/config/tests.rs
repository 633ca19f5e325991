//! The configuration as its user meets it: what is accepted, and the one line where it is not.

#![allow(clippy::unwrap_used)]

use super::*;

fn file(text: &str) -> Result<Config, ConfigError> {
    Config::resolve(Some((Path::new("tradewind.toml"), text)), [], &[])
}

fn refused(text: &str) -> String {
    file(text).unwrap_err().to_string()
}

fn overridden(overrides: &[&str]) -> Result<Config, ConfigError> {
    let overrides: Vec<_> = overrides.iter().map(|text| (*text).to_owned()).collect();
    Config::resolve(None, [], &overrides)
}

#[test]
fn defaults_are_what_the_documentation_says() {
    let config = Config::default();
    assert_eq!(config, file("").unwrap());
    assert_eq!(config.server.http.listen, "127.0.0.1:8080");
    assert_eq!(config.log.flush, Flush::Always);
    assert_eq!(config.log.retention_ms, Some(7 * 86_400_000));
    assert_eq!(config.log.retention_bytes, None);
    assert_eq!(config.lake.commit_bytes, 64_000_000);
    assert_eq!(config.lake.commit_interval_ms, 60_000);
    let key = &config.collect.write_keys[0];
    assert_eq!(
        (key.key.as_str(), key.store_id.as_str(), key.source.as_str()),
        ("demo", "default", "web")
    );
    assert_eq!(config.sql.dialect, SqlDialect::Postgres);
}

#[test]
fn a_file_sets_what_it_names_and_nothing_else() {
    let config = file(
        r#"
        [server]
        http_listen = "0.0.0.0:80"
        [log]
        segment_bytes = "128 MiB"
        flush = "interval"
        flush_interval_ms = "1 s"
        retention_ms = "none"
        auto_create_topics = false
        [[collect.write_keys]]
        key = "k1"
        store_id = "berlin"
        [[collect.write_keys]]
        key = "k2"
        source = "app"
        "#,
    )
    .unwrap();
    assert_eq!(config.server.http.listen, "0.0.0.0:80");
    assert_eq!(config.log.segment_bytes, 128 << 20);
    assert_eq!(config.log.flush, Flush::IntervalMs(1_000));
    assert_eq!(config.log.retention_ms, None);
    assert!(!config.log.auto_create_topics);
    assert_eq!(config.collect.write_keys[0].store_id, "berlin");
    assert_eq!(config.collect.write_keys[1].store_id, "default");
    assert_eq!(config.collect.write_keys[1].source, "app");
    assert_eq!(config.lake, Config::default().lake);
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let text =
        "[log]\nsegment_bytes = 1_000_000\nbatch_bytes_max = 1_000_000\ndefault_partitions = 2";
    let environment = [
        ("TRADEWIND_LOG_SEGMENT_BYTES".to_owned(), "2 MB".to_owned()),
        ("TRADEWIND_LOG_BATCH_BYTES_MAX".to_owned(), "2 MB".to_owned()),
        ("TRADEWIND_LOG".to_owned(), "debug".to_owned()),
        ("PATH".to_owned(), "/bin".to_owned()),
    ];
    let overrides = ["log.segment_bytes = 3 MB".to_owned()];
    let config =
        Config::resolve(Some((Path::new("f"), text)), environment, &overrides).unwrap().log;
    assert_eq!(
        (config.segment_bytes, config.batch_bytes_max, config.default_partitions),
        (3_000_000, 2_000_000, 2)
    );
}

#[test]
fn overrides_read_bare_words_and_toml_alike() {
    let config = overridden(&[
        "server.http_listen=127.0.0.1:0",
        "collect.dedup_window_hours=2 d",
        "lake.commit_interval_ms=\"5 s\"",
        "collect.write_keys=[{ key = \"a\", bearer_token = \"t\" }]",
        "log.retention_bytes=none",
    ])
    .unwrap();
    assert_eq!(config.server.http.listen, "127.0.0.1:0");
    assert_eq!(config.collect.dedup_window_hours, 48);
    assert_eq!(config.lake.commit_interval_ms, 5_000);
    assert_eq!(config.collect.write_keys[0].bearer_token.as_deref(), Some("t"));
}

#[test]
fn an_unknown_name_is_answered_with_file_line_and_the_nearest_one() {
    assert_eq!(
        refused("# mine\n[log]\nsegment_byte = 1"),
        r#"tradewind.toml:3: unknown setting "log.segment_byte"; did you mean "log.segment_bytes"?"#
    );
    assert_eq!(
        refused("[serve]\nhttp_listen = \"x\""),
        r#"tradewind.toml:1: unknown setting "serve"; did you mean "server"?"#
    );
    assert_eq!(
        refused("http_listen = \"127.0.0.1:1\""),
        r#"tradewind.toml:1: unknown setting "http_listen"; did you mean "server.http_listen"?"#
    );
    assert_eq!(refused("[log]\nzzz = 1"), r#"tradewind.toml:2: unknown setting "log.zzz""#);
    let error = overridden(&["lake.commit_byte=1"]).unwrap_err().to_string();
    assert_eq!(
        error,
        r#"command line: unknown setting "lake.commit_byte"; did you mean "lake.commit_bytes"?"#
    );
    let variable = [("TRADEWIND_LOG_FLUSHH".to_owned(), "always".to_owned())];
    let error = Config::resolve(None, variable, &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        r#"environment: unknown setting "TRADEWIND_LOG_FLUSHH"; did you mean "TRADEWIND_LOG_FLUSH"?"#
    );
}

#[test]
fn a_value_out_of_range_names_the_setting_and_the_range() {
    assert_eq!(
        refused("[log]\n\nsegment_bytes = \"1 TiB\""),
        "tradewind.toml:3: log.segment_bytes = \"1 TiB\" is refused: it must be a size from 64 KiB \
         to 1 GiB, as in \"64 MB\""
    );
    for (text, expected) in [
        ("[log]\nflush = \"sometimes\"", r#""always" or "interval""#),
        ("[log]\nauto_create_topics = \"yes\"", "true or false"),
        ("[server]\nhttp_listen = \"8080\"", "an address"),
        ("[server]\nhttp_listen = \"127.0.0.1:99999\"", "an address"),
        ("[process]\ntick_budget_ms = 0", "a time from 1 ms to 10 s"),
        ("[process]\ntick_rows_max = -5", "a whole number from 1"),
        ("[process]\ntick_rows_max = 1.5", "a whole number from 1"),
        ("[collect]\ndedup_window_hours = \"90 min\"", "a number of hours"),
        ("[collect]\nwrite_keys = []", "at least one"),
        ("[collect]\nwrite_keys = [{ key = \"a:b\" }]", "no colon"),
        ("[collect]\nwrite_keys = [{ key = \"a\" }, { key = \"a\" }]", "no key twice"),
        ("[collect]\nwrite_keys = [{ key = \"a\", store_id = \"../x/y\" }]", "letters, digits"),
        ("[collect]\nwrite_keys = [{ key = \"a\", stor_id = \"x\" }]", "store_id"),
    ] {
        let error = refused(text);
        assert!(error.contains("tradewind.toml:2: ") && error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

#[test]
fn what_has_to_fit_into_something_else_is_checked_against_it() {
    assert_eq!(
        overridden(&["lake.commit_bytes=1 GB"]).unwrap_err().to_string(),
        "command line: lake.commit_bytes = \"1 GB\" is refused: it must be at most \
         lake.tail_bytes_max (\"512 MB\")"
    );
    assert_eq!(
        refused("[lake]\ntail_bytes_max = \"2 MiB\""),
        "tradewind.toml:2: lake.tail_bytes_max = \"2 MiB\" is refused: it must be at least \
         lake.commit_bytes (\"64 MB\")"
    );
}

#[test]
fn what_is_not_toml_is_answered_with_its_line() {
    let error = refused("[log]\nsegment_bytes = = 3\n");
    assert!(error.starts_with("tradewind.toml:2: "), "{error}");
    assert_eq!(error.lines().count(), 1);
    let error = refused("[log]\nflush = \"always\"\nflush = \"always\"\n");
    assert!(error.starts_with("tradewind.toml:3: "), "{error}");
    assert!(overridden(&["log.flush"]).unwrap_err().to_string().contains("is not key=value"));
}

#[test]
fn every_setting_is_in_a_section_documented_and_changes_the_config() {
    let page = reference();
    for setting in SETTINGS {
        assert!(page.contains(&format!("### {}\n", setting.key)), "{}", setting.key);
        assert!(setting.doc.ends_with('.'), "{} is documented in sentences", setting.key);
        let changed = overridden_somehow(setting);
        // Its default is `always`, under which the interval has no say.
        if setting.key != "log.flush_interval_ms" {
            assert_ne!(changed, Config::default(), "{} changes nothing", setting.key);
        }
    }
}

/// Values some of which a setting of this kind accepts.
fn candidates(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::Address => vec!["10.0.0.1:1".into()],
        Kind::Bytes { min, max }
        | Kind::Milliseconds { min, max }
        | Kind::Hours { min, max }
        | Kind::Count { min, max } => vec![min.to_string(), max.to_string()],
        Kind::OrNone(kind) => [vec!["none".into()], candidates(kind)].concat(),
        Kind::Flag => vec!["true".into(), "false".into()],
        Kind::OneOf(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        Kind::WriteKeys => vec!["[{ key = \"x\" }]".into()],
    }
}

/// A configuration with this setting at an accepted value that is not its default.
fn overridden_somehow(setting: &Setting) -> Config {
    candidates(&setting.kind)
        .iter()
        .filter_map(|value| overridden(&[&format!("{}={value}", setting.key)]).ok())
        .find(|config| *config != Config::default())
        .unwrap_or_default()
}

#[test]
fn settings_told_their_defaults_alone() {
    let file = "[log]\nsegment_bytes = 67108864\n[collect]\ndedup_window_hours = 48\n\
                write_keys = [{ key = \"s3cret\", bearer_token = \"t0ken\", store_id = \"shop\" }]\n";
    let variable = ("TRADEWIND_LOG_FLUSH".to_owned(), "interval".to_owned());
    let (_, resolved) = Config::resolve_and_explain(
        Some((Path::new("tradewind.toml"), file)),
        [variable],
        &["sql.queries_max=7".to_owned(), "log.retention_ms=none".to_owned()],
    )
    .unwrap();
    assert_eq!(resolved.len(), SETTINGS.len());
    let told = |key: &str| {
        let one = resolved.iter().find(|each| each.setting.key == key).unwrap();
        (one.value.as_str(), one.origin.name(), one.place.as_deref())
    };
    assert_eq!(told("log.segment_bytes"), ("64 MiB", "file", Some("tradewind.toml:2")));
    assert_eq!(told("collect.dedup_window_hours"), ("48", "file", Some("tradewind.toml:4")));
    assert_eq!(told("log.flush"), ("interval", "environment", Some("TRADEWIND_LOG_FLUSH")));
    assert_eq!(told("sql.queries_max"), ("7", "command line", None));
    assert_eq!(told("log.retention_ms"), ("none", "command line", None));
    assert_eq!(told("server.kafka_listen"), ("127.0.0.1:9092", "default", None));
    assert_eq!(told("lake.commit_interval_ms"), ("60 s", "default", None));
    let (keys, _, place) = told("collect.write_keys");
    assert_eq!(
        keys,
        r#"[{ key = "***", store_id = "shop", source = "web", bearer_token = "***" }]"#
    );
    assert_eq!(place, Some("tradewind.toml:5"));
}
