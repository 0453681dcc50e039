//! What an agent changed: shown, brought home, or removed with its session.

use super::Node;
use crate::error::RequestError;
use crate::snapshot;
use crate::workspaces::blocking;
use mainstay_contract::{Digest, SessionId};
use mainstay_runtimes::workspace::{self, Applied, Diff, ViewParams};
use mainstay_sessions::{Rejected, TurnState};
use std::path::PathBuf;

impl Node {
    /// What the agent changed in its private view of the workspace.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn diff(&self, session: &SessionId) -> Result<Diff, RequestError> {
        let (params, state) = self.committed(session).await?;
        let blobs = self.inner.workspaces.blobs();
        Ok(blocking(move || workspace::diff(&params, state, &blobs)).await?)
    }

    /// Brings the agent's changes home, or into another folder.
    ///
    /// # Errors
    /// [`RequestError::Workspace`] with every conflict, and then nothing was written.
    pub async fn apply(
        &self,
        session: &SessionId,
        to: Option<PathBuf>,
    ) -> Result<Applied, RequestError> {
        let (params, state) = self.committed(session).await?;
        let blobs = self.inner.workspaces.blobs();
        let to = to.unwrap_or_else(|| params.folder.clone());
        Ok(blocking(move || workspace::apply(&params, state, &to, &blobs)).await?)
    }

    async fn committed(&self, session: &SessionId) -> Result<(ViewParams, Digest), RequestError> {
        let (machine, _) = self.load(session).await?;
        let none = || RequestError::NoWorkspace {
            session: session.to_string(),
        };
        let (state, mode) = machine.workspace().ok_or_else(none)?;
        let view = machine.view();
        let turn = view.turns.last().ok_or_else(none)?;
        let config = machine.config(&turn.turn).ok_or_else(none)?;
        let shell = snapshot::shell(config);
        let shell = shell.map_err(|error| RequestError::Internal(error.to_string()))?;
        let folder = shell.workspace.ok_or_else(none)?;
        let mut params = self.inner.workspaces.params(session, &folder)?;
        params.mode = mode;
        Ok((params, state))
    }

    /// Removes a session and what only it stored.
    ///
    /// # Errors
    /// [`RequestError::Rejected`] while a turn is under way.
    pub async fn remove(&self, session: &SessionId) -> Result<(), RequestError> {
        let (machine, _) = self.load(session).await?;
        if let Some(holder) = machine.current_turn() {
            let state = machine.turn_state(holder);
            return Err(Rejected::Busy {
                holder: holder.clone(),
                is_parked: state.is_some_and(TurnState::is_parked),
            }
            .into());
        }
        self.inner.workspaces.close(session).await;
        self.inner
            .journal
            .remove_session(session)
            .await
            .map_err(RequestError::Commit)
    }
}
