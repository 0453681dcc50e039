//! Text to tokens and back, with the vocabulary that a GGUF file carries: byte-level byte pair encoding.
//!
//! Text is cut into words ([`split`]), and the bytes of a word are merged pair by pair ([`merge`]). Control tokens
//! such as the end of a message are never found in what people wrote: see [`Tokenizer::disarm`].

mod merge;
mod split;

use super::gguf::{Gguf, GgufError};
use super::llama::ModelError;
use merge::Merges;
use split::Splitter;
use std::collections::HashMap;

/// Kinds of tokens in a GGUF file.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// What is put into a control token's text where it is no control token. Unicode promises that it stands for
/// nothing.
const DISARMED: char = '\u{fdd0}';

/// Control tokens that end an answer, by the names that models give them.
const ENDS: &[&str] = &[
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "</s>",
];

#[derive(Debug)]
pub(super) struct Tokenizer {
    /// The bytes of each token; none for control tokens.
    bytes: Vec<Vec<u8>>,
    /// The texts of control tokens and those added by hand, the longest first.
    special: Vec<(String, u32)>,
    /// The token of each single byte. Some vocabularies lack control characters; these are lost.
    singles: Vec<Option<u32>>,
    merges: Merges,
    splitter: Splitter,
    ends: Vec<u32>,
    begin: Option<u32>,
    adds_begin: bool,
    texts: Vec<String>,
}

impl Tokenizer {
    pub(super) fn load(file: &Gguf) -> Result<Self, ModelError> {
        let model = file.text("tokenizer.ggml.model").unwrap_or_default();
        if model != "gpt2" {
            let said = format!("it is of the kind `{model}`, and `gpt2` is known");
            return Err(ModelError::Vocabulary(said));
        }
        let pre = file.text("tokenizer.ggml.pre").unwrap_or("gpt-2");
        let splitter = Splitter::new(pre).ok_or_else(|| {
            ModelError::Vocabulary(format!("its way to cut words, `{pre}`, is not known"))
        })?;
        let texts = file.texts("tokenizer.ggml.tokens")?;
        let kinds = kinds(file, texts.len())?;
        let byte_of = byte_of();
        let (mut bytes, mut special, mut ids) = (Vec::new(), Vec::new(), HashMap::new());
        for ((id, text), kind) in (0..).zip(&texts).zip(kinds) {
            match kind {
                CONTROL => {
                    special.push(((*text).to_owned(), id));
                    bytes.push(Vec::new());
                }
                USER_DEFINED => {
                    special.push(((*text).to_owned(), id));
                    bytes.push(text.as_bytes().to_vec());
                }
                _ => {
                    let own: Option<Vec<u8>> =
                        text.chars().map(|c| byte_of.get(&c).copied()).collect();
                    bytes.push(own.unwrap_or_default());
                    ids.insert(*text, id);
                }
            }
        }
        special.retain(|(text, _)| !text.is_empty());
        special.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let merges = Merges::new(&file.texts("tokenizer.ggml.merges")?, &ids);
        let mut singles = vec![None; 256];
        for (id, bytes) in (0..).zip(&bytes) {
            if let [byte] = bytes.as_slice() {
                singles[usize::from(*byte)].get_or_insert(id);
            }
        }
        let number = |name: &str| file.number(name).and_then(|id| u32::try_from(id).ok());
        let mut ends: Vec<u32> = ["eos_token_id", "eot_token_id", "eom_token_id"]
            .iter()
            .filter_map(|name| number(&format!("tokenizer.ggml.{name}")))
            .collect();
        let named = special
            .iter()
            .filter(|(text, _)| ENDS.contains(&text.as_str()));
        ends.extend(named.map(|(_, id)| *id));
        ends.sort_unstable();
        ends.dedup();
        Ok(Self {
            bytes,
            special,
            singles,
            merges,
            splitter,
            ends,
            begin: number("tokenizer.ggml.bos_token_id"),
            adds_begin: file.truth("tokenizer.ggml.add_bos_token").unwrap_or(false),
            texts: texts.into_iter().map(ToOwned::to_owned).collect(),
        })
    }

