//! How many connections are taken at a time: as many as there are files for. The owner has places apart, so that
//! callers of models, however many of their streams are open, never keep the owner out.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Places for the owner, on the unix socket.
pub(super) const OWNER: usize = 256;
/// Files that are kept for everything but callers: the owner's places, the store, pipes of tools and tasks.
const FILES_KEPT: u64 = 512;
/// Files of a caller: its connection, and another one to the provider of a model.
const FILES_EACH: u64 = 2;
/// Files beyond this are not asked for.
const FILES_MAX: u64 = 1 << 16;
/// Callers who are taken however few files there are.
const CALLERS_MIN: u64 = 64;

/// Raises the number of files that this process may open, as far as the system allows without asking anybody.
pub(super) fn raise_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(FILES_MAX, |most| most.min(FILES_MAX));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            ..limit
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "the number of open files stays as it was");
        }
    }
}

/// Places for callers over TCP.
pub(super) fn callers() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    usize::try_from(callers_with(files)).unwrap_or(usize::MAX)
}

fn callers_with(files: Option<u64>) -> u64 {
    let files = files.map_or(FILES_MAX, |files| files.min(FILES_MAX));
    let room = files.saturating_sub(FILES_KEPT) / FILES_EACH;
    room.max(CALLERS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_follow_the_files_and_leave_some() {
        assert_eq!(callers_with(Some(1024)), 256);
        assert_eq!(callers_with(Some(20_000)), 9744);
        assert_eq!(callers_with(Some(100)), CALLERS_MIN);
        assert_eq!(callers_with(None), callers_with(Some(1 << 40)));
        let most = callers_with(None) * FILES_EACH + FILES_KEPT;
        assert!(most <= FILES_MAX, "{most}");
    }

    #[test]
    fn files_are_never_fewer_than_before() {
        let before = getrlimit(Resource::Nofile);
        raise_files();
        let after = getrlimit(Resource::Nofile);
        assert_eq!(after.maximum, before.maximum);
        assert!(after.current.unwrap_or(u64::MAX) >= before.current.unwrap_or(u64::MAX));
        assert!(callers() >= 64);
    }
}
