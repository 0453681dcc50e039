//! Paths in JSON: UTF-8 stays readable, any other byte and `%` become `%XX`.

use crate::workspace::name::{decode, encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::{Path, PathBuf};

/// A path in its written form.
#[derive(Serialize, Deserialize)]
struct Written(String);

impl Written {
    fn of(path: &Path) -> Self {
        Self(encode(path.as_os_str()))
    }

    fn path(self) -> PathBuf {
        PathBuf::from(decode(&self.0))
    }
}

pub(super) mod one {
    use super::{Deserialize, Deserializer, Path, PathBuf, Serialize, Serializer, Written};

    pub(in super::super) fn serialize<S: Serializer>(
        path: &Path,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        Written::of(path).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<PathBuf, D::Error> {
        Written::deserialize(from).map(Written::path)
    }
}

pub(super) mod maybe {
    use super::{Deserialize, Deserializer, PathBuf, Serialize, Serializer, Written};

    #[expect(clippy::ref_option, reason = "serde passes fields so")]
    pub(in super::super) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        path.as_deref().map(Written::of).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Written>::deserialize(from)?.map(Written::path))
    }
}

pub(super) mod list {
    use super::{Deserialize, Deserializer, PathBuf, Serializer, Written};

    pub(in super::super) fn serialize<S: Serializer>(
        paths: &[PathBuf],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(paths.iter().map(|path| Written::of(path)))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<PathBuf>, D::Error> {
        let written = Vec::<Written>::deserialize(from)?;
        Ok(written.into_iter().map(Written::path).collect())
    }
}
