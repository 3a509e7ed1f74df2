//! The HTTP server: connections, and one exchange after the other on each.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, LAST_MODIFIED, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::autopilot::Autopilot;
use crate::clock;
use crate::control;
use crate::destination::{Destination, Reply, Request};
use crate::fault::{Decision, Reaction, Rules, Treatment};
use crate::options::Options;
use crate::payload::{Dropped, Payload};
use crate::shared::Shared;
use crate::socket::{Scissors, Socket};

/// The largest body that is read.
const BODY_LIMIT: usize = 64 << 20;

/// How long to wait after a connection could not be accepted, for example because no file handle is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves a stand-in Autopilot on a listener, on the caller's runtime, until the future is dropped.
///
/// Its paths are below `/v1`. Dropping the future closes every connection. [`Sandbox`](crate::Sandbox) is the same
/// on a thread of its own, with access to what is stored.
pub async fn serve(listener: TcpListener, options: Options) {
    let shared = Arc::new(Shared::new(Autopilot::new(&options), options));
    run(listener, shared, pending()).await;
}

/// Serves until `stop` is done, then closes every connection.
pub(crate) async fn run<D: Destination>(listener: TcpListener, shared: Arc<Shared<D>>, stop: impl Future<Output = ()>) {
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Without it answers wait for the client's acknowledgement: slower, but still right.
                    stream.set_nodelay(true).ok();
                    connections.spawn(connection(Socket::new(stream), Arc::clone(&shared)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

async fn connection<D: Destination>(socket: Socket, shared: Arc<Shared<D>>) {
    let scissors = socket.scissors();
    let service = service_fn(|request| exchange(Arc::clone(&shared), scissors.clone(), request));
    // It ends with an error when the client goes away or a fault cuts it; there is nobody to tell.
    http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(socket), service).await.ok();
}

async fn exchange<D: Destination>(
    shared: Arc<Shared<D>>,
    scissors: Scissors,
    request: hyper::Request<Incoming>,
) -> Result<Response<Payload>, Dropped> {
    let (head, body) = request.into_parts();
    if control::owns(head.uri.path()) {
        let body = read(body).await?.unwrap_or_default();
        return Ok(response(control::answer(&shared, &head, &body), Payload::whole));
    }
    let Decision { delay, treatment, rules } = match shared.admit(&head) {
        Ok(decision) => decision,
        Err(reply) => {
            let body = read(body).await?.unwrap_or_default();
            shared.settle(&head, Some(reply.status), &body);
            return Ok(response(reply, Payload::whole));
        }
    };
    let reaction = match treatment {
        Treatment::Read(reaction) => reaction,
        Treatment::Reset => {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            shared.settle(&head, None, &[]);
            scissors.cut();
            return Err(Dropped);
        }
    };
    let Some(body) = read(body).await? else {
        let reply = shared.destination.failure(StatusCode::PAYLOAD_TOO_LARGE.as_u16());
        shared.settle(&head, Some(reply.status), &[]);
        return Ok(response(reply, Payload::whole));
    };
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    carry_out(&shared, &scissors, &head, &body, reaction, &rules).await
}

/// Does what the request asks, as far as the fault script lets it.
async fn carry_out<D: Destination>(
    shared: &Shared<D>,
    scissors: &Scissors,
    head: &Parts,
    body: &Bytes,
    reaction: Reaction,
    rules: &Rules,
) -> Result<Response<Payload>, Dropped> {
    let request = Request { method: &head.method, path: head.uri.path(), body };
    let serve = || shared.destination.answer(&request, rules);
    let (reply, truncate) = match reaction {
        Reaction::Answer { answer, commit } => {
            if commit {
                serve();
            }
            (shared.destination.failure(answer.status).scripted(&answer), false)
        }
        Reaction::Reset { commit } => {
            if commit {
                serve();
            }
            shared.settle(head, None, body);
            scissors.cut();
            return Err(Dropped);
        }
        Reaction::Timeout { commit, close_after } => {
            if commit {
                serve();
            }
            shared.settle(head, None, body);
            tokio::time::sleep(close_after).await;
            return Err(Dropped);
        }
        Reaction::Truncate => (serve(), true),
        Reaction::Serve => (serve(), false),
    };
    shared.settle(head, Some(reply.status), body);
    Ok(response(reply, |data| if truncate { Payload::half(&data) } else { Payload::whole(data) }))
}

/// Reads a body whole; none if it is too large, an error if the client went away.
async fn read(mut body: Incoming) -> Result<Option<Bytes>, Dropped> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if expected > BODY_LIMIT {
        return Ok(None);
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Dropped)?.into_data() else { continue };
        if whole.is_empty() && (data.len() >= expected && expected > 0) {
            return Ok(Some(data));
        }
        if whole.len() + data.len() > BODY_LIMIT {
            return Ok(None);
        }
        if whole.is_empty() {
            whole.reserve(expected);
        }
        whole.extend_from_slice(&data);
    }
    Ok(Some(whole.freeze()))
}

fn response(reply: Reply, payload: impl FnOnce(Bytes) -> Payload) -> Response<Payload> {
    let mut response = Response::new(payload(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if let Some(seconds) = reply.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(date) = reply.last_modified.and_then(clock::http_date) {
        response.headers_mut().insert(LAST_MODIFIED, date);
    }
    response
}
