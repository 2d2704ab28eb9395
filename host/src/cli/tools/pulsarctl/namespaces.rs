//! `namespaces`.

use serde_json::{Value, json};
use ureq::http::Method;

use super::{Action, Answer, Failure, Json, Matches, OUTPUT, Session, done, framed, only, run, told};
use crate::cli::grammar::{Command, Opt, Takes, flag, seconds_of, value};
use crate::cli::tools::admin::retention_body;
use crate::cli::tools::answer::Form;
use crate::cli::tools::names::{encoded, namespace_path};

const SIZE: Opt = value(&["--size"], "string", Takes::Size, "10M, 16G, 3T; -1 is without limit.");
const BUNDLE: Opt = value(&["-b", "--bundle"], "string", Takes::Text, "Only this bundle: {lower}_{upper}.");

pub(super) static COMMANDS: &[Command<Action>] = &[
    run(&["list"], "Lists a tenant's namespaces.", &[OUTPUT], list),
    run(&["topics"], "Lists a namespace's topics.", &[OUTPUT], topics),
    run(&["policies"], "Shows all policies of a namespace.", &[], |session, matches| shown(session, matches, "")),
    run(
        &["create"],
        "Makes a namespace.",
        &[value(&["-b", "--bundles"], "int", Takes::Int, "Bundles that it is cut into.").or("0")],
        create,
    ),
    run(
        &["delete"],
        "Deletes a namespace.",
        &[flag(&["-f", "--force"], "With its topics, their cold copies as well.")],
        delete,
    ),
    run(&["unload"], "Closes a namespace's topics, so that their ledgers are closed.", &[BUNDLE], unload),
    run(
        &["set-offload-threshold"],
        "Sets from which size on ledgers are offloaded; -1 is never, 0 at once.",
        &[SIZE.required()],
        set_offload_threshold,
    ),
    run(&["get-offload-threshold"], "Shows from which size on ledgers are offloaded.", &[], get_offload_threshold),
    run(
        &["set-offload-deletion-lag"],
        "Sets how long a hot copy is kept after its ledger was offloaded.",
        &[value(&["-l", "--lag"], "string", Takes::Text, "30s, 10m, 1h30m, 100ms.").required()],
        set_deletion_lag,
    ),
    run(
        &["get-offload-deletion-lag"],
        "Shows how long a hot copy is kept after its ledger was offloaded.",
        &[],
        get_deletion_lag,
    ),
    run(
        &["clear-offload-deletion-lag"],
        "Takes the namespace's lag away: the broker's holds.",
        &[],
        clear_deletion_lag,
    ),
    run(
        &["set-retention"],
        "Sets how long and how much is kept of what has been acknowledged.",
        &[
            value(&["-t", "--time"], "string", Takes::Text, "3m, 5h, 2d, 1w; -1 is for ever.").required(),
            SIZE.required(),
        ],
        set_retention,
    ),
    run(
        &["get-retention"],
        "Shows how long and how much is kept of what has been acknowledged.",
        &[],
        |session, matches| shown(session, matches, "/retention"),
    ),
    run(
        &["set-message-ttl"],
        "Sets after which time messages count as acknowledged.",
        &[value(&["-t", "--messageTTL"], "int", Takes::Int, "Seconds; 0 switches it off.").required()],
        set_message_ttl,
    ),
    run(&["get-message-ttl"], "Shows after which time messages count as acknowledged.", &[], get_message_ttl),
];

fn path_of(matches: &Matches) -> Result<(String, &str), Failure> {
    let name = only(matches, "namespace")?;
    Ok((format!("/namespaces{}", namespace_path(name)?), name))
}

fn shown(session: &Session, matches: &Matches, rest: &str) -> Result<Answer, Failure> {
    let (path, _) = path_of(matches)?;
    match session.get(&format!("{path}{rest}"))? {
        Json::Null => told(format!("The {} is not set", rest.trim_start_matches('/')), Value::Null),
        json => Ok(Answer::Shown { json, form: Form::Indented }),
    }
}

fn list(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let names = session.get(&format!("/namespaces/{}", encoded(only(matches, "tenant")?)))?;
    Ok(framed(matches, "NAMESPACE NAME", &names))
}

fn topics(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let names = session.get(&format!("{}/topics", path_of(matches)?.0))?;
    Ok(framed(matches, "TOPICS NAME", &names))
}

fn create(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (path, name) = path_of(matches)?;
    let body = match matches.number::<i32>("-b") {
        Some(bundles) if bundles > 0 => json!({ "bundles": { "numBundles": bundles } }),
        _ => json!({}),
    };
    session.send(Method::PUT, &path, Some(&body))?;
    done(format!("Created {name} successfully"))
}

