//! Who waits for what: requests by their id, producers for receipts, consumers for messages.
//!
//! The reading task hands every frame in here. What contradicts the protocol ends the connection.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::protocol::command::{Command, Message, SendError, SendReceipt};
use crate::protocol::frame::Frame;

use super::{ClientError, MessageId};

/// One entry for a consumer: what the command says, and the entry.
pub(super) type Delivery = (Message, Bytes);

/// An entry that was sent and not yet answered.
pub(super) struct Pending {
    /// Number of its (first) message.
    pub(super) sequence_id: u64,
    /// Who waits for each message, in order; one for an entry that is no batch.
    pub(super) waiting: Vec<oneshot::Sender<Result<MessageId, ClientError>>>,
    /// Whether it is a batch, so that the ids have an index.
    pub(super) is_batch: bool,
    /// Its place in the producer's window, given back with the answer.
    pub(super) place: OwnedSemaphorePermit,
}

/// All that wait on one connection.
#[derive(Default)]
pub(super) struct Routes(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    requests: HashMap<u64, oneshot::Sender<Command>>,
    producers: HashMap<u64, ProducerQueue>,
    consumers: HashMap<u64, mpsc::Sender<Delivery>>,
    /// Why the connection ended.
    ended: Option<String>,
}

#[derive(Default)]
struct ProducerQueue {
    pending: VecDeque<Pending>,
    /// First failure that `flush` has not told yet.
    failed: Option<ClientError>,
    closed: bool,
}

impl Routes {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the connection has ended, as an error; also for a connection that ends while the caller looks.
    pub(super) fn ended(&self) -> Option<ClientError> {
        self.lock().ended.clone().map(ClientError::Closed)
    }

    /// Ends everything that waits. The first reason stays.
    pub(super) fn end(&self, reason: String) {
        let mut waiting = self.lock();
        waiting.ended.get_or_insert(reason);
        let reason = waiting.ended.clone().unwrap_or_default();
        waiting.requests.clear();
        waiting.consumers.clear();
        for queue in waiting.producers.values_mut() {
            queue.end(&reason);
        }
    }

    /// Waits for the answer to `request_id`.
    pub(super) fn expect(&self, request_id: u64) -> Result<oneshot::Receiver<Command>, ClientError> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        if let Some(reason) = &waiting.ended {
            return Err(ClientError::Closed(reason.clone()));
        }
        waiting.requests.insert(request_id, sender);
        Ok(receiver)
    }

    /// No longer waits for `request_id`.
    pub(super) fn forget(&self, request_id: u64) {
        self.lock().requests.remove(&request_id);
    }

    pub(super) fn add_producer(&self, producer_id: u64) {
        self.lock().producers.insert(producer_id, ProducerQueue::default());
    }

    pub(super) fn remove_producer(&self, producer_id: u64) {
        self.lock().producers.remove(&producer_id);
    }

    pub(super) fn add_consumer(&self, consumer_id: u64, sender: mpsc::Sender<Delivery>) {
        self.lock().consumers.insert(consumer_id, sender);
    }

    pub(super) fn remove_consumer(&self, consumer_id: u64) {
        self.lock().consumers.remove(&consumer_id);
    }

    /// Notes that `pending` is about to be sent.
    pub(super) fn sent(&self, producer_id: u64, pending: Pending) -> Result<(), ClientError> {
        let mut waiting = self.lock();
        if let Some(reason) = &waiting.ended {
            return Err(ClientError::Closed(reason.clone()));
        }
        match waiting.producers.get_mut(&producer_id) {
            Some(queue) if !queue.closed => {
                queue.pending.push_back(pending);
                Ok(())
            }
            _ => Err(closed_by_broker("producer")),
        }
    }

    /// The first failure of a producer since it was last asked.
    pub(super) fn take_failure(&self, producer_id: u64) -> Option<ClientError> {
        self.lock().producers.get_mut(&producer_id).and_then(|queue| queue.failed.take())
    }

    /// Hands frames to whoever waits for them.
    ///
    /// # Errors
    /// Why the connection cannot go on; frames before the one that says so are handed on.
    pub(super) fn take_all(&self, frames: impl IntoIterator<Item = Frame>) -> Result<(), String> {
        let mut answered = Vec::new();
        let mut waiting = self.lock();
        let taken = frames.into_iter().try_for_each(|frame| waiting.take(frame, &mut answered));
        drop(waiting);
        // The oldest last: it is the one that is waited for, and who is woken by it finds the others answered.
        answered.into_iter().rev().for_each(Answered::tell);
        taken
    }
}

/// An entry and what the broker says of it.
struct Answered {
    pending: Pending,
    answer: Result<MessageId, ClientError>,
}

