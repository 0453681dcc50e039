//! What every wire asks for, once its request was checked, and the words for checking it.

use serde_json::{Map, Value};

/// A request, as far as the scenarios look at it.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) is_stream: bool,
    /// Whether the server is one that follows a provider, and shows more.
    pub(super) is_open: bool,
    /// Whether the stream tells usage.
    pub(super) wants_usage: bool,
    pub(super) key: String,
    /// The last text of the user.
    pub(super) text: String,
    /// Tools with the schema of their arguments.
    pub(super) tools: Vec<(String, Value)>,
    /// Results of tools after the last text of the user.
    pub(super) results: Vec<String>,
    pub(super) schema: Option<Value>,
    /// Media type and length of the last image.
    pub(super) image: Option<(String, usize)>,
}

/// Why a request is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) status: u16,
    pub(super) message: String,
    pub(super) param: Option<String>,
}

impl Complaint {
    pub(super) fn about(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            message: message.into(),
            param: Some(param.into()),
        }
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self {
            status: 401,
            message: message.to_owned(),
            param: None,
        }
    }
}

pub(super) type Checked<T> = Result<T, Complaint>;

/// An object, and where in the request it stands.
#[derive(Clone)]
pub(super) struct At<'a> {
    pub(super) fields: &'a Map<String, Value>,
    pub(super) path: String,
}

impl<'a> At<'a> {
    pub(super) fn of(value: &'a Value, path: impl Into<String>) -> Checked<Self> {
        let path = path.into();
        match value.as_object() {
            Some(fields) => Ok(Self { fields, path }),
            None => Err(Complaint::about(
                path.clone(),
                format!("{path}: expected an object"),
            )),
        }
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        match self.path.is_empty() {
            true => name.to_owned(),
            false => format!("{}.{name}", self.path),
        }
    }

    pub(super) fn complain(&self, name: &str, what: &str) -> Complaint {
        let path = self.path_of(name);
        Complaint::about(path.clone(), format!("{path}: {what}"))
    }

    /// The field, unless it is absent or null.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn need(&self, name: &str) -> Checked<&'a Value> {
        self.get(name)
            .ok_or_else(|| self.complain(name, "field required"))
    }

    pub(super) fn text(&self, name: &str) -> Checked<&'a str> {
        let value = self.need(name)?;
        value
            .as_str()
            .ok_or_else(|| self.complain(name, "expected a string"))
    }

    pub(super) fn flag(&self, name: &str) -> Checked<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.complain(name, "expected a boolean")),
        }
    }

    /// A list; empty where there is none.
    pub(super) fn list(&self, name: &str) -> Checked<Vec<At<'a>>> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let items = value
            .as_array()
            .ok_or_else(|| self.complain(name, "expected a list"))?;
        let at = |(index, item)| At::of(item, format!("{}[{index}]", self.path_of(name)));
        items.iter().enumerate().map(at).collect()
    }

    pub(super) fn full_list(&self, name: &str) -> Checked<Vec<At<'a>>> {
        let items = self.list(name)?;
        match items.is_empty() {
            true => Err(self.complain(name, "expected at least one")),
            false => Ok(items),
        }
    }

    pub(super) fn object(&self, name: &str) -> Checked<At<'a>> {
        At::of(self.need(name)?, self.path_of(name))
    }

    /// A number within bounds; absent where there is none.
    pub(super) fn number(&self, name: &str, least: f64, most: f64) -> Checked<Option<f64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value
            .as_f64()
            .filter(|number| (least..=most).contains(number));
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(self.complain(name, &format!("expected a number from {least} to {most}"))),
        }
    }

    /// Refuses fields that the wire does not have.
    pub(super) fn only(&self, known: &[&str]) -> Checked<()> {
        match self
            .fields
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            Some(name) => Err(self.complain(name, "no such field")),
            None => Ok(()),
        }
    }

    pub(super) fn one_of(&self, name: &str, words: &[&str]) -> Checked<&'a str> {
        let word = self.text(name)?;
        match words.contains(&word) {
            true => Ok(word),
            false => Err(self.complain(name, &format!("{word:?} is none of {words:?}"))),
        }
    }
}

/// Whether a name may stand for a tool or its call.
pub(super) fn is_name(text: &str, longest: usize) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=longest).contains(&text.len()) && text.bytes().all(is_plain)
}

/// `data:TYPE;base64,DATA`.
pub(super) fn data_url(url: &str) -> Option<(String, usize)> {
    let (media, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some((media.to_owned(), decoded(data)?))
}

pub(super) fn decoded(data: &str) -> Option<usize> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(data);
    bytes.ok().map(|bytes| bytes.len())
}
