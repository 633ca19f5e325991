//! `GET /api/panels`: what the dashboard shows, as data: ours from `web/panels`, and the user's own
//! from `panels/` in the data folder, read anew at each request.
//!
//! Guarantees: a file that is no panel is named with the reason and keeps no other from being
//! shown; an unknown key is a mistake, not ignored.
//! Left out: whether a panel's SQL can be answered, which its place in the page says.

use crate::origin;
use axum::Router;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use rust_embed::RustEmbed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Files read from the user's folder: a dozen pages of panels.
const FILES_MAX: usize = 200;
/// The longest file: a screen of SQL is 2 KiB.
const FILE_BYTES_MAX: u64 = 64 << 10;

#[derive(RustEmbed)]
#[folder = "../../web/panels"]
struct Ours;

/// A panel as its file has it; `docs/dashboard.md` describes the keys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Panel {
    #[serde(default = "own_page")]
    page: String,
    #[serde(default = "last")]
    order: u32,
    #[serde(default)]
    size: Size,
    chart: Chart,
    /// By language; `en` where there is no other.
    title: BTreeMap<String, String>,
    #[serde(default)]
    note: BTreeMap<String, String>,
    data: Data,
    /// The column along the chart: times, or what the bars stand for.
    x: Option<String>,
    /// The columns that are shown.
    #[serde(default)]
    y: Vec<String>,
    /// The column of the period before.
    before: Option<String>,
    #[serde(default)]
    column: BTreeMap<String, Column>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Size {
    Quarter,
    Third,
    #[default]
    Half,
    #[serde(rename = "two-thirds")]
    TwoThirds,
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Chart {
    Figure,
    Line,
    Bars,
    Funnel,
    Table,
}

/// Where the rows come from: a view that is followed, or a query that is asked again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    view: Option<String>,
    /// A condition on the view's rows.
    #[serde(rename = "where")]
    condition: Option<String>,
    /// The view's column of times or dates.
    time: Option<String>,
    range: Option<Range>,
    hours: Option<u32>,
    compare: Option<Compare>,
    sql: Option<String>,
    refresh_s: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Range {
    /// From the reader's midnight on.
    Today,
    /// The last `hours`.
    Hours,
    /// The current day in UTC, of views by day.
    Day,
    /// The newest row.
    Latest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compare {
    /// The same hours of the same day a week before.
    Week,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    #[serde(rename = "as")]
    kind: Option<Kind>,
    #[serde(default)]
    title: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Money,
    Count,
    Number,
    Percent,
    Time,
    Date,
    Text,
}

fn own_page() -> String {
    "mine".into()
}

/// Behind every panel that says where it stands.
fn last() -> u32 {
    1_000
}

/// A panel as it is sent.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    /// Whether it is from the user's folder.
    own: bool,
    #[serde(flatten)]
    panel: Panel,
}

/// A file that is no panel.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Problem {
    file: String,
    reason: String,
}

#[derive(Debug, Default, Serialize)]
struct Panels {
    panels: Vec<Shown>,
    problems: Vec<Problem>,
    /// Whether the sample shop is served beside the dashboard.
    shop: bool,
}

/// The route. `folder` holds the user's own; it need not be there. `shop`: the sample shop is served.
pub fn panels_router(folder: PathBuf, shop: bool) -> Router {
    Router::new().route("/api/panels", get(panels)).with_state((folder, shop))
}

