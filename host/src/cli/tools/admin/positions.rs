//! Message ids as options write them: `latest`, `earliest`, `ledger:entry`.

use serde_json::{Value, json};

use super::Failure;

/// The id as the REST API takes it.
pub(in crate::cli::tools) fn message_id(text: &str) -> Result<Value, Failure> {
    let (ledger_id, entry_id) = match text {
        "earliest" => (-1, -1),
        "latest" => (i64::MAX, i64::MAX),
        _ => parsed(text).ok_or_else(|| {
            Failure::Found(format!("Invalid message id (must be in format: ledgerId:entryId) value {text}"))
        })?,
    };
    Ok(json!({ "ledgerId": ledger_id, "entryId": entry_id, "partitionIndex": -1, "batchIndex": -1 }))
}

fn parsed(text: &str) -> Option<(i64, i64)> {
    let (ledger_id, entry_id) = text.split_once(':')?;
    Some((ledger_id.parse().ok()?, entry_id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_three_forms() {
        let ids = |text: &str| message_id(text).map(|id| (id["ledgerId"].as_i64(), id["entryId"].as_i64()));
        assert_eq!(ids("5:3").unwrap(), (Some(5), Some(3)));
        assert_eq!(ids("earliest").unwrap(), (Some(-1), Some(-1)));
        assert_eq!(ids("latest").unwrap().0, Some(i64::MAX));
        for text in ["", "5", "zz", "5:x", "1:2:3"] {
            assert!(ids(text).unwrap_err().sentence().ends_with(text), "{text}");
        }
    }
}
