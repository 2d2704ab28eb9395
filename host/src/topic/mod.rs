//! Topics.

pub mod message;
pub mod names;
