//! What the upstream does, by the name of the model that is asked.
//!
//! The part after the last `/` counts, so `a/ok` and `b/ok` do the same and are counted apart.

use std::time::Duration;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scenario {
    Answer(Content, Pace),
    Fail(Trouble),
    /// So many failures for each key, then `ok`.
    First(u64, Trouble),
    /// One request in so many fails.
    Each(u64, Trouble),
    /// 401 unless the key is the one that a control call named.
    Rotate,
    /// The headers of a stream or nothing at all, then silence.
    Stall,
    /// Two pieces of content, then silence.
    StallMid,
    /// Two pieces of content, or half a body, then the connection closes.
    Cut,
    /// The connection closes before anything was said.
    Reset,
    /// Two pieces of content, then an error within the stream.
    OverloadedMid,
    /// What should be JSON is not, from the beginning.
    BadJson,
    /// The same after two pieces of content.
    BadJsonMid,
    /// A body of no bytes.
    Empty,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Ok,
    Echo,
    Count,
    Tools,
    /// Calls the tool that runs commands.
    Run,
    Json,
    Think,
    Image,
    Cached,
    /// Content was held back while the answer was made.
    Filtered,
    /// The answer came to the most tokens allowed.
    Length,
    Refusal,
    /// The server gave up while the answer was made; of wires that have a word for it.
    Aborted,
    /// An end that does not say why, behind a call; of wires that have such an end.
    Silent,
    /// A picture beside the text; of wires on which models draw.
    Picture,
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    AtOnce,
    EachAfter(Duration),
    FirstAfter(Duration),
}

/// A response that is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Unauthorized,
    Forbidden,
    NotFound,
    Internal,
    Unavailable,
    Overloaded,
    /// The page of some proxy, with the key that it was shown.
    Page,
    /// With the time to wait; a header in milliseconds where the flag says so.
    Limited(Duration, bool),
    Quota,
    Context,
    Filter,
}

impl Scenario {
    /// By the model's name; nothing where there is no such model.
    pub(super) fn of(model: &str) -> Option<Self> {
        let name = model.rsplit('/').next().unwrap_or(model);
        let now = |content| Some(Self::Answer(content, Pace::AtOnce));
        match name {
            "ok" => now(Content::Ok),
            "echo" => now(Content::Echo),
            "tools" => now(Content::Tools),
            "run" => now(Content::Run),
            "json" => now(Content::Json),
            "think" => now(Content::Think),
            "image" => now(Content::Image),
            "cached" => now(Content::Cached),
            "filter-finish" => now(Content::Filtered),
            "length" => now(Content::Length),
            "refusal" => now(Content::Refusal),
            "abort" => now(Content::Aborted),
            "silent" => now(Content::Silent),
            "picture" => now(Content::Picture),
            "stall" => Some(Self::Stall),
            "stall-mid" => Some(Self::StallMid),
            "cut" => Some(Self::Cut),
            "reset" => Some(Self::Reset),
            "overloaded-mid" => Some(Self::OverloadedMid),
            "badjson" => Some(Self::BadJson),
            "badjson-mid" => Some(Self::BadJsonMid),
            "empty" => Some(Self::Empty),
            "rotate" => Some(Self::Rotate),
            _ => trouble(name).map(Self::Fail).or_else(|| numbered(name)),
        }
    }
}

fn trouble(name: &str) -> Option<Trouble> {
    Some(match name {
        "401" => Trouble::Unauthorized,
        "403" => Trouble::Forbidden,
        "404" => Trouble::NotFound,
        "500" => Trouble::Internal,
        "503" => Trouble::Unavailable,
        "529" => Trouble::Overloaded,
        "html502" => Trouble::Page,
        "quota" => Trouble::Quota,
        "ctx" => Trouble::Context,
        "filter" => Trouble::Filter,
        _ => {
            let (kind, number) = name.split_once('-')?;
            let number = number.parse().ok()?;
            match kind {
                "429" => Trouble::Limited(Duration::from_secs(number), false),
                "429ms" => Trouble::Limited(Duration::from_millis(number), true),
                _ => return None,
            }
        }
    })
}

fn numbered(name: &str) -> Option<Scenario> {
    let mut parts = name.split('-');
    let kind = parts.next()?;
    let number: u64 = parts.next()?.parse().ok()?;
    let time = Duration::from_millis(number);
    let seconds = parts.next().map_or(Some(1), |text| text.parse().ok())?;
    Some(match kind {
        "slow" => Scenario::Answer(Content::Count, Pace::EachAfter(time)),
        "ttft" => Scenario::Answer(Content::Count, Pace::FirstAfter(time)),
        "ill" => Scenario::Each(number.max(1), Trouble::Internal),
        "flaky" => Scenario::First(number, Trouble::Internal),
        "limited" => {
            let wait = Duration::from_secs(seconds);
            Scenario::First(number, Trouble::Limited(wait, false))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_happens() {
        let slow = Pace::EachAfter(Duration::from_millis(20));
        assert_eq!(
            Scenario::of("x/slow-20"),
            Some(Scenario::Answer(Content::Count, slow))
        );
        let limited = Trouble::Limited(Duration::from_secs(2), false);
        assert_eq!(Scenario::of("429-2"), Some(Scenario::Fail(limited)));
        assert_eq!(
            Scenario::of("limited-1-2"),
            Some(Scenario::First(1, limited))
        );
        assert_eq!(Scenario::of("gpt-4.1"), None);
        assert_eq!(Scenario::of("slow-x"), None);
    }
}
