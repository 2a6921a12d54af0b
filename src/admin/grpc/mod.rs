//! The API for backends over gRPC: the service, its health and its descriptors.

mod convert;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use self::convert::{
    item_of, receipt_to_wire, room_query, room_to_wire, status_of, user_id, user_to_wire,
};
use super::api::{NOT_ALL_CLOSED, trace_of, wait_for_all};
use super::{Admin, Body};
use crate::api;
use crate::api::api_server::{Api, ApiServer};
use crate::core::api::route::RoomQuery;
use crate::core::api::{BATCH_MESSAGES_MAX, body_bytes_max};
use crate::error::ErrorCode;

/// How often it is looked whether the node is still ready.
const HEALTH_INTERVAL: Duration = Duration::from_millis(250);

/// What a question about health may have: the name of a service. It needs no key.
const HEALTH_BYTES_MAX: usize = 1024;

/// All services of the admin address.
pub(super) type Service = Routes;

/// The services of a node, whose health is kept up to date from now on.
pub(super) fn service(admin: &Arc<Admin>) -> Service {
    let bytes_max = body_bytes_max(admin.message_bytes_max);
    let api = ApiServer::new(ApiService(Arc::clone(admin))).max_decoding_message_size(bytes_max);
    let (reporter, health) = tonic_health::server::health_reporter();
    let health = health.max_decoding_message_size(HEALTH_BYTES_MAX);
    admin.spawn(report_health(Arc::clone(admin), reporter));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Older tools know the alpha version alone.
    let (new, old) = (reflection().build_v1(), reflection().build_v1alpha());
    Routes::new(api)
        .add_service(health)
        .add_service(new.expect("the descriptors are of this very build"))
        .add_service(old.expect("the descriptors are of this very build"))
        .prepare()
}

/// Whether a request is gRPC, by its content type.
pub(super) fn is_grpc<B>(request: &hyper::Request<B>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Whether a method needs no key: that of health, which tells nothing of the cluster and ends at once.
pub(super) fn is_open(path: &str) -> bool {
    path == "/grpc.health.v1.Health/Check"
}

/// The answer to a call without a key.
pub(super) fn unauthorized() -> hyper::Response<Body> {
    let message = "a key of --api-keys-file is needed, as metadata authorization: Bearer KEY";
    Status::unauthenticated(message).into_http()
}

/// Answers it.
pub(super) async fn call(
    service: Service,
    request: hyper::Request<Incoming>,
) -> hyper::Response<Body> {
    match TowerToHyperService::new(service).call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The node is healthy when it is ready, by `/readyz`.
async fn report_health(admin: Arc<Admin>, reporter: HealthReporter) {
    let mut told = None;
    loop {
        let status = match admin.dispatch.why_not_ready() {
            None => ServingStatus::Serving,
            Some(_) => ServingStatus::NotServing,
        };
        if told != Some(status) {
            for service in ["", ApiServer::<ApiService>::NAME] {
                reporter.set_service_status(service, status).await;
            }
            told = Some(status);
        }
        tokio::time::sleep(HEALTH_INTERVAL).await;
    }
}

struct ApiService(Arc<Admin>);

#[tonic::async_trait]
impl Api for ApiService {
    async fn send(
        &self,
        request: Request<api::SendRequest>,
    ) -> Result<Response<api::Receipt>, Status> {
        self.check()?;
        let trace = trace_of(request.metadata().as_ref());
        let message = request.into_inner();
        let item = item_of(&message, self.0.message_bytes_max);
        let sent = self.0.send_one(item, trace);
        let (id, receipt) = sent.wait().await;
        Ok(Response::new(receipt_to_wire(id.as_deref(), &receipt)))
    }

    async fn send_batch(
        &self,
        request: Request<api::SendBatchRequest>,
    ) -> Result<Response<api::SendBatchResponse>, Status> {
        self.check()?;
        let trace = trace_of(request.metadata().as_ref());
        let messages = request.into_inner().messages;
        if messages.len() > BATCH_MESSAGES_MAX {
            let message = format!("at most {BATCH_MESSAGES_MAX} messages in one call");
            return Err(status_of(ErrorCode::TooLarge, message));
        }
        let items = messages.iter();
        let items = items.map(|message| item_of(message, self.0.message_bytes_max));
        let receipts = wait_for_all(self.0.send_all(items, trace))
            .await
            .into_iter();
        Ok(Response::new(api::SendBatchResponse {
            receipts: receipts
                .map(|(id, of)| receipt_to_wire(id.as_deref(), &of))
                .collect(),
        }))
    }

    async fn get_user(
        &self,
        request: Request<api::GetUserRequest>,
    ) -> Result<Response<api::User>, Status> {
        self.check()?;
        let user = user_id(&request.into_inner().user)?;
        match self.0.dispatch.sessions_of(&user).await {
            Ok(sessions) => Ok(Response::new(user_to_wire(&user, sessions))),
            Err(code) => Err(status_of(code, code.message())),
        }
    }

    async fn get_room(
        &self,
        request: Request<api::GetRoomRequest>,
    ) -> Result<Response<api::Room>, Status> {
        self.check()?;
        let RoomQuery { room, after, limit } = room_query(&request.into_inner())?;
        match self.0.dispatch.room(&room, after.as_ref(), limit).await {
            Ok(page) => Ok(Response::new(room_to_wire(&room, &page))),
            Err(code) => Err(status_of(code, code.message())),
        }
    }

    async fn disconnect(
        &self,
        request: Request<api::DisconnectRequest>,
    ) -> Result<Response<api::DisconnectResponse>, Status> {
        self.check()?;
        let user = user_id(&request.into_inner().user)?;
        match self.0.dispatch.disconnect(&user).await {
            Ok(closed) => Ok(Response::new(api::DisconnectResponse {
                user: user.as_str().to_owned(),
                closed,
            })),
            Err(code) => Err(status_of(code, NOT_ALL_CLOSED)),
        }
    }
}

impl ApiService {
    fn check(&self) -> Result<(), Status> {
        let fault = self.0.has_cluster();
        fault.map_err(|fault| status_of(fault.code, fault.message))
    }
}
