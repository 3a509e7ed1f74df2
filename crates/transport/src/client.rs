//! [`Transport`]: all HTTP of the process. [`Connection`]: what one connection of it may do.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use segport_core::http::{HttpClient, Request, Response};
use segport_core::{Error, ErrorKind, Limits, Result};
use tokio::sync::{Semaphore, watch};
use url::Url;

use crate::attempt::{Prepared, Way};
use crate::budget::{Budget, Turn};
use crate::clock::{Clock, Random, SystemClock, SystemRandom};
use crate::egress::{Egress, GuardedResolver, Reach};
use crate::error::{End, Ended, Failure, recalled, refused};
use crate::limits::{Gate, SLACK};
use crate::queue::{Exclusive, Queue};
use crate::retry::{Ladder, Standing, retry_after};
use crate::slot::SharedSlot;
use crate::wire::Wire;

/// Longest wait for a connection, from the name to the end of the TLS handshake. A request that waits for one is not taken back
/// any more, and so `docs/src/promises.md` names this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long an unused connection is kept. Shorter than most servers keep theirs, so that it is we who close it.
const KEEP_IDLE: Duration = Duration::from_secs(30);

/// Unused connections kept per destination.
const IDLE_CONNECTIONS: usize = 64;

/// What a [`Transport`] is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which addresses may be destinations.
    pub egress: Egress,
    /// The `user-agent` of every request, such as `segport/0.1.0`.
    pub user_agent: String,
    /// Where waits come from.
    pub clock: Arc<dyn Clock>,
    /// Where jitter comes from.
    pub random: Arc<dyn Random>,
    /// A directory of files through which all processes that use a connection of one name keep its rate together; `None`
    /// if this process is the only one.
    pub slots: Option<PathBuf>,
    /// What carries attempts in place of the network, in a simulation.
    pub wire: Option<Arc<dyn Wire>>,
}

impl Options {
    /// Public destinations only, with the system's clock and randomness.
    pub fn new(user_agent: impl Into<String>) -> Self {
        Self {
            egress: Egress::default(),
            user_agent: user_agent.into(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            slots: None,
            wire: None,
        }
    }

    fn shared_slot(&self, connection: &str) -> Option<SharedSlot> {
        self.slots.as_deref().map(|directory| SharedSlot::new(directory, connection))
    }
}

/// All HTTP of the process: TLS, connection pool, egress policy, and one limiter per connection name. Clones are the same transport.
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    /// One for https and one for plain http, because they may reach different addresses and a resolver is not told the
    /// scheme. Made when first needed: reading the system's certificates takes time, and a sandbox on loopback needs none.
    clients: [OnceLock<Result<reqwest::Client>>; 2],
    lanes: Mutex<HashMap<String, Lane>>,
}

/// What everybody who uses a connection of one name shares.
#[derive(Debug, Clone)]
struct Lane {
    gate: Arc<Gate>,
    budget: Arc<Budget>,
    queue: Arc<Queue>,
    in_flight: Arc<Semaphore>,
    max_in_flight: u32,
    /// The status 401 or 403 by which the destination has turned a request away: it would do so with every other one.
    turned_away: Arc<watch::Sender<Option<u16>>>,
}

impl Transport {
    /// A transport; opens nothing yet.
    pub fn new(options: Options) -> Self {
        let clients = [OnceLock::new(), OnceLock::new()];
        Self { shared: Arc::new(Shared { options, clients, lanes: Mutex::new(HashMap::new()) }) }
    }

    /// Whether requests to `address` are allowed, as far as that can be told without asking a resolver.
    ///
    /// # Errors
    /// `config_invalid` with the reason why not. What is no address at all is left to whoever uses it.
    pub fn judge(&self, address: &str) -> Result<()> {
        let Ok(url) = Url::parse(address) else { return Ok(()) };
        let judged = self.shared.options.egress.judge(&url);
        judged.map(drop).map_err(|why| Error::new(ErrorKind::ConfigInvalid, why.to_string()))
    }

