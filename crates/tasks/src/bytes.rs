//! Names, arguments and link targets as the system has them: any bytes. As text, UTF-8 stays readable,
//! and any other byte and `%` become `%XX`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Bytes that are usually text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    fn parse(text: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            if first != b'%' {
                bytes.push(first);
                rest = after;
                continue;
            }
            let (digits, after) = after.split_at_checked(2)?;
            let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
            let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        }
        Some(Self(bytes))
    }
}

impl<T: AsRef<[u8]>> From<T> for Bytes {
    fn from(bytes: T) -> Self {
        Self(bytes.as_ref().to_vec())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for (number, part) in chunk.valid().split('%').enumerate() {
                let escape = if number == 0 { "" } else { "%25" };
                write!(f, "{escape}{part}")?;
            }
            for byte in chunk.invalid() {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a % without two hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes: Vec<u8>) {
            let bytes = Bytes(bytes);
            let text = serde_json::to_string(&bytes).unwrap();
            prop_assert_eq!(serde_json::from_str::<Bytes>(&text).unwrap(), bytes);
        }
    }

    #[test]
    fn text_stays_readable_and_torn_escapes_are_refused() {
        assert_eq!(Bytes::from("grün 100%").to_string(), "grün 100%25");
        assert_eq!(Bytes::from(b"a\xffb").to_string(), "a%FFb");
        for torn in ["%", "%4", "%zz", "%+1"] {
            assert_eq!(Bytes::parse(torn), None, "{torn}");
        }
    }
}
