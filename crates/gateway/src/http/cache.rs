//! Answers, given again to the same request for a while, as they were told: in memory, the least used forgotten first.
//!
//! The key is everything that may change an answer: who asks, the model as it is configured, the headers that are handed
//! on, and the body to the byte.

use super::arrival::Arrival;
use crate::ModelInfo;
use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use mainstay_inference::{Event, FinishReason};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much is kept, in bytes of what was answered.
const BYTES_MAX: usize = 64 << 20;
/// The longest answer that is kept, likewise.
const ANSWER_MAX: usize = BYTES_MAX / 16;
/// What an entry takes beside its body.
const ENTRY: usize = 512;

pub(super) type CacheKey = [u8; 32];

/// An answer as it was told.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) body: Bytes,
    pub(super) content_type: &'static str,
    pub(super) deployment: Arc<str>,
    pub(super) warnings: Vec<String>,
}

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
    told: Told,
    until: Instant,
    bytes: usize,
    used: u64,
}

/// The key of a request.
pub(super) fn key(arrival: &Arrival, model: &ModelInfo) -> CacheKey {
    let mut hashed = blake3::Hasher::new_derive_key("mainstay 2026-11 answers kept");
    let caller = arrival.caller.key.as_deref().unwrap_or_default();
    let dialect = format!("{:?}", arrival.dialect);
    let headers = arrival.relayed();
    let headers = headers.iter().flat_map(|(name, value)| [*name, value]);
    let texts = [caller, &dialect].into_iter().chain(headers);
    for text in texts
        .map(str::as_bytes)
        .chain([&model.revision[..], &arrival.body])
    {
        // With its length, so that no two rows of texts are one.
        hashed.update(&(text.len() as u64).to_le_bytes());
        hashed.update(text);
    }
    *hashed.finalize().as_bytes()
}

/// What a caller wants of the cache (`cache-control`, RFC 9111).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wish {
    /// No answer of before.
    pub(super) is_anew: bool,
    /// Nothing of the cache: its own answer is not to be kept either.
    pub(super) is_secret: bool,
}

impl Wish {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut wish = Self::default();
        let values = headers.get_all(header::CACHE_CONTROL);
        let texts = values.iter().filter_map(|value| value.to_str().ok());
        for directive in texts.flat_map(|text| text.split(',')) {
            match directive.trim().to_ascii_lowercase().as_str() {
                "no-cache" | "max-age=0" => wish.is_anew = true,
                "no-store" => wish.is_secret = true,
                _ => {}
            }
        }
        wish
    }
}

/// Puts an answer together on its way to the caller.
pub(super) struct Keeper {
    cache: Arc<AnswerCache>,
    key: CacheKey,
    ttl: Duration,
    told: Told,
    body: Vec<u8>,
    is_worth_it: bool,
}

impl Keeper {
    pub(super) fn new(cache: &Arc<AnswerCache>, key: CacheKey, ttl: Duration, told: Told) -> Self {
        Self {
            cache: Arc::clone(cache),
            key,
            ttl,
            told,
            body: Vec::new(),
            is_worth_it: false,
        }
    }

    /// Sees what happened, and what the caller was told of it.
    pub(super) fn add(&mut self, events: &[Event], bytes: &[u8]) {
        for event in events {
            if let Event::Finished { reason, .. } = event {
                // Whole, and ended by the model itself.
                self.is_worth_it = matches!(reason, FinishReason::Stop | FinishReason::ToolCalls);
            }
        }
        if self.body.len() <= ANSWER_MAX {
            self.body.extend_from_slice(bytes);
        }
    }

    /// Keeps an answer that ended in good order.
    pub(super) fn finish(mut self) {
        if self.is_worth_it && self.body.len() <= ANSWER_MAX {
            self.told.body = Bytes::from(self.body);
            self.cache.put(self.key, self.told, self.ttl);
        }
    }
}

impl AnswerCache {
    /// The answer, where one is kept.
    pub(super) fn get(&self, key: &CacheKey) -> Option<Told> {
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
        Some(entry.told.clone())
    }

    fn put(&self, key: CacheKey, told: Told, ttl: Duration) {
        let bytes = told.body.len() + ENTRY;
        let mut kept = self.lock();
        kept.remove(&key);
        kept.uses += 1;
        let used = kept.uses;
        kept.by_use.insert(used, key);
        kept.bytes += bytes;
        let entry = Entry {
            told,
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
