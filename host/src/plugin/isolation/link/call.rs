//! A call to the other end, as its maker holds it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use longshore_plugin_api::{Entry, Error, ErrorCode};
use prost::Message;
use tokio::sync::oneshot;

use super::super::frame::Kind;
use super::super::message::{self, Context as CallContext};
use super::{Answer, Link};

/// A call that has its number and was not sent yet.
pub(in super::super) struct Reserved {
    pub(super) link: Arc<Link>,
    pub(in super::super) id: u64,
}

impl Reserved {
    /// Sends it.
    pub(in super::super) fn send(self, kind: Kind, context: &CallContext, asked: &impl Message) -> Call {
        let Self { link, id } = self;
        let (sender, answer) = oneshot::channel();
        let body = message::call_body(context, asked);
        match link.admit(id, body.len(), sender) {
            Ok(()) => link.send(kind, id, &body),
            Err((sender, error)) => {
                let _ = sender.send(Err(error));
            }
        }
        Call { link, id, answer, began: Instant::now() }
    }
}

/// A call that was made. Dropping it cancels it.
pub(in super::super) struct Call {
    link: Arc<Link>,
    id: u64,
    answer: oneshot::Receiver<Result<Answer, Error>>,
    began: Instant,
}

impl Future for Call {
    type Output = Result<Answer, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender goes only with the whole connection.
        let lost = || Error::new(ErrorCode::Unavailable, "the connection to the driver's process is gone");
        Pin::new(&mut self.answer).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(lost())))
    }
}

impl Call {
    /// Waits for an answer that is a message.
    pub(in super::super) async fn message<M: Message + Default>(self) -> Result<M, Error> {
        match self.await? {
            Answer::Message(body) => {
                M::decode(&*body).map_err(|error| nonsense(&format!("an answer that cannot be read: {error}")))
            }
            Answer::Entries(_) => Err(nonsense("entries where none were asked for")),
        }
    }

    /// Waits for an answer that is entries.
    pub(in super::super) async fn entries(self) -> Result<Vec<Entry>, Error> {
        match self.await? {
            Answer::Entries(entries) => Ok(entries),
            Answer::Message(_) => Err(nonsense("no entries where some were asked for")),
        }
    }
}

/// The other end answered with something that is no answer to the question.
pub(in super::super) fn nonsense(what: &str) -> Error {
    Error::new(ErrorCode::Internal, format!("the other process answered with {what}"))
}

impl Drop for Call {
    fn drop(&mut self) {
        self.link.given_up(self.id, self.began.elapsed());
    }
}
