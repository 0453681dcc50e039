//! The name of a blob on the wire: its SHA-256 and its size.

use crate::protocol::messages::Digest;
use std::fmt;
use std::io;
use std::str::FromStr;

/// The SHA-256 of no bytes at all. That blob is always there and never sent.
const EMPTY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Names a blob by what is in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RemoteDigest {
    /// The SHA-256 of its bytes.
    pub hash: [u8; 32],
    /// How many bytes it has.
    pub size: u64,
}

/// What was sent as a digest and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no digest: 64 lower-case hexadecimal digits and a size are")]
pub struct InvalidDigest {
    /// What was sent, cut short.
    pub text: String,
}

impl RemoteDigest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest of what somebody reads out.
    ///
    /// # Errors
    /// What reading met.
    pub fn of_reader(mut reader: impl io::Read) -> io::Result<Self> {
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                count => hasher.update(&buffer[..count]),
            };
        }
    }

    pub(crate) fn is_empty_blob(&self) -> bool {
        self.size == 0 && self.hash == EMPTY
    }

    pub(crate) fn from_parts(hash: &str, size: i64) -> Result<Self, InvalidDigest> {
        let invalid = || InvalidDigest {
            text: format!("{}/{size}", hash.chars().take(80).collect::<String>()),
        };
        let size = u64::try_from(size).map_err(|_| invalid())?;
        let hash = unhex(hash).ok_or_else(invalid)?;
        Ok(Self { hash, size })
    }

    pub(crate) fn hex(&self) -> String {
        hex(&self.hash)
    }
}

impl fmt::Display for RemoteDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hex(), self.size)
    }
}

impl fmt::Debug for RemoteDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RemoteDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let invalid = || InvalidDigest {
            text: text.chars().take(80).collect(),
        };
        let (hash, size) = text.split_once('/').ok_or_else(invalid)?;
        let is_number = size.bytes().all(|byte| byte.is_ascii_digit());
        let size = size.parse().ok().filter(|_| is_number);
        Self::from_parts(hash, size.ok_or_else(invalid)?)
    }
}

impl From<RemoteDigest> for Digest {
    fn from(digest: RemoteDigest) -> Self {
        Self {
            hash: digest.hex(),
            size_bytes: i64::try_from(digest.size).unwrap_or(i64::MAX),
        }
    }
}

impl TryFrom<&Digest> for RemoteDigest {
    type Error = InvalidDigest;

    fn try_from(digest: &Digest) -> Result<Self, InvalidDigest> {
        Self::from_parts(&digest.hash, digest.size_bytes)
    }
}

/// Works a digest out while the bytes pass.
#[derive(Clone)]
pub(crate) struct Hasher {
    context: ring::digest::Context,
    size: u64,
}

impl Hasher {
    pub(crate) fn new() -> Self {
        Self {
            context: ring::digest::Context::new(&ring::digest::SHA256),
            size: 0,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// How many bytes passed so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn finish(self) -> RemoteDigest {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.context.finish().as_ref());
        RemoteDigest {
            hash,
            size: self.size,
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// Reads 64 digits; upper case is refused, so that one blob has one name.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_and_nothing_odd_does() {
        let digest = RemoteDigest::of(b"mainstay");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!(RemoteDigest::of(b"").is_empty_blob());
        let hash = digest.hex();
        for odd in [
            String::new(),
            "/".to_owned(),
            format!("{hash}/-1"),
            format!("{hash}/+1"),
            format!("{hash}/"),
            format!("{}/1", hash.to_uppercase()),
            format!("{}/1", &hash[1..]),
            format!("../{}/1", &hash[3..]),
            format!("{hash}/99999999999999999999"),
        ] {
            assert!(odd.parse::<RemoteDigest>().is_err(), "{odd}");
        }
    }
}
