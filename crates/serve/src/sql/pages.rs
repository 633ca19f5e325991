//! An answer in pages: the query stands still between two of them.
//!
//! Guarantees: all pages are of one snapshot and hold each row once; a page that was lost on its
//! way can be asked for again until the next one was. At most [`PAGED_MAX`] answers are open, each
//! for [`PAGE_LIFE`] after its last page, with at most [`PAGE_BYTES`] and a batch in memory.
//! Left out: going back further, and asking for pages out of turn: rows that were sent are gone.

use super::encoder::{Encoder, End};
use super::failure::Failure;
use super::request::Format;
use super::running::Statement;
use arrow::array::RecordBatch;
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};
use tradewind_analyze::{AnalyzeError, ErrorClass, Rows};

/// Answers open at once: each holds one of `sql.queries_max` places, of which there are 64.
const PAGED_MAX: usize = 16;
/// Answers that are kept, those with their last page sent among them: it may have been lost.
const KEPT_MAX: usize = 64;
/// How long an answer waits for its next page to be asked for. Programs ask at once.
const PAGE_LIFE: Duration = Duration::from_secs(60);
/// A page ends here also when it has fewer rows than were asked for.
const PAGE_BYTES: usize = 1 << 20;
/// Rows written between two looks at the size of a page.
const ROWS_AT_ONCE: usize = 256;

/// All answers that are open.
#[derive(Clone, Default)]
pub(super) struct Pages(Arc<Mutex<HashMap<String, Open>>>);

#[derive(Clone)]
struct Open {
    answer: Arc<tokio::sync::Mutex<Paged>>,
    ends: Instant,
    /// Its last page was made: it holds no place any more.
    done: bool,
}

/// An answer between two pages.
struct Paged {
    rows: Option<Rows>,
    /// What did not fit into the last page.
    left: Option<RecordBatch>,
    format: Format,
    page_rows: usize,
    statement: Statement,
    /// The number of the last page, and the page.
    last: (u64, Page),
}

/// A page as it was sent.
#[derive(Clone)]
struct Page {
    format: Format,
    body: Bytes,
    next: Option<String>,
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let kind = [(CONTENT_TYPE, self.format.media_type())];
        let mut response = (kind, self.body).into_response();
        let link = self.next.map(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")));
        if let Some(Ok(link)) = link {
            response.headers_mut().insert(LINK, link);
        }
        response
    }
}

impl Pages {
    /// Answers with the first page, and keeps the rest.
    pub(super) async fn begin(
        &self,
        rows: Rows,
        format: Format,
        page_rows: usize,
        statement: Statement,
    ) -> Result<Response, Failure> {
        drop(self.room()?);
        let id = statement.id.clone();
        let empty = Page { format, body: Bytes::new(), next: None };
        let mut paged =
            Paged { rows: Some(rows), left: None, format, page_rows, statement, last: (0, empty) };
        let page = paged.next().await?;
        if page.next.is_some() {
            self.keep(id, paged)?;
        }
        Ok(page.into_response())
    }

