//! Any bytes as the command of a frame: what can be read is written again and read as the same.

use longshore::protocol::command::BaseCommand;
use prost::Message;

/// Panics where a promise is broken.
pub fn check(bytes: &[u8]) {
    let Ok(command) = BaseCommand::decode(bytes) else { return };
    let again = BaseCommand::decode(command.encode_to_vec().as_slice()).expect("our own bytes");
    // By their text: a NaN is not equal to itself.
    assert_eq!(format!("{again:?}"), format!("{command:?}"));
}
