//! The gRPC API for backends: the generated types of `proto/ringpost/v1/api.proto` and what that imports,
//! and a client.
//!
//! ```no_run
//! use ringpost::api::{GetUserRequest, api_client::ApiClient};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut api = ApiClient::connect("http://127.0.0.1:7201").await?;
//! let user = "bob".to_owned();
//! let bob = api.get_user(GetUserRequest { user }).await?.into_inner();
//! println!("{} sessions", bob.sessions.len());
//! # Ok(())
//! # }
//! ```

pub use crate::proto::{
    DisconnectRequest, DisconnectResponse, Error, Everyone, GetRoomRequest, GetUserRequest, Qos,
    Receipt, Room, RoomReceipt, SendBatchRequest, SendBatchResponse, SendRequest, Session, Status,
    Target, User, api_client, api_server, target,
};

/// The descriptors of the API, as gRPC reflection gives them out.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("api");
