//! The calls of Flight SQL, each to its place.
//!
//! Guarantees: every command of Flight SQL is answered, with `UNIMPLEMENTED` where it is about
//! Substrait, savepoints, or flights without SQL.
//! Left out: what the calls do.

use super::FlightLimits;
use super::answer::{self, Messages};
use super::catalogue;
use super::held::{self, Handle};
use super::info::Info;
use super::parameters::{self, Values};
use super::sessions::{self, Caller, Client, Sessions};
use super::statements::{Done, Execution, PreparedStatement, Statements, columns};
use super::status;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, Command,
    CommandPreparedStatementQuery, DoPutPreparedStatementResult, DoPutUpdateResult,
    ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, Criteria,
    Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    HandshakeResponse, IpcMessage, PollInfo, PutResult, RenewFlightEndpointRequest, SchemaAsIpc,
    SchemaResult, Ticket,
};
use arrow_ipc::writer::IpcWriteOptions;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use prost::Message;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};
use tradewind_analyze::{Platform, Prepared};
use tradewind_types::Clock;

/// The service.
pub(super) struct Flight {
    clock: Arc<dyn Clock>,
    sessions: Sessions,
    statements: Statements,
    info: Info,
}

/// What an action answers with.
type Results = BoxStream<'static, Result<arrow_flight::Result, Status>>;

impl Flight {
    pub(super) fn new(
        platform: Platform,
        clock: Arc<dyn Clock>,
        limits: &FlightLimits,
    ) -> Result<Self, FlightError> {
        Ok(Self {
            clock,
            sessions: Sessions::new(platform),
            statements: Statements::new(limits.statement_timeout),
            info: Info::new(limits)?,
        })
    }

    /// The flight of a command: its columns, and a ticket for its rows.
    async fn flight(
        &self,
        caller: &Caller,
        descriptor: FlightDescriptor,
    ) -> Result<Response<FlightInfo>, Status> {
        match command(&descriptor.cmd)? {
            Command::CommandStatementQuery(query) => {
                let prepared = self.statements.plan(&caller.client, &query.query).await?;
                let none = vec![Values::new()];
                self.statement(caller, descriptor, &caller.client, Arc::new(prepared), none).await
            }
            Command::CommandPreparedStatementQuery(query) => {
                let statement = self.prepared(&query.prepared_statement_handle)?;
                let parameters = statement.rows()?;
                let prepared = Arc::clone(&statement.prepared);
                self.statement(caller, descriptor, &statement.client, prepared, parameters).await
            }
            other => {
                let schema = self.list_schema(other)?;
                let ticket = descriptor.cmd.clone();
                let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
                Ok(Response::new(described(&schema, endpoint, descriptor)?))
            }
        }
    }

    /// The flight of a statement. One that changes something is carried out here.
    async fn statement(
        &self,
        caller: &Caller,
        descriptor: FlightDescriptor,
        client: &Arc<Client>,
        prepared: Arc<Prepared>,
        parameters: Vec<Values>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = columns(&prepared);
        if prepared.schema.is_none() {
            let done = self.run_all(client, &prepared, &parameters).await?;
            let endpoint = FlightEndpoint::new().with_ticket(ticket(Bytes::new()));
            let info = described(&schema, endpoint, descriptor)?;
            let mut response = Response::new(info.with_total_records(done.rows));
            if done.has_set {
                self.sessions.keep(caller, client, &mut response)?;
            }
            return Ok(response);
        }
        let execution = Execution::new(Arc::clone(client), prepared, parameters);
        let handle = self.statements.tickets.add(Arc::new(execution))?;
        Ok(Response::new(described(&schema, self.endpoint(handle), descriptor)?))
    }

    async fn run_all(
        &self,
        client: &Client,
        prepared: &Prepared,
        parameters: &[Values],
    ) -> Result<Done, Status> {
        let mut all = Done::default();
        for values in parameters {
            let done = self.statements.update_prepared(client, prepared, values).await?;
            all = Done { rows: all.rows + done.rows, has_set: done.has_set };
        }
        Ok(all)
    }

    /// Where the rows of a ticket are, and until when.
    fn endpoint(&self, handle: Handle) -> FlightEndpoint {
        let mut endpoint = FlightEndpoint::new().with_ticket(ticket(held::bytes(handle)));
        let ends = self.clock.now_us() + self.statements.tickets.life().as_micros() as i64;
        let until = endpoint.expiration_time.get_or_insert_default();
        until.seconds = ends.div_euclid(1_000_000);
        until.nanos = (ends.rem_euclid(1_000_000) * 1_000) as i32;
        endpoint
    }

