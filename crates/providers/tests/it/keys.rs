//! The key of a provider: read when it is needed, and again when it is refused.

use crate::server::{Act, Server, events, json, opened, plain};
use crate::services::{call, pieces};
use mainstay_contract::{Code, Coded, ErrorReport, Secret};
use mainstay_inference::{InferenceError, Provider};
use mainstay_providers::{HttpSettings, SecretReader};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const OLD: &str = "sk-old-0123456789";
const NEW: &str = "sk-new-9876543210";

/// A key that whoever operates changes; without one it cannot be read.
#[derive(Default)]
struct Kept {
    key: Mutex<Option<&'static str>>,
    reads: AtomicUsize,
}

impl Kept {
    fn of(key: &'static str) -> Arc<Self> {
        let kept = Self::default();
        kept.set(Some(key));
        Arc::new(kept)
    }

    fn set(&self, key: Option<&'static str>) {
        *self.key.lock().unwrap() = key;
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

impl SecretReader for Kept {
    fn read(&self) -> Result<Secret, Box<ErrorReport>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let key = *self.key.lock().unwrap();
        let gone = || {
            Box::new(ErrorReport::new(
                Code::SecretUnavailable,
                "the file is gone",
            ))
        };
        key.map(Secret::new).ok_or_else(gone)
    }
}

fn provider(server: &Server, key: &Arc<Kept>) -> Arc<dyn Provider> {
    opened(HttpSettings {
        api_key: Some(Arc::<Kept>::clone(key)),
        ..plain(&server.url, "tiny-1")
    })
}

/// A server that lets the new key in; of those with the old one it refuses as many at once as `together`.
async fn guarded(together: usize) -> Server {
    let barrier = Arc::new(Barrier::new(together));
    Server::start_by(move |_, request| match request.contains(NEW) {
        true => events(crate::server::GOOD),
        false => {
            let mut acts = vec![Act::Meet(Arc::clone(&barrier))];
            acts.extend(json(401, r#"{"error":{"message":"wrong key"}}"#));
            acts
        }
    })
    .await
}

#[tokio::test]
async fn a_key_that_was_changed_is_read_once_for_all_calls_that_it_failed() {
    const CALLS: usize = 50;
    let server = guarded(CALLS).await;
    let key = Kept::of(OLD);
    let provider = provider(&server, &key);
    // The first call reads the old key; from then on it is another.
    let (key_read, changed) = (Arc::clone(&key), Arc::new(Barrier::new(CALLS)));
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let (provider, key, changed) = (
            Arc::clone(&provider),
            Arc::clone(&key_read),
            Arc::clone(&changed),
        );
        calls.spawn(async move {
            let mut made = Box::pin(pieces(provider, call(true)));
            // Polled once, a call holds the key that it is going to send.
            let first = futures_poll(&mut made).await;
            assert!(first.is_none(), "nothing can have been answered yet");
            changed.wait().await;
            key.set(Some(NEW));
            made.await
        });
    }
    for made in calls.join_all().await {
        made.unwrap();
    }
    assert_eq!(key.reads(), 2, "once at first, and once after all refusals");
    assert_eq!(server.hits(), 2 * CALLS);
}

async fn futures_poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_key_that_stayed_the_same_is_not_tried_again() {
    let server = guarded(1).await;
    let key = Kept::of(OLD);
    let provider = provider(&server, &key);
    for calls in 1..=2 {
        let error = pieces(Arc::clone(&provider), call(true)).await.unwrap_err();
        assert!(
            matches!(error, InferenceError::Unauthorized { .. }),
            "{error:?}"
        );
        assert_eq!((server.hits(), key.reads()), (calls, calls + 1));
    }
    key.set(Some(NEW));
    pieces(Arc::clone(&provider), call(true)).await.unwrap();
    pieces(provider, call(true)).await.unwrap();
    assert_eq!((server.hits(), key.reads()), (5, 4));
}

#[tokio::test]
async fn a_new_key_that_is_refused_too_ends_the_call() {
    let server = Server::start(json(401, r#"{"error":{"message":"nobody gets in"}}"#)).await;
    let key = Kept::of(OLD);
    let provider = provider(&server, &key);
    let mut first = Box::pin(pieces(provider, call(true)));
    assert!(futures_poll(&mut first).await.is_none());
    key.set(Some(NEW));
    let error = first.await.unwrap_err();
    assert!(
        matches!(error, InferenceError::Unauthorized { .. }),
        "{error:?}"
    );
    assert_eq!((server.hits(), key.reads()), (2, 2));
    assert!(server.requests.lock().unwrap()[1].contains(NEW));
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_told_and_never_sent() {
    let server = guarded(1).await;
    let unsendable = ["sesame-1\n", " sesame-2", "ses\u{0}ame-3"].map(Some);
    for key in unsendable.into_iter().chain([None]) {
        let kept = Arc::new(Kept::default());
        kept.set(key);
        let error = pieces(provider(&server, &kept), call(true))
            .await
            .unwrap_err();
        assert!(
            matches!(error, InferenceError::KeyUnavailable { .. }),
            "{error:?}"
        );
        let report = error.report();
        assert_eq!(report.code, Code::SecretUnavailable);
        assert!(!format!("{report:?}").contains("ame-"), "{report:?}");
    }
    assert_eq!(server.hits(), 0);
    // Neither is one that becomes so after a refusal.
    let key = Kept::of(OLD);
    let mut late = Box::pin(pieces(provider(&server, &key), call(true)));
    assert!(futures_poll(&mut late).await.is_none());
    key.set(None);
    let error = late.await.unwrap_err();
    assert!(
        matches!(error, InferenceError::KeyUnavailable { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("the file is gone"), "{error}");
    assert_eq!(server.hits(), 1);
}
