//! The layout check of a plugin's types against ours, in both directions, with a reason that fits one line.

use abi_stable::abi_stability::abi_checking::{
    AbiInstability, AbiInstabilityError, AbiInstabilityErrors, CheckingGlobals, check_layout_compatibility_with_globals,
};
use abi_stable::type_layout::{TLFieldOrFunction, TypeLayout};

/// What abi_stable calls the answer of a function among its parameters.
const RETURNED: &str = "__returns";
/// What abi_stable puts between a table, its functions and their types.
const BETWEEN: [&str; 2] = ["PrefixRef", "AFunctionPointer"];
/// The longest name of a type that is shown, in characters.
const TYPE_CHARS_MAX: usize = 200;

/// Accepts a plugin whose types extend ours, or ours its: a newer plugin on an older host, and the reverse.
///
/// abi_stable's own check knows the first direction only. Each check gets fresh memory, so that what one plugin brought
/// says nothing about the next.
///
/// # Errors
/// The difference that lies deepest, in one line; everything that abi_stable says, thousands of lines, goes to the log at
/// debug.
pub(super) fn check_both_ways(ours: &'static TypeLayout, theirs: &'static TypeLayout) -> Result<(), String> {
    let Err(newer) = check_layout_compatibility_with_globals(ours, theirs, &CheckingGlobals::new()) else {
        return Ok(());
    };
    let Err(older) = check_layout_compatibility_with_globals(theirs, ours, &CheckingGlobals::new()) else {
        return Ok(());
    };
    tracing::debug!(%newer, %older, "the layouts of a plugin and of this host differ");
    Err(one_line(&newer, &older))
}

/// The deepest difference of both directions: how many fields a table has says less than what became of one of them.
fn one_line(newer: &AbiInstabilityErrors, older: &AbiInstabilityErrors) -> String {
    let of = |errors: &AbiInstabilityErrors, is_ours_first: bool| {
        let deepest = errors.errors.iter().filter(|error| !error.errs.is_empty());
        let deepest = deepest.max_by_key(|error| error.stack_trace.len())?;
        Some((deepest.stack_trace.len(), describe(errors.interface.name(), deepest, is_ours_first)))
    };
    match (of(newer, true), of(older, false)) {
        (Some((depth, _)), Some((deeper, line))) if deeper > depth => line,
        (Some((_, line)), _) | (None, Some((_, line))) => line,
        (None, None) => "the layouts differ".to_owned(),
    }
}

/// Type, field and both sides.
fn describe(interface: &str, error: &AbiInstabilityError, is_ours_first: bool) -> String {
    let steps: Vec<&TLFieldOrFunction> = error.stack_trace.iter().map(|step| &step.expected).collect();
    let type_at = |end: usize| {
        let fields = steps[..end].iter().rev();
        fields.filter_map(|step| type_name(step)).next().unwrap_or_else(|| interface.to_owned())
    };
    let function = steps.iter().rev().find_map(|step| match step {
        TLFieldOrFunction::Function(function) => Some(function.name.as_str()),
        TLFieldOrFunction::Field(_) => None,
    });
    if let Some((ours, theirs)) = error.errs.iter().find_map(of_type) {
        let (ours, theirs) = if is_ours_first { (ours, theirs) } else { (theirs, ours) };
        let by = function.map(|function| format!(", which `{function}` uses,")).unwrap_or_default();
        return format!(
            "the layout of `{}`{by} differs: here it has {ours}, in the plugin {theirs}",
            type_at(steps.len())
        );
    }
    let Some(last) = error.stack_trace.last() else {
        return format!("the layout of `{interface}` differs");
    };
    let (ours, theirs) = if is_ours_first { (&last.expected, &last.found) } else { (&last.found, &last.expected) };
    let place = match (name_of(&last.expected), function) {
        (Some(RETURNED), Some(function)) => format!("in what `{function}` returns"),
        (Some(field), _) => format!("in `{field}`"),
        (None, Some(function)) => format!("in what `{function}` takes"),
        (None, None) => "in a field without a name".to_owned(),
    };
    let sides = format!("here it is `{}`, in the plugin `{}`", shown(ours), shown(theirs));
    format!("the layout of `{}` differs {place}: {sides}", type_at(steps.len() - 1))
}

/// What a type as a whole has, on both sides, where that is the difference.
fn of_type(difference: &AbiInstability) -> Option<(String, String)> {
    let field = |name: &str| format!("the field `{name}`");
    match difference {
        AbiInstability::UnexpectedField(pair) => Some((field(pair.expected.name()), field(pair.found.name()))),
        AbiInstability::UnexpectedVariant(pair) => {
            Some((format!("the variant `{}`", pair.expected), format!("the variant `{}`", pair.found)))
        }
        AbiInstability::FieldCountMismatch(pair) => {
            Some((format!("{} fields", pair.expected), format!("{} fields", pair.found)))
        }
        AbiInstability::TooManyVariants(pair) => {
            Some((format!("{} variants", pair.expected), format!("{} variants", pair.found)))
        }
        _ => None,
    }
}

