//! The layout check of a plugin's types against ours, in both directions, with a reason that fits one line.

use std::cmp::Reverse;
use std::fmt;

use abi_stable::abi_stability::abi_checking::{
    AbiInstability, AbiInstabilityError, AbiInstabilityErrors, CheckingGlobals, check_layout_compatibility_with_globals,
};
use abi_stable::type_layout::{TLFieldOrFunction, TypeLayout};

/// Accepts a plugin whose types extend ours, or ours its: a newer plugin on an older host, and the reverse.
///
/// abi_stable's own check knows the first direction only. Each check gets fresh memory, so that what one plugin brought
/// says nothing about the next.
///
/// # Errors
/// The deepest difference; everything that abi_stable says goes to the log at debug.
pub(super) fn check_both_ways(ours: &'static TypeLayout, theirs: &'static TypeLayout) -> Result<(), String> {
    let Err(newer) = check_layout_compatibility_with_globals(ours, theirs, &CheckingGlobals::new()) else {
        return Ok(());
    };
    let Err(older) = check_layout_compatibility_with_globals(theirs, ours, &CheckingGlobals::new()) else {
        return Ok(());
    };
    tracing::debug!(%newer, %older, "the layouts of a plugin and of this host differ");
    Err(one_line(&newer))
}

/// The deepest difference that is not growth: which type, which field, what against what.
fn one_line(errors: &AbiInstabilityErrors) -> String {
    let mut differences: Vec<&AbiInstabilityError> = errors.errors.iter().filter(|error| !is_growth(error)).collect();
    // Of two that are equally deep the first.
    differences.sort_by_key(|error| Reverse(error.stack_trace.len()));
    match differences.first() {
        Some(error) => describe(error, errors.interface),
        None => "this host and the plugin each have something that the other lacks".to_owned(),
    }
}

/// Whether the error says no more than that our table has more fields than the plugin's, which the check in the other direction
/// allows. Prefix types alone may grow.
fn is_growth(error: &AbiInstabilityError) -> bool {
    let grows = match error.stack_trace.last().map(|step| &step.expected) {
        Some(TLFieldOrFunction::Field(field)) => field.layout().is_prefix_kind(),
        Some(TLFieldOrFunction::Function(_)) => false,
        None => true,
    };
    grows
        && error.errs.iter().all(|kind| matches!(kind, AbiInstability::FieldCountMismatch(_) | AbiInstability::Size(_)))
}

fn describe(error: &AbiInstabilityError, interface: &'static TypeLayout) -> String {
    // The type that holds the step which is so far from the end.
    let holder = |back: usize| match error.stack_trace.iter().rev().nth(back + 1).map(|step| &step.expected) {
        Some(TLFieldOrFunction::Field(field)) => field.layout().name(),
        Some(TLFieldOrFunction::Function(function)) => function.name.as_str(),
        None => interface.name(),
    };
    let differs_in = |holder, field, ours: String, theirs: String| {
        format!("the layout of `{holder}` differs in `{field}`: here it is `{ours}`, in the plugin `{theirs}`")
    };
    match error.stack_trace.last().map(|step| (&step.expected, &step.found)) {
        Some((TLFieldOrFunction::Field(ours), TLFieldOrFunction::Field(theirs))) => {
            match first_unlike_field(ours.layout(), theirs.layout()) {
                Some(difference) => difference,
                None => differs_in(holder(0), ours.name(), flat(ours.full_type()), flat(theirs.full_type())),
            }
        }
        // The step before a function is the pointer to it.
        Some((TLFieldOrFunction::Function(ours), theirs)) => {
            differs_in(holder(1), ours.name.as_str(), flat(ours), flat(theirs))
        }
        _ => format!("the layout of `{}` differs", interface.name()),
    }
}

/// Of two types of one name: the first place where their fields have other names.
fn first_unlike_field(ours: &TypeLayout, theirs: &TypeLayout) -> Option<String> {
    if ours.name() != theirs.name() {
        return None;
    }
    let names = |layout: &TypeLayout| -> Vec<&'static str> {
        layout.get_fields().map(|fields| fields.iter().map(|field| field.name()).collect()).unwrap_or_default()
    };
    let (ours_names, theirs_names) = (names(ours), names(theirs));
    let told = |name: Option<&&str>| name.map_or("no more fields".to_owned(), |name| format!("`{name}`"));
    let mut places = (0..ours_names.len().max(theirs_names.len()))
        .map(|place| (ours_names.get(place), theirs_names.get(place)))
        .skip_while(|(here, there)| here == there);
    let (here, there) = places.next()?;
    let owner = ours.name();
    Some(format!("the layout of `{owner}` differs: here it has {} where the plugin has {}", told(here), told(there)))
}

