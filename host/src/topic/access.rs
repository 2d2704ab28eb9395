//! Who may write to a topic beside whom: the access modes of producers, and the topic's epoch. Pure.
//!
//! Each exclusive producer has the topic for an epoch. A producer that comes back says which epoch it had; when another one
//! had the topic since, it stays out, so that two never write in turns without knowing of each other. The epoch is durable
//! before the producer hears that it has the topic.
//!
//! Source: Pulsar `AbstractTopic` (`incrementTopicEpochIfNeeded`).

/// How a producer shares its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// With others.
    Shared,
    /// With nobody; refused if somebody is there.
    Exclusive,
    /// With nobody; waits in a queue while somebody is there.
    WaitForExclusive,
    /// With nobody; whoever is there must leave.
    ExclusiveWithFencing,
}

impl AccessMode {
    /// By the number on the wire.
    pub fn from_wire(number: i32) -> Option<Self> {
        [Self::Shared, Self::Exclusive, Self::WaitForExclusive, Self::ExclusiveWithFencing]
            .get(usize::try_from(number).ok()?)
            .copied()
    }

    /// As shown in stats.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "Shared",
            Self::Exclusive => "Exclusive",
            Self::WaitForExclusive => "WaitForExclusive",
            Self::ExclusiveWithFencing => "ExclusiveWithFencing",
        }
    }
}

/// Who has the topic when a producer asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Present<'a> {
    /// Whether any producer is connected.
    pub(super) producers: bool,
    /// The name of the exclusive one.
    pub(super) exclusive: Option<&'a str>,
    /// Whether others wait for it.
    pub(super) waiting: bool,
    /// The epoch of the last exclusive producer.
    pub(super) epoch: Option<u64>,
}

/// What becomes of a producer that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It writes beside the others.
    Join,
    /// It has the topic for this epoch; nobody is there.
    Take(u64),
    /// It has the topic for this epoch; everybody else leaves.
    Fence(u64),
    /// It waits.
    Wait,
    /// It may try again when the others are gone.
    Busy(String),
    /// It is out for good.
    Fenced(String),
}

/// Decides. `own_epoch` is the epoch that the producer says it had.
pub(super) fn admit(mode: AccessMode, own_epoch: Option<u64>, present: &Present<'_>) -> Admission {
    let holder = || present.exclusive.unwrap_or("one that waits");
    match mode {
        AccessMode::Shared if present.exclusive.is_some() || present.waiting => {
            Admission::Busy(format!("Topic has an existing exclusive producer: {}", holder()))
        }
        AccessMode::Shared => Admission::Join,
        AccessMode::Exclusive if present.exclusive.is_some() || present.waiting => {
            Admission::Fenced(format!("Topic has an existing exclusive producer: {}", holder()))
        }
        AccessMode::Exclusive if present.producers => {
            Admission::Fenced("Topic has existing shared producers".to_owned())
        }
        AccessMode::WaitForExclusive if present.producers || present.waiting => Admission::Wait,
        AccessMode::Exclusive | AccessMode::WaitForExclusive => take(own_epoch, present.epoch, Admission::Take),
        AccessMode::ExclusiveWithFencing => take(own_epoch, present.epoch, Admission::Fence),
    }
}

/// The epoch of a producer that gets the topic now.
pub(super) fn next_epoch(own: Option<u64>, last: Option<u64>) -> Result<u64, String> {
    match (own, last) {
        (Some(own), Some(last)) if own < last => {
            Err(format!("Topic epoch has already moved. Current epoch: {last}, Producer epoch: {own}"))
        }
        (Some(own), _) => Ok(own),
        (None, Some(last)) => Ok(last.saturating_add(1)),
        (None, None) => Ok(0),
    }
}

fn take(own: Option<u64>, last: Option<u64>, how: impl Fn(u64) -> Admission) -> Admission {
    next_epoch(own, last).map_or_else(Admission::Fenced, how)
}

#[cfg(test)]
mod tests {
    use super::AccessMode::*;
    use super::*;

    #[test]
    fn who_gets_in_beside_whom() {
        let nobody = Present { epoch: Some(4), ..Present::default() };
        let shared = Present { producers: true, ..nobody };
        let exclusive = Present { producers: true, exclusive: Some("e"), ..nobody };
        let waiting = Present { waiting: true, ..exclusive };
        let busy = || Admission::Busy("Topic has an existing exclusive producer: e".to_owned());
        let fenced = |text: &str| Admission::Fenced(text.to_owned());
        let held = || fenced("Topic has an existing exclusive producer: e");
        let moved = || fenced("Topic epoch has already moved. Current epoch: 4, Producer epoch: 3");
        let table = [
            (Shared, None, nobody, Admission::Join),
            (Shared, None, shared, Admission::Join),
            (Shared, Some(9), shared, Admission::Join),
            (Shared, None, exclusive, busy()),
            (Shared, None, waiting, busy()),
            (Exclusive, None, nobody, Admission::Take(5)),
            (Exclusive, Some(4), nobody, Admission::Take(4)),
            (Exclusive, Some(3), nobody, moved()),
            (Exclusive, None, shared, fenced("Topic has existing shared producers")),
            (Exclusive, None, exclusive, held()),
            (WaitForExclusive, None, nobody, Admission::Take(5)),
            (WaitForExclusive, Some(3), nobody, moved()),
            (WaitForExclusive, None, shared, Admission::Wait),
            (WaitForExclusive, None, exclusive, Admission::Wait),
            (WaitForExclusive, None, waiting, Admission::Wait),
            (ExclusiveWithFencing, None, nobody, Admission::Fence(5)),
            (ExclusiveWithFencing, None, shared, Admission::Fence(5)),
            (ExclusiveWithFencing, None, waiting, Admission::Fence(5)),
            (ExclusiveWithFencing, Some(3), exclusive, moved()),
        ];
        for (mode, own, present, want) in table {
            assert_eq!(admit(mode, own, &present), want, "{mode:?} {own:?} {present:?}");
        }
        let fresh = Present::default();
        assert_eq!(admit(Exclusive, None, &fresh), Admission::Take(0), "the first epoch is 0");
    }

    #[test]
    fn numbers_on_the_wire() {
        let modes: Vec<_> = (-1..5).map(AccessMode::from_wire).collect();
        let known = [Shared, Exclusive, WaitForExclusive, ExclusiveWithFencing].map(Some);
        assert_eq!(modes, [&[None], &known[..], &[None]].concat());
    }
}
