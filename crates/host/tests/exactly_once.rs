//! Rule 1 of the boundary: every submit is answered exactly once, and the answer is that call's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod support;

use std::ffi::c_void;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::Poll;
use std::time::Duration;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use segport_abi::{Buffer, Completion, EntryFn, HOST_MAGIC, HostTable, MAJOR, MINOR, NO_TIMEOUT, STATUS_OK, Slice};
use segport_core::op::{self, Call, OpenHead, WriteHead};
use segport_core::{BatchKind, ErrorKind, Frame, RowOutcome};
use segport_host::ConnectorInstance;
use segport_sdk::test::Script;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use support::{LONG, Project, batch, library, session, with_key};

const CALLS: usize = 20_000;
const TASKS: usize = 8;

/// How often each call was answered, and how many answers there were.
struct Answers {
    each: Vec<AtomicU8>,
    total: Mutex<usize>,
    all: Condvar,
}

/// One call's place in the answers.
struct Expected {
    answers: &'static Answers,
    call: usize,
}

unsafe extern "C" fn answered(ctx: *mut c_void, _: i32, _: Buffer) {
    // SAFETY: `ctx` is an `Expected` of the vector below, which is never freed.
    let expected = unsafe { &*ctx.cast::<Expected>() };
    expected.answers.each[expected.call].fetch_add(1, Ordering::SeqCst);
    let mut total = expected.answers.total.lock().unwrap();
    *total += 1;
    if *total == CALLS {
        expected.answers.all.notify_all();
    }
}

unsafe extern "C" fn log(_: *mut c_void, _: u32, _: Slice) {}
unsafe extern "C" fn http_submit(_: *mut c_void, _: u64, _: u64, _: Buffer, _: Buffer, completion: Completion) {
    completion.complete(STATUS_OK, Buffer::EMPTY);
}
unsafe extern "C" fn http_cancel(_: *mut c_void, _: u64, _: u64) {}

static HOST: HostTable = HostTable {
    magic: HOST_MAGIC,
    struct_size: size_of::<HostTable>() as u32,
    major: MAJOR,
    minor: MINOR,
    ctx: ptr::null_mut(),
    log: Some(log),
    http_submit: Some(http_submit),
    http_cancel: Some(http_cancel),
};

/// A raw instance, which the boundary lets every thread use.
#[derive(Clone, Copy)]
struct Raw(*mut c_void);
// SAFETY: ABI.md, "Threads".
unsafe impl Send for Raw {}
// SAFETY: ABI.md, "Threads".
unsafe impl Sync for Raw {}

fn request(state: Value) -> Vec<u8> {
    let args = WriteHead { session: session(state), kind: BatchKind::Upsert { join: Vec::new(), rejoin: Vec::new() } };
    let call = Call { run: String::new(), args };
    let write = |out: &mut Vec<u8>| {
        out.extend_from_slice(batch(&["a"]).stream());
        Ok(())
    };
    Frame::encode(&call, write).unwrap().to_vec()
}

/// A small generator, so that a failure can be repeated.
fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

#[test]
fn twenty_thousand_calls_cancelled_at_random_have_twenty_thousand_answers() {
    // SAFETY: the library is the one with the test plugins, and is never unloaded.
    let library = unsafe { Library::open(Some(library()), RTLD_NOW | RTLD_LOCAL) }.unwrap();
    // SAFETY: ABI.md, "Entry".
    let table = unsafe { *(library.get::<EntryFn>(b"segport_plugin_v1_probe").unwrap())() };
    std::mem::forget(library);
    let mut error = Buffer::EMPTY;
    // SAFETY: ABI.md, `init`.
    assert_eq!(unsafe { table.init.unwrap()(&raw const HOST, &raw mut error) }, STATUS_OK);
    let open = OpenHead { settings: with_key(json!({})), http_scope: 1 };
    let (mut instance, mut answer) = (ptr::null_mut(), Buffer::EMPTY);
    let head = Buffer::from_vec(serde_json::to_vec(&open).unwrap());
    // SAFETY: ABI.md, `open`.
    assert_eq!(unsafe { table.open.unwrap()(head, &raw mut instance, &raw mut answer) }, STATUS_OK);
    let instance = Raw(instance);

    let answers: &'static Answers = Box::leak(Box::new(Answers {
        each: (0..CALLS).map(|_| AtomicU8::new(0)).collect(),
        total: Mutex::new(0),
        all: Condvar::new(),
    }));
    let expected: &'static [Expected] = Vec::leak((0..CALLS).map(|call| Expected { answers, call }).collect());
    // Some answer at once, some later, some never unless they are cancelled.
    let requests = [request(Value::Null), request(json!(1)), request(json!(20)), request(json!("wait"))];

    std::thread::scope(|scope| {
        for half in 0..2 {
            let requests = &requests;
            scope.spawn(move || {
                let instance = instance;
                let mut random = 42 + half as u64;
                for call in (half..CALLS).step_by(2) {
                    let kind = next(&mut random) as usize % requests.len();
                    let timeout_ms =
                        if next(&mut random).is_multiple_of(8) { next(&mut random) % 3 } else { NO_TIMEOUT };
                    let ctx = (&raw const expected[call]).cast_mut().cast();
                    // SAFETY: what is expected lives until all have answered, and `answered` counts with atomics.
                    let completion = unsafe { Completion::new(ctx, answered) };
                    let request = Buffer::from_vec(requests[kind].clone());
                    // SAFETY: ABI.md, `submit` and `cancel`: the instance is open.
                    unsafe {
                        table.submit.unwrap()(instance.0, call as u64, op::WRITE, timeout_ms, request, completion);
                        if next(&mut random).is_multiple_of(2) {
                            let back = (next(&mut random) % 64) as usize * 2;
                            table.cancel.unwrap()(instance.0, call.saturating_sub(back) as u64);
                        }
                    }
                }
            });
        }
    });
    // Those that would wait for ever are given up here.
    // SAFETY: ABI.md, `close`: the last use of the instance.
    unsafe { table.close.unwrap()(instance.0) };

    let total = answers.total.lock().unwrap();
    let (total, _) = answers.all.wait_timeout_while(total, Duration::from_secs(60), |total| *total < CALLS).unwrap();
    assert_eq!(*total, CALLS);
    drop(total);
    // The plugin's threads have ended their calls; nothing is answered a second time.
    // SAFETY: ABI.md, `shutdown`.
    unsafe { table.shutdown.unwrap()() };
    assert!(answers.each.iter().all(|times| times.load(Ordering::SeqCst) == 1));
}

