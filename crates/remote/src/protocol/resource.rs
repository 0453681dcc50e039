//! How ByteStream names a blob: `[instance/]blobs/HASH/SIZE` to read it, and
//! `[instance/]uploads/UUID/blobs/HASH/SIZE[/anything]` to write it.

use crate::digest::RemoteDigest;

/// Longer names are not looked at.
const NAME_BYTES_MAX: usize = 1024;

/// What a client wants to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UploadName {
    /// Names this upload, so that it can go on after a break.
    pub(crate) upload: String,
    pub(crate) digest: RemoteDigest,
}

/// The blob that is to be read.
pub(crate) fn parse_read(name: &str) -> Option<RemoteDigest> {
    let parts = split(name)?;
    let [.., "blobs", hash, size] = parts.as_slice() else {
        return None;
    };
    digest(hash, size)
}

/// The blob that is to be written.
pub(crate) fn parse_upload(name: &str) -> Option<UploadName> {
    let parts = split(name)?;
    let start = parts.iter().position(|part| *part == "uploads")?;
    let ["uploads", uuid, "blobs", hash, size, ..] = &parts[start..] else {
        return None;
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if uuid.is_empty() || uuid.len() > 64 || !uuid.bytes().all(is_plain) {
        return None;
    }
    let digest = digest(hash, size)?;
    // The instance is part of who uploads: two of them may choose one UUID.
    let upload = format!("{}/{uuid}/{digest}", parts[..start].join("/"));
    Some(UploadName { upload, digest })
}

pub(crate) fn read_name(instance: &str, digest: &RemoteDigest) -> String {
    format!("{}blobs/{digest}", prefix(instance))
}

pub(crate) fn upload_name(instance: &str, uuid: &str, digest: &RemoteDigest) -> String {
    format!("{}uploads/{uuid}/blobs/{digest}", prefix(instance))
}

fn prefix(instance: &str) -> String {
    if instance.is_empty() {
        return String::new();
    }
    format!("{instance}/")
}

fn split(name: &str) -> Option<Vec<&str>> {
    (name.len() <= NAME_BYTES_MAX).then(|| name.split('/').collect())
}

fn digest(hash: &str, size: &str) -> Option<RemoteDigest> {
    format!("{hash}/{size}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_any_instance_and_odd_ones_refused() {
        let blob = RemoteDigest::of(b"x");
        for instance in ["", "main", "a/b"] {
            assert_eq!(parse_read(&read_name(instance, &blob)), Some(blob));
            let name = upload_name(instance, "0-1", &blob);
            assert_eq!(parse_upload(&name).map(|name| name.digest), Some(blob));
            let with_more = format!("{name}/some/file.o");
            assert_eq!(parse_upload(&with_more), parse_upload(&name));
        }
        for odd in [
            "".to_owned(),
            "blobs".to_owned(),
            format!("blobs/{blob}/more"),
            format!("blobs/../{blob}"),
            format!("uploads//blobs/{blob}"),
            format!("uploads/../blobs/{blob}"),
            format!("uploads/1/{blob}"),
            format!("{}/blobs/{blob}", "x".repeat(2000)),
        ] {
            assert_eq!(parse_upload(&odd), None, "{odd}");
        }
        assert_eq!(parse_read(&format!("blobs/{blob}/more")), None);
        assert_eq!(parse_read("compressed-blobs/zstd/00/1"), None);
    }
}
