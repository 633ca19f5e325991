//! ListGroups: which groups there are, by state and type if asked.
//!
//! Guarantees: an answer's bytes are charged before it is built.
//! Left out: the types of the newer protocols, of which there are no groups.

use super::{Api, Pending};
use crate::group::Group;
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::budget::Charge;
use crate::wire::group_error::{code, sent};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::{Reply, Request};
use futures::FutureExt;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

pub(crate) const API: Api = Api {
    name: "ListGroups",
    key: 16,
    min: 0,
    max: 5,
    flexible_from: 3,
    request: &Shape {
        fields: &[Field::from(4, Kind::Each(&Kind::Text)), Field::from(5, Kind::Each(&Kind::Text))],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<ListGroupsRequest>,
};

const STATE_FROM: i16 = 4;
const TYPE_FROM: i16 = 5;
/// The type of every group here.
const CLASSIC: &str = "classic";
/// What a group takes in an answer beside its id.
const GROUP_BYTES: usize = 256;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: ListGroupsRequest = request.decode()?;
    Ok(async move { serve(&broker, &request, &asked).await.map(Some) }.boxed())
}

async fn serve(
    broker: &Broker,
    request: &Request,
    asked: &ListGroupsRequest,
) -> Result<Reply, WireError> {
    let ready = broker.groups.ready().await;
    let mut charge = Charge::default();
    let bytes =
        broker.groups.look(|all| all.iter().map(|group| GROUP_BYTES + group.id.len()).sum());
    broker.answers.charge(&mut charge, bytes).await;
    let listed = |group: &Group| {
        let wanted =
            names(&asked.states_filter, group.state.name()) && names(&asked.types_filter, CLASSIC);
        wanted.then(|| listed(group, request.version))
    };
    let mut groups: Vec<ListedGroup> = match ready {
        Ok(()) => broker.groups.look(|all| all.iter().filter_map(listed).collect()),
        Err(_) => Vec::new(),
    };
    groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    let response = ListGroupsResponse::default().with_error_code(code(&ready)).with_groups(groups);
    let mut reply = request.reply(&response)?;
    charge.shrink_to(reply.len());
    reply.charge = charge;
    Ok(reply)
}

/// Whether a filter, if there is one, names this.
fn names(filter: &[StrBytes], name: &str) -> bool {
    filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
}

fn listed(group: &Group, version: i16) -> ListedGroup {
    let mut listed = ListedGroup::default()
        .with_group_id(GroupId(sent(&group.id)))
        .with_protocol_type(group.protocol_type.as_ref().map(sent).unwrap_or_default());
    if version >= STATE_FROM {
        listed = listed.with_group_state(StrBytes::from_static_str(group.state.name()));
    }
    if version >= TYPE_FROM {
        listed = listed.with_group_type(StrBytes::from_static_str(CLASSIC));
    }
    listed
}
