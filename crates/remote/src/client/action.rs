//! The result of an action, between the caller's form and the protocol's.

use super::RemoteError;
use crate::digest::{RemoteDigest, hex};
use crate::protocol::messages::{
    Action, ActionResult, Command, Digest, Metadata, OutputFile, OutputSymlink,
};
use crate::signature::{Signature, SigningKey};
use prost::Message;

/// Before the signature, where the protocol keeps the name of the worker.
const SIGNED: &str = "mainstay hmac-sha256 ";

/// What an action made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteAction {
    /// Its files.
    pub files: Vec<RemoteFile>,
    /// Its symbolic links.
    pub links: Vec<RemoteLink>,
    /// What it wrote to its standard output.
    pub stdout: Option<RemoteDigest>,
    /// What it wrote to its standard error.
    pub stderr: Option<RemoteDigest>,
    /// How it ended.
    pub exit_code: i32,
}

/// A file that an action made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Relative, with `/`, without `.` and `..`.
    pub path: String,
    /// Its bytes.
    pub digest: RemoteDigest,
    /// Whether it can be run.
    pub is_executable: bool,
}

/// A symbolic link that an action made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteLink {
    /// Relative, with `/`, without `.` and `..`.
    pub path: String,
    /// Where it points, as it is written in the link. It may lead anywhere: judge it before use.
    pub target: String,
}

/// The messages that stand for a key, so that servers which look for them find them. The key is in both:
/// two keys never share an action.
pub(super) fn action(key: &[u8; 32]) -> (RemoteDigest, [Vec<u8>; 2]) {
    let command = Command {
        arguments: vec!["mainstay".to_owned(), hex(key)],
    };
    let command = command.encode_to_vec();
    let action = Action {
        command_digest: Some(RemoteDigest::of(&command).into()),
        input_root_digest: Some(RemoteDigest::of(b"").into()),
        salt: key.to_vec(),
    };
    let action = action.encode_to_vec();
    (RemoteDigest::of(&action), [command, action])
}

pub(super) fn encode(
    key: &[u8; 32],
    action: &RemoteAction,
    signing: Option<&SigningKey>,
) -> ActionResult {
    let mut result = plain(action);
    let worker = signing.map_or_else(
        || "mainstay".to_owned(),
        |signing| {
            let signature = signing.sign(&signed_bytes(key, &result));
            format!("{SIGNED}{}", hex(&signature.0))
        },
    );
    result.execution_metadata = Some(Metadata { worker }.encode_to_vec());
    result
}

pub(super) fn decode(
    key: &[u8; 32],
    result: &ActionResult,
    signing: Option<&SigningKey>,
) -> Result<RemoteAction, RemoteError> {
    let action = read(result)?;
    if let Some(signing) = signing {
        let signature = signature(result).ok_or(RemoteError::Unsigned)?;
        let signed = signed_bytes(key, &plain(&action));
        let verified = signing.verify(&signed, &signature);
        verified.map_err(|_| RemoteError::Unsigned)?;
    }
    Ok(action)
}

fn plain(action: &RemoteAction) -> ActionResult {
    let file = |file: &RemoteFile| OutputFile {
        path: file.path.clone(),
        digest: Some(file.digest.into()),
        is_executable: file.is_executable,
        ..OutputFile::default()
    };
    let link = |link: &RemoteLink| OutputSymlink {
        path: link.path.clone(),
        target: link.target.clone(),
        node_properties: None,
    };
    ActionResult {
        output_files: action.files.iter().map(file).collect(),
        output_symlinks: action.links.iter().map(link).collect(),
        stdout_digest: action.stdout.map(Digest::from),
        stderr_digest: action.stderr.map(Digest::from),
        exit_code: action.exit_code,
        ..ActionResult::default()
    }
}

