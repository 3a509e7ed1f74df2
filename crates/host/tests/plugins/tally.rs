//! A connector behind a table that counts what crosses the boundary: calls, answers, and the memory of both.

#![allow(clippy::unwrap_used, reason = "test support")]

use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::{Array, StringArray};
use segport_abi::{Buffer, Completion, PluginTable};
use segport_sdk::export::{Export, Exported, table};
use segport_sdk::{
    Account, Batch, Connector, Context, Descriptor, Error, ErrorKind, ExportSpec, Outcomes, Plugin, Result, RowOutcome,
    Session, async_trait,
};
use tokio::sync::Notify;

/// How often something happened in this library.
struct Count(&'static str, AtomicU64);

impl Count {
    const fn of(name: &'static str) -> Self {
        Self(name, AtomicU64::new(0))
    }

    fn add(&self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> u64 {
        self.1.load(Ordering::SeqCst)
    }
}

static SUBMITTED: Count = Count::of("submitted");
static REQUESTS_FREED: Count = Count::of("requests_freed");
static ANSWERED: Count = Count::of("answered");
static ANSWERED_AGAIN: Count = Count::of("answered_again");
static ANSWERS_FREED: Count = Count::of("answers_freed");
static BEGUN: Count = Count::of("begun");
static ENDED: Count = Count::of("ended");
static DROPPED: Count = Count::of("dropped");

/// Tells that there was an answer.
static ANSWER: Notify = Notify::const_new();

/// Bytes that count when they are released.
struct Counted(Buffer, &'static Count);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.add();
    }
}

/// A call's completion until it is answered. Never freed, so that a second answer is seen.
struct Call(Mutex<Option<Completion>>);

const INNER: PluginTable = table::<Tally>();

unsafe extern "C" fn submit(
    instance: *mut c_void,
    call_id: u64,
    op: u32,
    timeout_ms: u64,
    request: Buffer,
    completion: Completion,
) {
    SUBMITTED.add();
    let request = Buffer::from_owner(Counted(request, &REQUESTS_FREED));
    let call = Box::leak(Box::new(Call(Mutex::new(Some(completion)))));
    // SAFETY: the call is never freed, and keeps its completion under a lock.
    let completion = unsafe { Completion::new((&raw mut *call).cast(), complete) };
    let submit = INNER.submit.unwrap();
    // SAFETY: ABI.md, `submit`: the arguments are the host's, or stand for them.
    unsafe { submit(instance, call_id, op, timeout_ms, request, completion) };
}

unsafe extern "C" fn complete(ctx: *mut c_void, status: i32, answer: Buffer) {
    // SAFETY: `submit` made `ctx` of a `Call` that is never freed.
    let call = unsafe { &*ctx.cast::<Call>() };
    match call.0.lock().unwrap().take() {
        None => ANSWERED_AGAIN.add(),
        Some(completion) => {
            completion.complete(status, Buffer::from_owner(Counted(answer, &ANSWERS_FREED)));
            ANSWERED.add();
            ANSWER.notify_waiters();
        }
    }
}

pub(crate) struct Tally;

static EXPORT: Export = Export::new(Plugin::connector::<Tally>("tally", env!("CARGO_PKG_VERSION")));

impl Exported for Tally {
    fn export() -> &'static Export {
        &EXPORT
    }
}

#[unsafe(export_name = "segport_plugin_v1_tally")]
extern "C" fn entry() -> *const PluginTable {
    static TABLE: PluginTable = PluginTable { submit: Some(submit), ..INNER };
    &raw const TABLE
}

/// Counts how a call went, whichever way it goes.
struct UnderWay(&'static Count);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.add();
    }
}

#[async_trait]
impl Connector for Tally {
    type Settings = ();

    fn descriptor() -> Descriptor {
        Descriptor::new("Tally", "Counts its calls.")
    }

    fn open((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }

    /// The counts, once every call but this one is answered.
    async fn check(&self, _: &Context) -> Result<Account> {
        loop {
            let answer = ANSWER.notified();
            if SUBMITTED.get() == ANSWERED.get() + 1 {
                break;
            }
            answer.await;
        }
        let counts =
            [&SUBMITTED, &REQUESTS_FREED, &ANSWERED, &ANSWERED_AGAIN, &ANSWERS_FREED, &BEGUN, &ENDED, &DROPPED];
        let facts = counts.map(|count| (count.0.to_owned(), count.get().to_string()));
        Ok(Account { id: "tally".to_owned(), name: None, facts: facts.into() })
    }

    async fn begin(&self, _: &Context, _: &ExportSpec) -> Result<Session> {
        Ok(Session::default())
    }

    /// Gives each row's name back as its id, after as many turns as the session's state says; without a number, never.
    async fn write(&self, _: &Context, batch: &Batch) -> Result<Outcomes> {
        BEGUN.add();
        let mut under_way = UnderWay(&DROPPED);
        match batch.session.state.as_u64() {
            None => std::future::pending().await,
            Some(turns) => {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            }
        }
        let names = batch.rows.column(0).as_any().downcast_ref::<StringArray>();
        let names = names.ok_or_else(|| Error::new(ErrorKind::Contract, "f0 is text"))?;
        let rows = names.iter().map(|name| RowOutcome::Done(name.map(str::to_owned))).collect();
        under_way.0 = &ENDED;
        Ok(Outcomes { rows, notes: Vec::new(), stop: None })
    }

    async fn finish(&self, _: &Context, _: &Session) -> Result<()> {
        Ok(())
    }
}
