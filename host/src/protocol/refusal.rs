//! How requests are refused: the code for each kind of error, and the form that every client survives.
//!
//! Clients drop the connection at commands they do not expect, and ignore a plain ERROR where they expect a response of its
//! own kind. So SEND is refused by SEND_ERROR, lookups and schema questions by their responses, acknowledgements only if an
//! answer was asked for; the rest by ERROR.

use super::command::{
    Command, CommandError, ConsumerStatsResponse, GetOrCreateSchemaResponse, GetSchemaResponse, LookupResponse,
    PartitionedMetadataResponse, ServerError, Success,
};
use crate::managed_ledger::ManagedLedgerError;
use crate::topic::TopicError;
use crate::topic::terms::QuotaAction;

const LOOKUP_FAILED: i32 = 2;
const METADATA_FAILED: i32 = 1;

/// The code for an error.
pub(super) fn code_of(error: &TopicError) -> ServerError {
    match error {
        TopicError::InvalidName(_) => ServerError::InvalidTopicName,
        TopicError::NotFound(_) | TopicError::NamespaceNotFound(_) => ServerError::TopicNotFound,
        TopicError::SubscriptionNotFound { .. } => ServerError::SubscriptionNotFound,
        TopicError::ConsumerNotFound | TopicError::Metadata(_) => ServerError::Metadata,
        TopicError::ConsumerBusy(_) | TopicError::SubscriptionExists | TopicError::SubscriptionInUse => {
            ServerError::ConsumerBusy
        }
        TopicError::ConsumerAssign(_) => ServerError::ConsumerAssign,
        TopicError::ProducerBusy(_) | TopicError::BadName(_) => ServerError::ProducerBusy,
        TopicError::ProducerFenced(_) => ServerError::ProducerFenced,
        TopicError::IncompatibleSchema(_) => ServerError::IncompatibleSchema,
        TopicError::BacklogExceeded(QuotaAction::FailProducers) => ServerError::ProducerBlockedQuotaException,
        TopicError::BacklogExceeded(_) => ServerError::ProducerBlockedQuota,
        TopicError::NotReady(_) | TopicError::InUse(_) => ServerError::ServiceNotReady,
        TopicError::Terminated(_) => ServerError::TopicTerminated,
        TopicError::NotAllowed(_) => ServerError::NotAllowed,
        TopicError::Unauthorized(_) => ServerError::Authorization,
        TopicError::Storage(error) => code_of_storage(error),
        TopicError::Read(_) => ServerError::Persistence,
    }
}

fn code_of_storage(error: &ManagedLedgerError) -> ServerError {
    match error {
        ManagedLedgerError::NotFound(_) => ServerError::TopicNotFound,
        ManagedLedgerError::Closed(_) | ManagedLedgerError::Fenced { .. } => ServerError::ServiceNotReady,
        ManagedLedgerError::BadRecord { .. } | ManagedLedgerError::Metadata(_) => ServerError::Metadata,
        ManagedLedgerError::Store(_) | ManagedLedgerError::Read(_) => ServerError::Persistence,
    }
}

/// ERROR for `error`.
pub(super) fn error(request_id: u64, error: &TopicError) -> Command {
    plain(request_id, code_of(error), &error.to_string())
}

/// ERROR.
pub(super) fn plain(request_id: u64, code: ServerError, message: &str) -> Command {
    Command::Error(CommandError { request_id, error: code as i32, message: message.to_owned() })
}

/// LOOKUP_RESPONSE that failed.
pub(super) fn lookup(request_id: u64, error: &TopicError) -> Command {
    plain_lookup(request_id, code_of(error), &error.to_string())
}

fn plain_lookup(request_id: u64, code: ServerError, message: &str) -> Command {
    Command::LookupResponse(LookupResponse {
        request_id,
        response: Some(LOOKUP_FAILED),
        error: Some(code as i32),
        message: Some(message.to_owned()),
        ..LookupResponse::default()
    })
}

/// PARTITIONED_METADATA_RESPONSE that failed.
pub(super) fn partitioned_metadata(request_id: u64, error: &TopicError) -> Command {
    plain_partitioned_metadata(request_id, code_of(error), &error.to_string())
}

fn plain_partitioned_metadata(request_id: u64, code: ServerError, message: &str) -> Command {
    Command::PartitionedMetadataResponse(PartitionedMetadataResponse {
        request_id,
        partitions: None,
        response: Some(METADATA_FAILED),
        error: Some(code as i32),
        message: Some(message.to_owned()),
    })
}

