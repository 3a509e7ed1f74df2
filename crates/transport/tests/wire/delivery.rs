//! What reaches the destination, what comes back, and what is tried again, over real sockets.

use std::cell::Cell;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use futures::FutureExt;

use crate::server::{Act, Rig, Server, answer, limits, ok, post};
use segport_core::http::{HttpClient, Response};
use segport_core::{ErrorKind, Limits, Result, Retry};
use segport_transport::{Counters, Egress, Permit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn status(result: Result<Response>) -> u16 {
    result.unwrap().head.status
}

#[tokio::test]
async fn a_request_arrives_as_it_was_and_the_answer_comes_back() {
    let said = answer("201 Created", "X-Request-Id: 7\r\nx-many: a\r\nx-many: b\r\n", b"{\"id\":1}");
    let (server, rig) = (Server::start(vec![Act::Say(said)]).await, Rig::new(Egress::AllowPrivate));
    let connection = rig.connection();
    let response = connection.send(post(server.url("/v1/contacts?x=1"))).await.unwrap();
    assert_eq!((response.head.status, &response.body[..]), (201, &b"{\"id\":1}"[..]));
    assert_eq!(response.header("x-request-id"), Some("7"));
    assert_eq!(response.head.headers.iter().filter(|(name, _)| name == "x-many").count(), 2);
    let seen = server.seen().remove(0);
    for part in [
        "POST /v1/contacts?x=1 HTTP/1.1\r\n",
        "x-api-key: s3cret\r\n",
        "content-type: application/json\r\n",
        "user-agent: segport/test\r\n",
        "accept-encoding: gzip\r\n",
        "\r\n\r\n{\"email\":\"anna@example.com\"}",
    ] {
        assert!(seen.contains(part), "{part:?} in {seen:?}");
    }
    assert_eq!(connection.counters(), Counters { requests: 1, retried: 0, throttled: 0 });
}

#[tokio::test]
async fn answers_are_handed_on_or_tried_again() {
    let check = async |acts: Vec<Act>, repeatable: bool, expected: Result<u16, ErrorKind>, requests: u64| {
        let (server, rig) = (Server::start(acts.clone()).await, Rig::new(Egress::AllowPrivate));
        let connection = rig.connection();
        let mut request = post(server.url("/"));
        request.head.repeatable = repeatable;
        let result = connection.send(request).await;
        let found = result.as_ref().map(|response| response.head.status).map_err(|error| error.kind());
        assert_eq!(found, expected, "{acts:?}, repeatable: {repeatable}: {result:?}");
        let counters = connection.counters();
        assert_eq!((counters.requests, counters.retried), (requests, requests - 1), "{acts:?}");
        assert_eq!(server.seen().len() as u64, requests, "{acts:?}");
    };
    let say = |status: &str| Act::Say(answer(status, "", b"no"));
    let broken = || Err(ErrorKind::Unavailable);

    // Answers for the connector, a redirect among them.
    for code in [204, 302, 400, 401, 403, 404, 422, 501, 505] {
        let text = format!("{code} X");
        let act = Act::Say(answer(&text, "location: http://127.0.0.1:1/\r\n", b""));
        check(vec![act], true, Ok(code), 1).await;
    }
    // Faults that pass, and faults that stay.
    for code in [408, 500, 502, 503, 504, 522, 529] {
        let text = format!("{code} X");
        check(vec![say(&text), ok()], true, Ok(200), 2).await;
        check(vec![say(&text)], true, Ok(code), 5).await;
        check(vec![say(&text), ok()], false, Ok(code), 1).await;
    }
    // Throttling means that nothing was done, so even what must not be repeated is sent again.
    for repeatable in [true, false] {
        check(vec![say("429 X"), say("429 X"), ok()], repeatable, Ok(200), 3).await;
    }
    // Who is turned away has done nothing by this attempt; of an earlier one that says nothing.
    for code in ["302 X", "401 X", "403 X", "405 X"] {
        check(vec![Act::Reset, say(code)], true, broken(), 2).await;
        check(vec![say("503 X"), say(code)], true, Ok(503), 2).await;
        check(vec![say("429 X"), say(code)], true, Ok(code[..3].parse().unwrap()), 2).await;
    }
    // Broken answers.
    let truncated = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
    let nonsense = b"SMTP 220 ready, or so\r\n\r\n".to_vec();
    let bad_gzip = answer("200 OK", "content-encoding: gzip\r\n", b"not gzip at all, sorry");
    for act in [
        Act::Reset,
        Act::SayAndClose(Vec::new()),
        Act::SayAndClose(b"HTTP/1.1 200".to_vec()),
        Act::SayAndClose(truncated),
        Act::SayAndClose(nonsense),
        Act::SayAndClose(bad_gzip),
    ] {
        check(vec![act.clone(), ok()], true, Ok(200), 2).await;
        check(vec![act.clone()], true, broken(), 5).await;
        check(vec![act, ok()], false, broken(), 1).await;
    }
}

#[tokio::test]
async fn backoff_doubles_and_retry_after_pauses() {
    let check = async |headers: &str, status: &str, expected: &[u128]| {
        let refusal = Act::Say(answer(status, headers, b""));
        let (server, rig) = (
            Server::start(vec![refusal.clone(), refusal.clone(), refusal, ok()]).await,
            Rig::new(Egress::AllowPrivate),
        );
        assert_eq!(self::status(rig.connection().send(post(server.url("/"))).await), 200);
        assert_eq!(rig.waits(), expected, "{status} {headers:?}");
    };
    check("", "503 X", &[5, 10, 20]).await;
    check("", "429 X", &[10, 20, 40]).await;
    check("retry-after: 7\r\n", "429 X", &[70, 70, 70]).await;
    check("retry-after: 7\r\n", "503 X", &[70, 70, 70]).await;
    check("retry-after: 0\r\n", "429 X", &[10, 20, 40]).await;
    check("retry-after: soon\r\n", "429 X", &[10, 20, 40]).await;
    let dated = "date: Mon, 23 Nov 2026 10:00:00 GMT\r\nretry-after: Mon, 23 Nov 2026 10:00:12 GMT\r\n";
    check(dated, "429 X", &[120, 120, 120]).await;
}

#[tokio::test]
async fn an_absurd_retry_after_is_cut_and_throttling_ends_after_ten_minutes() {
    let act = Act::Say(answer("429 X", "retry-after: 99999999999\r\n", b"later"));
    let (server, rig) = (Server::start(vec![act]).await, Rig::new(Egress::AllowPrivate));
    let connection = rig.connection();
    assert_eq!(status(connection.send(post(server.url("/"))).await), 429);
    assert_eq!(rig.waits(), [3000, 3000]);
    assert_eq!(connection.counters(), Counters { requests: 3, retried: 2, throttled: 3 });
    assert!(connection.throttled_for().unwrap() > Duration::from_secs(290));
}

#[tokio::test]
async fn a_pause_holds_for_every_handle_of_the_name_and_no_other() {
    let throttled = Act::Say(answer("429 X", "retry-after: 30\r\n", b""));
    let (server, rig) = (Server::start(vec![throttled, ok()]).await, Rig::new(Egress::AllowPrivate));
    let (mine, yours) = (rig.connection(), rig.connection());
    let other = rig.transport.connection("other", limits());
    let request = post(server.url("/"));
    let mut sending = mine.send(request.clone());
    while mine.counters().throttled == 0 {
        let mut once = std::pin::pin!(tokio::task::yield_now());
        tokio::select! { biased; _ = &mut sending => break, () = &mut once => {} }
    }
    drop(sending);
    assert!(other.throttled_for().is_none());
    assert_eq!(status(yours.send(request).await), 200);
    assert_eq!(rig.waits().iter().sum::<u128>(), 300);
    assert_eq!(yours.counters(), Counters { requests: 1, retried: 0, throttled: 0 });
}

/// Polls `sending` until `enough`.
async fn send_until(mut sending: Pin<&mut (impl Future + ?Sized)>, enough: impl Fn() -> bool) {
    while !enough() {
        tokio::select! { biased; _ = &mut sending => panic!("it ended too early"), () = tokio::task::yield_now() => {} }
    }
}

#[tokio::test]
async fn once_wound_up_nothing_is_sent_and_what_is_on_the_wire_is_heard_out() {
    let say = |status: &str| Act::Say(answer(status, "", b""));
    let not_sent = || Err((ErrorKind::Cancelled, true));
    let in_doubt = || Err((ErrorKind::Unavailable, false));
    // Wound up in the nth wait for a pause or after a fault, or on the wire if there is none.
    for (acts, waits, expected) in [
        (vec![say("429 X")], 1, not_sent()),
        (vec![say("429 X"), say("429 X")], 2, not_sent()),
        (vec![say("503 X")], 1, Ok(503)),
        (vec![say("503 X"), say("429 X")], 2, Ok(503)),
        (vec![Act::Reset], 1, in_doubt()),
        (vec![Act::Reset, say("429 X")], 2, in_doubt()),
        (vec![ok()], 0, Ok(200)),
        (vec![say("503 X")], 0, Ok(503)),
        (vec![say("429 X")], 0, not_sent()),
    ] {
        let (server, rig) = (Server::start(acts.clone()).await, Rig::new(Egress::AllowPrivate));
        let connection = rig.connection();
        let mut sending = connection.send(post(server.url("/")));
        let requests = acts.len();
        let enough = || rig.waits().len() >= waits && connection.counters().requests == requests as u64;
        send_until(sending.as_mut(), enough).await;
        connection.wind_up();
        let result = sending.await.map(|response| response.head.status);
        let result = result.map_err(|error| (error.kind(), error.was_not_sent()));
        assert_eq!(result, expected, "{acts:?} {waits}");
        assert_eq!(server.seen().len(), requests, "{acts:?} {waits}");
    }
}

#[tokio::test]
async fn once_cut_off_nothing_is_heard_out_and_what_was_on_the_wire_is_in_doubt() {
    let (server, rig) = (Server::start(vec![Act::Silence]).await, Rig::new(Egress::AllowPrivate));
    let [mine, yours] = [(); 2].map(|()| rig.connection());
    let (mut sending, mut other) = (mine.send(post(server.url("/"))), yours.send(post(server.url("/"))));
    send_until(sending.as_mut(), || server.seen().len() == 1).await;
    send_until(other.as_mut(), || server.seen().len() == 2).await;
    mine.cut_off();
    let error = sending.await.unwrap_err();
    assert_eq!((error.kind(), error.was_not_sent()), (ErrorKind::Cancelled, false), "{error}");
    let late = mine.send(post(server.url("/"))).await.unwrap_err();
    assert_eq!((late.kind(), late.was_not_sent()), (ErrorKind::Cancelled, true), "{late}");
    assert!(other.now_or_never().is_none(), "another handle hears its requests out");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn once_a_request_is_turned_away_those_that_wait_are_not_sent() {
    for (said, kind) in [("401 X", ErrorKind::Unauthenticated), ("403 X", ErrorKind::PermissionDenied)] {
        let script = vec![Act::Say(answer("429 X", "", b"")), Act::Say(answer(said, "", b"")), ok()];
        let (server, rig) = (Server::start(script).await, Rig::new(Egress::AllowPrivate));
        let limits = Limits { max_in_flight: 1, ..limits() };
        let [mine, yours] = [(); 2].map(|()| rig.transport.connection("autopilot", limits));
        let (first, second, other) = tokio::join!(
            mine.send(post(server.url("/"))),
            mine.send(post(server.url("/"))),
            yours.send(post(server.url("/"))),
        );
        assert_eq!(status(first).to_string(), said[..3]);
        for error in [second, other, mine.send(post(server.url("/"))).await].map(Result::unwrap_err) {
            assert_eq!((error.kind(), error.was_not_sent()), (kind, true), "{error}");
        }
        assert_eq!(server.seen().len(), 2, "the first one, twice");
        // Whoever opens the connection anew may have another key.
        let anew = rig.transport.connection("autopilot", limits);
        assert_eq!(status(anew.send(post(server.url("/"))).await), 200);
    }
}

/// Holds so many times.
#[derive(Debug)]
struct Times(AtomicUsize);

#[async_trait]
impl Permit for Times {
    async fn holds(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

#[tokio::test]
async fn what_may_not_be_sent_any_more_is_recalled_before_its_next_attempt() {
    let check =
        async |acts: Vec<Act>, times: usize, requests: usize, expected: std::result::Result<u16, (bool, bool)>| {
            let (server, rig) = (Server::start(acts.clone()).await, Rig::new(Egress::AllowPrivate));
            let connection = rig.connection();
            connection.ask(Arc::new(Times(times.into())));
            let sent = connection.send(post(server.url("/"))).await.map(|response| response.head.status);
            let told = sent.map_err(|error| (error.is_recalled(), error.was_not_sent()));
            assert_eq!(told, expected, "{acts:?} {times}");
            assert_eq!(server.seen().len(), requests, "{acts:?} {times}");
        };
    let say = |status: &str| Act::Say(answer(status, "", b""));
    // It is asked twice for each attempt: when that could begin to wait for its turn, and when it has come.
    for times in [0, 1] {
        check(vec![ok()], times, 0, Err((true, true))).await;
    }
    for times in [2, 3] {
        check(vec![say("429 X"), ok()], times, 1, Err((true, true))).await;
        // Of what may have had its effect that is told, and it is not sent again.
        check(vec![say("503 X"), ok()], times, 1, Ok(503)).await;
    }
    check(vec![say("429 X"), ok()], 4, 2, Ok(200)).await;
}

#[tokio::test]
async fn what_was_only_throttled_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let throttle_and_leave = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(listener);
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(&answer("429 X", "connection: close\r\n", b"")).await.unwrap();
    };
    let (rig, post) = (Rig::new(Egress::AllowPrivate), post(url));
    let connection = rig.connection();
    let (sent, ()) = tokio::join!(connection.send(post), throttle_and_leave);
    let error = sent.unwrap_err();
    assert_eq!((error.kind(), error.was_not_sent()), (ErrorKind::Unavailable, true), "{error}");
}

#[tokio::test]
async fn who_waits_for_a_place_is_told_when_the_handle_is_wound_up_and_others_go_on() {
    let (server, rig) = (Server::start(vec![Act::Silence, ok()]).await, Rig::new(Egress::AllowPrivate));
    let limits = Limits { max_in_flight: 1, ..limits() };
    let [mine, yours] = [(); 2].map(|()| rig.transport.connection("autopilot", limits));
    let mut first = mine.send(post(server.url("/")));
    send_until(first.as_mut(), || server.seen().len() == 1).await;
    let (mut second, mut other) = (mine.send(post(server.url("/"))), yours.send(post(server.url("/"))));
    let polled = Cell::new(0);
    let twice = || polled.replace(polled.get() + 1) % 2 == 1;
    send_until(second.as_mut(), twice).await;
    mine.wind_up();
    assert!(second.await.unwrap_err().was_not_sent());
    send_until(other.as_mut(), twice).await;
    drop(first);
    assert_eq!(status(other.await), 200);
    assert_eq!(mine.send(post(server.url("/"))).await.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn when_everything_fails_the_load_stays_near_its_ordinary_level() {
    for act in [Act::Say(answer("503 X", "", b"")), Act::Reset] {
        for callers in [1, 10, 64] {
            let (server, rig) = (Server::start(vec![act.clone()]).await, Rig::new(Egress::AllowPrivate));
            let limits = Limits { max_in_flight: callers, requests_per_second: 5.0, ..limits() };
            let connection = rig.transport.connection("autopilot", limits);
            let mut calls = tokio::task::JoinSet::new();
            for _ in 0..callers {
                let (connection, request) = (connection.clone(), post(server.url("/")));
                calls.spawn(async move {
                    for _ in 0..640 / callers {
                        connection.send(request.clone()).await.ok();
                    }
                });
            }
            calls.join_all().await;
            let minutes = rig.waits().iter().sum::<u128>() as u64 / 600 + 1;
            let Counters { requests, retried, .. } = connection.counters();
            assert!(retried <= 4 * minutes, "{callers} callers: {retried} of {requests} within {minutes} minutes");
        }
    }
}

#[tokio::test]
async fn nothing_outlives_its_deadline() {
    let check = async |act: Act| {
        let (server, rig) = (Server::start(vec![act.clone()]).await, Rig::new(Egress::AllowPrivate));
        let started = Instant::now();
        let request = post(server.url("/secret/path")).once().timeout(Duration::from_millis(80));
        let error = rig.connection().send(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{act:?}");
        assert_eq!((error.fact("layer"), error.was_not_sent()), (Some("http"), false), "{act:?}");
        assert_eq!(error.retry(), Retry::Never, "its effect is not known");
        assert!(started.elapsed() < Duration::from_secs(10), "{act:?} took {:?}", started.elapsed());
    };
    check(Act::Silence).await;
    check(Act::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".to_vec())).await;
    check(Act::Drip(b"HTTP/1.1 200 OK\r\nx-slow: ".to_vec())).await;
    check(Act::Drip(b"HTTP/1.1 200 ".to_vec())).await;
}

#[tokio::test]
async fn the_connections_deadline_holds_where_the_request_has_none() {
    let (server, rig) = (Server::start(vec![Act::Silence]).await, Rig::new(Egress::AllowPrivate));
    let limits = Limits { request_timeout_ms: 20, ..limits() };
    let connection = rig.transport.connection("autopilot", limits);
    let error = connection.send(post(server.url("/"))).await.unwrap_err();
    assert_eq!((error.kind(), connection.counters().requests), (ErrorKind::Timeout, 5));
    assert!(matches!(error.retry(), Retry::After(_)));
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(body).unwrap();
    packed.finish().unwrap()
}

#[tokio::test]
async fn packed_answers_are_unpacked() {
    let body = "segment ".repeat(50_000);
    let packed = Act::Say(answer("200 OK", "content-encoding: gzip\r\n", &gzip(body.as_bytes())));
    let (server, rig) = (Server::start(vec![packed]).await, Rig::new(Egress::AllowPrivate));
    let response = rig.connection().send(post(server.url("/"))).await.unwrap();
    assert!(response.body == body.as_bytes());
    assert_eq!(response.header("content-encoding"), None);
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let check = async |act: Act| {
        let (server, rig) = (Server::start(vec![act]).await, Rig::new(Egress::AllowPrivate));
        let connection = rig.connection();
        let error = connection.send(post(server.url("/"))).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Never));
        assert!(error.message().contains("larger than 16 MiB"), "{error}");
        assert_eq!(connection.counters().requests, 1, "it would be the same again");
    };
    check(Act::Say(answer("200 OK", "content-encoding: gzip\r\n", &gzip(&vec![0; 64 << 20])))).await;
    check(Act::Flood(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec())).await;
    check(Act::Flood(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())).await;
}

#[tokio::test]
async fn an_answer_just_within_the_limit_is_whole() {
    let body = vec![b'a'; 16 << 20];
    let (server, rig) =
        (Server::start(vec![Act::Say(answer("200 OK", "", &body))]).await, Rig::new(Egress::AllowPrivate));
    let response = rig.connection().send(post(server.url("/"))).await.unwrap();
    assert!(response.body == body);
}

#[tokio::test]
async fn connections_are_kept_and_a_closed_one_is_no_error() {
    let (server, rig) = (Server::start(vec![ok()]).await, Rig::new(Egress::AllowPrivate));
    let connection = rig.connection();
    for _ in 0..5 {
        assert_eq!(status(connection.send(post(server.url("/"))).await), 200);
    }
    assert_eq!(server.connections(), 1);

    let closing = Act::SayAndClose(answer("200 OK", "", b"bye"));
    let server = Server::start(vec![closing]).await;
    for _ in 0..20 {
        assert_eq!(status(connection.send(post(server.url("/"))).await), 200);
    }
}

#[tokio::test]
async fn no_more_than_max_in_flight_at_once_and_a_dropped_call_gives_its_place_back() {
    let (server, rig) = (Server::start(vec![Act::Silence, Act::Silence, ok()]).await, Rig::new(Egress::AllowPrivate));
    let connection = rig.transport.connection("autopilot", Limits { max_in_flight: 2, ..limits() });
    let start = || {
        let (connection, request) = (connection.clone(), post(server.url("/")));
        tokio::spawn(async move { connection.send(request).await })
    };
    let (first, _second) = (start(), start());
    while server.seen().len() < 2 {
        tokio::task::yield_now().await;
    }
    let third = start();
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(connection.counters().requests, 2, "the third has to wait");
    first.abort();
    assert_eq!(status(third.await.unwrap()), 200);
}
