//! How a checked value becomes a field of [`Config`](super::Config): one conversion for each type of field.
//!
//! Pulsar writes "none" as a negative number. Inside it is `Option`: a negative number becomes `None` in `Option<u64>`.

use super::key::Value;

/// A type that a field of the configuration may have.
pub(super) trait Setting: Sized {
    /// The field, or `None` where the table gives the field a kind that this type cannot hold.
    fn from_value(value: Value) -> Option<Self>;
}

impl Setting for String {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text) } else { None }
    }
}

impl Setting for bool {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Flag(flag) = value { Some(flag) } else { None }
    }
}

impl Setting for f64 {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Decimal(number) = value { Some(number) } else { None }
    }
}

impl Setting for Vec<String> {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::List(parts) = value { Some(parts) } else { None }
    }
}

impl Setting for u16 {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Number(number) = value { number.try_into().ok() } else { None }
    }
}

impl Setting for u32 {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Number(number) = value { number.try_into().ok() } else { None }
    }
}

impl Setting for u64 {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Number(number) = value { number.try_into().ok() } else { None }
    }
}

impl Setting for Option<u16> {
    fn from_value(value: Value) -> Option<Self> {
        if value == Value::Absent { Some(None) } else { u16::from_value(value).map(Some) }
    }
}

impl Setting for Option<u64> {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Absent => Some(None),
            Value::Number(number) => Some(u64::try_from(number).ok()),
            Value::Text(_) | Value::Flag(_) | Value::Decimal(_) | Value::List(_) => None,
        }
    }
}

impl Setting for Option<String> {
    fn from_value(value: Value) -> Option<Self> {
        if value == Value::Absent { Some(None) } else { String::from_value(value).map(Some) }
    }
}

/// Which copy of a ledger that is in both places is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadPriority {
    /// The cold copy.
    #[default]
    TieredStorageFirst,
    /// The hot copy, as long as there is one.
    BookkeeperFirst,
}

impl ReadPriority {
    /// Spelling in files and on the command line.
    pub const WORDS: &'static [&'static str] = &["tiered-storage-first", "bookkeeper-first"];
}

impl Setting for ReadPriority {
    fn from_value(value: Value) -> Option<Self> {
        match String::from_value(value)?.as_str() {
            "tiered-storage-first" => Some(Self::TieredStorageFirst),
            "bookkeeper-first" => Some(Self::BookkeeperFirst),
            _ => None,
        }
    }
}

/// What kind of topic is made for a client that asks for one that does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopicKind {
    /// One topic of that name.
    #[default]
    NonPartitioned,
    /// A partitioned topic with the default number of partitions.
    Partitioned,
}

impl TopicKind {
    /// Spelling in files.
    pub const WORDS: &'static [&'static str] = &["non-partitioned", "partitioned"];
}

impl Setting for TopicKind {
    fn from_value(value: Value) -> Option<Self> {
        match String::from_value(value)?.as_str() {
            "non-partitioned" => Some(Self::NonPartitioned),
            "partitioned" => Some(Self::Partitioned),
            _ => None,
        }
    }
}

/// Where storage drivers run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverIsolation {
    /// In the broker.
    #[default]
    None,
    /// Each in a process of its own.
    Process,
}

impl DriverIsolation {
    /// Spelling in files.
    pub const WORDS: &'static [&'static str] = &["none", "process"];
}

impl Setting for DriverIsolation {
    fn from_value(value: Value) -> Option<Self> {
        match String::from_value(value)?.as_str() {
            "none" => Some(Self::None),
            "process" => Some(Self::Process),
            _ => None,
        }
    }
}

/// How much of a fresh cold copy is read back before the offload counts as complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffloadVerify {
    /// Every entry, compared with the hot copy.
    #[default]
    Full,
    /// The first and the last entry.
    Ends,
}

impl OffloadVerify {
    /// Spelling in files.
    pub const WORDS: &'static [&'static str] = &["full", "ends"];
}

impl Setting for OffloadVerify {
    fn from_value(value: Value) -> Option<Self> {
        match String::from_value(value)?.as_str() {
            "full" => Some(Self::Full),
            "ends" => Some(Self::Ends),
            _ => None,
        }
    }
}
