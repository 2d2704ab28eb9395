//! Questions about topics: PARTITIONED_METADATA, LOOKUP, GET_TOPICS_OF_NAMESPACE.

use super::command::{
    Command, GetTopicsOfNamespace, GetTopicsOfNamespaceResponse, Lookup, LookupResponse, PartitionedMetadata,
    PartitionedMetadataResponse,
};
use super::connection::{Connection, Outcome};
use super::refusal;
use super::server::Shared;
use crate::access::Principal;
use crate::access::rules::Wish;
use crate::topic::{Domain, NamespaceName, TopicError, TopicName};

const LOOKUP_CONNECT: i32 = 1;
const METADATA_SUCCESS: i32 = 0;
const NON_PERSISTENT_ONLY: i32 = 1;

impl Connection {
    /// PARTITIONED_METADATA.
    pub(super) fn partitioned_metadata(&mut self, question: PartitionedMetadata) {
        let (shared, principal) = (self.shared.clone(), self.principal.clone());
        self.requests.spawn(async move {
            let request_id = question.request_id;
            Outcome::Reply(match partitions(&shared, &principal, &question).await {
                Ok(partitions) => Command::PartitionedMetadataResponse(PartitionedMetadataResponse {
                    request_id,
                    partitions: Some(partitions),
                    response: Some(METADATA_SUCCESS),
                    error: None,
                    message: None,
                }),
                Err(error) => refusal::partitioned_metadata(request_id, &error),
            })
        });
    }

    /// LOOKUP: this broker serves every topic.
    pub(super) fn lookup(&mut self, question: Lookup) {
        let (shared, principal) = (self.shared.clone(), self.principal.clone());
        self.requests.spawn(async move {
            let request_id = question.request_id;
            Outcome::Reply(match look_up(&shared, &principal, &question.topic).await {
                Ok(_) => Command::LookupResponse(LookupResponse {
                    request_id,
                    broker_service_url: Some(shared.settings.advertised_service_url.clone()),
                    broker_service_url_tls: shared.settings.advertised_service_url_tls.clone(),
                    response: Some(LOOKUP_CONNECT),
                    authoritative: Some(true),
                    proxy_through_service_url: Some(false),
                    ..LookupResponse::default()
                }),
                Err(error) => refusal::lookup(request_id, &error),
            })
        });
    }

    /// GET_TOPICS_OF_NAMESPACE. The client filters by its pattern.
    pub(super) fn topics_of_namespace(&mut self, question: GetTopicsOfNamespace) {
        let (shared, principal) = (self.shared.clone(), self.principal.clone());
        self.requests.spawn(async move {
            let request_id = question.request_id;
            Outcome::Reply(match names(&shared, &principal, &question).await {
                Ok(topics) => Command::GetTopicsOfNamespaceResponse(GetTopicsOfNamespaceResponse {
                    request_id,
                    topics,
                    filtered: Some(false),
                    changed: Some(true),
                }),
                Err(error) => refusal::error(request_id, &error),
            })
        });
    }
}

fn persistent(topic: &str) -> Result<TopicName, TopicError> {
    let name: TopicName = topic.parse()?;
    match name.domain() {
        Domain::Persistent => Ok(name),
        Domain::NonPersistent => {
            Err(TopicError::NotAllowed(format!("{name}: this broker serves persistent topics only")))
        }
    }
}

/// A topic that the client may know of.
async fn look_up(shared: &Shared, principal: &Principal, topic: &str) -> Result<TopicName, TopicError> {
    let name = persistent(topic)?;
    shared.allow(principal, Wish::LookUp(name.clone())).await?;
    Ok(name)
}

async fn partitions(shared: &Shared, principal: &Principal, question: &PartitionedMetadata) -> Result<u32, TopicError> {
    let name = look_up(shared, principal, &question.topic).await?;
    shared.topics.partitions(&name, question.auto_creation()).await
}

async fn names(
    shared: &Shared,
    principal: &Principal,
    question: &GetTopicsOfNamespace,
) -> Result<Vec<String>, TopicError> {
    let namespace: NamespaceName = question.namespace.parse()?;
    shared.allow(principal, Wish::List(namespace.clone())).await?;
    if question.mode() == NON_PERSISTENT_ONLY {
        return Ok(Vec::new());
    }
    Ok(shared.topics.names(&namespace).await?.iter().map(ToString::to_string).collect())
}