/// The refusal of what a client asks first, in the form that it expects; `None` for what asks nothing.
pub(super) fn of_first_request(command: &Command, code: ServerError, message: &str) -> Option<Command> {
    Some(match command {
        Command::PartitionedMetadata(question) => plain_partitioned_metadata(question.request_id, code, message),
        Command::Lookup(question) => plain_lookup(question.request_id, code, message),
        Command::GetTopicsOfNamespace(question) => plain(question.request_id, code, message),
        Command::WatchTopicList(question) => plain(question.request_id, code, message),
        Command::Producer(command) => plain(command.request_id, code, message),
        Command::Subscribe(command) => plain(command.request_id, code, message),
        _ => return None,
    })
}

/// GET_SCHEMA_RESPONSE of a topic without schema, or without that version.
pub(super) fn no_schema(request_id: u64) -> Command {
    Command::GetSchemaResponse(GetSchemaResponse {
        request_id,
        error: Some(ServerError::TopicNotFound as i32),
        message: Some("Topic not found or no-schema".to_owned()),
        ..GetSchemaResponse::default()
    })
}

/// GET_SCHEMA_RESPONSE that failed.
pub(super) fn schema(request_id: u64, error: &TopicError) -> Command {
    Command::GetSchemaResponse(GetSchemaResponse {
        request_id,
        error: Some(code_of(error) as i32),
        message: Some(error.to_string()),
        ..GetSchemaResponse::default()
    })
}

/// GET_OR_CREATE_SCHEMA_RESPONSE that failed.
pub(super) fn new_schema(request_id: u64, error: &TopicError) -> Command {
    Command::GetOrCreateSchemaResponse(GetOrCreateSchemaResponse {
        request_id,
        error: Some(code_of(error) as i32),
        message: Some(error.to_string()),
        ..GetOrCreateSchemaResponse::default()
    })
}

/// CONSUMER_STATS_RESPONSE for a consumer that is not there.
pub(super) fn no_consumer_stats(request_id: u64) -> Command {
    Command::ConsumerStatsResponse(ConsumerStatsResponse {
        request_id,
        error: Some(ServerError::ConsumerNotFound as i32),
        message: Some("Consumer not found".to_owned()),
        ..ConsumerStatsResponse::default()
    })
}

/// The answer to a command that this broker does not serve, as far as one can be given; `None` for one that is ignored, or
/// that no client sends.
pub(super) fn unserved(command: &Command) -> Option<Command> {
    match command {
        Command::NewTxn(request)
        | Command::AddPartitionToTxn(request)
        | Command::AddSubscriptionToTxn(request)
        | Command::EndTxn(request)
        | Command::EndTxnOnPartition(request)
        | Command::EndTxnOnSubscription(request)
        | Command::TcClientConnect(request) => {
            Some(plain(request.request_id, ServerError::NotAllowed, "Transactions are not enabled."))
        }
        Command::WatchTopicList(request) => {
            let message = "topic watchers are not served; ask for the topics of the namespace instead";
            Some(plain(request.request_id, ServerError::NotAllowed, message))
        }
        Command::WatchTopicListClose(request) => Some(Command::Success(Success { request_id: request.request_id })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::command::{Empty, Request};

    #[test]
    fn transactions_are_refused_as_by_a_broker_without_them() {
        let refused = unserved(&Command::TcClientConnect(Request { request_id: 9 }));
        let expected = CommandError {
            request_id: 9,
            error: ServerError::NotAllowed as i32,
            message: "Transactions are not enabled.".to_owned(),
        };
        assert_eq!(refused, Some(Command::Error(expected)));
        assert_eq!(unserved(&Command::AuthResponse(Empty {})), None);
    }

    #[test]
    fn lookups_are_refused_by_their_own_responses() {
        let missing = TopicError::NotFound("t".parse().expect("a valid name"));
        let Command::LookupResponse(response) = lookup(3, &missing) else { panic!("not a response") };
        assert_eq!((response.response, response.error), (Some(2), Some(11)));
        let Command::PartitionedMetadataResponse(response) = partitioned_metadata(3, &missing) else {
            panic!("not a response")
        };
        assert_eq!((response.response, response.error, response.partitions), (Some(1), Some(11), None));
    }
}
