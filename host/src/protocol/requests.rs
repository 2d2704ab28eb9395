//! Questions about topics: PARTITIONED_METADATA, LOOKUP, GET_TOPICS_OF_NAMESPACE.

use super::command::{
    Command, GetTopicsOfNamespace, GetTopicsOfNamespaceResponse, Lookup, LookupResponse, PartitionedMetadata,
    PartitionedMetadataResponse,
};
use super::connection::{Connection, Outcome};
use super::refusal;
use crate::topic::{Domain, NamespaceName, TopicError, TopicName, Topics};

const LOOKUP_CONNECT: i32 = 1;
const METADATA_SUCCESS: i32 = 0;
const NON_PERSISTENT_ONLY: i32 = 1;

impl Connection {
    /// PARTITIONED_METADATA.
    pub(super) fn partitioned_metadata(&mut self, question: PartitionedMetadata) {
        let shared = self.shared.clone();
        self.requests.spawn(async move {
            let request_id = question.request_id;
            Outcome::Reply(match partitions(&shared.topics, &question).await {
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
    pub(super) fn lookup(&mut self, question: &Lookup) {
        let answer = match persistent(&question.topic) {
            Ok(_) => Command::LookupResponse(LookupResponse {
                request_id: question.request_id,
                broker_service_url: Some(self.shared.settings.advertised_service_url.clone()),
                response: Some(LOOKUP_CONNECT),
                authoritative: Some(true),
                proxy_through_service_url: Some(false),
                ..LookupResponse::default()
            }),
            Err(error) => refusal::lookup(question.request_id, &error),
        };
        self.out.send(answer);
    }

    /// GET_TOPICS_OF_NAMESPACE. The client filters by its pattern.
    pub(super) fn topics_of_namespace(&mut self, question: GetTopicsOfNamespace) {
        let shared = self.shared.clone();
        self.requests.spawn(async move {
            let request_id = question.request_id;
            Outcome::Reply(match names(&shared.topics, &question).await {
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

async fn partitions(topics: &Topics, question: &PartitionedMetadata) -> Result<u32, TopicError> {
    topics.partitions(&persistent(&question.topic)?, question.auto_creation()).await
}

async fn names(topics: &Topics, question: &GetTopicsOfNamespace) -> Result<Vec<String>, TopicError> {
    let namespace: NamespaceName = question.namespace.parse()?;
    if question.mode() == NON_PERSISTENT_ONLY {
        return Ok(Vec::new());
    }
    Ok(topics.names(&namespace).await?.iter().map(ToString::to_string).collect())
}
