//! What is refused, which layer failed, and that no error tells more than it should.

use crate::server::{Act, Rig, Server, limits, ok, post};
use segport_core::http::{HttpClient, Request};
use segport_core::{Error, ErrorKind, Limits, Retry};
use segport_transport::Egress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn failure(egress: Egress, request: Request) -> (Error, u64) {
    let rig = Rig::new(egress);
    let connection = rig.connection();
    let error = connection.send(request).await.unwrap_err();
    for text in [error.to_string(), format!("{error:?}"), format!("{connection:?} {:?}", rig.transport)] {
        for secret in ["s3cret", "anna", "who=", "/v1/people", "hunter2"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    (error, connection.counters().requests)
}

const PATH: &str = "/v1/people/anna@example.com?who=anna";

#[tokio::test]
async fn destinations_that_the_policy_forbids() {
    let server = Server::start(vec![ok()]).await;
    let port = server.address.port();
    let check = async |egress: Egress, origin: String, hint: &str| {
        let (error, _) = failure(egress, post(format!("{origin}{PATH}"))).await;
        assert_eq!((error.kind(), error.retry()), (ErrorKind::ConfigInvalid, Retry::Never), "{origin}: {error}");
        assert!(error.was_not_sent(), "{origin}: {error}");
        assert!(error.message().contains(hint), "{origin}: {error}");
        assert!(error.message().starts_with("POST /contacts: "), "{origin}: {error}");
    };
    let hint = "set `[egress] allow_private = true` in segport.toml";
    for origin in [
        "http://127.0.0.1",
        "https://127.0.0.1",
        "https://localhost",
        "https://[::1]",
        "https://2130706433",
        "https://anna:hunter2@127.0.0.1",
    ] {
        check(Egress::PublicOnly, format!("{origin}:{port}"), hint).await;
    }
    check(Egress::PublicOnly, "http://api.example.com".to_owned(), "use https").await;
    check(Egress::AllowPrivate, "http://8.8.8.8".to_owned(), "use https").await;
    check(Egress::AllowPrivate, "ftp://127.0.0.1".to_owned(), "scheme").await;
    check(Egress::AllowPrivate, "unix:".to_owned(), "not a valid URL").await;
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn names_are_reached_when_private_addresses_are_allowed() {
    let server = Server::start(vec![ok()]).await;
    let request = post(format!("http://localhost:{}/", server.address.port()));
    let response = Rig::new(Egress::AllowPrivate).connection().send(request).await.unwrap();
    assert_eq!(response.head.status, 200);
}

#[tokio::test]
async fn requests_that_cannot_be_sent() {
    let server = Server::start(vec![ok()]).await;
    let check = async |request: Request, part: &str| {
        let (error, requests) = failure(Egress::AllowPrivate, request).await;
        assert_eq!((error.kind(), error.was_not_sent(), requests), (ErrorKind::ConfigInvalid, true, 0), "{error}");
        assert!(error.message().contains(part), "{error}");
    };
    let request = || post(server.url(PATH));
    check(request().header("x-key", "s3cret\r\nx-evil: hunter2"), "`x-key`").await;
    check(request().header("x key", "hunter2"), "invalid name").await;
    check(request().header("Host", "hunter2"), "`host` is the host's").await;
    check(request().header("content-length", "3"), "`content-length`").await;
    check(Request::new("GET\r\n", server.url(PATH), "GET /people"), "method").await;
    check(Request::new("GET", "/v1/people", "GET /people"), "not a valid URL").await;
}

#[tokio::test]
async fn the_layer_that_failed_is_named() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let hangs_up = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        port
    };
    let nonsense = Server::start(vec![Act::SayAndClose(b"nonsense\r\n\r\n".to_vec())]).await.address.port();
    let check = async |origin: String, layer: &str, sent: Option<&str>, attempts: u64| {
        // Not repeatable: only what was certainly not sent may be tried again.
        let (error, requests) = failure(Egress::AllowPrivate, post(format!("{origin}{PATH}")).once()).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{origin}: {error}");
        assert_eq!((error.fact("layer"), error.fact("sent")), (Some(layer), sent), "{origin}: {error}");
        assert_eq!(requests, attempts, "{origin}: {error}");
        assert!(error.message().contains(&origin), "{origin}: {error}");
    };
    check("http://nobody.invalid".to_owned(), "dns", Some("no"), 5).await;
    check(format!("http://127.0.0.1:{closed}"), "tcp", Some("no"), 5).await;
    check(format!("https://127.0.0.1:{closed}"), "tcp", Some("no"), 5).await;
    check(format!("https://127.0.0.1:{hangs_up}"), "tls", Some("no"), 5).await;
    check(format!("http://127.0.0.1:{nonsense}"), "http", None, 1).await;
}

#[tokio::test]
async fn tls_that_cannot_work_is_not_tried_again() {
    let check = async |said: &'static [u8], attempts: u64, reason: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.read_u8().await.ok();
                stream.write_all(said).await.ok();
            }
        });
        let (error, requests) = failure(Egress::AllowPrivate, post(format!("https://127.0.0.1:{port}{PATH}"))).await;
        assert_eq!((error.kind(), error.fact("layer")), (ErrorKind::Unavailable, Some("tls")), "{error}");
        assert_eq!((error.was_not_sent(), requests), (true, attempts), "{error}");
        assert!(error.message().ends_with(reason), "{error}");
    };
    check(b"HTTP/1.1 400 Bad Request\r\n\r\n", 1, "what it answers is not TLS; is it a plain `http` address?").await;
    // Alerts: handshake failure, unknown authority, internal error.
    check(b"\x15\x03\x03\x00\x02\x02\x28", 1, "it broke the TLS handshake off").await;
    check(b"\x15\x03\x03\x00\x02\x02\x30", 1, "it broke the TLS handshake off").await;
    check(b"\x15\x03\x03\x00\x02\x02\x50", 5, "it broke the TLS handshake off").await;
}

#[tokio::test]
async fn sent_is_no_only_if_no_attempt_may_have_arrived() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // From here on nobody listens: the first attempt arrives and breaks, all others are refused.
        drop(listener);
        stream.read_u8().await.unwrap();
    });
    let rig = Rig::new(Egress::AllowPrivate);
    let connection = rig.transport.connection("autopilot", Limits { max_in_flight: 1, ..limits() });
    let error = connection.send(post(format!("http://{address}/"))).await.unwrap_err();
    assert_eq!(
        (error.fact("layer"), error.was_not_sent(), error.fact("attempts")),
        (Some("tcp"), false, Some("5")),
        "{error}"
    );
}
