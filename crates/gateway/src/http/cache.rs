//! Whole answers, given again to the same request for a while: in memory, the least used forgotten first.
//!
//! The key is everything that may change an answer: who asks, the model, and the whole request but for
//! whether it comes in pieces.

use mainstay_inference::{Answer, Dialect, FinishReason, Request, Tokens};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much is kept, in bytes of what was asked and answered.
const BYTES_MAX: usize = 64 << 20;

pub(super) type CacheKey = [u8; 32];

/// The cache.
#[derive(Debug, Default)]
pub(super) struct AnswerCache {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<CacheKey, Entry>,
    by_use: BTreeMap<u64, CacheKey>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Arc<Answer>,
    until: Instant,
    bytes: usize,
    used: u64,
}

/// The key of a request; `scope` names the caller's key, so that none reads what another was told, and the
/// deployments that may answer. Each dialect has answers of its own: what one can say another may not.
pub(super) fn key(scope: &[&str], dialect: Dialect, request: &Request) -> CacheKey {
    struct Hashed(blake3::Hasher);
    impl Write for Hashed {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.update(text.as_bytes());
            Ok(())
        }
    }
    let plain = Request {
        stream: false,
        stream_usage: false,
        ..request.clone()
    };
    let mut hashed = Hashed(blake3::Hasher::new_derive_key(
        "mainstay 2026-11 answers kept",
    ));
    // Strings are quoted and escaped in the form for debugging, so no two requests share one.
    let _written = write!(hashed, "{scope:?}{dialect:?}{plain:?}");
    *hashed.0.finalize().as_bytes()
}

impl AnswerCache {
    /// The answer, where one is kept.
    pub(super) fn get(&self, key: &CacheKey) -> Option<Arc<Answer>> {
        let mut kept = self.lock();
        kept.uses += 1;
        let now = kept.uses;
        let Kept {
            entries, by_use, ..
        } = &mut *kept;
        let entry = entries.get_mut(key)?;
        if entry.until <= Instant::now() {
            kept.remove(key);
            return None;
        }
        by_use.remove(&entry.used);
        entry.used = now;
        by_use.insert(now, *key);
        Some(Arc::clone(&entry.answer))
    }

    /// Keeps an answer that is worth it: whole, and ended by the model itself.
    pub(super) fn put(&self, key: CacheKey, answer: Answer, ttl: Duration) {
        if !matches!(answer.reason, FinishReason::Stop | FinishReason::ToolCalls) {
            return;
        }
        let bytes = format!("{answer:?}").len() + 256;
        if bytes > BYTES_MAX / 16 {
            return;
        }
        let mut kept = self.lock();
        kept.remove(&key);
        kept.uses += 1;
        let used = kept.uses;
        kept.by_use.insert(used, key);
        kept.bytes += bytes;
        let entry = Entry {
            answer: Arc::new(answer),
            until: Instant::now() + ttl,
            bytes,
            used,
        };
        kept.entries.insert(key, entry);
        while kept.bytes > BYTES_MAX {
            let Some((_, oldest)) = kept.by_use.pop_first() else {
                break;
            };
            kept.remove(&oldest);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

/// An answer as it is given again: nothing was counted for it anew.
pub(super) fn again(answer: &Answer) -> Answer {
    Answer {
        tokens: answer.tokens.or(Some(Tokens::default())),
        ..answer.clone()
    }
}