    /// What a command that asks for a list is answered with.
    async fn listed(&self, caller: &Caller, asked: Command) -> Result<RecordBatch, Status> {
        let client = &caller.client;
        match asked {
            Command::CommandGetCatalogs(asked) => {
                catalogue::catalogs(asked).map_err(status::of_rows)
            }
            Command::CommandGetTableTypes(asked) => {
                catalogue::kinds(asked).map_err(status::of_rows)
            }
            Command::CommandGetDbSchemas(asked) => catalogue::schemas(client, asked).await,
            Command::CommandGetTables(asked) => catalogue::tables(client, asked).await,
            Command::CommandGetPrimaryKeys(asked) => catalogue::primary_keys(client, asked).await,
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => {
                Ok(RecordBatch::new_empty(Arc::clone(&catalogue::REFERENCES)))
            }
            Command::CommandGetSqlInfo(asked) => {
                self.info.server(asked.info).map_err(status::of_rows)
            }
            Command::CommandGetXdbcTypeInfo(asked) => {
                self.info.types(asked.data_type).map_err(status::of_rows)
            }
            other => Err(status::unsupported(other.type_url())),
        }
    }

    /// The columns of such an answer.
    fn list_schema(&self, asked: Command) -> Result<SchemaRef, Status> {
        Ok(match asked {
            Command::CommandGetCatalogs(asked) => asked.into_builder().schema(),
            Command::CommandGetTableTypes(asked) => asked.into_builder().schema(),
            Command::CommandGetDbSchemas(asked) => asked.into_builder().schema(),
            Command::CommandGetTables(asked) => asked.into_builder().schema(),
            Command::CommandGetPrimaryKeys(_) => Arc::clone(&catalogue::KEYS),
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => Arc::clone(&catalogue::REFERENCES),
            Command::CommandGetSqlInfo(_) => self.info.server_schema(),
            Command::CommandGetXdbcTypeInfo(_) => self.info.types_schema(),
            other => return Err(status::unsupported(other.type_url())),
        })
    }

    fn prepared(&self, handle: &[u8]) -> Result<Arc<PreparedStatement>, Status> {
        let held = &self.statements.prepared;
        held.get(held::handle(handle, "prepared statement")?)
    }

