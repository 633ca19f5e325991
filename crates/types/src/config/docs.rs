//! The settings' reference page, made from the table.
//!
//! Guarantees: deterministic; every setting of [`SETTINGS`] is on the page.
//! Left out: writing the file, which `cargo xtask docs` does.

use super::settings::{SECTIONS, SETTINGS, Setting};
use std::fmt::Write;

/// What stands above the sections.
const OPENING: &str = "\
# Settings

<!-- Made by `cargo xtask docs` from crates/types/src/config/settings.rs. Change it there. -->

`tradewind serve --config tradewind.toml` reads a TOML file. Every setting has a default, so an
empty file and no file are fine. A setting can also be given in the environment and on the command
line; the command line wins over the environment, and that over the file:

```
tradewind serve --set log.segment_bytes=\"128 MiB\"
TRADEWIND_LOG_SEGMENT_BYTES=\"128 MiB\" tradewind serve
```

```toml
[log]
segment_bytes = \"128 MiB\"
```

Sizes are a number of bytes or a text with a unit: B, kB, MB, GB, TB (powers of 1000), KiB, MiB,
GiB, TiB (powers of 1024). Times are a number of milliseconds or a text with a unit: ms, s, min, h,
d. A name that is not below is refused with the nearest one that is.
";

/// `docs/config.md`.
pub fn reference() -> String {
    let mut page = OPENING.to_owned();
    for (section, about) in SECTIONS {
        let _ = write!(page, "\n## [{section}]\n\n{about}\n");
        let prefix = format!("{section}.");
        for setting in SETTINGS.iter().filter(|setting| setting.key.starts_with(&prefix)) {
            page.push_str(&entry(setting));
        }
    }
    page
}

fn entry(setting: &Setting) -> String {
    format!(
        "\n### {key}\n\n{doc}\n\n- Default: `{default}`\n- Accepts: {expected}\n",
        key = setting.key,
        doc = setting.doc,
        default = setting.default,
        expected = setting.kind.expected(),
    )
}