/// How a caller treats the future of a call.
#[derive(Debug)]
enum Treatment {
    /// Drops it after so many polls without an answer.
    Polled(u64),
    Awaited,
}

/// Polls `call` until it is ready, or as often as `treatment` says.
async fn treat<T>(call: impl Future<Output = T>, treatment: &Treatment) -> Option<T> {
    let mut call = pin!(call);
    let Treatment::Polled(mut left) = *treatment else { return Some(call.await) };
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

/// What one task saw.
#[derive(Debug, Default)]
struct Seen {
    answered: usize,
    late: usize,
    dropped: usize,
}

async fn call_at_random(connectors: Arc<[ConnectorInstance; 2]>, task: usize) -> Seen {
    let mut random = 7 + task as u64;
    let mut seen = Seen::default();
    for call in 0..CALLS / TASKS {
        let name = format!("{task}/{call}");
        let batch = batch(&[&name]);
        // How many turns the plugin takes, or none for a call without end.
        let state = [json!(0), json!(1), json!(20), Value::Null][next(&mut random) as usize % 4].clone();
        let (treatment, timeout) = match next(&mut random) % 3 {
            0 if state.is_null() => (Treatment::Awaited, Duration::from_millis(next(&mut random) % 2)),
            0 => (Treatment::Awaited, LONG),
            _ => (Treatment::Polled(1 + next(&mut random) % 6), LONG),
        };
        let connector = &connectors[next(&mut random) as usize % 2];
        let (writer, kind) = (
            connector.writer("", &session(state)).unwrap(),
            BatchKind::Upsert { join: Vec::new(), rejoin: Vec::new() },
        );
        if next(&mut random).is_multiple_of(8) {
            // A future that is never polled submits nothing.
            drop(writer.write(&kind, &batch, LONG));
        }
        match treat(writer.write(&kind, &batch, timeout), &treatment).await {
            None => seen.dropped += 1,
            Some(Ok(outcomes)) => {
                assert_eq!(outcomes.rows, [RowOutcome::Done(Some(name))], "the answer is another call's");
                seen.answered += 1;
            }
            Some(Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
                assert!(timeout < LONG, "{error}");
                seen.late += 1;
            }
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_calls_dropped_at_random_have_twenty_thousand_answers_and_leave_nothing_behind() {
    let project = Project::with(&["tally"]);
    let tally = project.load().load("tally").unwrap();
    let open = || ConnectorInstance::open(&*tally, Value::Null, Script::new().client()).unwrap();
    let connectors = Arc::new([open(), open()]);
    let mut tasks: JoinSet<Seen> = (0..TASKS).map(|task| call_at_random(Arc::clone(&connectors), task)).collect();
    let mut seen = Seen::default();
    while let Some(more) = tasks.join_next().await {
        let more = more.unwrap();
        seen.answered += more.answered;
        seen.late += more.late;
        seen.dropped += more.dropped;
    }
    assert_eq!(seen.answered + seen.late + seen.dropped, CALLS);
    assert!(seen.answered > CALLS / 10 && seen.late > CALLS / 100 && seen.dropped > CALLS / 10, "{seen:?}");

    // Answers when every call but itself has been answered.
    let counts = connectors[0].check("", Duration::from_secs(60)).await.unwrap().facts;
    let count = |name: &str| counts.iter().find(|(each, _)| each == name).unwrap().1.parse::<usize>().unwrap();
    let of_calls = ["submitted", "answered", "answered_again", "requests_freed", "answers_freed"].map(count);
    assert_eq!(of_calls, [CALLS + 1, CALLS, 0, CALLS, CALLS]);
    // A call that was given up at once may never have begun; whatever has, has ended.
    assert_eq!(count("begun"), count("ended") + count("dropped"), "{counts:?}");
    assert!(count("ended") >= seen.answered && count("dropped") > 0, "{counts:?} {seen:?}");
}
