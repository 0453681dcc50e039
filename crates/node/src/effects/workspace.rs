//! Opens the private view of a turn's workspace.

use super::{Performed, config, reported};
use crate::node::Inner;
use mainstay_contract::{Code, Digest, ErrorReport, SessionId, TurnId};
use mainstay_sessions::Input;

pub(super) async fn open(
    inner: &Inner,
    session: &SessionId,
    turn: TurnId,
    digest: Digest,
    at: Option<Digest>,
) -> Performed {
    let failed = |error| {
        (
            Input::WorkspaceFailed {
                turn: turn.clone(),
                error,
            },
            Vec::new(),
        )
    };
    let shell = match config(inner, digest).await {
        Ok((_, shell)) => shell,
        Err(error) => return failed(error),
    };
    let Some(folder) = shell.workspace else {
        let message = "the agent has no workspace to open";
        return failed(Box::new(ErrorReport::new(Code::Internal, message)));
    };
    match inner.workspaces.open(session, &folder, at).await {
        Ok(opened) => {
            let (state, mode) = (opened.state, opened.mode);
            (Input::WorkspaceOpened { turn, state, mode }, opened.blobs)
        }
        Err(error) => failed(reported(&error)),
    }
}
