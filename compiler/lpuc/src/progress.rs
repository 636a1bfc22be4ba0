//! A line on standard error that says which stage is at work, on a terminal only.

use std::time::Duration;

use indicatif::ProgressBar;

/// The line; gone when dropped.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Shows something only if `visible`.
    pub(crate) fn new(visible: bool) -> Self {
        let bar = visible.then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Progress(bar)
    }

    /// What is being done now.
    pub(crate) fn stage(&self, what: impl Into<String>) {
        if let Some(bar) = &self.0 {
            bar.set_message(what.into());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
