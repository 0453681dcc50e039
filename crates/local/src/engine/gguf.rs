//! Files in the GGUF format, versions 2 and 3: what is said about a model, and where its tensors lie.
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// The longest text and array that are believed; a damaged file may claim any length.
const ITEMS_MAX: u64 = 1 << 26;

/// How deep arrays may lie within arrays.
const DEPTH_MAX: u32 = 4;

const ALIGNMENT: u64 = 32;

/// Why a file cannot be read as GGUF.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is another kind of file.
    #[error("the file is not GGUF")]
    NotGguf,
    /// It is of a version that is not known.
    #[error("the file is GGUF of version {0}; versions 2 and 3 are known")]
    Version(u32),
    /// It says something that cannot be.
    #[error("the file is damaged: {0}")]
    Damaged(&'static str),
    /// Something that the model needs is missing, or of another kind than expected.
    #[error("the file has no usable `{0}`")]
    Missing(String),
}

/// What is said about a model.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A number without a sign, or a truth.
    Unsigned(u64),
    /// A number with a sign.
    Signed(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Text(String),
    /// Several of one kind.
    Array(Vec<Self>),
}

/// A tensor's shape, kind and place.
#[derive(Debug, Clone)]
pub(super) struct TensorPlace {
    /// Its extents, the fastest first.
    pub(super) extents: Vec<usize>,
    /// The number of its kind.
    pub(super) kind: u32,
    offset: u64,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Gguf {
    file: BufReader<File>,
    size: u64,
    values: HashMap<String, Value>,
    tensors: HashMap<String, TensorPlace>,
    data: u64,
}

impl Gguf {
    /// Opens a file and reads everything but its tensors.
    ///
    /// # Errors
    /// Where it cannot be read, or is not GGUF of a known version.
    pub(super) fn open(path: &Path) -> Result<Self, GgufError> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut file = BufReader::with_capacity(1 << 16, file);
        let mut magic = [0; 4];
        file.read_exact(&mut magic)?;
        if &magic != b"GGUF" {
            return Err(GgufError::NotGguf);
        }
        let version = read_u32(&mut file)?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::Version(version));
        }
        let tensor_count = bounded(read_u64(&mut file)?)?;
        let value_count = bounded(read_u64(&mut file)?)?;
        let mut values = HashMap::new();
        for _ in 0..value_count {
            let name = read_text(&mut file)?;
            let kind = read_u32(&mut file)?;
            values.insert(name, read_value(&mut file, kind, 0)?);
        }
        let mut tensors = HashMap::new();
        for _ in 0..tensor_count {
            let (name, place) = read_place(&mut file)?;
            tensors.insert(name, place);
        }
        let alignment = match values.get("general.alignment") {
            Some(Value::Unsigned(alignment)) if *alignment > 0 => *alignment,
            _ => ALIGNMENT,
        };
        let data = file.stream_position()?.next_multiple_of(alignment);
        Ok(Self {
            file,
            size,
            values,
            tensors,
            data,
        })
    }

    /// A value, where it is there.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// A number without a sign.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        match self.value(name)? {
            Value::Unsigned(number) => usize::try_from(*number).ok(),
            Value::Signed(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A number with a fraction.
    pub(super) fn float(&self, name: &str) -> Option<f64> {
        match self.value(name)? {
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A truth.
    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        self.number(name).map(|number| number != 0)
    }

    /// Several texts.
    ///
    /// # Errors
    /// Where there are none, or something else.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&str>, GgufError> {
        let missing = || GgufError::Missing(name.to_owned());
        let Some(Value::Array(items)) = self.value(name) else {
            return Err(missing());
        };
        let text = |item: &'_ Value| match item {
            Value::Text(_) => Ok(()),
            _ => Err(missing()),
        };
        items.iter().try_for_each(text)?;
        Ok(items
            .iter()
            .filter_map(|item| match item {
                Value::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect())
    }

    /// A tensor's shape, where there is such a tensor.
    pub(super) fn tensor(&self, name: &str) -> Option<&TensorPlace> {
        self.tensors.get(name)
    }

    /// Reads so many bytes of a tensor.
    ///
    /// # Errors
    /// Where there is no such tensor, or the file ends before it does.
    pub(super) fn read(&mut self, name: &str, size: usize) -> Result<Vec<u8>, GgufError> {
        let place = self.tensors.get(name);
        let place = place.ok_or_else(|| GgufError::Missing(name.to_owned()))?;
        let end = |from: u64| from.checked_add(u64::try_from(size).ok()?);
        let from = self.data.checked_add(place.offset);
        let Some(from) = from.filter(|from| end(*from).is_some_and(|end| end <= self.size)) else {
            return Err(GgufError::Damaged("a tensor lies beyond the end"));
        };
        self.file.seek(SeekFrom::Start(from))?;
        let mut bytes = vec![0; size];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn read_place(file: &mut impl Read) -> Result<(String, TensorPlace), GgufError> {
    let name = read_text(file)?;
    let dimensions = read_u32(file)?;
    if dimensions > 4 {
        return Err(GgufError::Damaged("a tensor has more than four extents"));
    }
    let mut extents = Vec::new();
    let mut elements: usize = 1;
    for _ in 0..dimensions {
        let extent = usize::try_from(read_u64(file)?).unwrap_or(usize::MAX);
        elements = elements
            .checked_mul(extent)
            .filter(|elements| *elements <= isize::MAX.unsigned_abs() / 8)
            .ok_or(GgufError::Damaged("a tensor is larger than memory"))?;
        extents.push(extent);
    }
    let kind = read_u32(file)?;
    let offset = read_u64(file)?;
    let place = TensorPlace {
        extents,
        kind,
        offset,
    };
    Ok((name, place))
}

fn read_value(file: &mut impl Read, kind: u32, depth: u32) -> Result<Value, GgufError> {
    Ok(match kind {
        0 | 7 => Value::Unsigned(u64::from(bytes::<1>(file)?[0])),
        1 => Value::Signed(i64::from(i8::from_le_bytes(bytes(file)?))),
        2 => Value::Unsigned(u64::from(u16::from_le_bytes(bytes(file)?))),
        3 => Value::Signed(i64::from(i16::from_le_bytes(bytes(file)?))),
        4 => Value::Unsigned(u64::from(read_u32(file)?)),
        5 => Value::Signed(i64::from(i32::from_le_bytes(bytes(file)?))),
        6 => Value::Float(f64::from(f32::from_le_bytes(bytes(file)?))),
        8 => Value::Text(read_text(file)?),
        9 if depth < DEPTH_MAX => {
            let kind = read_u32(file)?;
            let count = bounded(read_u64(file)?)?;
            let items = (0..count).map(|_| read_value(file, kind, depth + 1));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        10 => Value::Unsigned(read_u64(file)?),
        11 => Value::Signed(i64::from_le_bytes(bytes(file)?)),
        12 => Value::Float(f64::from_le_bytes(bytes(file)?)),
        _ => return Err(GgufError::Damaged("a value is of no known kind")),
    })
}

fn read_text(file: &mut impl Read) -> Result<String, GgufError> {
    let length = bounded(read_u64(file)?)?;
    let mut text = Vec::new();
    let read = file.take(length).read_to_end(&mut text)?;
    if u64::try_from(read) != Ok(length) {
        return Err(GgufError::Damaged("the file ends within a text"));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn bounded(count: u64) -> Result<u64, GgufError> {
    if count > ITEMS_MAX {
        return Err(GgufError::Damaged("a count is beyond belief"));
    }
    Ok(count)
}

fn read_u32(file: &mut impl Read) -> Result<u32, GgufError> {
    Ok(u32::from_le_bytes(bytes(file)?))
}

fn read_u64(file: &mut impl Read) -> Result<u64, GgufError> {
    Ok(u64::from_le_bytes(bytes(file)?))
}

fn bytes<const N: usize>(file: &mut impl Read) -> Result<[u8; N], GgufError> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opened(bytes: &[u8]) -> Result<Gguf, GgufError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, bytes).unwrap();
        Gguf::open(&path)
    }

    fn text(text: &str) -> Vec<u8> {
        let length = u64::try_from(text.len()).unwrap().to_le_bytes();
        [length.as_slice(), text.as_bytes()].concat()
    }

    /// A file with a text, a list and a tensor of two numbers.
    fn file() -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend(2_u64.to_le_bytes());
        bytes.extend(text("a.name"));
        bytes.extend(8_u32.to_le_bytes());
        bytes.extend(text("value"));
        bytes.extend(text("a.list"));
        bytes.extend([9_u32, 4].map(u32::to_le_bytes).concat());
        bytes.extend(2_u64.to_le_bytes());
        bytes.extend([7_u32, 8].map(u32::to_le_bytes).concat());
        bytes.extend(text("tensor"));
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(2_u64.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend([1.5_f32, -2.0].map(f32::to_le_bytes).concat());
        bytes
    }

    #[test]
    fn what_a_file_says_is_read() {
        let mut file = opened(&file()).unwrap();
        assert_eq!(file.text("a.name"), Some("value"));
        let list = Value::Array(vec![Value::Unsigned(7), Value::Unsigned(8)]);
        assert_eq!(file.value("a.list"), Some(&list));
        assert_eq!(file.tensor("tensor").unwrap().extents, [2]);
        let bytes = file.read("tensor", 8).unwrap();
        assert_eq!(bytes[4..], (-2.0_f32).to_le_bytes());
        assert!(matches!(file.read("tensor", 9), Err(GgufError::Damaged(_))));
        assert!(matches!(file.read("other", 1), Err(GgufError::Missing(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn damage_is_an_error_and_never_more(
            at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = file();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _either = opened(&bytes).and_then(|mut file| file.read("tensor", 8));
            bytes.truncate(cut.index(bytes.len()));
            let _either = opened(&bytes).and_then(|mut file| file.read("tensor", 8));
        }
    }
}
