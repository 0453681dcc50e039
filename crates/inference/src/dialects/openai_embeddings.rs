//! OpenAI's Embeddings.

use super::openai::{
    Path, array, fault_in, json, malformed, optional_text, parse, string, whole_number,
};
use crate::{
    DecodeError, EmbeddingEncoding, EmbeddingInput, EmbeddingRequest, Embeddings, EncodedRequest,
    InvalidRequest, Tokens,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

/// Reads a request of a caller.
///
/// # Errors
/// It is no JSON object, or a field is missing or of another type.
pub(crate) fn read_request(body: &[u8]) -> Result<EmbeddingRequest, InvalidRequest> {
    let root = Path::ROOT;
    let mut request = EmbeddingRequest::default();
    let (mut has_model, mut has_input) = (false, false);
    for (key, value) in parse(body)? {
        let at = root.key(&key);
        match key.as_str() {
            _ if value.is_null() => {}
            "model" => {
                request.model = string(value, &at)?;
                has_model = true;
            }
            "input" => {
                request.inputs = inputs(value, &at)?;
                has_input = true;
            }
            "dimensions" => request.dimensions = Some(whole_number(&value, &at)?),
            "user" => request.user = optional_text(value, &at)?,
            "encoding_format" => {
                request.encoding = match string(value, &at)?.as_str() {
                    "float" => EmbeddingEncoding::Float,
                    "base64" => EmbeddingEncoding::Base64,
                    _ => return Err(at.wrong("must be `float` or `base64`")),
                };
            }
            _ => drop(request.extra.insert(key, value)),
        }
    }
    match (has_model, has_input) {
        (false, _) => Err(root.missing("model")),
        (_, false) => Err(root.missing("input")),
        (true, true) => Ok(request),
    }
}

fn inputs(value: Value, at: &Path<'_>) -> Result<Vec<EmbeddingInput>, InvalidRequest> {
    let items = match value {
        Value::String(text) => return Ok(vec![EmbeddingInput::Text(text)]),
        Value::Array(items) => items,
        _ => return Err(at.wrong("must be a string or an array")),
    };
    match items.first() {
        None => Err(at.wrong("must not be empty")),
        Some(Value::Number(_)) => Ok(vec![EmbeddingInput::Tokens(tokens(items, at)?)]),
        Some(_) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| {
                let at = at.index(index);
                match item {
                    Value::String(text) => Ok(EmbeddingInput::Text(text)),
                    Value::Array(_) => Ok(EmbeddingInput::Tokens(tokens(array(item, &at)?, &at)?)),
                    _ => Err(at.wrong("must be a string or an array of tokens")),
                }
            })
            .collect(),
    }
}