fn delete(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (path, name) = path_of(matches)?;
    session.send(Method::DELETE, &format!("{path}?force={}", matches.has("-f")), None)?;
    done(format!("Deleted {name} successfully"))
}

fn unload(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (path, name) = path_of(matches)?;
    let bundle = matches.text("-b").map(|bundle| format!("/{}", encoded(bundle))).unwrap_or_default();
    session.send(Method::PUT, &format!("{path}{bundle}/unload"), None)?;
    done(format!("Unload namespace {name} successfully"))
}

fn set_offload_threshold(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (path, name) = path_of(matches)?;
    let bytes = json!(matches.size("--size").unwrap_or(-1));
    session.send(Method::PUT, &format!("{path}/offloadThreshold"), Some(&bytes))?;
    let size = matches.text("--size").unwrap_or_default();
    done(format!("Successfully set the offload threshold of the namespace {name} to {size}"))
}

fn get_offload_threshold(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (path, name) = path_of(matches)?;
    let bytes = session.get(&format!("{path}/offloadThreshold"))?;
    let facts = json!({ "offloadThresholdInBytes": bytes.as_i64() });
    told(format!("The offload threshold of the namespace {name} is {bytes} byte(s)"), facts)
}

fn set_deletion_lag(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (path, name) = path_of(matches)?;
    let lag = matches.text("--lag").unwrap_or_default();
    let lag_ms = go_duration_ms(lag).ok_or_else(|| Failure::Found(format!("time: invalid duration \"{lag}\"")))?;
    session.send(Method::PUT, &format!("{path}/offloadDeletionLagMs"), Some(&json!(lag_ms)))?;
    done(format!("Successfully set the offload deletion lag of the namespace {name} to {lag}"))
}

fn get_deletion_lag(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (path, name) = path_of(matches)?;
    let lag_ms = session.get(&format!("{path}/offloadDeletionLagMs"))?.as_i64().filter(|&lag_ms| lag_ms != -1);
    let how = match lag_ms {
        Some(lag_ms) => format!("is {:.6} minute(s)", lag_ms as f64 / 60_000.0),
        None => "is not set".to_owned(),
    };
    told(format!("The offload deletion lag of the namespace {name} {how}"), json!({ "offloadDeletionLagMs": lag_ms }))
}

fn clear_deletion_lag(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (path, name) = path_of(matches)?;
    session.send(Method::DELETE, &format!("{path}/offloadDeletionLagMs"), None)?;
    done(format!("Successfully clear the offload deletion lag of the namespace {name}"))
}

fn set_retention(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (path, name) = path_of(matches)?;
    let time = matches.text("--time").unwrap_or_default();
    // Unlike pulsar-admin, this tool wants a unit.
    let has_unit = time == "-1" || !time.ends_with(|c: char| c.is_ascii_digit());
    let seconds = match has_unit {
        true => seconds_of(time).map_err(Failure::Found)?,
        false => return Err(Failure::Found(format!("Invalid time '{time}': add a unit, such as {time}m"))),
    };
    let body = retention_body(seconds, matches.size("--size").unwrap_or(-1));
    session.send(Method::POST, &format!("{path}/retention"), Some(&body))?;
    let (minutes, megabytes) = (&body["retentionTimeInMinutes"], &body["retentionSizeInMB"]);
    done(format!(
        "Set retention successfully for [{name}]. The retention policy is: time = {minutes} min, size = {megabytes} MB"
    ))
}

fn set_message_ttl(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (path, name) = path_of(matches)?;
    let seconds = json!(matches.number::<i32>("--messageTTL"));
    session.send(Method::POST, &format!("{path}/messageTTL"), Some(&seconds))?;
    done(format!("Set message TTL successfully for [{name}]"))
}

fn get_message_ttl(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (path, name) = path_of(matches)?;
    let seconds = session.get(&format!("{path}/messageTTL"))?.as_i64().unwrap_or(0);
    told(format!("The message TTL of the namespace {name} is {seconds}"), json!({ "messageTTL": seconds }))
}

/// Milliseconds of a duration as Go writes it: `1h30m`, `1.5s`, `-10m`, `100ms`, `0`.
fn go_duration_ms(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total_ms = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let count: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit_ms = match &rest[..unit_end] {
            "ns" => 1e-6,
            "us" | "µs" | "μs" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3600e3,
            _ => return None,
        };
        total_ms += count * unit_ms;
        rest = &rest[unit_end..];
    }
    Some((sign * total_ms) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, milliseconds) in [
            ("10m", Some(600_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5s", Some(1500)),
            ("100ms", Some(100)),
            ("-10m", Some(-600_000)),
            ("0", Some(0)),
            ("", None),
            ("10", None),
            ("2d", None),
            ("m", None),
            ("1..2s", None),
        ] {
            assert_eq!(go_duration_ms(text), milliseconds, "{text}");
        }
    }
}