fn read(result: &ActionResult) -> Result<RemoteAction, RemoteError> {
    if !result.output_directories.is_empty() {
        let what = "folders, which are not ours";
        return Err(RemoteError::Nonsense { what });
    }
    let file = |file: &OutputFile| {
        let digest = some_digest(file.digest.as_ref())?;
        Ok(RemoteFile {
            path: path(&file.path)?,
            digest: digest.ok_or(RemoteError::Nonsense {
                what: "a file without a digest",
            })?,
            is_executable: file.is_executable,
        })
    };
    let link = |link: &OutputSymlink| {
        Ok(RemoteLink {
            path: path(&link.path)?,
            target: link.target.clone(),
        })
    };
    // Servers of older versions of the protocol keep links by the kind of what they point to.
    let links = result
        .output_symlinks
        .iter()
        .chain(&result.output_file_symlinks)
        .chain(&result.output_directory_symlinks);
    Ok(RemoteAction {
        files: result
            .output_files
            .iter()
            .map(file)
            .collect::<Result<_, RemoteError>>()?,
        links: links.map(link).collect::<Result<_, RemoteError>>()?,
        stdout: some_digest(result.stdout_digest.as_ref())?,
        stderr: some_digest(result.stderr_digest.as_ref())?,
        exit_code: result.exit_code,
    })
}

fn some_digest(digest: Option<&Digest>) -> Result<Option<RemoteDigest>, RemoteError> {
    let nonsense = |_| RemoteError::Nonsense {
        what: "a digest that is none",
    };
    digest
        .map(RemoteDigest::try_from)
        .transpose()
        .map_err(nonsense)
}

/// A path that stays below where it is put.
fn path(path: &str) -> Result<String, RemoteError> {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    if path.contains(['\0', '\\']) || !path.split('/').all(is_plain) {
        let what = "a path that leads elsewhere";
        return Err(RemoteError::Nonsense { what });
    }
    Ok(path.to_owned())
}

/// What is signed: which action it is, and all of its result.
fn signed_bytes(key: &[u8; 32], result: &ActionResult) -> Vec<u8> {
    let mut bytes = key.to_vec();
    bytes.extend(result.encode_to_vec());
    bytes
}

fn signature(result: &ActionResult) -> Option<Signature> {
    let metadata = Metadata::decode(result.execution_metadata.as_deref()?).ok()?;
    let signature = metadata.worker.strip_prefix(SIGNED)?;
    crate::digest::unhex(signature).map(Signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> RemoteAction {
        RemoteAction {
            files: vec![RemoteFile {
                path: "dist/a b.txt".to_owned(),
                digest: RemoteDigest::of(b"a"),
                is_executable: true,
            }],
            links: vec![RemoteLink {
                path: "dist/link".to_owned(),
                target: "../x".to_owned(),
            }],
            stdout: Some(RemoteDigest::of(b"out")),
            stderr: None,
            exit_code: 3,
        }
    }

    #[test]
    fn a_result_comes_back_as_it_went() {
        let key = [7; 32];
        let signing = SigningKey::new(b"k");
        for signing in [None, Some(&signing)] {
            let sent = encode(&key, &sample(), signing);
            assert_eq!(decode(&key, &sent, signing).unwrap(), sample());
        }
    }

    #[test]
    fn a_result_of_another_key_another_signer_or_bent_is_not_signed() {
        let signing = SigningKey::new(b"k");
        let sent = encode(&[7; 32], &sample(), Some(&signing));
        let is_unsigned = |key: [u8; 32], sent: &ActionResult, signing: &SigningKey| {
            matches!(
                decode(&key, sent, Some(signing)),
                Err(RemoteError::Unsigned)
            )
        };
        assert!(is_unsigned([8; 32], &sent, &signing));
        assert!(is_unsigned([7; 32], &sent, &SigningKey::new(b"K")));
        let mut bent = sent.clone();
        bent.output_files[0].is_executable = false;
        assert!(is_unsigned([7; 32], &bent, &signing));
        bent = encode(&[7; 32], &sample(), None);
        assert!(is_unsigned([7; 32], &bent, &signing));
    }

    #[test]
    fn paths_that_lead_elsewhere_are_nonsense() {
        for odd in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            "a\0",
            "..\\x",
        ] {
            let mut sent = encode(&[7; 32], &sample(), None);
            sent.output_files[0].path = odd.to_owned();
            assert!(decode(&[7; 32], &sent, None).is_err(), "{odd}");
            let mut sent = encode(&[7; 32], &sample(), None);
            sent.output_symlinks[0].path = odd.to_owned();
            assert!(decode(&[7; 32], &sent, None).is_err(), "{odd}");
        }
    }
}
