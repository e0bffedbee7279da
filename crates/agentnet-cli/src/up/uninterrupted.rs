//! Work that runs to its end even if its caller stops waiting for it.

use tokio::task::JoinHandle;

/// At most one piece of such work.
#[derive(Debug, Default)]
pub(crate) struct Uninterrupted(Option<JoinHandle<()>>);

impl Uninterrupted {
    /// Starts the work; the one before has ended.
    pub(crate) fn start(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.0 = Some(tokio::spawn(work));
    }

    /// Waits for the end of the work, if there is any. A caller that stopped waiting can wait again.
    pub(crate) async fn end(&mut self) {
        if let Some(work) = &mut self.0 {
            // It fails after a panic, which is logged.
            let _ = work.await;
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_when_its_caller_stops_waiting() {
        let (proceed, proceeds) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let mut work = Uninterrupted::default();
        work.start(async move {
            let _ = proceeds.await;
            let _ = done.send(());
        });
        assert!(timeout(Duration::from_millis(10), work.end()).await.is_err());
        proceed.send(()).unwrap();
        work.end().await;
        is_done.await.unwrap();
        timeout(Duration::from_secs(30), work.end()).await.unwrap();
    }
}
