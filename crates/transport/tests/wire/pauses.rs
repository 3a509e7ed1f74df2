//! Many calls at once while the destination, or the suppression list, makes them wait: in virtual time, without a network.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use segport_core::Limits;
use segport_core::http::{HttpClient, Request, Response, ResponseHead};
use segport_transport::{Connection, Egress, Loss, Options, Permit, Random, Transport, Wire};
use tokio::time::{self, sleep};

#[derive(Debug)]
struct Half;

impl Random for Half {
    fn fraction(&self) -> f64 {
        0.5
    }
}

/// Takes two seconds for an answer, which asks for a pause of two minutes as long as the destination is away.
#[derive(Debug)]
struct Away {
    begin: time::Instant,
    until: Duration,
    /// When each request came.
    came: Mutex<Vec<Duration>>,
}

#[async_trait]
impl Wire for Away {
    async fn carry(&self, _: &str, _: &Bytes) -> Result<Response, Loss> {
        self.came.lock().unwrap().push(self.begin.elapsed());
        sleep(Duration::from_secs(2)).await;
        let status = if self.begin.elapsed() < self.until { 503 } else { 200 };
        let headers = vec![("retry-after".to_owned(), "120".to_owned())];
        Ok(Response { head: ResponseHead { status, headers }, body: Bytes::new() })
    }
}

/// A destination that is away for so long, and a connection of five calls a second to it.
fn rig(until: Duration) -> (Arc<Away>, Arc<Connection>) {
    let away = Arc::new(Away { begin: time::Instant::now(), until, came: Mutex::default() });
    let options = Options {
        egress: Egress::AllowPrivate,
        random: Arc::new(Half),
        wire: Some(Arc::clone(&away) as Arc<dyn Wire>),
        ..Options::new("test")
    };
    let limits = Limits { requests_per_second: 5.0, max_in_flight: 10, ..Limits::default() };
    let connection = Transport::new(options).connection("autopilot", limits);
    (away, connection)
}

/// Ten calls at once; the status of each.
async fn ten(connection: &Connection) -> Vec<u16> {
    let request = || Request::new("POST", "http://127.0.0.1:9/contacts", "POST /contacts");
    let calls = (0..10).map(async |_| connection.send(request()).await.unwrap().head.status);
    join_all(calls).await
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_destination_asks_for_costs_no_retries() {
    let (away, connection) = rig(Duration::from_secs(60));
    assert_eq!(ten(&connection).await, [200; 10]);
    let came = away.came.lock().unwrap().clone();
    assert_eq!(came.len(), 20, "each was sent once more: {came:?}");
    assert!(came.iter().skip(10).all(|at| *at >= Duration::from_secs(122)), "{came:?}");
    assert!(away.begin.elapsed() < Duration::from_secs(140), "{:?}", away.begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_asks_for_pauses_for_ever_is_given_up_after_ten_minutes() {
    let (away, connection) = rig(Duration::MAX);
    assert_eq!(ten(&connection).await, [503; 10]);
    let sent = away.came.lock().unwrap().len();
    assert!((14..=40).contains(&sent), "{sent}");
    assert!(away.begin.elapsed() < Duration::from_secs(15 * 60), "{:?}", away.begin.elapsed());
}

/// Keeps those who have got their turn waiting until a list is read.
#[derive(Debug)]
struct Reading {
    begin: time::Instant,
    is_first: AtomicBool,
}

#[async_trait]
impl Permit for Reading {
    async fn holds(&self) -> bool {
        if !self.is_first.swap(false, Ordering::Relaxed) {
            time::sleep_until(self.begin + Duration::from_secs(9)).await;
        }
        true
    }
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_the_suppression_list_is_sent_at_the_connections_pace() {
    let (away, connection) = rig(Duration::ZERO);
    connection.ask(Arc::new(Reading { begin: away.begin, is_first: true.into() }));
    assert_eq!(ten(&connection).await, [200; 10]);
    let came = away.came.lock().unwrap().clone();
    let least = Duration::from_millis(190);
    assert!(came.windows(2).all(|pair| pair[1] - pair[0] >= least), "{came:?}");
}
