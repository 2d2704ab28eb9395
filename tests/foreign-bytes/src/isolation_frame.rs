//! Any bytes as what a driver's process sends, or gets: frames are taken until more is needed or the stream is refused, and each
//! body is read as its kind says.

use bytes::BytesMut;
use longshore::plugin::isolation::entries;
use longshore::plugin::isolation::frame::{self, Frame, Header, Kind, ProtocolError};
use longshore::plugin::isolation::message::{
    self, Config, Event, Failure, Hello, Metadata, Metric, Number, Offload, Page, Pairs, Problems, Range, Samples,
    Scan, Stored,
};

const ENTRIES_BYTES_MAX: usize = 64 << 10;

/// Panics where a promise is broken.
pub fn check(stream: &[u8]) {
    let mut buffer = BytesMut::from(stream);
    loop {
        let before = buffer.len();
        match frame::take(&mut buffer, ENTRIES_BYTES_MAX) {
            Ok(Some(taken)) => {
                assert!(buffer.len() < before, "a frame that takes no byte would be taken for ever");
                written_again(&taken, &stream[stream.len() - before..]);
                let _ = read(&taken);
            }
            Ok(None) => break,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return;
            }
        }
    }
    assert!(buffer.capacity() <= stream.len(), "room for more than what came was reserved");
}

/// A frame that was taken is, written again, what it was taken from.
fn written_again(taken: &Frame, from: &[u8]) {
    let mut bytes = BytesMut::new();
    Header { kind: taken.kind, id: taken.id, len: taken.body.len() }.put(&mut bytes);
    bytes.extend_from_slice(&taken.body);
    assert_eq!(bytes, from[..bytes.len()]);
}

fn read(taken: &Frame) -> Result<(), ProtocolError> {
    match taken.kind {
        Kind::Hello => drop(asked::<Hello>(taken)?),
        // Whoever asked knows which one it is.
        Kind::Answer => {
            let _ = message::read::<Number>(taken);
            let _ = message::read::<Pairs>(taken).map(|pairs| message::from_pairs(pairs.pairs));
            let _ = message::read::<Problems>(taken);
            let _ = message::read::<Metadata>(taken).map(longshore_plugin_api::LedgerMetadata::from);
            let _ = message::read::<Page>(taken).and_then(Page::into_page);
        }
        Kind::Entries => {
            let batch = entries::take(taken.body.clone())?;
            assert_eq!(entries::body_bytes(&batch), taken.body.len());
            let within = taken.body.as_ptr_range();
            let in_place =
                batch.iter().all(|entry| entry.payload.is_empty() || within.contains(&entry.payload.as_ptr()));
            assert!(in_place, "a payload was copied");
            let mut table = BytesMut::new();
            entries::put_table(&batch, &mut table);
            assert_eq!(table, taken.body[..table.len()]);
            assert_eq!(entries::fitting(&batch, taken.body.len()), batch.len());
        }
        Kind::Failure => {
            let error = longshore_plugin_api::Error::from(message::read::<Failure>(taken)?);
            let again = longshore_plugin_api::Error::from(Failure::from(error.clone()));
            assert_eq!(error, again);
        }
        Kind::Validate | Kind::Create => drop(longshore_plugin_api::DriverConfig::from(asked::<Config>(taken)?)),
        Kind::Offload => drop(asked::<Offload>(taken)?.target.into_request()?),
        Kind::Open | Kind::Delete => drop(asked::<Stored>(taken)?.into_stored(taken.kind)?),
        Kind::Read | Kind::ReadLedger => _ = asked::<Range>(taken)?,
        Kind::Scan => drop(asked::<Scan>(taken)?),
        Kind::Shutdown | Kind::Health => _ = asked::<Number>(taken)?,
        Kind::LogLevel | Kind::Progress => _ = message::read::<Number>(taken)?,
        Kind::Log => drop(message::read::<Event>(taken)?),
        Kind::Metric => drop(message::read::<Metric>(taken)?),
        Kind::Samples => drop(message::read::<Samples>(taken)?),
        Kind::Cancel | Kind::Close => {}
    }
    Ok(())
}

/// The body of a call; what goes along with it comes back the same.
fn asked<M: prost::Message + Default>(taken: &Frame) -> Result<M, ProtocolError> {
    let (context, asked) = message::read_call::<M>(taken)?;
    let body = message::call_body(&context, &asked).into();
    let (again, _) = message::read_call::<M>(&Frame { kind: taken.kind, id: taken.id, body })?;
    assert_eq!(context, again);
    let _ = longshore_plugin_api::abi::FfiCallContext::from(&context).trace();
    Ok(asked)
}
