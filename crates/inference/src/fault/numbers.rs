//! Numbers of tokens within a provider's words.

/// The conversation's tokens and the model's limit. A request that is too long is longer than what is
/// accepted, so of the first two numbers the larger is the request.
pub(super) fn of_context(message: &str) -> (Option<u64>, Option<u64>) {
    let numbers = whole_numbers(message);
    if message.contains(" + ")
        && let [input, output, limit, ..] = *numbers.as_slice()
    {
        return (Some(input.saturating_add(output)), Some(limit));
    }
    match *numbers.as_slice() {
        [] => (None, None),
        [limit] => (None, Some(limit)),
        [one, other, ..] => (Some(one.max(other)), Some(one.min(other))),
    }
}

/// Numbers that stand alone: not those within names such as `gpt-4.1`.
fn whole_numbers(text: &str) -> Vec<u64> {
    text.split(|letter: char| letter.is_whitespace() || "()[]:;>=".contains(letter))
        .filter_map(|word| {
            let digits = word.trim_end_matches([',', '.']).replace([',', '_'], "");
            digits.parse().ok().filter(|number| *number >= 16)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::of_context;

    #[test]
    fn both_numbers_are_read_from_every_known_wording() {
        for message in [
            "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
            "gpt-4.1 maximum context length is 4096 tokens. However, you requested 5000 tokens (4900 in the messages, 100 in the completion).",
            "prompt is too long: 5000 tokens > 4096 maximum",
            "The input token count (5,000) exceeds the maximum number of tokens allowed (4,096).",
            "The input token count (5000) exceeds the maximum number of tokens allowed (4096).",
            "input length and `max_tokens` exceed context limit: 4000 + 1000 > 4096, decrease one",
            "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
            "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 tokens",
        ] {
            assert_eq!(of_context(message), (Some(5000), Some(4096)), "{message}");
        }
        let one = of_context("the maximum context length is 4096");
        assert_eq!(one, (None, Some(4096)));
        assert_eq!(of_context("too long"), (None, None));
    }
}