fn tokens(items: Vec<Value>, at: &Path<'_>) -> Result<Vec<u32>, InvalidRequest> {
    let token = |(index, item): (usize, Value)| {
        let at = at.index(index);
        let number = whole_number(&item, &at)?;
        u32::try_from(number).map_err(|_| at.wrong("is no token: it is too large"))
    };
    items.into_iter().enumerate().map(token).collect()
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Vec<WireInput<'a>>,
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireInput<'a> {
    Text(&'a str),
    Tokens(&'a [u32]),
}

impl<'a> WireInput<'a> {
    fn of(input: &'a EmbeddingInput) -> Self {
        match input {
            EmbeddingInput::Text(text) => Self::Text(text),
            EmbeddingInput::Tokens(tokens) => Self::Tokens(tokens),
        }
    }
}

/// Writes a request to a provider; `model` is the provider's name of the model.
pub(crate) fn write_request(request: &EmbeddingRequest, model: &str) -> EncodedRequest {
    let body = Body {
        model,
        input: request.inputs.iter().map(WireInput::of).collect(),
        encoding_format: match request.encoding {
            EmbeddingEncoding::Float => "float",
            EmbeddingEncoding::Base64 => "base64",
        },
        dimensions: request.dimensions,
        user: request.user.as_deref(),
        extra: &request.extra,
    };
    let mut bytes = Vec::with_capacity(256);
    json(&body, &mut bytes);
    EncodedRequest {
        body: bytes,
        dropped: Vec::new(),
    }
}

#[derive(Deserialize)]
struct WholeRead {
    #[serde(default)]
    model: Option<String>,
    data: Vec<VectorRead>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct VectorRead {
    #[serde(default)]
    index: Option<usize>,
    embedding: Numbers,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Numbers {
    Base64(String),
    Float(Vec<f32>),
}

#[derive(Serialize, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    total_tokens: u64,
}

/// Reads a provider's answer, in whichever encoding it came.
///
/// # Errors
/// It is a failure, not JSON, of another shape, not base64 of whole numbers, or not numbered from 0 on.
pub(crate) fn read_answer(body: &[u8]) -> Result<Embeddings, DecodeError> {
    let whole: WholeRead = serde_json::from_slice(body)
        .map_err(|error| fault_in(body).unwrap_or_else(|| malformed(&error)))?;
    let data = whole.data.into_iter().enumerate();
    // Servers that do not number them keep the order of the inputs.
    let data = data.map(|(place, vector)| (vector.index.unwrap_or(place), vector));
    let mut data: Vec<_> = data.collect();
    data.sort_by_key(|(index, _)| *index);
    if let Some((place, _)) = data
        .iter()
        .enumerate()
        .find(|(place, (index, _))| place != index)
    {
        let message = format!("no vector has the index {place}, or two have one index");
        return Err(DecodeError::Malformed(message));
    }
    let vectors = data.into_iter().map(|(_, vector)| match vector.embedding {
        Numbers::Float(numbers) => Ok(numbers),
        Numbers::Base64(text) => decoded(&text),
    });
    Ok(Embeddings {
        model: whole.model.unwrap_or_default(),
        vectors: vectors.collect::<Result<_, _>>()?,
        tokens: whole.usage.map(|usage| Tokens {
            input: usage.prompt_tokens.max(usage.total_tokens),
            ..Tokens::default()
        }),
    })
}

fn decoded(text: &str) -> Result<Vec<f32>, DecodeError> {
    let wrong = || DecodeError::Malformed("a vector is not base64 of 32-bit floats".to_owned());
    let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(wrong());
    }
    Ok(numbers
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect())
}

#[derive(Serialize)]
struct WholeWritten<'a> {
    object: &'static str,
    data: Vec<VectorWritten<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct VectorWritten<'a> {
    object: &'static str,
    index: usize,
    embedding: Encoded<'a>,
}

enum Encoded<'a> {
    Float(&'a [f32]),
    Base64(&'a [f32]),
}

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Float(numbers) => numbers.serialize(serializer),
            Self::Base64(numbers) => {
                let bytes: Vec<u8> = numbers
                    .iter()
                    .flat_map(|number| number.to_le_bytes())
                    .collect();
                serializer.serialize_str(&STANDARD.encode(bytes))
            }
        }
    }
}

