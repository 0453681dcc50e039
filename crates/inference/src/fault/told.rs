//! What an error's JSON says, in whichever of the known shapes.

use super::Cleaner;
use serde_json::Value;
use std::time::Duration;

/// An error as the provider told it.
pub(super) struct Told {
    /// `type`, `code`, `status` and reasons, in lower case; the more particular ones last.
    pub(super) names: Vec<String>,
    /// Cleaned words.
    pub(super) message: String,
    /// The field that is refused, cleaned too.
    pub(super) param: Option<String>,
    /// The conversation's tokens and the model's limit, where fields of their own tell them.
    pub(super) numbers: Option<(u64, u64)>,
    pub(super) retry_after: Option<Duration>,
}

impl Told {
    /// Words alone.
    pub(super) const fn of_words(message: String) -> Self {
        Self {
            names: Vec::new(),
            param: None,
            numbers: None,
            message,
            retry_after: None,
        }
    }

    /// The shapes of OpenAI, Azure, Anthropic, Google (alone or in a list), and of servers like vLLM and
    /// llama.cpp, which put fewer things around fewer fields.
    pub(super) fn of_value(value: &Value, cleaner: &Cleaner) -> Self {
        let value = value.get(0).unwrap_or(value);
        let nested = |field: &str| value.get(field).filter(|error| !error.is_null());
        let of_response = value.pointer("/response/error");
        let error = nested("error")
            .or_else(|| of_response.filter(|error| !error.is_null()))
            .or_else(|| value.pointer("/errors/0"))
            .unwrap_or(value);
        let details = error.get("details");
        let list = details
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let inner = error.get("innererror").and_then(|inner| inner.get("code"));
        let particular = details.and_then(|details| details.get("error_code"));
        let fields = ["type", "status", "code"].map(|field| error.get(field));
        let reasons = list.iter().map(|detail| detail.get("reason"));
        let names = fields.into_iter().chain([inner, particular]).chain(reasons);
        let words = [
            error.get("message"),
            Some(error),
            value.get("message"),
            value.get("detail"),
        ];
        let message = words
            .into_iter()
            .find_map(|words| words?.as_str().map(str::to_owned))
            .unwrap_or_else(|| error.to_string());
        let param = error.get("param").and_then(Value::as_str);
        let param = param.map(|param| cleaner.clean(param));
        let number = |field: &str| error.get(field).and_then(Value::as_u64);
        Self {
            numbers: number("n_prompt_tokens").zip(number("n_ctx")),
            retry_after: list.iter().find_map(retry_delay),
            names: names.filter_map(name).collect(),
            param: param.filter(|param| !param.is_empty()),
            message: cleaner.clean(&message),
        }
    }

    pub(super) fn is_named(&self, any: &[&str]) -> bool {
        self.names.iter().any(|name| any.contains(&name.as_str()))
    }

    pub(super) fn says(&self, any: &[&str]) -> bool {
        let words = self.message.to_ascii_lowercase();
        any.iter().any(|phrase| words.contains(phrase))
    }
}

fn name(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.to_ascii_lowercase()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Google's `RetryInfo`: `{"retryDelay": "17s"}`.
fn retry_delay(detail: &Value) -> Option<Duration> {
    let delay = detail.get("retryDelay")?.as_str()?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
