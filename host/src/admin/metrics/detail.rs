//! How finely topics are told apart in the metrics: a label more, or one series for a whole namespace.

use super::text::Labels;
use crate::topic::TopicName;

/// What the series of topics stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Each topic, each partition under its full name.
    Topics,
    /// Each topic, a partition's number in a label of its own; -1 for a topic without partitions.
    TopicsAndPartitions,
    /// All topics of a namespace together.
    Namespaces,
}

impl Detail {
    /// Of `exposeTopicLevelMetricsInPrometheus` and `splitTopicAndPartitionLabelInPrometheus`.
    pub fn new(by_topic: bool, partition_apart: bool) -> Self {
        match (by_topic, partition_apart) {
            (true, false) => Self::Topics,
            (true, true) => Self::TopicsAndPartitions,
            (false, _) => Self::Namespaces,
        }
    }

    /// The labels of a topic's own series; `None` where it has none.
    pub(super) fn labels(self, cluster: &Labels, topic: &TopicName) -> Option<Labels> {
        let namespace = cluster.with("namespace", &topic.namespace().to_string());
        match self {
            Self::Topics => Some(namespace.with("topic", &topic.to_string())),
            Self::TopicsAndPartitions => {
                let partition = topic.partition_index().map_or_else(|| "-1".to_owned(), |index| index.to_string());
                Some(namespace.with("topic", &topic.partitioned().to_string()).with("partition", &partition))
            }
            Self::Namespaces => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_part_of_the_name_or_a_label() {
        let cluster = Labels::default().with("cluster", "c");
        let labels = |detail: Detail, topic: &str| {
            let topic: TopicName = topic.parse().unwrap();
            detail.labels(&cluster, &topic)
        };
        let part = "persistent://a/b/t-partition-3";
        let want = cluster.with("namespace", "a/b").with("topic", part);
        assert_eq!(labels(Detail::new(true, false), part), Some(want));
        let apart =
            |index| cluster.with("namespace", "a/b").with("topic", "persistent://a/b/t").with("partition", index);
        assert_eq!(labels(Detail::new(true, true), part), Some(apart("3")));
        assert_eq!(labels(Detail::new(true, true), "persistent://a/b/t"), Some(apart("-1")));
        assert_eq!(labels(Detail::new(false, true), part), None);
    }
}
