//! Request bodies: bounded in size and time, JSON, and nothing in them that has no effect.

use super::problem::Problem;
use super::unique::Unique;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use mainstay_contract::Code;
use serde_json::{Map, Value};
use std::time::Duration;

/// The largest body.
pub(super) const BYTES_MAX: usize = 4 << 20;
/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// How much of a refused body is read and thrown away, so that its sender can read the answer.
const DRAIN_BYTES_MAX: usize = 256 << 20;
/// And for how long.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The members of a request's JSON object; a body that is absent has none.
pub(super) async fn object(request: Request) -> Result<Fields, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = bytes(&parts.headers, body, ARRIVAL).await?;
    if bytes.is_empty() {
        return Ok(Fields::of(Map::new()));
    }
    judge_type(&parts.headers)?;
    match value(&bytes)? {
        Value::Object(members) => Ok(Fields::of(members)),
        other => Err(Problem::invalid(format!(
            "the body is {}, not an object",
            kind(&other)
        ))),
    }
}

async fn bytes(headers: &HeaderMap, mut body: Body, arrival: Duration) -> Result<Bytes, Problem> {
    if announced(headers).is_some_and(|length| length > BYTES_MAX as u64) {
        // Who asks first sends nothing after a refusal.
        if !headers.contains_key(header::EXPECT) {
            tokio::spawn(drain(body));
        }
        return Err(too_large());
    }
    let mut whole = Vec::new();
    let reading = async {
        while let Some(frame) = body.frame().await {
            let broken = |_| Problem::invalid("the body broke off").close();
            let Ok(data) = frame.map_err(broken)?.into_data() else {
                continue;
            };
            if whole.len() + data.len() > BYTES_MAX {
                return Err(too_large());
            }
            whole.extend_from_slice(&data);
        }
        Ok(())
    };
    match tokio::time::timeout(arrival, reading).await {
        Ok(Ok(())) => Ok(whole.into()),
        Ok(Err(problem)) => {
            if problem.is(&Code::RequestTooLarge) {
                tokio::spawn(drain(body));
            }
            Err(problem)
        }
        Err(_) => {
            let limit = arrival.as_secs();
            Err(Problem::invalid(format!("the body did not arrive within {limit} seconds")).close())
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn too_large() -> Problem {
    Problem::new(
        Code::RequestTooLarge,
        format!("the body is larger than {BYTES_MAX} bytes"),
    )
    .hint("put large texts into a file of the workspace, and name the file")
    .close()
}

/// Reads on without keeping anything: a connection that is cut while its sender still sends loses
/// the answer on the way.
async fn drain(mut body: Body) {
    let mut left = DRAIN_BYTES_MAX;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else {
                return;
            };
            left = rest;
        }
    };
    let _cut = tokio::time::timeout(DRAIN_TIME, reading).await;
}

fn judge_type(headers: &HeaderMap) -> Result<(), Problem> {
    let hint = "send `content-type: application/json`";
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Err(Problem::invalid("the body has no content type").hint(hint));
    };
    let text = value.to_str().unwrap_or_default();
    let media = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if media == "application/json"
        || (media.starts_with("application/") && media.ends_with("+json"))
    {
        return Ok(());
    }
    let shown: String = media.chars().filter(|c| !c.is_control()).take(80).collect();
    Err(Problem::invalid(format!("the body is `{shown}`, not JSON")).hint(hint))
}

fn value(bytes: &[u8]) -> Result<Value, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Problem::invalid(format!(
            "the body is not UTF-8 at byte {}",
            error.valid_up_to()
        ))
    })?;
    let value = serde_json::from_str(text)
        .map_err(|error| Problem::invalid(format!("the body is not valid JSON: {error}")))?;
    serde_json::from_str::<Unique>(text)
        .map_err(|error| Problem::invalid(format!("the body says something twice: {error}")))?;
    Ok(value)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The members of an object, taken one by one.
#[derive(Debug)]
pub(super) struct Fields {
    /// What has them.
    owner: &'static str,
    members: Map<String, Value>,
}

impl Fields {
    fn of(members: Map<String, Value>) -> Self {
        Self {
            owner: "the body",
            members,
        }
    }

    /// Refuses members that are not in this list.
    pub(super) fn known(self, names: &[&str]) -> Result<Self, Problem> {
        let unknown = self
            .members
            .keys()
            .find(|name| !names.contains(&name.as_str()));
        if let Some(unknown) = unknown {
            let shown: String = unknown.chars().take(80).collect();
            let problem = Problem::invalid(format!("{} has no field `{shown}`", self.owner));
            let list: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let list = format!("its fields are {}", list.join(", "));
            return Err(problem.near(unknown, names.iter().copied()).hint(list));
        }
        Ok(self)
    }

    /// A member's value; null counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn take_string(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, "a string", &other)),
        }
    }

    pub(super) fn require_string(&mut self, name: &str) -> Result<String, Problem> {
        let missing = || Problem::invalid(format!("the body needs a field `{name}`"));
        self.take_string(name)?.ok_or_else(missing)
    }

    /// A member that has members of its own; an absent one has none.
    pub(super) fn take_object(&mut self, name: &'static str) -> Result<Self, Problem> {
        let members = match self.take(name) {
            None => Map::new(),
            Some(Value::Object(members)) => members,
            Some(other) => return Err(wrong(name, "an object", &other)),
        };
        Ok(Self {
            owner: name,
            members,
        })
    }

    pub(super) fn take_bool(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(wrong(name, "a boolean", &other)),
        }
    }
}

/// A member of the wrong type.
pub(super) fn wrong(name: &str, wanted: &str, found: &Value) -> Problem {
    Problem::invalid(format!("`{name}` must be {wanted}, and is {}", kind(found)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream::{StreamExt, iter, pending};
    use std::convert::Infallible;

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let start = iter([Ok::<_, Infallible>("{\"agent\"")]);
        let body = Body::from_stream(start.chain(pending()));
        let read = bytes(&HeaderMap::new(), body, Duration::from_millis(20)).await;
        assert!(read.unwrap_err().is(&Code::InvalidRequest));
    }

    #[tokio::test]
    async fn a_body_of_the_largest_size_is_read_and_one_byte_more_is_not() {
        for (size, is_read) in [(BYTES_MAX, true), (BYTES_MAX + 1, false)] {
            let body = Body::from(vec![b' '; size]);
            let read = bytes(&HeaderMap::new(), body, ARRIVAL).await;
            assert_eq!(read.is_ok(), is_read, "{size}");
        }
    }
}
