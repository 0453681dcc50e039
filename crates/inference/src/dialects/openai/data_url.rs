//! Addresses that hold the bytes themselves (`data:image/png;base64,…`).

use super::Path;
use crate::{FileSource, InvalidRequest};

/// What an address stands for.
///
/// # Errors
/// A data URL without base64.
pub(crate) fn file_source(url: String, at: &Path<'_>) -> Result<FileSource, InvalidRequest> {
    let Some(rest) = url.strip_prefix("data:") else {
        return Ok(FileSource::Url(url));
    };
    let Some((kind, data)) = rest.split_once(',') else {
        return Err(at.wrong("is a data URL without a comma"));
    };
    let Some(kind) = kind.strip_suffix(";base64") else {
        return Err(at.wrong("must be a base64 data URL, such as `data:image/png;base64,…`"));
    };
    let media_type = kind.split(';').next().unwrap_or_default();
    if media_type.is_empty() {
        return Err(at.wrong("is a data URL without a media type"));
    }
    Ok(FileSource::Base64 {
        media_type: media_type.to_owned(),
        data: data.to_owned(),
    })
}

/// The address of bytes or of a place; absent for a file that the provider keeps.
pub(crate) fn source_url(source: &FileSource) -> Option<String> {
    match source {
        FileSource::Base64 { media_type, data } => Some(format!("data:{media_type};base64,{data}")),
        FileSource::Url(url) => Some(url.clone()),
        FileSource::Id(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_url_holds_its_bytes_and_others_stay_addresses() {
        let read = |url: &str| file_source(url.to_owned(), &Path::ROOT.key("url"));
        assert_eq!(
            read("data:image/png;name=a.png;base64,iVBO"),
            Ok(FileSource::Base64 {
                media_type: "image/png".to_owned(),
                data: "iVBO".to_owned()
            })
        );
        let address = "https://files.example/a.png";
        assert_eq!(read(address), Ok(FileSource::Url(address.to_owned())));
        for broken in ["data:", "data:text/plain,hello", "data:;base64,aa"] {
            assert_eq!(read(broken).unwrap_err().param.as_deref(), Some("url"));
        }
    }
}
