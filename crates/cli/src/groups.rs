//! Consumer groups, as the system table and the command `tradewind group` want them.
//!
//! Guarantees: `POST /api/groups/reset` moves only groups without members, to offsets their
//! partitions have, and answers once that is durable; a page in a browser cannot ask for it.
//! Left out: how groups work, which is the log's.

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tradewind_analyze::{AnalyzeError, ConsumerGroups, Fault, GroupRow, closest};
use tradewind_log::LogStore;
use tradewind_log::group::{GroupCoordinator, GroupError, GroupView, OffsetView};
use tradewind_types::{Log, LogError, Offset, PartitionId};

/// The groups, and the topics they read.
#[derive(Clone)]
pub(crate) struct Groups {
    pub(crate) coordinator: GroupCoordinator,
    pub(crate) log: LogStore,
}

#[async_trait]
impl ConsumerGroups for Groups {
    async fn groups(&self) -> Result<Vec<GroupRow>, AnalyzeError> {
        let views = self.coordinator.groups().await.map_err(said)?;
        Ok(views.iter().flat_map(rows).collect())
    }
}

/// A group's rows: one for each partition, or one.
fn rows(view: &GroupView) -> Vec<GroupRow> {
    let group = GroupRow {
        group: view.group.clone(),
        state: view.state.name().to_string(),
        protocol_type: view.protocol_type.clone(),
        protocol: view.protocol.clone(),
        generation: view.generation,
        members: i32::try_from(view.members.len()).unwrap_or(i32::MAX),
        ..GroupRow::default()
    };
    let of = |offset: &OffsetView| {
        let owner = offset.member_id.as_ref();
        let member = view.members.iter().find(|member| Some(&member.member_id) == owner);
        GroupRow {
            topic: Some(offset.topic.clone()),
            partition: Some(offset.partition),
            committed: offset.committed,
            log_end: offset.end,
            lag: offset.lag,
            committed_at: offset.committed_at_ms.map(|ms| ms.saturating_mul(1_000)),
            metadata: Some(offset.metadata.clone()).filter(|said| !said.is_empty()),
            member_id: offset.member_id.clone(),
            instance_id: member.and_then(|member| member.instance_id.clone()),
            client_id: member.map(|member| member.client_id.clone()),
            client_host: member.map(|member| member.client_host.clone()),
            ..group.clone()
        }
    };
    match view.offsets.is_empty() {
        true => vec![group],
        false => view.offsets.iter().map(of).collect(),
    }
}

/// What `POST /api/groups/reset` is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reset {
    pub(crate) group: String,
    pub(crate) topic: String,
    /// Only these; all when there are none.
    #[serde(default)]
    pub(crate) partitions: Vec<PartitionId>,
    /// `earliest`, `latest`, an offset, or a time as in 2026-01-31T12:00:00Z.
    pub(crate) to: String,
    /// Says what it would do.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// The routes.
pub(crate) fn router(groups: Groups) -> Router {
    Router::new().route("/api/groups/reset", post(reset)).with_state(groups)
}