    /// A handle on the connection `name` with counters of its own. All handles of a name share one limiter, one pause and one
    /// retry budget; the rate in force is the one of the latest `limits`.
    pub fn connection(&self, name: &str, limits: Limits) -> Arc<Connection> {
        let max_in_flight = limits.max_in_flight.max(1);
        let permits = (max_in_flight as usize).min(Semaphore::MAX_PERMITS);
        let mut lanes = self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(name.to_owned()).or_insert_with(|| Lane {
            gate: Arc::new(Gate::new(limits.requests_per_second, self.shared.options.shared_slot(name))),
            budget: Arc::new(Budget::new(max_in_flight)),
            queue: Arc::new(Queue::new(self.shared.options.slots.as_deref(), name)),
            in_flight: Arc::new(Semaphore::new(permits)),
            max_in_flight,
            turned_away: Arc::default(),
        });
        lane.gate.adjust(limits.requests_per_second);
        if lane.max_in_flight != max_in_flight {
            // Requests under way keep the places they have in the old one.
            lane.in_flight = Arc::new(Semaphore::new(permits));
            lane.max_in_flight = max_in_flight;
        }
        if lane.turned_away.borrow().is_some() {
            // Whoever begins anew may have another key.
            lane.turned_away = Arc::default();
        }
        Arc::new(Connection {
            shared: Arc::clone(&self.shared),
            name: name.to_owned(),
            lane: lane.clone(),
            timeout: Duration::from_millis(limits.request_timeout_ms),
            requests: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            course: watch::Sender::new(Course::Open),
            permit: OnceLock::new(),
        })
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("egress", &self.shared.options.egress).finish_non_exhaustive()
    }
}

impl Shared {
    fn way(&self, reach: Reach) -> Result<Way<'_>> {
        match &self.options.wire {
            Some(wire) => Ok(Way::Simulated(&**wire)),
            None => self.client(reach).map(Way::Network),
        }
    }

    fn client(&self, reach: Reach) -> Result<&reqwest::Client> {
        let [secure, plain] = &self.clients;
        let place = match reach {
            Reach::Public | Reach::Anywhere => secure,
            Reach::Private => plain,
        };
        place.get_or_init(|| build(reach, &self.options.user_agent)).as_ref().map_err(Clone::clone)
    }
}

fn build(reach: Reach, user_agent: &str) -> Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .user_agent(user_agent)
        .dns_resolver(GuardedResolver(reach))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_WITHIN)
        .pool_idle_timeout(KEEP_IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .tcp_nodelay(true)
        .gzip(true);
    let provider = rustls::crypto::ring::default_provider();
    let client = match reach {
        Reach::Public | Reach::Anywhere => {
            // An error means that the process has a provider already, which will do.
            provider.install_default().ok();
            client.https_only(true)
        }
        Reach::Private => {
            let tls = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
                .with_safe_default_protocol_versions()
                .map_err(|error| unbuildable(&error))?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            client.tls_backend_preconfigured(tls)
        }
    };
    client.build().map_err(|error| unbuildable(&error))
}

fn unbuildable(error: &(dyn std::error::Error + 'static)) -> Error {
    let message = "the HTTP client could not be set up; are the system's CA certificates installed (or does SSL_CERT_FILE name them)?";
    Error::new(ErrorKind::ConfigInvalid, message).because(error).not_sent()
}

/// What a [`Connection`] has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Attempts made, whatever came of them.
    pub requests: u64,
    /// Attempts beyond the first of their request.
    pub retried: u64,
    /// Answers of status 429.
    pub throttled: u64,
}

/// A handle on one connection: sends within the connection's limits, tries again what may be better in a moment.
pub struct Connection {
    shared: Arc<Shared>,
    name: String,
    lane: Lane,
    timeout: Duration,
    requests: AtomicU64,
    retried: AtomicU64,
    throttled: AtomicU64,
    course: watch::Sender<Course>,
    permit: OnceLock<Arc<dyn Permit>>,
}

/// What a handle still does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Course {
    Open,
    /// It begins no attempt.
    WoundUp,
    /// Nor does it hear out those on the wire.
    CutOff,
}

/// Says just before each attempt of a handle whether what waits may still be sent.
#[async_trait]
pub trait Permit: fmt::Debug + Send + Sync {
    /// Whether requests may be sent as they were made. While they may not, each whose turn comes ends unsent, with an error that
    /// [is recalled](Error::is_recalled).
    async fn holds(&self) -> bool;
}

impl Connection {
    /// Asks `permit` before each attempt from now on; the first one stays.
    pub fn ask(&self, permit: Arc<dyn Permit>) {
        self.permit.get_or_init(|| permit);
    }

    /// Begins no further attempt: requests that wait for one end as `cancelled`, those on the wire are heard out.
    pub fn wind_up(&self) {
        self.advance(Course::WoundUp);
    }

