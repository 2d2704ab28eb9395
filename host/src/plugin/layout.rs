//! The layout check of a plugin's types against ours, in both directions, with a reason that fits one line.

use abi_stable::abi_stability::abi_checking::{
    AbiInstabilityErrors, CheckingGlobals, check_layout_compatibility_with_globals,
};
use abi_stable::type_layout::{TLFieldOrFunction, TypeLayout};

/// Accepts a plugin whose types extend ours, or ours its: a newer plugin on an older host, and the reverse.
///
/// abi_stable's own check knows the first direction only. Each check gets fresh memory, so that what one plugin brought
/// says nothing about the next.
///
/// # Errors
/// The first difference of the direction that went further; everything that abi_stable says goes to the log at debug.
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

/// The deepest difference: which type, which field, what against what.
fn one_line(errors: &AbiInstabilityErrors) -> String {
    let Some(error) = errors.errors.iter().max_by_key(|error| error.stack_trace.len()) else {
        return "the layouts differ".to_owned();
    };
    let owner = match error.stack_trace.iter().rev().nth(1).map(|step| &step.expected) {
        Some(TLFieldOrFunction::Field(field)) => field.layout().name(),
        Some(TLFieldOrFunction::Function(_)) => "a function",
        None => errors.interface.name(),
    };
    let Some(step) = error.stack_trace.last() else {
        return format!("the layout of `{owner}` differs");
    };
    match (&step.expected, &step.found) {
        (TLFieldOrFunction::Field(ours), TLFieldOrFunction::Field(theirs)) => format!(
            "the layout of `{owner}` differs in `{}`: here it is `{}`, in the plugin `{}`",
            ours.name(),
            flat(&ours.full_type().to_string()),
            flat(&theirs.full_type().to_string()),
        ),
        (ours, theirs) => format!(
            "the layout of `{owner}` differs: here it has {}, the plugin {}",
            flat(&ours.to_string()),
            flat(&theirs.to_string())
        ),
    }
}

/// At most 200 characters in one line.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use abi_stable::StableAbi;

    mod host {
        #[repr(C)]
        #[derive(abi_stable::StableAbi)]
        pub(super) struct Answer {
            pub code: u32,
            pub retry: u32,
        }
    }

    mod plugin {
        #[repr(C)]
        #[derive(abi_stable::StableAbi)]
        pub(super) struct Answer {
            pub code: u32,
            pub retry: bool,
        }
    }

    #[test]
    fn a_difference_names_type_field_and_both_sides() {
        let reason = super::check_both_ways(host::Answer::LAYOUT, plugin::Answer::LAYOUT).unwrap_err();
        assert_eq!(reason, "the layout of `Answer` differs in `retry`: here it is `u32`, in the plugin `bool`");
        assert_eq!(super::check_both_ways(host::Answer::LAYOUT, host::Answer::LAYOUT), Ok(()));
    }
}
