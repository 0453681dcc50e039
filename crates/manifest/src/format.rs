//! Texts of a certain form: durations, sizes, money, names, paths, addresses.

use crate::refusal::Refusal;
use crate::rule::{AllowRule, StatusRange};
use crate::url::{Scheme, Url};
use crate::value::Value;
use mainstay_contract::{AgentName, IdError, Usd};
use std::time::Duration;

/// A form of text.
pub(crate) struct Format {
    /// What belongs there, with its article.
    pub(crate) expected: &'static str,
    /// A regular expression for editors; never narrower than `read`.
    pub(crate) pattern: &'static str,
    /// Whether a bare number is such a text.
    pub(crate) is_numeric: bool,
    /// Whether a wrong value may be a secret that must not be repeated in a message.
    pub(crate) is_secret: bool,
    /// Understands the text.
    pub(crate) read: fn(&str) -> Result<Value, Refusal>,
}

const NOTHING: Refusal = Refusal(None);

const fn text(
    expected: &'static str,
    pattern: &'static str,
    read: fn(&str) -> Result<Value, Refusal>,
) -> Format {
    Format {
        expected,
        pattern,
        is_numeric: false,
        is_secret: false,
        read,
    }
}

/// What names look like.
pub(crate) const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$";

pub(crate) static NAME: Format = text("a name", NAME_PATTERN, name);
pub(crate) static SECRET_NAME: Format = Format {
    is_secret: true,
    ..text("the name of a secret", NAME_PATTERN, name)
};
pub(crate) static ENVIRONMENT_VARIABLE: Format = Format {
    is_secret: true,
    ..text(
        "the name of an environment variable",
        "^[A-Za-z_][A-Za-z0-9_]*$",
        environment_variable,
    )
};
/// What projects and tasks are called.
pub(crate) static PART: Format = text("a name", "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", part);
pub(crate) static TASK: Format = text(
    "a task: `task`, `project:task` or `^task`",
    "^\\^?[A-Za-z0-9][A-Za-z0-9_.-]*(:[A-Za-z0-9][A-Za-z0-9_.-]*)?$",
    task,
);
pub(crate) static PATTERN: Format = text("a path or a pattern", "^[^\\u0000]+$", path);
pub(crate) static VARIABLE: Format = text(
    "an environment variable: `NAME` or `NAME=value`",
    "^[A-Za-z_][A-Za-z0-9_]*(=[^\\u0000]*)?$",
    variable,
);
pub(crate) static REMOTE_URL: Format = Format {
    is_secret: true,
    ..text(
        "a grpc, grpcs, http or https URL",
        "^([gG][rR][pP][cC]|[hH][tT][tT][pP])[sS]?://[^\\s?#@]+$",
        remote_url,
    )
};
pub(crate) static PATH: Format = text("a path", "^[^\\u0000]+$", path);
pub(crate) static DURATION: Format = text(
    "a duration such as `200ms`, `10s`, `5m` or `1h`",
    "^[0-9]+(ms|s|m|h|d)$",
    duration,
);
pub(crate) static SIZE: Format = text(
    "a size such as `64KiB`, `512MiB` or `10MB`",
    "^[0-9]+(B|[kK]B|MB|GB|TB|KiB|MiB|GiB|TiB)$",
    size,
);
pub(crate) static MONEY: Format = Format {
    is_numeric: true,
    ..text(
        "an amount in US dollars such as `0.25`",
        "^[0-9]+(\\.[0-9]{1,9})?$",
        money,
    )
};
pub(crate) static STATUS: Format = Format {
    is_numeric: true,
    ..text(
        "an HTTP status such as `404` or a range such as `200..299`",
        "^[1-5][0-9][0-9](\\.\\.[1-5][0-9][0-9])?$",
        status,
    )
};
pub(crate) static URL: Format = Format {
    is_secret: true,
    ..text(
        "an http or https URL",
        "^[hH][tT][tT][pP][sS]?://[^\\s?#@]+$",
        url,
    )
};
pub(crate) static PROXY_URL: Format = Format {
    is_secret: true,
    ..text(
        "a proxy such as `http://proxy.internal:3128`",
        "^[hH][tT][tT][pP]://[^\\s/?#@]+/?$",
        proxy_url,
    )
};
pub(crate) static HEALTH_ADDRESS: Format = Format {
    is_secret: true,
    ..text(
        "a path such as `/health`, or an http or https URL",
        "^(/|[hH][tT][tT][pP][sS]?://)[^\\s#]*$",
        health_address,
    )
};
pub(crate) static PROBE_URL: Format = Format {
    is_secret: true,
    ..text(
        "an http or https URL with `{key}` in its path or query",
        "^[hH][tT][tT][pP][sS]?://[^\\s#@]+\\{key\\}[^\\s#]*$",
        probe_url,
    )
};
pub(crate) static RULE: Format = text(
    "a method and a URL such as `POST https://tracker.example/issues/*`",
    "^[A-Z]+ +[hH][tT][tT][pP][sS]?://[^\\s?#@]+/[^\\s?#]*$",
    allow_rule,
);
pub(crate) static HOST: Format = text("a host name or address", "^[^\\s/@]+$", host);
pub(crate) static PRIVATE: Format = text("a host name or address", "^[^\\s/@]+$", host);
pub(crate) static HEADER: Format = Format {
    is_secret: true,
    ..text(
        "the name of an HTTP header",
        "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        header,
    )
};

