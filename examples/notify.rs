//! A backend that pushes to users: `POST /notify/USER` with a JSON body, and every session of that user
//! has it, on whichever node. Who is away finds it later.
//!
//! ```text
//! cargo run --example notify
//! websocat 'ws://127.0.0.1:7001/ws?user=bob'
//! curl -d '{"text":"your parcel is here"}' http://127.0.0.1:8080/notify/bob
//! ```

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use ringpost::handler::Receipt;
use ringpost::id::{NodeId, UserId};
use ringpost::{Body, Config, Handle, Node};
use tokio::net::TcpListener;

/// The largest request that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Serves HTTP, for ever.
///
/// # Errors
/// No more connections can be accepted.
pub async fn serve(listener: TcpListener, from: UserId, handle: Handle) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let (from, handle) = (from.clone(), handle.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &from, &handle));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                eprintln!("a connection ended badly: {error}");
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    from: &UserId,
    handle: &Handle,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match notify(request, from, handle).await {
        Ok(Receipt::Accepted { copies, .. }) => {
            (StatusCode::ACCEPTED, format!("{copies} nodes have it"))
        }
        Ok(Receipt::Sent) => (StatusCode::ACCEPTED, "sent".to_owned()),
        Ok(Receipt::Failed { code, message }) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{code}: {message}"),
        ),
        Err((status, why)) => (status, why),
    };
    let mut response = Response::new(Full::from(text + "\n"));
    *response.status_mut() = status;
    Ok(response)
}

async fn notify(
    request: Request<Incoming>,
    from: &UserId,
    handle: &Handle,
) -> Result<Receipt, (StatusCode, String)> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let user = match request.uri().path().strip_prefix("/notify/") {
        Some(user) if request.method() == Method::POST => user,
        _ => {
            return Err((
                StatusCode::NOT_FOUND,
                "there is POST /notify/USER".to_owned(),
            ));
        }
    };
    let user = percent_decode_str(user).decode_utf8();
    let user = user.map_err(|error| bad(error.to_string()))?;
    let user = UserId::new(&user).map_err(|error| bad(error.to_string()))?;
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    let body = body
        .await
        .map_err(|error| bad(error.to_string()))?
        .to_bytes();
    let body = std::str::from_utf8(&body).map_err(|error| bad(error.to_string()))?;
    let body = Body::from_json_text(body).map_err(|error| bad(error.to_string()))?;
    Ok(handle.send(from, &user, body).await)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::new(NodeId::new("n1")?);
    config.insecure_users = true; // There is no password here: whoever says "bob" is bob.
    let node = Node::start(config).await?;
    println!("{}/ws?user=your-name", node.ready().url);
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 8080))).await?;
    tokio::select! {
        ended = serve(listener, UserId::new("shop")?, node.handle()) => ended?,
        signal = tokio::signal::ctrl_c() => signal?,
    }
    node.drain().await;
    Ok(())
}
