//! The gRPC API for backends: the generated types of `proto/ringpost/v1/api.proto`, and a client.
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

pub use self::generated::*;

#[allow(missing_docs, clippy::pedantic, reason = "generated")]
mod generated {
    tonic::include_proto!("ringpost.v1");
}

/// The descriptors of the API, as gRPC reflection gives them out.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("api");