async fn reset(
    State(groups): State<Groups>,
    headers: HeaderMap,
    // A page of another site cannot send this type without being asked for its leave first.
    Json(asked): Json<Reset>,
) -> Response {
    if let Some(reason) = tradewind_serve::origin_refusal(&headers) {
        return failure(StatusCode::FORBIDDEN, &AnalyzeError::user(reason));
    }
    match groups.reset(&asked).await {
        Ok(moved) => {
            let column = |name: &str, kind: &str| json!({"name": name, "type": kind});
            let columns = [
                column("topic", "text"),
                column("partition", "integer"),
                column("before", "bigint"),
                column("after", "bigint"),
            ];
            let rows: Vec<_> = (moved.iter())
                .map(|moved| json!([asked.topic, moved.partition, moved.before, moved.after]))
                .collect();
            Json(json!({"columns": columns, "rows": rows, "truncated": false})).into_response()
        }
        Err(error) => {
            let status = match error.fault {
                Fault::User => StatusCode::BAD_REQUEST,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            failure(status, &error)
        }
    }
}

fn failure(status: StatusCode, error: &AnalyzeError) -> Response {
    let error = json!({"message": error.message, "detail": error.detail, "hint": error.hint});
    (status, Json(json!({"error": error}))).into_response()
}

/// A partition that is moved.
struct Moved {
    partition: PartitionId,
    before: Option<Offset>,
    after: Offset,
}

impl Groups {
    async fn reset(&self, asked: &Reset) -> Result<Vec<Moved>, AnalyzeError> {
        let views = self.coordinator.groups().await.map_err(said)?;
        let group = views.iter().find(|view| view.group == asked.group);
        if let Some(group) = group.filter(|group| !group.members.is_empty()) {
            let members = group.members.len();
            return Err(AnalyzeError::user(format!(
                "group \"{}\" has {members} members: stop them first",
                asked.group
            )));
        }
        let before = |partition| {
            let offsets = group.map_or(&[][..], |group| &group.offsets);
            let of = |it: &&OffsetView| it.topic == asked.topic && it.partition == partition;
            offsets.iter().find(of).and_then(|offset| offset.committed)
        };
        let mut moved = Vec::new();
        for partition in self.partitions(asked)? {
            let after = self.offset(&asked.topic, partition, &asked.to).await?;
            moved.push(Moved { partition, before: before(partition), after });
        }
        if !asked.dry_run {
            let of = |moved: &Moved| (asked.topic.clone(), moved.partition, moved.after);
            let offsets: Vec<_> = moved.iter().map(of).collect();
            self.coordinator.reset_offsets(&asked.group, &offsets).await.map_err(said)?;
        }
        Ok(moved)
    }

    fn partitions(&self, asked: &Reset) -> Result<Vec<PartitionId>, AnalyzeError> {
        let Some(topic) = self.log.topic(&asked.topic) else {
            let known: Vec<String> = self.log.topics().into_iter().map(|it| it.name).collect();
            let error = AnalyzeError::user(format!("topic \"{}\" does not exist", asked.topic));
            return Err(match closest(&asked.topic, known.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean \"{near}\"?")),
                None => error,
            });
        };
        if asked.partitions.is_empty() {
            return Ok((0..topic.partitions).collect());
        }
        match asked.partitions.iter().find(|at| !(0..topic.partitions).contains(*at)) {
            None => Ok(asked.partitions.clone()),
            Some(at) => Err(AnalyzeError::user(format!(
                "topic \"{}\" has no partition {at}, it has {}",
                asked.topic, topic.partitions
            ))),
        }
    }

    /// The offset that `to` means in a partition, inside what it keeps.
    async fn offset(
        &self,
        topic: &str,
        partition: PartitionId,
        to: &str,
    ) -> Result<Offset, AnalyzeError> {
        let failed = |error: LogError| AnalyzeError::environment(error.to_string());
        let marks = self.log.watermarks(topic, partition).map_err(failed)?;
        if let Ok(offset) = to.parse::<Offset>() {
            return Ok(offset.clamp(marks.log_start, marks.high_watermark));
        }
        match to {
            "earliest" => Ok(marks.log_start),
            "latest" => Ok(marks.high_watermark),
            _ => {
                let time = DateTime::parse_from_rfc3339(to).map_err(|_| {
                    AnalyzeError::user(format!("{to:?} is no place in a topic"))
                        .hint("earliest, latest, an offset, or a time as in 2026-01-31T12:00:00Z")
                })?;
                let at = self.log.offset_at(topic, partition, time.timestamp_millis()).await;
                Ok(at.map_err(failed)?.unwrap_or(marks.high_watermark))
            }
        }
    }
}

fn said(error: GroupError) -> AnalyzeError {
    match error {
        GroupError::Loading | GroupError::NotAvailable | GroupError::Failed => {
            AnalyzeError::environment(error.to_string())
        }
        error => AnalyzeError::user(error.to_string()),
    }
}
