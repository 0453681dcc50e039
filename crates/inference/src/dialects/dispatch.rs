//! Each dialect's reading and writing, by its name.

use super::call_proof::{self, ProofsInIds};
use super::caller_place::caller_field;
use super::foreign::drop_once;
use super::mend::mended;
use super::{anthropic, gemini, openai_chat, openai_embeddings, openai_responses, understood};
use crate::{
    Answer, AnswerContext, DecodeError, Dialect, EmbeddingEncoding, EmbeddingRequest, Embeddings,
    EncodedRequest, Failure, InvalidRequest, Request, StreamDecoder, StreamEncoder, Unsupported,
};

/// What a request's form depends on beside the request.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions<'a> {
    /// The provider's name of the model.
    pub model: &'a str,
    /// Whether the server only follows OpenAI, and knows older names of fields alone.
    pub is_compatible: bool,
}

impl Dialect {
    /// Reads a caller's request.
    ///
    /// # Errors
    /// [`InvalidRequest`], with the field.
    pub fn read_request(self, body: &[u8]) -> Result<Request, InvalidRequest> {
        let request = match self {
            Self::OpenAiChat => openai_chat::read_request(body).map(call_proof::take_out),
            Self::OpenAiResponses => openai_responses::read_request(body).map(call_proof::take_out),
            Self::Anthropic => anthropic::read_request(body),
            Self::Gemini => Err(InvalidRequest {
                param: None,
                message: "requests are not read in Gemini's dialect".to_owned(),
            }),
        };
        request.map(|request| Request {
            caller: Some(self),
            ..request
        })
    }

    /// Writes a request for a provider.
    ///
    /// # Errors
    /// [`Unsupported`], naming what this wire cannot say.
    pub fn write_request(
        self,
        request: &Request,
        options: &WriteOptions<'_>,
    ) -> Result<EncodedRequest, Unsupported> {
        let model = options.model;
        let (said, left_out) = understood::for_target(request, self);
        let request = said.as_ref();
        let written = match self {
            Self::OpenAiChat => {
                let flavour = match options.is_compatible {
                    true => openai_chat::Flavour::compatible(),
                    false => openai_chat::Flavour::openai(),
                };
                openai_chat::write_request(request, model, &flavour)
            }
            Self::OpenAiResponses => openai_responses::write_request(request, model),
            Self::Anthropic => {
                let options = anthropic::Options::of_model(model);
                anthropic::write_request(request, model, &options)
            }
            Self::Gemini => gemini::write_request(request, &gemini::Options::of_model(model)),
        };
        match written {
            Ok(EncodedRequest {
                body,
                dropped: fields,
            }) => {
                let mut dropped = Vec::with_capacity(fields.len());
                for name in fields.iter().chain(&left_out) {
                    drop_once(&mut dropped, &caller_field(name, request));
                }
                Ok(EncodedRequest { body, dropped })
            }
            Err(Unsupported { param, message }) => Err(Unsupported {
                param: caller_field(&param, request),
                message,
            }),
        }
    }

    /// Reads a whole answer to a request.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn read_answer(self, body: &[u8], request: &Request) -> Result<Answer, DecodeError> {
        let read = self.read_strictly(body, request);
        let Err(DecodeError::Malformed(_)) = &read else {
            return read;
        };
        let again = mended(body).map(|body| self.read_strictly(&body, request));
        again.and_then(Result::ok).map_or(read, Ok)
    }

    fn read_strictly(self, body: &[u8], request: &Request) -> Result<Answer, DecodeError> {
        match self {
            Self::OpenAiChat => openai_chat::read_answer(body, request),
            Self::OpenAiResponses => openai_responses::read_answer(body),
            Self::Anthropic => anthropic::read_answer(body),
            Self::Gemini => gemini::read_answer(body),
        }
    }

    /// Writes a whole answer for a caller.
    #[must_use]
    pub fn write_answer(self, answer: &Answer, context: &AnswerContext<'_>) -> Vec<u8> {
        match self {
            Self::OpenAiChat | Self::Gemini => {
                openai_chat::write_answer(&call_proof::put_in(answer), context)
            }
            Self::OpenAiResponses => {
                openai_responses::write_answer(&call_proof::put_in(answer), context)
            }
            Self::Anthropic => anthropic::write_answer(answer, context),
        }
    }

    /// Reads a stream that answers a request.
    #[must_use]
    pub fn stream_reader(self, request: &Request) -> Box<dyn StreamDecoder> {
        match self {
            Self::OpenAiChat => Box::new(openai_chat::StreamReader::new(request)),
            Self::OpenAiResponses => Box::new(openai_responses::StreamReader::default()),
            Self::Anthropic => Box::new(anthropic::StreamReader::default()),
            Self::Gemini => Box::new(gemini::StreamReader::default()),
        }
    }

    /// Writes a stream for a caller.
    #[must_use]
    pub fn stream_writer(self, context: &AnswerContext<'_>) -> Box<dyn StreamEncoder> {
        match self {
            Self::OpenAiChat | Self::Gemini => {
                Box::new(ProofsInIds::new(openai_chat::stream_writer(context)))
            }
            Self::OpenAiResponses => {
                Box::new(ProofsInIds::new(openai_responses::stream_writer(context)))
            }
            Self::Anthropic => Box::new(anthropic::stream_writer(context)),
        }
    }

    /// Writes a failure for a caller: the body of an error response.
    #[must_use]
    pub fn write_failure(self, failure: &Failure<'_>) -> Vec<u8> {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses | Self::Gemini => {
                openai_chat::write_failure(failure)
            }
            Self::Anthropic => anthropic::write_failure(failure),
        }
    }
}

/// Reads a request to count the tokens of a conversation, as Anthropic's clients send it.
///
/// # Errors
/// [`InvalidRequest`], with the field.
pub fn read_count_request(body: &[u8]) -> Result<Request, InvalidRequest> {
    anthropic::read_count_request(body)
}

/// Writes the answer to it.
#[must_use]
pub fn write_count(input_tokens: u64) -> Vec<u8> {
    anthropic::write_count(input_tokens)
}

/// Reads a caller's request for vectors, as OpenAI's clients send it.
///
/// # Errors
/// [`InvalidRequest`], with the field.
pub fn read_embedding_request(body: &[u8]) -> Result<EmbeddingRequest, InvalidRequest> {
    openai_embeddings::read_request(body)
}

/// Writes a request for vectors to a provider that follows OpenAI.
#[must_use]
pub fn write_embedding_request(request: &EmbeddingRequest, model: &str) -> EncodedRequest {
    openai_embeddings::write_request(request, model)
}

/// Reads vectors from such a provider.
///
/// # Errors
/// [`DecodeError`].
pub fn read_embeddings(body: &[u8]) -> Result<Embeddings, DecodeError> {
    openai_embeddings::read_answer(body)
}

/// Writes vectors for a caller.
#[must_use]
pub fn write_embeddings(embeddings: &Embeddings, encoding: EmbeddingEncoding) -> Vec<u8> {
    openai_embeddings::write_answer(embeddings, encoding)
}
