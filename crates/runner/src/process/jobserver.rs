//! The jobserver of a make that started us (GNU make's protocol): a pipe that holds one byte for each job that
//! may be begun. Who takes one gives it back; one job is free for whoever was started.

use crate::environment::Environment;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read, write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Where make says how to reach it.
const FLAGS: &str = "MAKEFLAGS";

/// A jobserver that we are a client of.
#[derive(Debug)]
pub struct Jobserver {
    read: OwnedFd,
    write: OwnedFd,
    /// Why it cannot be asked any more.
    failure: Mutex<Option<String>>,
}

/// Why the jobserver of a make that started us cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobserverError {
    /// Make closed it for this command.
    #[error(
        "the jobserver `{place}` of make is closed; `+` before the command in the makefile opens it"
    )]
    Closed {
        /// What make says of it.
        place: String,
    },
    /// It is not what it should be.
    #[error("`{place}` is no jobserver of make")]
    Unknown {
        /// What make says of it.
        place: String,
    },
}

impl Jobserver {
    /// The one that the caller's environment names, if any.
    ///
    /// # Errors
    /// [`JobserverError`], where it names one that cannot be used.
    pub fn inherited(environment: &Environment) -> Result<Option<Self>, JobserverError> {
        let flags = environment.get(FLAGS).unwrap_or_default();
        let flags = flags.to_string_lossy();
        let Some(place) = place(&flags) else {
            return Ok(None);
        };
        let (read, write) = match parse(place) {
            Some(Place::None) => return Ok(None),
            Some(Place::Fifo(path)) => (path.to_owned(), path.to_owned()),
            Some(Place::Pipe(read, write)) => (own(read), own(write)),
            None => {
                let place = place.to_owned();
                return Err(JobserverError::Unknown { place });
            }
        };
        let opened =
            pipe(&read, OFlags::RDONLY).and_then(|end| Ok((end, pipe(&write, OFlags::WRONLY)?)));
        let (read, write) = opened.map_err(|_| JobserverError::Closed {
            place: place.to_owned(),
        })?;
        Ok(Some(Self {
            read,
            write,
            failure: Mutex::default(),
        }))
    }

    /// Why it was not asked any further: told once.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let failure = self.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a token, if there is one now.
    pub(super) fn take(&self) -> Result<Option<u8>, Errno> {
        take(&self.read)
    }

    pub(super) fn give(&self, token: u8) {
        if let Err(errno) = give(&self.write, token) {
            self.fail(errno);
        }
    }

    pub(super) fn fail(&self, errno: Errno) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| errno.to_string());
    }
}

/// Takes a token from a pipe that does not block.
pub(super) fn take(pipe: &OwnedFd) -> Result<Option<u8>, Errno> {
    let mut token = [0];
    loop {
        return match read(pipe, &mut token) {
            Ok(0) => Err(Errno::PIPE),
            Ok(_) => Ok(Some(token[0])),
            Err(Errno::AGAIN) => Ok(None),
            Err(Errno::INTR) => continue,
            Err(errno) => Err(errno),
        };
    }
}

/// Puts a token into a pipe.
pub(super) fn give(pipe: &OwnedFd, token: u8) -> Result<(), Errno> {
    loop {
        return match write(pipe, &[token]) {
            Ok(_) => Ok(()),
            Err(Errno::INTR) => continue,
            Err(errno) => Err(errno),
        };
    }
}

/// Opens an end of a pipe anew, so that it does not block for us and for nobody else.
pub(super) fn pipe(path: &str, end: OFlags) -> Result<OwnedFd, Errno> {
    let found = std::fs::metadata(path);
    // A number that make closed may be something else of ours by now.
    if !found.is_ok_and(|found| found.file_type().is_fifo()) {
        return Err(Errno::BADF);
    }
    let end = match Path::new(path).starts_with("/proc/self/fd") {
        true => end,
        // A named pipe of which nobody else holds the other end could not be opened otherwise.
        false => OFlags::RDWR,
    };
    open(
        path,
        end | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// A descriptor of ours, as a path.
pub(super) fn own(number: u32) -> String {
    format!("/proc/self/fd/{number}")
}

/// How make says where its jobserver is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'f> {
    /// The ends of a pipe.
    Pipe(u32, u32),
    Fifo(&'f str),
    /// There is none for this command.
    None,
}

/// What the flags of make say of a jobserver; the last word counts, and what follows `--` are no flags.
pub(super) fn place(flags: &str) -> Option<&str> {
    let words = flags.split(' ').take_while(|word| *word != "--");
    let names = ["--jobserver-auth=", "--jobserver-fds="];
    let places = words.filter_map(|word| names.iter().find_map(|name| word.strip_prefix(name)));
    places.last()
}

pub(super) fn parse(place: &str) -> Option<Place<'_>> {
    if let Some(path) = place.strip_prefix("fifo:") {
        return Some(Place::Fifo(path));
    }
    let (read, write) = place.split_once(',')?;
    let (read, write): (i64, i64) = (read.parse().ok()?, write.parse().ok()?);
    match (u32::try_from(read), u32::try_from(write)) {
        (Ok(read), Ok(write)) => Some(Place::Pipe(read, write)),
        _ => Some(Place::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inherited(flags: &str) -> Result<Option<Jobserver>, JobserverError> {
        let flags = (FLAGS.into(), flags.into());
        Jobserver::inherited(&Environment::of([flags]))
    }

    #[test]
    fn the_last_word_of_the_flags_counts() {
        for (flags, expected) in [
            ("", None),
            ("-j2", None),
            (" -j2 --jobserver-auth=3,4", Some("3,4")),
            (
                "--jobserver-fds=3,4 -j --jobserver-auth=fifo:/x",
                Some("fifo:/x"),
            ),
            ("k -- A=--jobserver-auth=3,4", None),
            ("k -- --jobserver-auth=3,4", None),
        ] {
            assert_eq!(place(flags), expected, "{flags}");
        }
        assert_eq!(parse("3,4"), Some(Place::Pipe(3, 4)));
        assert_eq!(parse("-2,-2"), Some(Place::None));
        assert_eq!(parse("fifo:/a b"), Some(Place::Fifo("/a b")));
        assert_eq!(parse("gibberish"), None);
    }

    #[test]
    fn what_is_no_pipe_is_told() {
        assert!(inherited("-j").unwrap().is_none());
        assert!(inherited("--jobserver-auth=-2,-2").unwrap().is_none());
        for flags in [
            "--jobserver-auth=0,99999",
            "--jobserver-auth=fifo:/dev/null",
        ] {
            let error = inherited(flags).unwrap_err();
            assert!(matches!(error, JobserverError::Closed { .. }), "{error}");
        }
        let error = inherited("--jobserver-auth=what").unwrap_err();
        assert!(matches!(error, JobserverError::Unknown { .. }));
    }

    #[test]
    fn tokens_of_a_named_pipe_are_taken_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let flags = format!("--jobserver-auth=fifo:{}", path.display());
        let server = inherited(&flags).unwrap().unwrap();
        assert_eq!(server.take(), Ok(None));
        server.give(b'x');
        assert_eq!(server.take(), Ok(Some(b'x')));
        assert_eq!((server.take(), server.failure()), (Ok(None), None));
    }
}