    /// Nor hears those out that are on the wire: they end as `cancelled` too, and may have been done.
    pub fn cut_off(&self) {
        self.advance(Course::CutOff);
    }

    /// What this handle has done so far.
    pub fn counters(&self) -> Counters {
        Counters {
            requests: self.requests.load(Ordering::Relaxed),
            retried: self.retried.load(Ordering::Relaxed),
            throttled: self.throttled.load(Ordering::Relaxed),
        }
    }

    /// How long the connection still pauses because the destination asked for it; `None` while it does not.
    pub fn throttled_for(&self) -> Option<Duration> {
        self.lane.gate.paused_for(self.shared.options.clock.now())
    }

    /// Waits for everybody who uses the connection and asked for this before, here or in another process of the machine.
    pub async fn exclusive(&self) -> Exclusive {
        self.lane.queue.exclusive(&*self.shared.options.clock).await
    }

    fn advance(&self, to: Course) {
        self.course.send_if_modified(|course| std::mem::replace(course, to.max(*course)) < to);
    }

    async fn may_send(&self) -> bool {
        match self.permit.get() {
            Some(permit) => permit.holds().await,
            None => true,
        }
    }

    /// What `wait` gives, unless no further attempt may begin before that.
    async fn unless_ended<T>(&self, wait: impl Future<Output = T>) -> Result<T, Ended> {
        let (mut course, mut turned_away) = (self.course.subscribe(), self.lane.turned_away.subscribe());
        let turned_away = async {
            // Neither of the two is ever closed before this handle.
            turned_away.wait_for(Option::is_some).await.ok().and_then(|status| *status)
        };
        tokio::select! {
            biased;
            _ = course.wait_for(|course| *course >= Course::WoundUp) => Err(Ended::WoundUp),
            Some(status) = turned_away => Err(Ended::TurnedAway { status }),
            given = wait => Ok(given),
        }
    }

    /// What an attempt comes to, unless this handle is cut off before that.
    async fn unless_cut_off(
        &self,
        attempt: impl Future<Output = Result<Response, Failure>>,
    ) -> Result<Response, Failure> {
        let mut course = self.course.subscribe();
        tokio::select! {
            biased;
            answered = attempt => answered,
            _ = course.wait_for(|course| *course == Course::CutOff) => Err(Failure::CutOff),
        }
    }

    /// Waits until the next attempt may be sent, at the connection's pace.
    async fn turn(&self, operation: &str) -> Result<()> {
        let clock = &*self.shared.options.clock;
        loop {
            if !self.may_send().await {
                return Err(recalled(operation));
            }
            self.unless_ended(self.lane.gate.admit(clock)).await.map_err(|ended| ended.report(operation))?;
            let admitted = clock.now();
            // Once more: it may have waited for long. What comes now is at most making a connection, see `CONNECT_WITHIN`, or
            // waiting for room on an HTTP/2 one.
            if !self.may_send().await {
                return Err(recalled(operation));
            }
            // Those who waited for that together would be sent together, so they get turns of their own anew.
            if clock.now().saturating_duration_since(admitted) <= SLACK {
                return Ok(());
            }
        }
    }

    /// Waits after a fault until its request may be sent again; false if it may not, or no attempt may begin any more.
    async fn may_repeat(&self, ladder: &mut Ladder) -> bool {
        let Options { clock, random, .. } = &self.shared.options;
        let Lane { budget, gate, .. } = &self.lane;
        let Some(wait) = ladder.after_fault(clock.now(), &**random) else { return false };
        let answers = budget.answers();
        let mut when = clock.now() + wait;
        loop {
            let now = clock.now();
            // While the destination asks for a pause nobody can learn whether it works again, so nobody is out of turns for it.
            when = when.max(gate.paused_for(now).map_or(now, |left| now + left));
            if when > now {
                if ladder.is_over(now) || self.unless_ended(clock.sleep_until(when)).await.is_err() {
                    return false;
                }
                continue;
            }
            match budget.turn(answers, now) {
                Turn::Send => return true,
                Turn::Wait(until) => when = until,
                Turn::GiveUp => return false,
            }
        }
    }