async fn panels(State((folder, shop)): State<(PathBuf, bool)>, headers: HeaderMap) -> Response {
    if let Some(reason) = origin::refusal(&headers) {
        return (StatusCode::FORBIDDEN, reason).into_response();
    }
    match tokio::task::spawn_blocking(move || Panels { shop, ..all(&folder) }).await {
        Ok(panels) => ([(CACHE_CONTROL, "no-store")], Json(panels)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn all(folder: &Path) -> Panels {
    let mut all = Panels::default();
    for name in Ours::iter() {
        let text = Ours::get(&name).map(|file| file.data.into_owned()).unwrap_or_default();
        all.add(&name, false, String::from_utf8(text).map_err(|error| error.to_string()));
    }
    if let Err(error) = all.add_own(folder) {
        all.problem(folder.display().to_string(), error.to_string());
    }
    all.panels.sort_by(|one, other| {
        (one.panel.order, one.own, &one.id).cmp(&(other.panel.order, other.own, &other.id))
    });
    all
}

impl Panels {
    fn add_own(&mut self, folder: &Path) -> io::Result<()> {
        let files = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            files => files?,
        };
        let mut paths = files.map(|file| Ok(file?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
        paths.sort();
        if paths.len() > FILES_MAX {
            let reason = format!("{} files; the first {FILES_MAX} are read", paths.len());
            self.problem(folder.display().to_string(), reason);
            paths.truncate(FILES_MAX);
        }
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.add(&name, true, read(&path));
        }
        Ok(())
    }

    fn add(&mut self, file: &str, own: bool, text: Result<String, String>) {
        match text.and_then(|text| parse(&text)) {
            Ok(panel) => {
                let stem = file.strip_suffix(".toml").unwrap_or(file);
                let id = if own { format!("own/{stem}") } else { stem.to_string() };
                self.panels.push(Shown { id, own, panel });
            }
            Err(reason) => self.problem(file.to_string(), reason),
        }
    }

    fn problem(&mut self, file: String, reason: String) {
        self.problems.push(Problem { file, reason });
    }
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!("{bytes} bytes; a panel has at most {FILE_BYTES_MAX}"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn parse(text: &str) -> Result<Panel, String> {
    let panel: Panel =
        toml::from_str(text).map_err(|error| error.to_string().trim().to_string())?;
    match panel.mistake() {
        Some(mistake) => Err(mistake.to_string()),
        None => Ok(panel),
    }
}

impl Panel {
    /// What the types let through.
    fn mistake(&self) -> Option<&'static str> {
        let Data { view, condition, time, range, hours, compare, sql, refresh_s } = &self.data;
        let live_only = [condition.is_some(), time.is_some(), range.is_some(), compare.is_some()];
        let in_address = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
        let broken = [
            (!self.title.contains_key("en"), "title.en is missing"),
            (
                self.page.is_empty() || !self.page.chars().all(in_address),
                "page is a word of letters, digits, - and _",
            ),
            (view.is_some() == sql.is_some(), "data has either a view or sql"),
            (
                sql.is_some() && live_only.contains(&true),
                "data.where, time, range and compare are for a view, not for sql",
            ),
            (view.is_some() && refresh_s.is_some(), "data.refresh_s is for sql: a view is live"),
            (*refresh_s == Some(0), "data.refresh_s is at least 1"),
            (range.is_some() && time.is_none(), "data.range needs data.time"),
            (
                compare.is_some() && !matches!(range, Some(Range::Today | Range::Hours)),
                "data.compare needs data.range = \"today\" or \"hours\"",
            ),
            (
                (*range == Some(Range::Hours))
                    != hours.is_some_and(|hours| (1..=24).contains(&hours)),
                "data.range = \"hours\" goes with data.hours from 1 to 24",
            ),
            (self.y.is_empty(), "y, the columns to show, is missing"),
            (
                matches!(self.chart, Chart::Line | Chart::Bars) && self.x.is_none(),
                "a line and bars need x",
            ),
            (
                matches!(self.chart, Chart::Figure) && self.y.len() > 1,
                "a figure is one: y has one column",
            ),
        ];
        broken.iter().find(|(broken, _)| *broken).map(|(_, reason)| *reason)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GOOD: &str = "
        chart = 'table'
        y = ['n']
        title.en = 'Mine'
        data.sql = 'SELECT 1 AS n'";

    #[test]
    fn all_of_ours_are_panels_in_both_languages() {
        let all = all(Path::new("/nowhere"));
        assert_eq!(all.problems, []);
        assert!(all.panels.len() > 10);
        for shown in all.panels {
            assert!(!shown.own);
            let titles = shown.panel.column.values().map(|column| &column.title);
            let titles = titles.chain([&shown.panel.title, &shown.panel.note]);
            for title in titles.filter(|title| !title.is_empty()) {
                assert!(title.contains_key("zh-CN"), "{}: {title:?}", shown.id);
            }
        }
    }

    #[test]
    fn own_panels_stand_beside_ours_and_bad_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        write("good.toml", GOOD).unwrap();
        write("notes.txt", "no panel").unwrap();
        write("typo.toml", &GOOD.replace("title.en", "titel.en")).unwrap();
        write("both.toml", &format!("{GOOD}\ndata.view = 'v'")).unwrap();
        write("long.toml", &"#".repeat(FILE_BYTES_MAX as usize + 1)).unwrap();
        let all = all(folder.path());
        let own: Vec<_> = all.panels.iter().filter(|shown| shown.own).collect();
        assert_eq!(own.iter().map(|shown| shown.id.as_str()).collect::<Vec<_>>(), ["own/good"]);
        assert_eq!((own[0].panel.page.as_str(), own[0].panel.order), ("mine", 1_000));
        let named: Vec<_> = all.problems.iter().map(|problem| problem.file.as_str()).collect();
        assert_eq!(named, ["both.toml", "long.toml", "typo.toml"]);
        assert!(all.problems[0].reason.contains("either a view or sql"));
        assert!(all.problems[2].reason.contains("titel"), "{}", all.problems[2].reason);
    }
}
