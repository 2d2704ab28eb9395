//! Plays scenarios.json with the Rust client: compat-rust SCENARIOS SERVICE_URL WEB_URL.
//!
//! A line for each scenario: `ok`, `left-out` or `failed`, its name, and why; tab separated. To have the
//! broker restarted, or a topic offloaded, it prints `restart` and how, or `offload` and the topic, and waits for a line.

mod player;

use std::io;

use player::{Failure, Player};
use serde_json::Value;

/// What the client has. It seeks by subscribing a second time, which an exclusive subscription refuses, ours as the original's.
const CAN: &[&str] = &[
    "access modes",
    "producers that wait",
    "producers that fence",
    "message keys",
    "schemas",
    "delays",
    "seek",
    "topic patterns",
    "readers",
    "tokens",
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [scenarios, service_url, web_url] = &arguments[..] else {
        return Err("usage: compat-rust SCENARIOS SERVICE_URL WEB_URL".into());
    };
    let scenarios: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(scenarios)?)?;
    for scenario in &scenarios {
        let name = text(scenario, "name");
        let missing: Vec<&str> = texts(scenario, "needs").into_iter().filter(|need| !CAN.contains(need)).collect();
        if !missing.is_empty() {
            tell("left-out", name, &format!("the client has no {}", missing.join(", ")));
            continue;
        }
        match play(scenario, service_url, web_url).await {
            Ok(()) => tell("ok", name, ""),
            Err(failure) => tell("failed", name, &failure.to_string()),
        }
    }
    Ok(())
}

async fn play(scenario: &Value, service_url: &str, web_url: &str) -> Result<(), Failure> {
    let mut player = Player::new(service_url, web_url);
    let steps = scenario["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (place, step) in steps.iter().enumerate() {
        let act = text(step, "do");
        player.act(act, step).await.map_err(|failure| format!("step {} ({act}): {failure}", place + 1))?;
    }
    Ok(())
}

fn tell(word: &str, name: &str, why: &str) {
    println!("{word}\t{name}\t{}", why.split_whitespace().collect::<Vec<_>>().join(" "));
}

/// Has something done with the broker.
fn ask(what: &str, how: &str) -> Result<(), Failure> {
    println!("{what}\t{how}");
    if io::stdin().read_line(&mut String::new())? == 0 {
        return Err("nobody does that with the broker".into());
    }
    Ok(())
}

/// A text of a step; empty where it has none.
fn text<'a>(step: &'a Value, key: &str) -> &'a str {
    step[key].as_str().unwrap_or_default()
}

/// A list of texts of a step, or its only one.
fn texts<'a>(step: &'a Value, key: &str) -> Vec<&'a str> {
    match &step[key] {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}