/// A field's own name; a parameter has none.
fn name_of(step: &TLFieldOrFunction) -> Option<&str> {
    let name = match step {
        TLFieldOrFunction::Field(field) => field.name(),
        TLFieldOrFunction::Function(function) => function.name.as_str(),
    };
    name.starts_with(|c: char| c.is_alphanumeric() || c == '_').then_some(name)
}

/// The type that a step leads into, unless it only leads on.
fn type_name(step: &TLFieldOrFunction) -> Option<String> {
    let TLFieldOrFunction::Field(field) = step else { return None };
    let name = field.layout().name();
    (!BETWEEN.contains(&name)).then(|| name.to_owned())
}

/// At most [`TYPE_CHARS_MAX`] characters in one line.
fn shown(step: &TLFieldOrFunction) -> String {
    let text = match step {
        TLFieldOrFunction::Field(field) => field.full_type().to_string(),
        TLFieldOrFunction::Function(function) => function.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TYPE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use abi_stable::StableAbi;

    use super::*;

    /// A table of functions and a type that one of them takes: a contract as small as can be.
    macro_rules! contract {
        ($name:ident { $($inner:tt)* } { $($table:tt)* }) => {
            #[allow(unreachable_pub, dead_code)]
            mod $name {
                #[repr(C)]
                #[derive(abi_stable::StableAbi)]
                pub struct Inner {
                    $($inner)*
                }

                #[repr(C)]
                #[derive(abi_stable::StableAbi)]
                #[sabi(kind(Prefix(prefix_ref = TableRef, prefix_fields = TablePrefix)))]
                pub struct Table {
                    pub describe: extern "C" fn() -> u32,
                    $($table)*
                }
            }
        };
    }

    contract! { ours { pub code: u32, pub retry: u32 } {
        #[sabi(last_prefix_field)] pub answer: extern "C" fn(Inner) -> u32,
    } }
    contract! { grown { pub code: u32, pub retry: u32 } {
        #[sabi(last_prefix_field)] pub answer: extern "C" fn(Inner) -> u32, pub next: extern "C" fn() -> u32,
    } }
    contract! { retyped { pub code: u32, pub retry: bool } {
        #[sabi(last_prefix_field)] pub answer: extern "C" fn(Inner) -> u32,
    } }
    contract! { renamed { pub code: u32, pub again: u32 } {
        #[sabi(last_prefix_field)] pub answer: extern "C" fn(Inner) -> u32,
    } }
    contract! { longer { pub code: u32, pub retry: u32, pub more: u32 } {
        #[sabi(last_prefix_field)] pub answer: extern "C" fn(Inner) -> u32,
    } }
    contract! { returning { pub code: u32, pub retry: u32 } {
        #[sabi(last_prefix_field)] pub answer: extern "C" fn(Inner) -> u64,
    } }
    contract! { inserted { pub code: u32, pub retry: u32 } {
        pub fresh: extern "C" fn() -> u32, #[sabi(last_prefix_field)] pub answer: extern "C" fn(Inner) -> u32,
    } }
    contract! { grown_and_retyped { pub code: u32, pub retry: bool } {
        #[sabi(last_prefix_field)] pub answer: extern "C" fn(Inner) -> u32, pub next: extern "C" fn() -> u32,
    } }

    #[test]
    fn tables_that_grow_fit_both_ways() {
        assert_eq!(check_both_ways(ours::TableRef::LAYOUT, ours::TableRef::LAYOUT), Ok(()));
        assert_eq!(check_both_ways(ours::TableRef::LAYOUT, grown::TableRef::LAYOUT), Ok(()));
        assert_eq!(check_both_ways(grown::TableRef::LAYOUT, ours::TableRef::LAYOUT), Ok(()));
    }

    #[test]
    fn a_difference_names_type_field_and_both_sides_in_one_line() {
        let retry = "the layout of `Inner` differs in `retry`: here it is `u32`, in the plugin `bool`";
        for (theirs, expected) in [
            (retyped::TableRef::LAYOUT, retry),
            (grown_and_retyped::TableRef::LAYOUT, retry),
            (
                renamed::TableRef::LAYOUT,
                "the layout of `Inner`, which `answer` uses, differs: here it has the field `retry`, in the plugin the field \
                 `again`",
            ),
            (
                longer::TableRef::LAYOUT,
                "the layout of `Inner`, which `answer` uses, differs: here it has 2 fields, in the plugin 3 fields",
            ),
            (
                returning::TableRef::LAYOUT,
                "the layout of `Table` differs in what `answer` returns: here it is `u32`, in the plugin `u64`",
            ),
            (
                inserted::TableRef::LAYOUT,
                "the layout of `Table` differs: here it has the field `answer`, in the plugin the field `fresh`",
            ),
        ] {
            assert_eq!(check_both_ways(ours::TableRef::LAYOUT, theirs).unwrap_err(), expected);
        }
        let reason = check_both_ways(grown_and_retyped::TableRef::LAYOUT, ours::TableRef::LAYOUT).unwrap_err();
        assert_eq!(reason, "the layout of `Inner` differs in `retry`: here it is `bool`, in the plugin `u32`");
    }
}
