//! A request as it comes in: who sends it, its id, its body, its deadline.

use super::refusal::{Refusal, refuse};
use super::room::{Claim, Room, UNIT, ValueCount};
use super::said::{Said, text};
use crate::request_id::request_id_and_random;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use http_body::Body as _;
use http_body_util::BodyExt;
use mainstay_contract::{Code, ErrorReport, Responsible, Timestamp};
use mainstay_inference::{Dialect, Spender};
use mainstay_resilience::Priority;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The largest body, in bytes: pictures and documents travel in it.
const BYTES_MAX: usize = 64 << 20;
/// More values than any question has.
const VALUES_MAX: usize = 500_000;
/// How long a large body waits for room before its sender is told to come back.
const ROOM_WAIT: Duration = Duration::from_secs(2);
/// How long a body may take to arrive, unless its caller has less time.
const ARRIVAL: Duration = Duration::from_secs(120);
/// How long it may pause on its way.
const PAUSE: Duration = Duration::from_secs(30);
/// How much of a refused body is read and thrown away, so that its sender can read the answer.
const DRAIN_BYTES_MAX: usize = 256 << 20;
/// And for how long.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Who calls.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The name of the key; absent for the owner.
    pub key: Option<Arc<str>>,
    /// How urgent its requests are.
    pub priority: Priority,
}

/// A request that came in.
pub(super) struct Arrival {
    pub(super) caller: Caller,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) request_id: String,
    /// Any number, different for each request.
    pub(super) random: u64,
    pub(super) dialect: Dialect,
    said: Said,
    began: Instant,
}

impl Arrival {
    pub(super) async fn read(
        room: &Room,
        dialect: Dialect,
        request: Request,
    ) -> Result<Self, Box<Response>> {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let (request_id, random) = request_id_and_random();
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.unwrap_or_default();
        let said = match Said::read(&parts.headers) {
            Ok(said) => said,
            Err(refusal) => {
                discard(&parts.headers, body);
                return Err(Box::new(refuse(dialect, &refusal, &request_id)));
            }
        };
        let end = began
            + said
                .patience
                .map_or(ARRIVAL, |patience| patience.min(ARRIVAL));
        let place = Place {
            room,
            key: caller.key.as_ref(),
        };
        match read_body(&parts.headers, body, end, &place).await {
            Ok(body) => Ok(Self {
                caller,
                headers: parts.headers,
                body,
                request_id,
                random,
                dialect,
                said,
                began,
            }),
            Err(refusal) => {
                let mut response = refuse(dialect, &refusal, &request_id);
                let close = header::HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
                Err(Box::new(response))
            }
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    /// Through how many gateways it came.
    pub(super) const fn hops(&self) -> u8 {
        self.said.hops
    }

    /// The agent that the caller speaks for.
    pub(super) fn agent(&self) -> Option<&Arc<str>> {
        self.said.agent.as_ref()
    }

    /// Whom usage is counted for. A caller may say which agent and session it speaks for.
    pub(super) fn spender(&self) -> Spender {
        Spender {
            key: self.caller.key.clone(),
            agent: self.said.agent.clone(),
            sessions: self.said.session.iter().cloned().collect(),
        }
    }

    /// Until when it may take, and the caller's own limit where that is what counts. The time in which its
    /// body arrived is gone.
    pub(super) fn deadline(
        &self,
        now: Timestamp,
        total: Option<Duration>,
        is_stream: bool,
    ) -> (Option<Timestamp>, Option<Duration>) {
        let Said {
            patience,
            is_for_bytes,
            ..
        } = self.said;
        let whole = patience.filter(|_| !(is_stream && is_for_bytes));
        let own = whole.map(|whole| whole.saturating_sub(self.began.elapsed()));
        let is_own = own.is_some_and(|own| total.is_none_or(|total| own <= total));
        let within = own.into_iter().chain(total).min();
        let deadline = within.map(|within| now.after(within));
        (deadline, whole.filter(|_| is_own))
    }

    /// Headers that the caller may choose for the provider of its dialect.
    pub(super) fn relayed(&self) -> Vec<(&'static str, String)> {
        let names: &[&'static str] = match self.dialect {
            Dialect::Anthropic => &["anthropic-beta", "anthropic-version"],
            Dialect::OpenAiChat | Dialect::OpenAiResponses => &["openai-beta"],
            Dialect::Gemini => &[],
        };
        let pair = |name: &&'static str| Some((*name, self.text(name)?.to_owned()));
        names.iter().filter_map(pair).collect()
    }
}

/// A body on its way.
#[derive(Default)]
struct Growing {
    first: Option<Bytes>,
    joined: Vec<u8>,
    /// Of a large one: its room, and how many values its first bytes hold.
    large: Option<(Claim, ValueCount)>,
    counted: usize,
}

impl Growing {
    /// Takes what came next.
    async fn add(&mut self, data: Bytes, place: &Place<'_>) -> Result<(), Refusal> {
        let length = self.joined.len() + self.first.as_ref().map_or(0, Bytes::len) + data.len();
        if length > BYTES_MAX {
            return Err(too_large(&format!("{BYTES_MAX} bytes")));
        }
        if self.first.is_none() && self.joined.is_empty() && length <= UNIT {
            self.first = Some(data);
            return Ok(());
        }
        self.joined
            .extend_from_slice(&self.first.take().unwrap_or_default());
        self.joined.extend_from_slice(&data);
        if length <= UNIT {
            return Ok(());
        }
        let claimed = || (place.room.claim(place.key), ValueCount::default());
        let (claim, count) = self.large.get_or_insert_with(claimed);
        count.add(&self.joined[self.counted..]);
        self.counted = length;
        if count.values > VALUES_MAX {
            return Err(too_large(&format!("{VALUES_MAX} values")));
        }
        let growing = claim.grow(length, count.values);
        match tokio::time::timeout(ROOM_WAIT, growing).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(crowded()),
        }
    }

    fn whole(self) -> Bytes {
        match (self.large, self.first) {
            (Some((claim, _)), _) => claim.hold(self.joined),
            (None, first) => first.unwrap_or_else(|| Bytes::from(self.joined)),
        }
    }
}

/// Where a body is put.
struct Place<'a> {
    room: &'a Room,
    key: Option<&'a Arc<str>>,
}

