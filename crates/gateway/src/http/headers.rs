//! The names of the headers that tell what the gateway did. INTERFACE.md says what stands in them.

use axum::http::HeaderName;

/// The deployment that answers.
pub(super) const MODEL: HeaderName = HeaderName::from_static("x-mainstay-model");
/// What the caller should know: budgets that are used up, fields that the provider was not told.
pub(super) const WARNING: HeaderName = HeaderName::from_static("x-mainstay-warning");
/// Whether the answer was kept from before: `hit` or `miss`.
pub(super) const CACHE: HeaderName = HeaderName::from_static("x-mainstay-cache");
/// What the request cost, in US dollars.
pub(super) const COST: HeaderName = HeaderName::from_static("x-mainstay-cost-usd");
/// How many calls were made.
pub(super) const ATTEMPTS: HeaderName = HeaderName::from_static("x-mainstay-attempts");
/// The code of a failure, its fault, what it left behind, and whether to try again.
pub(super) const CODE: HeaderName = HeaderName::from_static("x-mainstay-code");
pub(super) const RESPONSIBLE: HeaderName = HeaderName::from_static("x-mainstay-responsible");
pub(super) const EFFECT: HeaderName = HeaderName::from_static("x-mainstay-effect");
pub(super) const RETRY: HeaderName = HeaderName::from_static("x-mainstay-retry");
/// What official clients look at before they try again by themselves.
pub(super) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// How long they wait then, in milliseconds.
pub(super) const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// The request's name, as clients of OpenAI and of Anthropic look for it.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
