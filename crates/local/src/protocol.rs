//! What the node and a worker say to each other: one JSON value a line, orders down the standard input, events
//! up the standard output. A worker's log goes to its standard error.

use crate::device::DeviceChoice;
use crate::error::LocalError;
use crate::request::{FinishReason, GenerateRequest, Usage};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Read};
use std::path::PathBuf;

/// The longest line, in bytes, its end included.
pub const LINE_BYTES_MAX: usize = 32 << 20;

/// The number of a request, unique in the life of a supervisor.
pub type RequestId = u64;

/// What the node tells a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Load a model. The first order, and given once.
    Load(LoadOrder),
    /// Continue a conversation.
    Generate {
        /// The request's number.
        id: RequestId,
        /// What is asked.
        request: Box<GenerateRequest>,
    },
    /// Say what texts mean.
    Embed {
        /// The request's number.
        id: RequestId,
        /// The texts.
        inputs: Vec<String>,
    },
    /// Stop working on a request, or forget it.
    Cancel {
        /// The request's number.
        id: RequestId,
    },
    /// Compute something tiny on the device and say so.
    Heartbeat {
        /// Which heartbeat it is.
        sequence: u64,
    },
    /// End once the present request is done.
    Shutdown,
}

/// Which model to load, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadOrder {
    /// The GGUF file, or `echo:` for the engine that repeats what it hears.
    pub model: PathBuf,
    /// The device.
    pub device: DeviceChoice,
    /// The longest conversation in tokens, the answer included; without it, the model's own.
    pub context_length: Option<u32>,
    /// How many threads compute; without it, one for each core.
    pub threads: Option<u32>,
}

/// What a worker tells the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The model is loaded.
    Ready {
        /// The longest conversation in tokens, the answer included.
        context_length: u32,
        /// The device, in its own words.
        device: String,
        /// The model's own name.
        model: String,
    },
    /// The model cannot be loaded.
    NotLoaded {
        /// Why not.
        message: String,
    },
    /// Work on a request begins.
    Begun {
        /// The request.
        id: RequestId,
    },
    /// The next piece of an answer.
    Text {
        /// The request.
        id: RequestId,
        /// Whole characters.
        text: String,
    },
    /// The answer is complete.
    Finished {
        /// The request.
        id: RequestId,
        /// Why it ended.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
    /// What the texts of a request mean.
    Embedded {
        /// The request.
        id: RequestId,
        /// A vector for each text.
        vectors: Vec<Vec<f32>>,
        /// What they took.
        usage: Usage,
    },
    /// A request failed, and the worker goes on.
    Failed {
        /// The request.
        id: RequestId,
        /// Why.
        error: LocalError,
    },
    /// A request failed, and the work on it does not end: the worker has to be replaced.
    Stuck {
        /// The request.
        id: RequestId,
        /// Why it failed.
        error: LocalError,
    },
    /// The device failed.
    DeviceError {
        /// Its own number of the fault.
        code: u32,
        /// Its own name of the fault.
        name: String,
        /// Whether the context is lost, and the process with it.
        sticky: bool,
    },
    /// The device's context was built anew after a fault that is not sticky.
    Rebuilt,
    /// The tiny computation was right.
    Heartbeat {
        /// Which heartbeat it is.
        sequence: u64,
    },
}

/// Why a line cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The stream failed.
    #[error("the stream failed: {0}")]
    Io(#[from] io::Error),
    /// The line is too long.
    #[error("a line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// The last line has no end.
    #[error("the stream ends within a line")]
    Cut,
    /// The line is not what was agreed.
    #[error("a line cannot be understood: {0}")]
    Json(#[from] serde_json::Error),
}

/// Reads the next line as a value; none at the end of the stream.
///
/// # Errors
/// Where the stream fails, or the line is too long, cut, or not what was agreed.
pub fn read<T: for<'de> Deserialize<'de>>(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
) -> Result<Option<T>, LineError> {
    line.clear();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    reader.take(limit).read_until(b'\n', line)?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(serde_json::from_slice(line)?)),
        Some(_) if line.len() >= LINE_BYTES_MAX => Err(LineError::TooLong),
        Some(_) => Err(LineError::Cut),
    }
}

/// A value as a line.
///
/// # Errors
/// Where the value cannot be written, or would be longer than a line may be.
pub fn line<T: Serialize>(value: &T) -> Result<Vec<u8>, LineError> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn lines_are_bounded_and_whole() {
        let long = vec![b'x'; LINE_BYTES_MAX + 5];
        let mut line = Vec::new();
        let error = read::<Order>(&mut long.as_slice(), &mut line).unwrap_err();
        assert!(matches!(error, LineError::TooLong), "{error}");
        let error = read::<Order>(&mut b"{}".as_slice(), &mut line).unwrap_err();
        assert!(matches!(error, LineError::Cut), "{error}");
        let error = read::<Order>(&mut b"{}\n".as_slice(), &mut line).unwrap_err();
        assert!(matches!(error, LineError::Json(_)), "{error}");
        assert!(
            read::<Order>(&mut b"".as_slice(), &mut line)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn the_deepest_request_is_read() {
        let mut request = GenerateRequest::new(json!([]));
        let deepest = (0..100).fold(json!(1), |inner, _| json!([inner]));
        request.json_schema = Some(deepest);
        request.check().unwrap();
        let request = Box::new(request);
        let order = Order::Generate { id: 1, request };
        let bytes = line(&order).unwrap();
        let mut buffer = Vec::new();
        let known = read::<Order>(&mut bytes.as_slice(), &mut buffer).unwrap();
        assert_eq!(known, Some(order));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in ".*", id in any::<u64>(), sticky in any::<bool>()) {
            let mut request = GenerateRequest::new(json!([{"role": "user", "content": text}]));
            request.sampling.logit_bias.insert(7, -0.5);
            let request = Box::new(request);
            let order = Order::Generate { id, request };
            let event = Event::DeviceError { code: 700, name: text, sticky };
            let mut bytes = line(&order).unwrap();
            bytes.extend(line(&event).unwrap());
            let mut reader = bytes.as_slice();
            let mut buffer = Vec::new();
            prop_assert_eq!(read::<Order>(&mut reader, &mut buffer).unwrap(), Some(order));
            prop_assert_eq!(read::<Event>(&mut reader, &mut buffer).unwrap(), Some(event));
        }
    }
}
