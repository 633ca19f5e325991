//! DeleteGroups: removes groups without members, and their offsets.
//!
//! Guarantees: answered once the removal is durable; each group has its own result.
//! Left out: groups with members, which stay.

use super::{Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::group_error::code;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use futures::future::join_all;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, GroupId};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) const API: Api = Api {
    name: "DeleteGroups",
    key: 42,
    min: 0,
    max: 2,
    flexible_from: 2,
    request: &Shape { fields: &[Field::new(Kind::Each(&Kind::Text))], tags: &[] },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<DeleteGroupsRequest>,
};

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: DeleteGroupsRequest = request.decode()?;
    let groups: BTreeSet<GroupId> = asked.groups_names.into_iter().collect();
    // Together, so that they share an fsync.
    let delete = async |group: GroupId| {
        let deleted = broker.groups.delete_group(&group).await;
        DeletableGroupResult::default().with_group_id(group).with_error_code(code(&deleted))
    };
    let results = join_all(groups.into_iter().map(delete)).await;
    Ok(answered(request.reply(&DeleteGroupsResponse::default().with_results(results))?))
}
