//! Two ends of a load, for `tests/interchange/brokers.py`: a broker that does nothing, and a producer that sends evenly.
//!
//! `load null-broker` says what a client can do at the most: its broker keeps nothing, waits for nothing, checks nothing.
//! `load paced` says when each message was sent and how long its receipt took, so that what happens meanwhile can be told
//! from what happens otherwise to the millisecond.
//!
//! `cargo run --release -p longshore-tests --example load -- null-broker|paced …`

mod null_broker;
mod paced;

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
enum Arguments {
    /// Acknowledges everything, and serves the largest entry that it was sent over and over.
    NullBroker(null_broker::Arguments),
    /// Sends so many messages a second until it is told to end (SIGTERM), and notes each one's latency.
    Paced(paced::Arguments),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    match Arguments::parse() {
        Arguments::NullBroker(arguments) => null_broker::run(&arguments).await,
        Arguments::Paced(arguments) => paced::run(&arguments).await,
    }
}