pub(crate) static API_VERSION: Format = text(
    "a version such as `2024-10-21`",
    "^[A-Za-z0-9._-]+$",
    api_version,
);
/// The value of a header: perhaps a secret that should have been one.
pub(crate) static HEADER_VALUE: Format = Format {
    is_secret: true,
    ..text(
        "the value of an HTTP header",
        "^[!-~]([ -~\\t]*[!-~])?$",
        header_value,
    )
};

fn name(text: &str) -> Result<Value, Refusal> {
    match AgentName::new(text) {
        Ok(_) => Ok(Value::Text(text.to_owned())),
        Err(IdError::TooLong { .. }) => Err("use at most 128 characters".into()),
        Err(_) => Err(
            "use ASCII letters, digits, `_`, `-`, `.`, `:` and start with a letter or digit".into(),
        ),
    }
}

fn environment_variable(text: &str) -> Result<Value, Refusal> {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_next = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.starts_with(is_first) && text.chars().all(is_next) {
        return Ok(Value::Text(text.to_owned()));
    }
    Err("give the variable's name, such as `OPENAI_API_KEY`, not its value".into())
}

/// Whether a text can name a project or a task.
pub(crate) fn is_part(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(is_inner)
        && text.len() <= 64
}

fn part(text: &str) -> Result<Value, Refusal> {
    if is_part(text) {
        return Ok(Value::Text(text.to_owned()));
    }
    Err(
        "use at most 64 ASCII letters, digits, `_`, `-`, `.` and start with a letter or digit"
            .into(),
    )
}

fn task(text: &str) -> Result<Value, Refusal> {
    let bare = text.strip_prefix('^').unwrap_or(text);
    let is_good = match bare.split_once(':') {
        Some((project, task)) => bare == text && is_part(project) && is_part(task),
        None => is_part(bare),
    };
    match is_good {
        true => Ok(Value::Text(text.to_owned())),
        false => Err(NOTHING),
    }
}

fn variable(text: &str) -> Result<Value, Refusal> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_next = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_good = name.starts_with(is_first) && name.chars().all(is_next);
    match is_good && !value.contains('\0') {
        true => Ok(Value::Text(text.to_owned())),
        false => Err("names consist of letters, digits and `_`".into()),
    }
}

fn remote_url(text: &str) -> Result<Value, Refusal> {
    let plain = text.to_ascii_lowercase();
    let is_grpc = plain.starts_with("grpc://") || plain.starts_with("grpcs://");
    let as_http = match is_grpc {
        true => format!("http{}", &text[4..]),
        false => text.to_owned(),
    };
    url(&as_http).map(|_| Value::Text(text.trim_end_matches('/').to_owned()))
}

fn path(text: &str) -> Result<Value, Refusal> {
    if text.is_empty() || text.contains('\0') {
        return Err(NOTHING);
    }
    Ok(Value::Text(text.to_owned()))
}

/// The digits at the start, and the unit after them.
fn quantity(text: &str) -> (Option<u64>, &str) {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    (text[..digits].parse().ok(), text[digits..].trim())
}

fn duration(text: &str) -> Result<Value, Refusal> {
    /// A year: anything longer is a mistake.
    const SECONDS_MAX: u64 = 366 * 86_400;
    let (Some(count), unit) = quantity(text) else {
        return Err(NOTHING);
    };
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(format!("add a unit, such as `{count}s`").into()),
        _ if unit.starts_with('.') => return Err("use whole numbers, such as `1500ms`".into()),
        _ => return Err("the units are `ms`, `s`, `m`, `h` and `d`".into()),
    };
    if !text.ends_with(unit) || text.len() != text.trim_end().len() || text.contains(' ') {
        return Err("write number and unit together".into());
    }
    match count.checked_mul(millis).map(Duration::from_millis) {
        Some(Duration::ZERO) => Err("it must be more than nothing".into()),
        Some(value) if value.as_secs() <= SECONDS_MAX => Ok(Value::Duration(value)),
        _ => Err("it must not be longer than a year".into()),
    }
}