    async fn prepare(
        &self,
        caller: &Caller,
        asked: ActionCreatePreparedStatementRequest,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let prepared = self.statements.plan(&caller.client, &asked.query).await?;
        let dataset = columns(&prepared);
        let parameters = parameters::schema(&prepared.parameters);
        let client = Arc::clone(&caller.client);
        let bound = Mutex::default();
        let statement = PreparedStatement { client, prepared: Arc::new(prepared), bound };
        let handle = self.statements.prepared.add(Arc::new(statement))?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: held::bytes(handle),
            // What has no rows has no schema: that is how drivers tell an update.
            dataset_schema: match dataset.fields().is_empty() {
                true => Bytes::new(),
                false => ipc(&dataset)?,
            },
            parameter_schema: ipc(&parameters)?,
        })
    }

    /// Keeps the parameters of a query's next run.
    async fn bind(
        &self,
        asked: CommandPreparedStatementQuery,
        messages: BoxStream<'static, Result<FlightData, Status>>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let statement = self.prepared(&asked.prepared_statement_handle)?;
        let rows = parameters::batches(messages);
        let rows = parameters::bound(rows, &statement.prepared.parameters).await?;
        *statement.bound.lock() = Some(rows);
        let handle = Some(asked.prepared_statement_handle);
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: handle })
    }

    /// Carries out a prepared statement once for each row that comes, and keeps none.
    async fn update_prepared(
        &self,
        statement: &PreparedStatement,
        messages: BoxStream<'static, Result<FlightData, Status>>,
    ) -> Result<Done, Status> {
        let (client, prepared) = (&statement.client, &statement.prepared);
        if prepared.parameters.is_empty() || statement.bound.lock().is_some() {
            return self.run_all(client, prepared, &statement.rows()?).await;
        }
        let mut batches = parameters::batches(messages);
        let mut all = Done::default();
        while let Some(batch) = batches.try_next().await.map_err(status::of_rows)? {
            let rows = parameters::values(&batch, &prepared.parameters)?;
            let done = self.run_all(client, prepared, &rows).await?;
            all = Done { rows: all.rows + done.rows, has_set: done.has_set };
        }
        Ok(all)
    }

    /// Ends what stands behind a flight's tickets.
    fn cancel(&self, info: Option<FlightInfo>) -> Result<(), Status> {
        let endpoints = info.map(|info| info.endpoint).unwrap_or_default();
        let tickets = endpoints.into_iter().filter_map(|endpoint| endpoint.ticket);
        let mut known = false;
        for ticket in tickets {
            let handle = ticketed(&ticket.ticket)?;
            let handle = held::handle(&handle.unwrap_or_default(), "ticket")?;
            if let Some(execution) = self.statements.tickets.remove(handle) {
                execution.cancel();
                known = true;
            }
        }
        known.then_some(()).ok_or_else(|| status::not_found("statement"))
    }

    fn renew(&self, asked: RenewFlightEndpointRequest) -> Result<FlightEndpoint, Status> {
        let ticket = asked.endpoint.and_then(|endpoint| endpoint.ticket).unwrap_or_default();
        let handle = held::handle(&ticketed(&ticket.ticket)?.unwrap_or_default(), "ticket")?;
        self.statements.tickets.get(handle)?;
        Ok(self.endpoint(handle))
    }

    async fn act(&self, caller: &Caller, action: Action) -> Result<Response<Results>, Status> {
        let body = &action.body;
        match action.r#type.as_str() {
            "CreatePreparedStatement" => {
                let made = self.prepare(caller, unpacked(body)?).await?;
                Ok(result(made.as_any().encode_to_vec()))
            }
            "ClosePreparedStatement" => {
                let asked: ActionClosePreparedStatementRequest = unpacked(body)?;
                let handle = &asked.prepared_statement_handle;
                self.statements.prepared.remove(held::handle(handle, "prepared statement")?);
                Ok(Response::new(stream::empty().boxed()))
            }
            "CancelFlightInfo" => {
                let asked: CancelFlightInfoRequest = sessions::body(body)?;
                self.cancel(asked.info)?;
                let done = CancelFlightInfoResult::new(CancelStatus::Cancelled);
                Ok(result(done.encode_to_vec()))
            }
            "CancelQuery" => {
                let asked: ActionCancelQueryRequest = unpacked(body)?;
                self.cancel(Some(sessions::body(&asked.info)?))?;
                // CANCEL_RESULT_CANCELLED
                let done = ActionCancelQueryResult { result: 1 };
                Ok(result(done.as_any().encode_to_vec()))
            }
            "RenewFlightEndpoint" => Ok(result(self.renew(sessions::body(body)?)?.encode_to_vec())),
            "SetSessionOptions" => {
                let done = caller.client.set(sessions::body(body)?).await;
                let mut response = result(done.encode_to_vec());
                self.sessions.keep(caller, &caller.client, &mut response)?;
                Ok(response)
            }
            "GetSessionOptions" => Ok(result(caller.client.options().encode_to_vec())),
            "CloseSession" => Ok(result(self.sessions.close(caller).encode_to_vec())),
            other => Err(status::unsupported(&format!("action {other:?}"))),
        }
    }
}

/// The actions there are, with what they do.
const ACTIONS: [(&str, &str); 8] = [
    ("CreatePreparedStatement", "Plans a statement to be run with parameters."),
    ("ClosePreparedStatement", "Forgets a prepared statement."),
    ("CancelFlightInfo", "Ends the statement of a flight."),
    ("CancelQuery", "Ends the statement of a flight; for older clients."),
    ("RenewFlightEndpoint", "Keeps a ticket for longer."),
    ("SetSessionOptions", "Sets dialect or timezone for the session's later statements."),
    ("GetSessionOptions", "What was set."),
    ("CloseSession", "Ends the session."),
];

#[tonic::async_trait]
impl FlightService for Flight {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = Messages;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = Results;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = Messages;