    /// Sends one attempt, and acts on what the answer says about the connection.
    async fn attempt(&self, call: &Prepared, way: &Way<'_>, number: u32) -> Result<Response, Failure> {
        let Options { clock, random, .. } = &self.shared.options;
        let gate = &self.lane.gate;
        self.requests.fetch_add(1, Ordering::Relaxed);
        if number > 1 {
            self.retried.fetch_add(1, Ordering::Relaxed);
        }
        let sent_at = clock.now();
        let result = self.unless_cut_off(call.attempt(way)).await;
        let now = clock.now();
        if let Ok(answer) = &result {
            if matches!(answer.head.status, 401 | 403) {
                self.lane.turned_away.send_replace(Some(answer.head.status));
            }
            match Standing::of(answer.head.status) {
                Standing::Answered => {
                    gate.let_through(sent_at);
                    self.lane.budget.answered();
                }
                Standing::Transient => {
                    if let Some(wait) = retry_after(answer, clock.date()) {
                        gate.pause(now + wait);
                        gate.share_pause(clock.date() + wait);
                    }
                }
                Standing::Throttled => {
                    self.throttled.fetch_add(1, Ordering::Relaxed);

                    let asked = retry_after(answer, clock.date());
                    if let Some(wait) = gate.throttled(sent_at, now, asked, &**random) {
                        gate.share_pause(clock.date() + wait);
                    }
                }
            }
        }
        tracing::debug!(
            connection = self.name,
            operation = call.operation,
            method = %call.method,
            origin = %call.url.origin().ascii_serialization(),
            attempt = number,
            status = result.as_ref().ok().map(|answer| answer.head.status),
            failure = result.as_ref().err().map(Failure::name),
            elapsed_ms = u64::try_from((now - sent_at).as_millis()).unwrap_or(u64::MAX),
            "http attempt"
        );
        result
    }
}

/// The name and the counters; never an address.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("name", &self.name)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Connection {
    async fn send(&self, request: Request) -> Result<Response> {
        let egress = &self.shared.options.egress;
        let call = Prepared::new(request, self.timeout)?;
        let reach = egress.judge(&call.url).map_err(|why| refused(&call.operation, &why))?;
        let way = self.shared.way(reach)?;
        // Never closed, so there always is a permit to come.
        let place = self.unless_ended(self.lane.in_flight.acquire()).await;
        let _place = place.map_err(|ended| ended.report(&call.operation))?;
        self.lane.budget.deposit();
        let mut ladder = Ladder::default();
        let mut reached = false;
        let mut attempts = 0;
        // What came of the latest attempt that may have had its effect all the same.
        let mut doubtful = None;
        let clock = &self.shared.options.clock;
        let result = loop {
            if let Err(error) = self.turn(&call.operation).await {
                // All that came before had no effect, unless there is doubt.
                break doubtful.ok_or(error)?;
            }
            attempts += 1;
            let result = self.attempt(&call, &way, attempts).await;
            reached |= has_doubt(&result);
            let again = match &result {
                Ok(answer) => match Standing::of(answer.head.status) {
                    Standing::Throttled => ladder.after_throttle(clock.now()),
                    Standing::Transient => call.repeatable && self.may_repeat(&mut ladder).await,
                    Standing::Answered => false,
                },
                Err(failure) => {
                    let is_safe = call.repeatable || !failure.reached();
                    failure.passing() && is_safe && self.may_repeat(&mut ladder).await
                }
            };
            if !again {
                // That this attempt had no effect says nothing of the earlier one.
                break doubtful.filter(|_| was_turned_away(&result)).unwrap_or(result);
            }
            tracing::info!(
                connection = self.name,
                operation = call.operation,
                attempt = attempts + 1,
                status = result.as_ref().ok().map(|answer| answer.head.status),
                failure = result.as_ref().err().map(Failure::name),
                "trying again"
            );
            if has_doubt(&result) {
                doubtful = Some(result);
            }
        };
        let Prepared { operation, url, repeatable, .. } = &call;
        result.map_err(|failure| failure.report(&End { operation, url, attempts, reached, repeatable: *repeatable }))
    }
}

/// Whether an attempt may have had an effect that nobody has told of.
fn has_doubt(result: &Result<Response, Failure>) -> bool {
    match result {
        Ok(answer) => Standing::of(answer.head.status) == Standing::Transient,
        Err(failure) => failure.reached(),
    }
}

/// Whether this attempt certainly had no effect, which says nothing of an earlier one.
fn was_turned_away(result: &Result<Response, Failure>) -> bool {
    match result {
        Ok(answer) => matches!(answer.head.status, 300..=399 | 401 | 403 | 405 | 429),
        // That a destination could not be reached any more is told as it is: the report knows of the earlier attempts.
        Err(failure) => matches!(failure, Failure::Refused(_)),
    }
}