fn size(text: &str) -> Result<Value, Refusal> {
    let (Some(count), unit) = quantity(text) else {
        return Err(NOTHING);
    };
    let bytes: u64 = match unit {
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "" => return Err(format!("add a unit, such as `{count}MiB`").into()),
        "K" | "M" | "G" | "T" | "Ki" | "Mi" | "Gi" | "Ti" => {
            let prefix = unit.trim_end_matches('i');
            return Err(format!("write the unit out: `{count}{prefix}iB`").into());
        }
        _ => {
            return Err(
                "the units are `B`, `KiB`, `MiB`, `GiB`, `TiB`, `KB`, `MB`, `GB`, `TB`".into(),
            );
        }
    };
    if text.contains(char::is_whitespace) {
        return Err("write number and unit together".into());
    }
    match count.checked_mul(bytes) {
        Some(0) => Err("it must be more than nothing".into()),
        // The kernel counts in signed 64-bit numbers.
        Some(value) if i64::try_from(value).is_ok() => Ok(Value::Bytes(value)),
        _ => Err("it is too large".into()),
    }
}

fn money(text: &str) -> Result<Value, Refusal> {
    let amount: Result<Usd, _> = text.parse();
    amount.map(Value::Money).map_err(|_| {
        "write it without sign, currency or exponent, with at most nine decimals".into()
    })
}

fn status(text: &str) -> Result<Value, Refusal> {
    StatusRange::parse(text).map(Value::Statuses).ok_or(NOTHING)
}

fn url(text: &str) -> Result<Value, Refusal> {
    let url = Url::parse(text)?;
    if url.rest.contains(['?', '#']) {
        return Err("leave query and fragment out".into());
    }
    Ok(Value::Text(text.trim_end_matches('/').to_owned()))
}

fn proxy_url(text: &str) -> Result<Value, Refusal> {
    let url = Url::parse(text)?;
    if url.scheme != Scheme::Http {
        return Err("begin with `http://`: what goes through a proxy is encrypted already".into());
    }
    match url.rest.as_str() {
        "" | "/" => Ok(Value::Text(text.trim_end_matches('/').to_owned())),
        _ => Err("leave everything behind the port out".into()),
    }
}

fn health_address(text: &str) -> Result<Value, Refusal> {
    let rest = match text.starts_with('/') {
        true if text.starts_with("//") => {
            return Err("begin a path with one slash, and a URL with its scheme".into());
        }
        true => text.to_owned(),
        false if !text.contains("://") => {
            return Err("begin with `/`, `http://` or `https://`".into());
        }
        false => Url::parse(text)?.rest,
    };
    if rest.contains('#') {
        return Err("leave the fragment out".into());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?%".contains(c);
    match rest.chars().all(is_plain) {
        true => Ok(Value::Text(text.to_owned())),
        false => Err("percent-encode what is no part of an address".into()),
    }
}

fn probe_url(text: &str) -> Result<Value, Refusal> {
    let url = Url::parse(text)?;
    let rest = url.rest.replace("{key}", "");
    if rest.len() == url.rest.len() {
        return Err("say with `{key}` where the idempotency key goes".into());
    }
    if rest.contains(['{', '}']) {
        return Err("only `{key}` is filled in; write other braces as `%7B` and `%7D`".into());
    }
    if rest.contains('#') {
        return Err("leave the fragment out".into());
    }
    Ok(Value::Text(text.to_owned()))
}

fn allow_rule(text: &str) -> Result<Value, Refusal> {
    AllowRule::parse(text).map(Value::Rule)
}

fn host(text: &str) -> Result<Value, Refusal> {
    crate::url::host(text).map(Value::Text)
}

fn header(text: &str) -> Result<Value, Refusal> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if text.is_empty() || !text.chars().all(is_token) {
        return Err(NOTHING);
    }
    let lower = text.to_ascii_lowercase();
    let reserved = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
    ];
    if reserved.contains(&lower.as_str()) || lower == "idempotency-key" {
        return Err("the node sets this header itself".into());
    }
    Ok(Value::Text(text.to_owned()))
}

fn api_version(text: &str) -> Result<Value, Refusal> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match !text.is_empty() && text.chars().all(is_allowed) {
        true => Ok(Value::Text(text.to_owned())),
        false => Err(NOTHING),
    }
}

fn header_value(text: &str) -> Result<Value, Refusal> {
    let is_allowed = |c: char| c.is_ascii_graphic() || matches!(c, ' ' | '\t');
    let is_trimmed = text.trim() == text && !text.is_empty();
    match is_trimmed && text.chars().all(is_allowed) {
        true => Ok(Value::Text(text.to_owned())),
        false => Err("use ASCII, without spaces at the ends".into()),
    }
}
