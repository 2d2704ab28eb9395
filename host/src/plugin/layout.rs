//! The layout check of a plugin's types against ours, in both directions, with a reason that fits one line.

use std::fmt;

use abi_stable::abi_stability::abi_checking::{
    AbiInstability, AbiInstabilityError, AbiInstabilityErrors, CheckingGlobals, check_layout_compatibility_with_globals,
};
use abi_stable::type_layout::{TLFieldOrFunction, TypeLayout};

/// What abi_stable calls the table of an interface's methods, inside the object that it names after the interface.
const METHOD_TABLE: &str = "VTable";

/// What that object's name ends in.
const INTERFACE_SUFFIX: &str = "_TO";

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
    // A type on the way to a difference has an error without a content. Of two that are equally deep the first.
    let differences = errors.errors.iter().filter(|error| !error.errs.is_empty() && !is_growth(error));
    match differences.rev().max_by_key(|error| error.stack_trace.len()) {
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
        Some(TLFieldOrFunction::Field(field)) => told_name(error, field.layout().name()),
        Some(TLFieldOrFunction::Function(function)) => function.name.as_str(),
        None => interface.name(),
    };
    let differs_in = |holder, field, ours: String, theirs: String| {
        format!("the layout of `{holder}` differs in `{field}`: here it is `{ours}`, in the plugin `{theirs}`")
    };
    match error.stack_trace.last().map(|step| (&step.expected, &step.found)) {
        Some((TLFieldOrFunction::Field(ours), TLFieldOrFunction::Field(theirs))) => {
            match first_unlike_field(ours.layout(), theirs.layout()) {
                Some((ours_field, theirs_field)) => {
                    let name = told_name(error, ours.layout().name());
                    format!(
                        "the layout of `{name}` differs: here it has {ours_field} where the plugin has {theirs_field}"
                    )
                }
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

/// What a type is called to its author: a table of methods has the name of its interface.
fn told_name(error: &AbiInstabilityError, name: &'static str) -> &'static str {
    if name != METHOD_TABLE {
        return name;
    }
    let interface = error.stack_trace.iter().rev().find_map(|step| match &step.expected {
        TLFieldOrFunction::Field(field) => field.layout().name().strip_suffix(INTERFACE_SUFFIX),
        TLFieldOrFunction::Function(_) => None,
    });
    interface.unwrap_or(name)
}

/// Of two types of one name: the first place where their fields have other names.
fn first_unlike_field(ours: &TypeLayout, theirs: &TypeLayout) -> Option<(String, String)> {
    if ours.name() != theirs.name() {
        return None;
    }
    let names = |layout: &TypeLayout| -> Vec<&'static str> {
        layout.get_fields().map(|fields| fields.iter().map(|field| field.name()).collect()).unwrap_or_default()
    };
    let (ours, theirs) = (names(ours), names(theirs));
    let told = |name: Option<&&str>| name.map_or("no more fields".to_owned(), |name| format!("`{name}`"));
    (0..ours.len().max(theirs.len()))
        .map(|place| (ours.get(place), theirs.get(place)))
        .find(|(here, there)| here != there)
        .map(|(here, there)| (told(here), told(there)))
}

/// At most 200 characters in one line.
fn flat(text: impl fmt::Display) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use abi_stable::StableAbi;

    use super::check_both_ways;

    /// A contract: a table with an object, a function that answers with a type, and what they grew by.
    macro_rules! contract {
        ($name:ident, { $($field:ident: $type:ty),* }, { $($function:ident($($parameter:ident),*)),* }) => {
            // The fields are only looked at.
            #[allow(dead_code, non_local_definitions, unused_qualifications, clippy::mem_forget)]
            mod $name {
                use abi_stable::std_types::RBox;

                #[repr(C)]
                #[derive(abi_stable::StableAbi)]
                pub(super) struct Answer {
                    $($field: $type),*
                }

                #[abi_stable::sabi_trait]
                trait Object: Send {
                    #[sabi(last_prefix_field)]
                    fn ask(&self) -> u64;
                    $(fn $function(&self) -> u64 {
                        0
                    })*
                }

                #[repr(C)]
                #[derive(abi_stable::StableAbi)]
                #[sabi(kind(Prefix(prefix_ref = TableRef, prefix_fields = TablePrefix)))]
                pub(super) struct Table {
                    object: extern "C" fn(object: Object_TO<RBox<()>>),
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
            "the layout of `Object` differs: here it has `tell` where the plugin has `say`"
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