    fn keep(&self, id: String, paged: Paged) -> Result<(), Failure> {
        let cancelled = paged.statement.ended();
        let answer = Arc::new(tokio::sync::Mutex::new(paged));
        let own = Arc::downgrade(&answer);
        let open = Open { answer, ends: Instant::now() + PAGE_LIFE, done: false };
        self.room()?.insert(id.clone(), open);
        let pages = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = cancelled => {}
                () = pages.expired(&id) => {}
            }
            let mut all = pages.0.lock();
            // There may be another one under its id by now.
            if all.get(&id).is_some_and(|open| Arc::as_ptr(&open.answer) == own.as_ptr()) {
                all.remove(&id);
            }
        });
        Ok(())
    }

    /// All of them, where there is room for one more.
    fn room(&self) -> Result<MutexGuard<'_, HashMap<String, Open>>, Failure> {
        let mut all = self.0.lock();
        if all.values().filter(|open| !open.done).count() >= PAGED_MAX {
            return Err(full());
        }
        if all.len() >= KEPT_MAX {
            all.retain(|_, open| !open.done);
        }
        Ok(all)
    }

    /// Done when an answer was not asked for in time, or is gone.
    async fn expired(&self, id: &str) {
        loop {
            let open = self.0.lock().get(id).cloned();
            let Some(open) = open else { return };
            // A page that is being made is waited for.
            let busy = open.answer.try_lock().is_err();
            match open.ends > Instant::now() {
                true => sleep_until(open.ends).await,
                false if busy => sleep(PAGE_LIFE).await,
                false => return,
            }
        }
    }

    /// Answers with a page that is asked for.
    pub(super) async fn page(&self, id: &str, number: &str) -> Result<Response, Failure> {
        let Ok(number) = number.parse::<u64>() else { return Err(gone(id)) };
        let open = self.0.lock().get_mut(id).map(|open| {
            open.ends = Instant::now() + PAGE_LIFE;
            open.clone()
        });
        let Some(open) = open else { return Err(gone(id)) };
        let mut paged = open.answer.lock().await;
        if paged.last.0 == number {
            return Ok(paged.last.1.clone().into_response());
        }
        if paged.last.0 + 1 != number || paged.last.1.next.is_none() {
            let error = AnalyzeError::user(format!("page {number} cannot be had"));
            let error = error.hint(format!("the last page was {}", paged.last.0));
            return Err(Failure::with(StatusCode::GONE, error));
        }
        paged.statement.again();
        let page = paged.next().await;
        let mut all = self.0.lock();
        match (&page, all.get_mut(id)) {
            (Ok(page), Some(open)) => {
                open.ends = Instant::now() + PAGE_LIFE;
                open.done = page.next.is_none();
            }
            _ => drop(all.remove(id)),
        }
        Ok(page?.into_response())
    }
}

fn gone(id: &str) -> Failure {
    let error = AnalyzeError::user(format!("there is no answer {id:?}, or no longer"))
        .class(ErrorClass::UndefinedCursor);
    let seconds = PAGE_LIFE.as_secs();
    let hint = format!("the next page is kept for {seconds} s; ask the statement again");
    Failure::with(StatusCode::NOT_FOUND, error.hint(hint))
}

fn full() -> Failure {
    let error = AnalyzeError::environment(format!("{PAGED_MAX} answers in pages are open"));
    let error = error.class(ErrorClass::TooMany);
    error.hint("read them to their end, DELETE them, or ask without page_rows").into()
}

impl Paged {
    /// Makes the next page.
    async fn next(&mut self) -> Result<Page, AnalyzeError> {
        let schema = match &self.rows {
            Some(rows) => rows.schema(),
            None => return Err(AnalyzeError::bug("a page behind the last")),
        };
        let mut encoder = Encoder::new(self.format, &schema)?;
        let more = loop {
            let Some(batch) = self.batch().await? else { break false };
            if encoder.rows >= self.page_rows || encoder.len() >= PAGE_BYTES {
                self.left = Some(batch);
                break true;
            }
            let room = ROWS_AT_ONCE.min(self.page_rows - encoder.rows).min(batch.num_rows());
            encoder.write(&batch.slice(0, room))?;
            let rest = batch.num_rows() - room;
            self.left = (rest > 0).then(|| batch.slice(room, rest));
        };
        let number = self.last.0 + 1;
        let next = more.then(|| format!("/api/sql/{}/{}", self.statement.id, number + 1));
        if !more {
            self.rows = None;
        }
        let elapsed_ms = self.statement.elapsed_ms();
        encoder.finish(&End { next: Some(next.as_deref()), elapsed_ms, ..End::default() })?;
        let page = Page { format: self.format, body: encoder.take().into(), next };
        self.last = (number, page.clone());
        Ok(page)
    }

    /// The next rows, which are some.
    async fn batch(&mut self) -> Result<Option<RecordBatch>, AnalyzeError> {
        if let Some(left) = self.left.take() {
            return Ok(Some(left));
        }
        let Some(rows) = &mut self.rows else { return Ok(None) };
        loop {
            match self.statement.bound(rows.next()).await?.transpose()? {
                Some(batch) if batch.num_rows() == 0 => {}
                other => return Ok(other),
            }
        }
    }
}