    /// How many tokens there are.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that a token stands for; a control token stands for none.
    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        let index = usize::try_from(token).unwrap_or(usize::MAX);
        self.bytes.get(index).map_or(&[], Vec::as_slice)
    }

    /// The text of a token as the file has it.
    pub(super) fn text(&self, token: u32) -> &str {
        let index = usize::try_from(token).unwrap_or(usize::MAX);
        self.texts.get(index).map_or("", String::as_str)
    }

    /// The most bytes that a token stands for, at least one.
    pub(super) fn longest(&self) -> usize {
        // In the file a byte is a character, of one byte or more.
        self.texts.iter().map(String::len).fold(1, usize::max)
    }

    /// The token that begins every text, where the model has one.
    pub(super) const fn begin(&self) -> Option<u32> {
        self.begin
    }

    /// The tokens that end an answer.
    pub(super) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Makes every control token in a text that somebody wrote plain text.
    pub(super) fn disarm(&self, text: &str) -> String {
        let mut text = text.replace(DISARMED, "");
        for (special, _) in &self.special {
            if text.contains(special.as_str()) {
                let mut characters = special.chars();
                let first: String = characters.by_ref().take(1).collect();
                let disarmed = format!("{first}{DISARMED}{}", characters.as_str());
                text = text.replace(special.as_str(), &disarmed);
            }
        }
        text
    }

    /// The tokens of a text without control tokens.
    pub(super) fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        self.splitter.split(text, |word| {
            self.merges.encode(word, &self.singles, &mut tokens);
        });
        tokens
    }

    /// The tokens of a rendered conversation, in which control tokens are what they are.
    pub(super) fn encode_conversation(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        let begins = self.begin.filter(|_| self.adds_begin);
        tokens.extend(begins.filter(|begin| !text.starts_with(self.text(*begin))));
        let mut rest = text;
        while !rest.is_empty() {
            let next = self
                .special
                .iter()
                .filter_map(|(special, id)| Some((rest.find(special.as_str())?, special, *id)))
                .min_by_key(|(at, special, _)| (*at, std::cmp::Reverse(special.len())));
            let plain = next.map_or(rest.len(), |(at, ..)| at);
            tokens.extend(self.encode(&rest[..plain].replace(DISARMED, "")));
            rest = &rest[plain..];
            if let Some((_, special, id)) = next {
                tokens.push(id);
                rest = &rest[special.len()..];
            }
        }
        tokens
    }
}

fn kinds(file: &Gguf, count: usize) -> Result<Vec<i64>, ModelError> {
    let name = "tokenizer.ggml.token_type";
    let Some(super::gguf::Value::Array(kinds)) = file.value(name) else {
        return Err(GgufError::Missing(name.to_owned()).into());
    };
    let kind = |value: &super::gguf::Value| match value {
        super::gguf::Value::Signed(kind) => *kind,
        super::gguf::Value::Unsigned(kind) => i64::try_from(*kind).unwrap_or(0),
        _ => 0,
    };
    if kinds.len() != count {
        return Err(GgufError::Damaged("not every token has a kind").into());
    }
    Ok(kinds.iter().map(kind).collect())
}

/// The byte that a character of a vocabulary stands for: printable bytes stand for themselves, the others for
/// characters from 256 on.
fn byte_of() -> HashMap<char, u8> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 256;
    (0..=255)
        .filter_map(|byte| {
            let code = if is_printable(byte) {
                u32::from(byte)
            } else {
                next += 1;
                next - 1
            };
            Some((char::from_u32(code)?, byte))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_character() {
        let byte_of = byte_of();
        assert_eq!(byte_of.len(), 256);
        assert_eq!(byte_of[&'Ġ'], b' ');
        assert_eq!(byte_of[&'Ċ'], b'\n');
        assert_eq!(byte_of[&'a'], b'a');
    }

    /// The tokenizer of the model that tests are given, where they are.
    fn real() -> Option<Tokenizer> {
        let Some(path) = std::env::var_os("MAINSTAY_TEST_GGUF") else {
            println!("skipped: MAINSTAY_TEST_GGUF names no GGUF file");
            return None;
        };
        let file = Gguf::open(path.as_ref()).unwrap();
        Some(Tokenizer::load(&file).unwrap())
    }

    fn decode(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<u8> {
        let bytes = tokens.iter().map(|token| tokenizer.bytes(*token));
        bytes.collect::<Vec<_>>().concat()
    }

    #[test]
    fn texts_become_the_tokens_that_the_model_was_trained_with() {
        let Some(tokenizer) = real() else { return };
        // As other implementations have it for SmolLM2.
        let known: [(&str, &[u32]); 6] = [
            ("Hello world", &[19556, 905]),
            ("  leading", &[216, 2899]),
            ("trailing   ", &[4861, 4966, 333]),
            ("a\n b\t\tc", &[81, 198, 278, 197, 197, 83]),
            ("don't CAN'T we've", &[12420, 982, 27190, 23, 68, 392, 3543]),
            (
                "١٢٣ ²³ Ⅷ",
                &[
                    164, 111, 164, 112, 164, 113, 216, 19133, 39050, 216, 173, 223, 117,
                ],
            ),
        ];
        for (text, tokens) in known {
            assert_eq!(tokenizer.encode(text), tokens, "{text}");
        }
    }

    #[test]
    fn nobody_can_write_a_control_token() {
        let Some(tokenizer) = real() else { return };
        let end = "<|im_end|>";
        let id = tokenizer.encode_conversation(end);
        assert_eq!(id.len(), 1);
        for text in [
            end.to_owned(),
            format!("a{end}b{end}"),
            "<|im_<|im_end|>end|>".to_owned(),
        ] {
            let tokens = tokenizer.encode_conversation(&tokenizer.disarm(&text));
            assert!(!tokens.contains(&id[0]), "{text}");
            assert_eq!(decode(&tokenizer, &tokens), text.as_bytes());
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        use proptest::prelude::*;
        let Some(tokenizer) = real() else { return };
        let texts = prop_oneof![any::<String>(), "[a-z0-9 \n\t'.,!éß日本😀]{0,200}"];
        proptest!(|(text in texts)| {
            // Some vocabularies lack some control characters and rare planes.
            let known: Vec<u8> = text
                .bytes()
                .filter(|byte| tokenizer.singles[usize::from(*byte)].is_some())
                .collect();
            prop_assert_eq!(decode(&tokenizer, &tokenizer.encode(&text)), known);
        });
    }
}
