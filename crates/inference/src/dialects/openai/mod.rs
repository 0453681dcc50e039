//! What OpenAI's two dialects share: how requests are read with a path to what is wrong, addresses that
//! hold bytes, words for efforts and formats, failures, and lines of server-sent events.

mod calls;
mod data_url;
mod failure;
mod fault;
mod reading;
mod sse_writing;
mod text;
mod words;

pub(crate) use calls::{CallIds, ExtraContent, signature_of};
pub(crate) use data_url::{file_source, source_url};
pub(crate) use failure::{error_object, write_failure};
pub(crate) use fault::{fault_in, malformed};
pub(crate) use reading::{
    Object, Path, array, boolean, integer, number, object, optional_text, parse, string, strings,
    text_of, whole_number,
};
pub(crate) use sse_writing::{end_line, json, line};
pub(crate) use text::{Content, Text};
pub(crate) use words::{
    FormatFields, USER_LENGTH_MAX, cache_mark, effort, effort_asked, format, format_fields,
    not_sayable,
};