/// Writes an answer to a caller, in the encoding that it asked for.
pub(crate) fn write_answer(embeddings: &Embeddings, encoding: EmbeddingEncoding) -> Vec<u8> {
    let vectors = embeddings.vectors.iter().enumerate();
    let vectors = vectors.map(|(index, numbers)| VectorWritten {
        object: "embedding",
        index,
        embedding: match encoding {
            EmbeddingEncoding::Float => Encoded::Float(numbers),
            EmbeddingEncoding::Base64 => Encoded::Base64(numbers),
        },
    });
    let tokens = embeddings.tokens.unwrap_or_default().input;
    let whole = WholeWritten {
        object: "list",
        data: vectors.collect(),
        model: &embeddings.model,
        usage: Usage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        },
    };
    let mut body = Vec::with_capacity(1024);
    json(&whole, &mut body);
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(value: &Value) -> Result<EmbeddingRequest, InvalidRequest> {
        read_request(value.to_string().as_bytes())
    }

    #[test]
    fn all_inputs_are_read() {
        let text = |text: &str| EmbeddingInput::Text(text.to_owned());
        let tokens = |tokens: &[u32]| EmbeddingInput::Tokens(tokens.to_vec());
        let cases = [
            (json!("a"), vec![text("a")]),
            (json!(["a", "b"]), vec![text("a"), text("b")]),
            (json!([1, 2]), vec![tokens(&[1, 2])]),
            (json!([[1], [2, 3]]), vec![tokens(&[1]), tokens(&[2, 3])]),
        ];
        for (input, inputs) in cases {
            let request = read(&json!({"model": "m", "input": input, "input_type": "query"}));
            let request = request.unwrap();
            assert_eq!(request.inputs, inputs);
            let written: Value =
                serde_json::from_slice(&write_request(&request, "p").body).unwrap();
            assert_eq!(written["model"], "p");
            assert_eq!(written["input_type"], "query");
        }
    }

    #[test]
    fn complaints_name_the_field_in_words() {
        let cases = [
            (json!({"input": "a"}), "model"),
            (json!({"model": "m"}), "input"),
            (json!({"input": []}), "input"),
            (json!({"input": [1, "a"]}), "input[1]"),
            (json!({"input": ["a", 1]}), "input[1]"),
            (json!({"input": [[1, -1]]}), "input[0][1]"),
            (json!({"input": [4_294_967_296_u64]}), "input[0]"),
            (json!({"encoding_format": "int8"}), "encoding_format"),
            (json!({"dimensions": 1.5}), "dimensions"),
        ];
        for (value, param) in cases {
            let refused = read(&value).unwrap_err();
            assert_eq!(refused.param.as_deref(), Some(param));
            assert!(refused.message.starts_with('`'), "{}", refused.message);
        }
    }

    #[test]
    fn an_answer_of_openai_is_read_in_both_encodings() {
        let body = json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 5, "total_tokens": 5},
            "data": [{"object": "embedding", "index": 1, "embedding": "AACAPwAAAMA="},
                     {"object": "embedding", "index": 0, "embedding": [0.5, 1]}]});
        let answer = read_answer(body.to_string().as_bytes()).unwrap();
        assert_eq!(answer.vectors, [vec![0.5, 1.0], vec![1.0, -2.0]]);
        assert_eq!(answer.tokens.unwrap().input, 5);
        let fault = json!({"error": {"message": "no"}});
        assert_eq!(
            read_answer(fault.to_string().as_bytes()),
            Err(DecodeError::Fault(fault))
        );
        for (first, second) in [(0, 0), (0, 2), (1, 2)] {
            let one = |index| json!({"index": index, "embedding": [1.0]});
            let body = json!({"data": [one(first), one(second)]}).to_string();
            let read = read_answer(body.as_bytes());
            assert!(matches!(read, Err(DecodeError::Malformed(_))), "{read:?}");
        }
        let bare = json!({"data": [{"embedding": [1]}, {"embedding": [2]}]}).to_string();
        let bare = read_answer(bare.as_bytes()).unwrap();
        assert_eq!(bare.vectors, [[1.0], [2.0]]);
        assert_eq!(bare.clone().of_inputs(2), Ok(bare.clone()));
        for (vectors, count) in [
            (bare.vectors.clone(), 3),
            (bare.vectors, 1),
            (vec![vec![]], 1),
            (vec![vec![f32::NAN]], 1),
        ] {
            let made = Embeddings {
                model: String::new(),
                vectors,
                tokens: None,
            };
            assert!(matches!(
                made.of_inputs(count),
                Err(DecodeError::Malformed(_))
            ));
        }
        for broken in ["AAA", "AAAA", "?"] {
            let body = json!({"data": [{"embedding": broken}]}).to_string();
            assert!(matches!(
                read_answer(body.as_bytes()),
                Err(DecodeError::Malformed(_))
            ));
        }
    }

    proptest! {
        #[test]
        fn vectors_come_back_in_both_encodings(
            vectors in proptest::collection::vec(
                proptest::collection::vec(proptest::num::f32::NORMAL | proptest::num::f32::ZERO, 0..5),
                0..4,
            ),
            input in 0_u64..1000,
        ) {
            let tokens = Some(Tokens { input, ..Tokens::default() });
            let answer = Embeddings { model: "m".to_owned(), vectors, tokens };
            for encoding in [EmbeddingEncoding::Float, EmbeddingEncoding::Base64] {
                let body = write_answer(&answer, encoding);
                let read = read_answer(&body);
                prop_assert_eq!(read.as_ref(), Ok(&answer));
            }
        }

        #[test]
        fn a_request_comes_back(
            texts in proptest::collection::vec(crate::strategies::text(), 1..4),
            tokens in proptest::collection::vec(any::<u32>(), 1..4),
            dimensions in proptest::option::of(1_u64..4096),
            is_base64 in any::<bool>(),
        ) {
            let mut inputs: Vec<EmbeddingInput> = texts.into_iter().map(EmbeddingInput::Text).collect();
            inputs.push(EmbeddingInput::Tokens(tokens));
            let encoding = if is_base64 { EmbeddingEncoding::Base64 } else { EmbeddingEncoding::Float };
            let request = EmbeddingRequest {
                model: "m".to_owned(), inputs, dimensions, encoding, ..EmbeddingRequest::default()
            };
            prop_assert_eq!(read_request(&write_request(&request, "m").body), Ok(request));
        }

        #[test]
        fn nothing_makes_a_reader_panic(body in any::<Vec<u8>>(), value in crate::strategies::any_json()) {
            let _ = read_request(&body);
            let _ = read_answer(&body);
            let _ = read(&json!({"model": "m", "input": value}));
        }
    }
}
