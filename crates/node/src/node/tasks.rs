//! Runs of tasks: begun, looked at and stopped.

use super::Node;
use crate::error::RequestError;
use crate::tasks::{Run, TaskRunRequest, TaskRunView};
use std::sync::Arc;

impl Node {
    /// Begins a run of tasks, or finds the one that was begun with this key.
    ///
    /// # Errors
    /// [`RequestError`]; then nothing runs.
    pub(crate) async fn start_tasks(
        &self,
        request: TaskRunRequest,
        key: Option<&str>,
    ) -> Result<Arc<Run>, RequestError> {
        self.inner.tasks.start(request, key).await
    }

    /// A run of tasks that is still known.
    ///
    /// # Errors
    /// [`RequestError::NotFound`].
    pub(crate) fn task_run(&self, id: &str) -> Result<Arc<Run>, RequestError> {
        self.inner.tasks.find(id)
    }

    /// The runs of tasks that are still known, the newest first.
    #[must_use]
    pub fn task_runs(&self) -> Vec<TaskRunView> {
        self.inner.tasks.list()
    }

    /// Ends all runs of tasks, in good order and then at once; no other begins.
    pub async fn close_tasks(&self) {
        self.inner.tasks.close().await;
    }
}
