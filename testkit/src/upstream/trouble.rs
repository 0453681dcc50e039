//! Responses that are errors, in each provider's own words.

use super::anthropic;
use super::ask::Asked;
use super::gemini;
use super::scenario::Trouble;
use super::wire::{Frame, Wire, sse};
use serde_json::{Value, json};
use std::time::Duration;

/// A response that is an error.
pub(super) struct Failed {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl Trouble {
    pub(super) fn told(self, wire: Wire, asked: &Asked) -> Failed {
        if self == Self::Page {
            return page(&asked.key);
        }
        let (status, body) = match wire {
            Wire::Chat | Wire::Responses => openai(self, wire, asked),
            Wire::Azure => azure(self, asked),
            Wire::Anthropic => of_anthropic(self, asked),
            Wire::Gemini => of_gemini(self, asked),
        };
        Failed {
            status,
            headers: self.headers(wire),
            body: body.to_string(),
        }
    }

    fn headers(self, wire: Wire) -> Vec<(&'static str, String)> {
        let json = ("content-type", "application/json".to_owned());
        let wait = match self {
            // Gemini tells it in the body.
            Self::Limited(time, is_ms) if wire != Wire::Gemini => match is_ms {
                true => Some(("retry-after-ms", time.as_millis().to_string())),
                false => Some(("retry-after", time.as_secs().to_string())),
            },
            _ => None,
        };
        [json].into_iter().chain(wait).collect()
    }
}

fn page(key: &str) -> Failed {
    let body = format!(
        "<html>\r\n<head><title>502 Bad Gateway</title><script>var key = '{key}';</script></head>\r\n\
         <body><center><h1>502 Bad Gateway</h1></center><hr>key {key}<center>nginx</center></body></html>"
    );
    Failed {
        status: 502,
        headers: vec![("content-type", "text/html".to_owned())],
        body,
    }
}

fn openai_error(kind: &str, code: Option<&str>, param: Option<&str>, message: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}

fn openai(trouble: Trouble, wire: Wire, asked: &Asked) -> (u16, Value) {
    let input = match wire {
        Wire::Responses => "input",
        _ => "messages",
    };
    let (status, kind, code) = match trouble {
        Trouble::Unauthorized => (401, "invalid_request_error", "invalid_api_key"),
        Trouble::Forbidden => {
            let code = "unsupported_country_region_territory";
            (403, "request_forbidden", code)
        }
        Trouble::NotFound => (404, "invalid_request_error", "model_not_found"),
        Trouble::Internal | Trouble::Page => (500, "server_error", ""),
        Trouble::Unavailable => (503, "server_error", ""),
        Trouble::Overloaded => (529, "server_error", ""),
        Trouble::Limited(..) => (429, "requests", "rate_limit_exceeded"),
        Trouble::Quota => (429, "insufficient_quota", "insufficient_quota"),
        Trouble::Context => (400, "invalid_request_error", "context_length_exceeded"),
        Trouble::Filter => (400, "invalid_request_error", "content_policy_violation"),
    };
    let param = (trouble == Trouble::Context).then_some(input);
    let code = Some(code).filter(|code| !code.is_empty());
    let message = openai_words(trouble, asked);
    (status, openai_error(kind, code, param, &message))
}

fn openai_words(trouble: Trouble, asked: &Asked) -> String {
    let Asked { model, key, .. } = asked;
    match trouble {
        Trouble::Unauthorized => format!("Incorrect API key provided: {key}. You can find your API key at https://platform.openai.com/account/api-keys."),
        Trouble::Forbidden => "Country, region, or territory not supported".to_owned(),
        Trouble::NotFound => format!("The model `{model}` does not exist or you do not have access to it."),
        Trouble::Internal | Trouble::Page => "The server had an error while processing your request. Sorry about that!".to_owned(),
        Trouble::Unavailable | Trouble::Overloaded => "That model is currently overloaded with other requests. You can retry your request.".to_owned(),
        Trouble::Limited(..) => format!("Rate limit reached for {model} in organization org-0 on requests per min (RPM): Limit 3, Used 3, Requested 1."),
        Trouble::Quota => "You exceeded your current quota, please check your plan and billing details.".to_owned(),
        Trouble::Context => "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens. Please reduce the length of the messages.".to_owned(),
        Trouble::Filter => "Your request was rejected as a result of our safety system.".to_owned(),
    }
}

fn azure(trouble: Trouble, asked: &Asked) -> (u16, Value) {
    let error = |code: &str, message: &str| json!({"error": {"code": code, "message": message}});
    match trouble {
        Trouble::Unauthorized => (
            401,
            error(
                "401",
                "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource.",
            ),
        ),
        Trouble::Forbidden => (
            403,
            error(
                "403",
                "Access denied due to Virtual Network/Firewall rules.",
            ),
        ),
        Trouble::NotFound => (
            404,
            error(
                "DeploymentNotFound",
                "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.",
            ),
        ),
        Trouble::Limited(time, _) => {
            let seconds = time.as_secs();
            let message = format!(
                "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded call rate limit of your current OpenAI S0 pricing tier. Please retry after {seconds} seconds."
            );
            (429, error("429", &message))
        }
        Trouble::Filter => {
            let result = json!({"hate": {"filtered": false, "severity": "safe"}, "violence": {"filtered": true, "severity": "high"}});
            let inner =
                json!({"code": "ResponsibleAIPolicyViolation", "content_filter_result": result});
            (
                400,
                json!({"error": {
                    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry.",
                    "type": null, "param": "prompt", "code": "content_filter", "status": 400, "innererror": inner,
                }}),
            )
        }
        Trouble::Internal => (
            500,
            error(
                "InternalServerError",
                "The server had an error while processing your request. Sorry about that!",
            ),
        ),
        _ => openai(trouble, Wire::Chat, asked),
    }
}

fn of_anthropic(trouble: Trouble, asked: &Asked) -> (u16, Value) {
    let invalid = "invalid_request_error";
    let not_found = format!("model: {}", asked.model);
    let (status, kind, message) = match trouble {
        Trouble::Unauthorized => (401, "authentication_error", "invalid x-api-key"),
        Trouble::Forbidden => (
            403,
            "permission_error",
            "Your API key does not have permission to use the specified resource.",
        ),
        Trouble::NotFound => (404, "not_found_error", not_found.as_str()),
        Trouble::Internal | Trouble::Page => (500, "api_error", "Internal server error"),
        Trouble::Unavailable => (503, "overloaded_error", "Overloaded"),
        Trouble::Overloaded => (529, "overloaded_error", "Overloaded"),
        Trouble::Limited(..) => (
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 50 requests per minute.",
        ),
        Trouble::Quota => (
            400,
            invalid,
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
        ),
        Trouble::Context => (
            400,
            invalid,
            "prompt is too long: 5000 tokens > 4096 maximum",
        ),
        Trouble::Filter => (400, invalid, "Output blocked by content filtering policy"),
    };
    (status, anthropic::error(kind, message))
}

fn of_gemini(trouble: Trouble, asked: &Asked) -> (u16, Value) {
    let (code, status, message) = match trouble {
        Trouble::Unauthorized => (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.".to_owned()),
        Trouble::Forbidden => (403, "PERMISSION_DENIED", "Your project has been denied access. Please contact support.".to_owned()),
        Trouble::NotFound => (404, "NOT_FOUND", format!("models/{} is not found for API version v1beta, or is not supported for generateContent.", asked.model)),
        Trouble::Internal | Trouble::Page => (500, "INTERNAL", "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting".to_owned()),
        Trouble::Unavailable => (503, "UNAVAILABLE", "The model is overloaded. Please try again later.".to_owned()),
        Trouble::Overloaded => (529, "UNAVAILABLE", "The model is overloaded. Please try again later.".to_owned()),
        Trouble::Limited(..) => (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).".to_owned()),
        Trouble::Quota => (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details.".to_owned()),
        Trouble::Context => (400, "INVALID_ARGUMENT", "The input token count (5000) exceeds the maximum number of tokens allowed (4096).".to_owned()),
        Trouble::Filter => (400, "INVALID_ARGUMENT", "The request was blocked: it violates our content filtering policy.".to_owned()),
    };
    let mut body = gemini::error(code, status, &message);
    if let Some(details) = details(trouble) {
        body["error"]["details"] = details;
    }
    (code, body)
}

/// What Google adds to an error.
fn details(trouble: Trouble) -> Option<Value> {
    let quota = |id: &str| {
        json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [
            {"quotaMetric": "generativelanguage.googleapis.com/generate_content_requests", "quotaId": id},
        ]})
    };
    match trouble {
        Trouble::Unauthorized => Some(json!([{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID",
            "domain": "googleapis.com", "metadata": {"service": "generativelanguage.googleapis.com"},
        }])),
        Trouble::Limited(time, _) => Some(json!([
            quota("GenerateRequestsPerMinutePerProjectPerModel"),
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": seconds(time)},
        ])),
        Trouble::Quota => Some(json!([quota("GenerateRequestsPerDayPerProjectPerModel")])),
        _ => None,
    }
}

fn seconds(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        milliseconds => format!("{}.{milliseconds:03}s", time.as_secs()),
    }
}

/// An overloaded provider that says so within a stream.
pub(super) fn mid(wire: Wire, place: usize) -> Frame {
    let message = "The model is overloaded. Please try again later.";
    match wire {
        Wire::Chat | Wire::Azure => {
            let error = openai_error("server_error", Some("server_is_overloaded"), None, message);
            sse(None, &error)
        }
        Wire::Responses => {
            let error = json!({
                "type": "error", "sequence_number": place, "code": "server_is_overloaded",
                "message": message, "param": null,
            });
            sse(Some("error"), &error)
        }
        Wire::Anthropic => {
            let error = json!({"type": "overloaded_error", "message": "Overloaded"});
            sse(Some("error"), &json!({"type": "error", "error": error}))
        }
        Wire::Gemini => sse(None, &gemini::error(503, "UNAVAILABLE", message)),
    }
}