impl Answered {
    fn tell(self) {
        let Pending { waiting, is_batch, place, .. } = self.pending;
        for (index, waiting) in waiting.into_iter().enumerate().rev() {
            let batch_index = is_batch.then_some(index as u32);
            let _ = waiting.send(self.answer.clone().map(|id| MessageId { batch_index, ..id }));
        }
        drop(place);
    }
}

impl Waiting {
    fn take(&mut self, frame: Frame, answered: &mut Vec<Answered>) -> Result<(), String> {
        let kind = frame.command.kind;
        let command =
            frame.command.command.ok_or_else(|| format!("the broker sent command {kind}, which is unknown"))?;
        match command {
            Command::Message(message) => self.deliver(message, frame.payload),
            Command::SendReceipt(receipt) => self.receipt(&receipt, answered),
            Command::SendError(error) => self.send_error(error, answered),
            Command::CloseProducer(close) => {
                if let Some(queue) = self.producers.get_mut(&close.producer_id) {
                    queue.end("the broker closed the producer");
                }
                Ok(())
            }
            Command::CloseConsumer(close) => {
                self.consumers.remove(&close.consumer_id);
                Ok(())
            }
            Command::ActiveConsumerChange(_) | Command::ReachedEndOfTopic(_) | Command::Pong(_) => Ok(()),
            answer => self.answer(answer),
        }
    }

    fn answer(&mut self, answer: Command) -> Result<(), String> {
        let id =
            request_id(&answer).ok_or_else(|| format!("the broker sent {}, which is for brokers", answer.name()))?;
        // An answer that nobody waits for any more came after its deadline.
        if let Some(sender) = self.requests.remove(&id) {
            let _ = sender.send(answer);
        }
        Ok(())
    }

    fn deliver(&self, message: Message, entry: Bytes) -> Result<(), String> {
        // A consumer that was closed meanwhile may still be sent to.
        let Some(sender) = self.consumers.get(&message.consumer_id) else { return Ok(()) };
        match sender.try_send((message, entry)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err("the broker sent more messages than were asked for".to_owned())
            }
        }
    }

    fn receipt(&mut self, receipt: &SendReceipt, answered: &mut Vec<Answered>) -> Result<(), String> {
        let Some(pending) = self.pop(receipt.producer_id, receipt.sequence_id)? else { return Ok(()) };
        let id = receipt.message_id.as_ref().and_then(MessageId::from_wire);
        let id = id.ok_or("the broker sent a receipt without message id")?;
        answered.push(Answered { pending, answer: Ok(id) });
        Ok(())
    }

    fn send_error(&mut self, error: SendError, answered: &mut Vec<Answered>) -> Result<(), String> {
        let failure = ClientError::refused("store a message", error.error, &error.message);
        let Some(pending) = self.pop(error.producer_id, error.sequence_id)? else { return Ok(()) };
        if let Some(queue) = self.producers.get_mut(&error.producer_id) {
            queue.failed.get_or_insert(failure.clone());
        }
        answered.push(Answered { pending, answer: Err(failure) });
        Ok(())
    }

    /// The oldest entry of a producer, which `sequence_id` must be; a batch is known by any of its messages.
    fn pop(&mut self, producer_id: u64, sequence_id: u64) -> Result<Option<Pending>, String> {
        let Some(queue) = self.producers.get_mut(&producer_id) else { return Ok(None) };
        let Some(oldest) = queue.pending.front() else {
            return Err(format!("the broker answered message {sequence_id}, which was not sent"));
        };
        let messages = oldest.waiting.len() as u64;
        if !(oldest.sequence_id..oldest.sequence_id + messages).contains(&sequence_id) {
            return Err(format!("the broker answered message {sequence_id} before message {}", oldest.sequence_id));
        }
        Ok(queue.pending.pop_front())
    }
}

impl ProducerQueue {
    fn end(&mut self, reason: &str) {
        self.closed = true;
        if self.pending.is_empty() {
            return;
        }
        let failure = ClientError::Closed(format!("{} messages were not acknowledged: {reason}", self.pending.len()));
        self.failed.get_or_insert(failure.clone());
        for waiting in self.pending.drain(..).flat_map(|pending| pending.waiting) {
            let _ = waiting.send(Err(failure.clone()));
        }
    }
}

pub(super) fn closed_by_broker(what: &str) -> ClientError {
    ClientError::Closed(format!("the broker closed the {what}"))
}

/// The request that a command answers.
fn request_id(answer: &Command) -> Option<u64> {
    Some(match answer {
        Command::Success(answer) => answer.request_id,
        Command::Error(answer) => answer.request_id,
        Command::ProducerSuccess(answer) => answer.request_id,
        Command::LookupResponse(answer) => answer.request_id,
        Command::PartitionedMetadataResponse(answer) => answer.request_id,
        Command::GetLastMessageIdResponse(answer) => answer.request_id,
        _ => return None,
    })
}
