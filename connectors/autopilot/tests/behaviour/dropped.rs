//! A future dropped at any call leaves the instance usable, and calls under way are bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{FutureExt, future::join_all};
use segport_sdk::http::{HttpClient, Request, Response};
use segport_sdk::{Connector, Context, Result, async_trait};
use serde_json::json as value;

use crate::model::{Hang, Model};
use crate::{batch, block_on, export, removal, settings, short};

/// Where calls may hang: more places than any operation here makes calls.
fn hangs() -> impl Iterator<Item = Hang> {
    (0..12).flat_map(|nth| [Hang::Before(nth), Hang::After(nth)])
}

#[test]
fn a_dropped_write_can_be_made_again() {
    for (mode, bulk_joins) in [("probe", true), ("probe", false), ("single", false), ("bulk", true)] {
        for found in [true, false] {
            for hang in hangs() {
                let model = Model::new(bulk_joins);
                if found {
                    model.add_list("News");
                }
                let (autopilot, cx) = (model.connect(value!({ "list_membership": mode })), model.context());
                let session = block_on(autopilot.begin(&cx, &export(&["News", "Vip"]))).unwrap();
                model.state().calls.clear();
                model.state().hang = Some(hang);
                let rows = batch(&session, &[0, 1], &["a", "b"]);
                let hung = autopilot.write(&cx, &rows).now_or_never().is_none();
                model.state().hang = None;
                let again = block_on(autopilot.write(&cx, &rows)).unwrap();
                assert_eq!(short(&again.rows), ["done p-a", "done p-b"], "{mode} {hang:?} {hung}");
                assert_eq!(model.state().members.len(), 4, "{mode} {hang:?}");
            }
        }
    }
}

/// The batch that tests is dropped while another waits for it: the other takes over.
#[test]
fn a_dropped_test_is_taken_over() {
    for hang in [Hang::Before(0), Hang::After(0), Hang::Before(1), Hang::After(1)] {
        let model = Model::new(true);
        let (autopilot, cx) = (model.connect(value!({})), model.context());
        let session = block_on(autopilot.begin(&cx, &export(&["News"]))).unwrap();
        model.state().calls.clear();
        model.state().hang = Some(hang);
        let (first, second) = (batch(&session, &[0], &["a"]), batch(&session, &[0], &["b"]));
        block_on(async {
            let mut testing = autopilot.write(&cx, &first);
            assert!(futures::poll!(&mut testing).is_pending());
            let mut waiting = autopilot.write(&cx, &second);
            assert!(futures::poll!(&mut waiting).is_pending(), "{hang:?}: the second must wait for the first");
            model.state().hang = None;
            drop(testing);
            assert_eq!(short(&waiting.await.unwrap().rows), ["done p-b"]);
        });
    }
}

#[test]
fn a_dropped_begin_makes_no_second_list() {
    for hang in hangs() {
        let model = Model::new(true);
        let (autopilot, cx) = (model.connect(value!({})), model.context());
        model.state().hang = Some(hang);
        let _ = autopilot.begin(&cx, &export(&["News", "Vip"])).now_or_never();
        model.state().hang = None;
        block_on(autopilot.begin(&cx, &export(&["News", "Vip"]))).unwrap();
        let titles: Vec<String> = model.state().lists.iter().map(|(_, title)| title.clone()).collect();
        assert_eq!(titles, ["News", "Vip"], "{hang:?}");
    }
}

#[test]
fn a_dropped_removal_can_be_made_again() {
    for hang in hangs() {
        let model = Model::new(true);
        let (autopilot, cx) = (model.connect(value!({})), model.context());
        let session = block_on(autopilot.begin(&cx, &export(&["News"]))).unwrap();
        block_on(autopilot.write(&cx, &batch(&session, &[0], &["a", "b", "c"]))).unwrap();
        model.state().calls.clear();
        model.state().hang = Some(hang);
        let leavers = removal(&session, 0, &[Some("p-a"), Some("p-b")]);
        let _ = autopilot.write(&cx, &leavers).now_or_never();
        model.state().hang = None;
        let outcomes = block_on(autopilot.write(&cx, &leavers)).unwrap();
        assert_eq!(short(&outcomes.rows), ["done p-a", "done p-b"]);
        assert_eq!(model.state().members.len(), 1);
    }
}

/// Answers after letting every other task go first, and counts the calls under way.
#[derive(Debug, Default)]
struct Slow {
    model: Model,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl HttpClient for Slow {
    async fn send(&self, request: Request) -> Result<Response> {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        for _ in 0..3 {
            let mut woken = false;
            std::future::poll_fn(|task| {
                if std::mem::replace(&mut woken, true) {
                    return std::task::Poll::Ready(());
                }
                task.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
        }
        let answer = self.model.send(request).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}

#[test]
fn calls_under_way_reach_their_bound_and_never_pass_it() {
    let http = Arc::new(Slow::default());
    let cx = Context::new("run", Arc::<Slow>::clone(&http));
    let settings = settings(value!({ "list_membership": "single", "max_in_flight": 6 }));
    let autopilot = segport_autopilot::Autopilot::open(serde_json::from_value(settings).unwrap(), &cx).unwrap();
    let session = block_on(autopilot.begin(&cx, &export(&["News"]))).unwrap();
    let names: Vec<Vec<String>> = (0..3).map(|b| (0..20).map(|n| format!("n{b}-{n}")).collect()).collect();
    let batches: Vec<_> = names
        .iter()
        .map(|names| batch(&session, &[0], &names.iter().map(String::as_str).collect::<Vec<_>>()))
        .collect();
    for outcomes in block_on(join_all(batches.iter().map(|batch| autopilot.write(&cx, batch)))) {
        assert!(short(&outcomes.unwrap().rows).iter().all(|outcome| outcome.starts_with("done")));
    }
    assert_eq!(http.most.load(Ordering::SeqCst), 6);
    assert_eq!(http.model.state().members.len(), 60);
}
