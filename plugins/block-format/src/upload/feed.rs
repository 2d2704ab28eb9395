//! Reads the ledger ahead of the upload: while one batch is encoded, the next one is read.

use longshore_plugin_api::{Entry, Error, ErrorCode, LedgerReader, Result};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::task::AbortOnDropHandle;

/// Batches of a ledger's entries, in order.
pub(super) struct EntryFeed {
    batches: Receiver<Result<Vec<Entry>>>,
    _reading: AbortOnDropHandle<()>,
}

impl EntryFeed {
    /// Begins to read, `batch_bytes` at once. Reading stops when the feed is dropped.
    pub(super) fn start(ledger: LedgerReader, batch_bytes: u64) -> Self {
        // One batch waits in the hands of the sender, so none has to wait here.
        let (sender, batches) = mpsc::channel(1);
        let reading = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = read_all(&ledger, batch_bytes, &sender).await {
                // A receiver that is gone does not want to know.
                let _ = sender.send(Err(error)).await;
            }
        }));
        Self { batches, _reading: reading }
    }

    /// The next batch; `None` behind the last one.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        self.batches.recv().await.transpose()
    }
}

async fn read_all(ledger: &LedgerReader, batch_bytes: u64, batches: &Sender<Result<Vec<Entry>>>) -> Result<()> {
    let metadata = ledger.metadata();
    let mut next = 0;
    while next < metadata.entry_count {
        // Room first: so that no more than this batch and the one being encoded are in memory.
        let Ok(room) = batches.reserve().await else { return Ok(()) };
        let entries = ledger.read(next, metadata.entry_count - 1, batch_bytes).await?;
        if entries.is_empty() {
            let message = format!("ledger {} answered no entry from {next} on", metadata.ledger_id);
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        next += entries.len() as u64;
        room.send(Ok(entries));
    }
    Ok(())
}