async fn read_body(
    headers: &HeaderMap,
    mut body: Body,
    end: Instant,
    place: &Place<'_>,
) -> Result<Bytes, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BYTES_MAX) {
        discard(headers, body);
        return Err(too_large(&format!("{BYTES_MAX} bytes")));
    }
    let mut growing = Growing::default();
    loop {
        let next = tokio::time::timeout_at(end.min(Instant::now() + PAUSE), body.frame());
        let data = match next.await {
            Err(_) => return Err(late()),
            Ok(None) => return Ok(growing.whole()),
            Ok(Some(Err(_))) => return Err(Refusal::invalid("the body broke off", None)),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                Err(_trailers) => continue,
            },
        };
        if let Err(refusal) = growing.add(data, place).await {
            discard(headers, body);
            return Err(refusal);
        }
    }
}

/// There are too many large bodies.
fn crowded() -> Refusal {
    let message = "as much of large requests is under way as there is room for";
    let report = ErrorReport::new(Code::Backpressure, message).retry_after_ms(1000);
    Refusal::of(&report)
}

/// Nothing was done yet, so whoever was cut off may send it again.
fn late() -> Refusal {
    let message = format!(
        "the body did not arrive in time: it may pause for {} s and take {} s, and no longer than its caller waits",
        PAUSE.as_secs(),
        ARRIVAL.as_secs()
    );
    let mut report = ErrorReport::new(Code::Timeout, message);
    report.responsible = Responsible::Caller;
    Refusal {
        status: 408,
        ..Refusal::of(&report)
    }
}

fn too_large(limit: &str) -> Refusal {
    let message = format!("the body is larger than {limit}");
    Refusal::of(&ErrorReport::new(Code::RequestTooLarge, message))
}

/// Lets go of a body that is not wanted.
pub(super) fn discard(headers: &HeaderMap, body: Body) {
    // Who asks first sends nothing after a refusal.
    if !body.is_end_stream() && !headers.contains_key(header::EXPECT) {
        tokio::spawn(drain(body));
    }
}

/// Reads on without keeping anything: a connection that is cut while its sender still sends loses the
/// answer on the way.
async fn drain(mut body: Body) {
    let mut left = DRAIN_BYTES_MAX;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else {
                return;
            };
            left = rest;
        }
    };
    let _cut = tokio::time::timeout(DRAIN_TIME, reading).await;
}