/// At most 200 characters in one line.
fn flat(text: impl fmt::Display) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use abi_stable::StableAbi;

    use super::check_both_ways;

    /// A contract: a table whose one function answers with a type.
    macro_rules! contract {
        ($name:ident, { $($field:ident: $type:ty),* }, { $($function:ident($($parameter:ident),*)),* }) => {
            // The fields are only looked at.
            #[allow(dead_code)]
            mod $name {
                #[repr(C)]
                #[derive(abi_stable::StableAbi)]
                pub(super) struct Answer {
                    $($field: $type),*
                }

                #[repr(C)]
                #[derive(abi_stable::StableAbi)]
                #[sabi(kind(Prefix(prefix_ref = TableRef, prefix_fields = TablePrefix)))]
                pub(super) struct Table {
                    #[sabi(last_prefix_field)]
                    answer: extern "C" fn() -> Answer,
                    $($function: extern "C" fn($($parameter: u64),*)),*
                }
            }
        };
    }

    contract!(first, { code: u32, retry: u32 }, {});
    contract!(grown, { code: u32, retry: u32 }, { tell(bytes) });
    contract!(other_growth, { code: u32, retry: u32 }, { tell(bytes, more) });
    contract!(other_name, { code: u32, retry: u32 }, { say(bytes) });
    contract!(other_type, { code: u32, retry: i32 }, {});
    contract!(other_order, { retry: u32, code: u32 }, {});
    contract!(longer, { code: u32, retry: u32, after: u64 }, {});

    #[test]
    fn tables_may_grow_at_their_end() {
        assert_eq!(check_both_ways(first::TableRef::LAYOUT, first::TableRef::LAYOUT), Ok(()));
        assert_eq!(check_both_ways(first::TableRef::LAYOUT, grown::TableRef::LAYOUT), Ok(()));
        assert_eq!(check_both_ways(grown::TableRef::LAYOUT, first::TableRef::LAYOUT), Ok(()));
    }

    #[test]
    fn a_difference_names_type_field_and_both_sides_also_where_one_side_has_grown() {
        let here_and_there = "the layout of `Answer` differs in `retry`: here it is `u32`, in the plugin `i32`";
        let reason = |ours, theirs| check_both_ways(ours, theirs).unwrap_err();
        assert_eq!(reason(first::TableRef::LAYOUT, other_type::TableRef::LAYOUT), here_and_there);
        assert_eq!(reason(grown::TableRef::LAYOUT, other_type::TableRef::LAYOUT), here_and_there);
        assert_eq!(
            reason(other_type::TableRef::LAYOUT, grown::TableRef::LAYOUT),
            "the layout of `Answer` differs in `retry`: here it is `i32`, in the plugin `u32`"
        );
    }

    #[test]
    fn fields_that_moved_or_were_added_are_named() {
        let reason = |ours, theirs| check_both_ways(ours, theirs).unwrap_err();
        assert_eq!(
            reason(grown::TableRef::LAYOUT, other_order::TableRef::LAYOUT),
            "the layout of `Answer` differs: here it has `code` where the plugin has `retry`"
        );
        assert_eq!(
            reason(first::TableRef::LAYOUT, longer::TableRef::LAYOUT),
            "the layout of `Answer` differs: here it has no more fields where the plugin has `after`"
        );
        assert_eq!(
            reason(longer::TableRef::LAYOUT, first::TableRef::LAYOUT),
            "the layout of `Answer` differs: here it has `after` where the plugin has no more fields"
        );
    }

    #[test]
    fn tables_that_grew_apart_are_refused() {
        let reason = |ours, theirs| check_both_ways(ours, theirs).unwrap_err();
        assert_eq!(
            reason(grown::TableRef::LAYOUT, other_name::TableRef::LAYOUT),
            "the layout of `Table` differs: here it has `tell` where the plugin has `say`"
        );
        for (ours, theirs) in [
            (grown::TableRef::LAYOUT, other_growth::TableRef::LAYOUT),
            (other_growth::TableRef::LAYOUT, grown::TableRef::LAYOUT),
        ] {
            let reason = reason(ours, theirs);
            assert!(reason.starts_with("the layout of `Table` differs in `tell`: here it is `fn("), "{reason}");
        }
    }
}