    /// Everybody is let in. A token is given because clients that send a name want one back.
    async fn handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let answer = HandshakeResponse { protocol_version: 0, payload: Bytes::from_static(TOKEN) };
        let mut response = Response::new(stream::iter([Ok(answer)]).boxed());
        let bearer = tonic::metadata::MetadataValue::from_static("Bearer tradewind");
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn list_flights(
        &self,
        _request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Ok(Response::new(stream::empty().boxed()))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let caller = self.sessions.caller(request.metadata())?;
        self.flight(&caller, request.into_inner()).await
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        // A flight is ready when it is planned: its rows are made as they are taken.
        let flight = self.get_flight_info(request).await?;
        Ok(flight.map(|info| PollInfo::new().with_info(info)))
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let caller = self.sessions.caller(request.metadata())?;
        let schema = match command(&request.get_ref().cmd)? {
            Command::CommandStatementQuery(query) => {
                columns(&self.statements.plan(&caller.client, &query.query).await?)
            }
            Command::CommandPreparedStatementQuery(query) => {
                columns(&self.prepared(&query.prepared_statement_handle)?.prepared)
            }
            other => self.list_schema(other)?,
        };
        Ok(Response::new(SchemaResult { schema: ipc(&schema)? }))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let caller = self.sessions.caller(request.metadata())?;
        let ticket = &request.get_ref().ticket;
        let messages = match ticketed(ticket)? {
            Some(handle) if handle.is_empty() => answer::nothing(),
            Some(handle) => {
                let execution = self.statements.tickets.get(held::handle(&handle, "ticket")?)?;
                self.statements.begin(execution).await?
            }
            None => answer::at_hand(self.listed(&caller, command(ticket)?).await?),
        };
        Ok(Response::new(messages))
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let caller = self.sessions.caller(request.metadata())?;
        let mut messages = request.into_inner();
        let first = messages.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("there is no command"))?;
        let asked = first.flight_descriptor.as_ref().map(|descriptor| command(&descriptor.cmd));
        let asked =
            asked.unwrap_or_else(|| Err(Status::invalid_argument("there is no command")))?;
        // The first message may hold the schema of what follows.
        let messages = stream::iter([Ok(first)]).chain(messages).boxed();
        let (done, client) = match asked {
            Command::CommandStatementUpdate(update) => {
                let done = self.statements.update(&caller.client, &update.query).await?;
                (done, Arc::clone(&caller.client))
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let statement = self.prepared(&update.prepared_statement_handle)?;
                let done = self.update_prepared(&statement, messages).await?;
                (done, Arc::clone(&statement.client))
            }
            Command::CommandPreparedStatementQuery(query) => {
                return Ok(put(self.bind(query, messages).await?.encode_to_vec()));
            }
            other => return Err(status::unsupported(other.type_url())),
        };
        let mut response = put(DoPutUpdateResult { record_count: done.rows }.encode_to_vec());
        if done.has_set {
            self.sessions.keep(&caller, &client, &mut response)?;
        }
        Ok(response)
    }

    async fn do_exchange(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(status::unsupported("DoExchange"))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        let caller = self.sessions.caller(request.metadata())?;
        self.act(&caller, request.into_inner()).await
    }

    async fn list_actions(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        let actions = ACTIONS.map(|(name, does)| {
            Ok(ActionType { r#type: name.to_string(), description: does.to_string() })
        });
        Ok(Response::new(stream::iter(actions).boxed()))
    }
}

/// What a handshake gives.
const TOKEN: &[u8] = b"tradewind";

/// The command in a descriptor or ticket.
fn command(bytes: &[u8]) -> Result<Command, Status> {
    let any = Any::decode(bytes).map_err(|error| status::garbled("the command", error))?;
    Command::try_from(any).map_err(|error| status::garbled("the command", error))
}

/// The handle in a ticket for a statement's rows; `None` for another ticket.
fn ticketed(bytes: &[u8]) -> Result<Option<Bytes>, Status> {
    let any = Any::decode(bytes).map_err(|error| status::garbled("the ticket", error))?;
    let ticket = any.unpack::<TicketStatementQuery>();
    let ticket = ticket.map_err(|error| status::garbled("the ticket", error))?;
    Ok(ticket.map(|ticket| ticket.statement_handle))
}

fn ticket(statement_handle: Bytes) -> Ticket {
    Ticket::new(TicketStatementQuery { statement_handle }.as_any().encode_to_vec())
}

/// The request in the body of one of Flight SQL's actions.
fn unpacked<M: ProstMessageExt>(body: &[u8]) -> Result<M, Status> {
    let any = Any::decode(body).map_err(|error| status::garbled("the action's body", error))?;
    let request = any.unpack::<M>().map_err(|error| status::garbled("the action's body", error))?;
    request.ok_or_else(|| Status::invalid_argument("the body is another action's"))
}

fn described(
    schema: &SchemaRef,
    endpoint: FlightEndpoint,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let info = FlightInfo::new().try_with_schema(schema).map_err(status::of_arrow)?;
    Ok(info.with_endpoint(endpoint).with_descriptor(descriptor))
}

fn ipc(schema: &Schema) -> Result<Bytes, Status> {
    let message = IpcMessage::try_from(SchemaAsIpc::new(schema, &IpcWriteOptions::default()));
    Ok(message.map_err(status::of_arrow)?.0)
}

fn result(body: Vec<u8>) -> Response<Results> {
    Response::new(stream::iter([Ok(arrow_flight::Result::new(body))]).boxed())
}

fn put(app_metadata: Vec<u8>) -> Response<BoxStream<'static, Result<PutResult, Status>>> {
    let result = PutResult { app_metadata: app_metadata.into() };
    Response::new(stream::iter([Ok(result)]).boxed())
}
