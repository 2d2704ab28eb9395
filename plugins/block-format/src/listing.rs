//! Finds complete copies in a bucket: an index object with its data object before it.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use longshore_plugin_api::{ErrorCode, Result, ScanPage, ScanRequest, ScannedLedger};

use crate::keys::{self, CopyKeys, Role};
use crate::store::requests::Requests;
use crate::store::{ListRequest, ListedObject};
use crate::user_metadata::MANAGED_LEDGER_NAME;

/// Objects that the store is asked for at once.
const LIST_LIMIT: u32 = 1000;
/// Objects that are looked at at once for the names of their managed ledgers.
const LOOKS_IN_FLIGHT_MAX: usize = 8;

/// A page of complete copies, in the order of their keys. `after` is the last data key of the page before.
pub(crate) async fn scan(requests: &Requests, request: &ScanRequest) -> Result<ScanPage> {
    let limit = request.limit.max(1) as usize;
    // Behind the index of the last copy: both keys begin with the data key.
    let mut after = request.after.as_ref().map(|data_key| format!("{data_key}-index"));
    let (mut found, mut data): (Vec<Found>, Option<ListedObject>) = (Vec::new(), None);
    loop {
        let list = ListRequest { prefix: String::new(), after: after.clone(), limit: LIST_LIMIT };
        let page = requests.list(&list).await?;
        after = page.objects.last().map(|object| object.key.clone());
        for object in page.objects {
            if let Some(copy) = pair(&mut data, object) {
                if found.len() == limit {
                    let next = found.last().map(|copy| copy.data_key.clone());
                    return Ok(ScanPage { ledgers: name_all(requests, found).await?, next });
                }
                found.push(copy);
            }
        }
        if !page.more || after.is_none() {
            return Ok(ScanPage { ledgers: name_all(requests, found).await?, next: None });
        }
    }
}

/// A complete copy, as a listing shows it.
struct Found {
    ledger: ScannedLedger,
    data_key: String,
}

/// Remembers a data object until its index follows: nothing of another copy sorts between the two.
fn pair(data: &mut Option<ListedObject>, object: ListedObject) -> Option<Found> {
    let parsed = keys::parse(&object.key)?;
    if parsed.role == Role::Data {
        *data = Some(object);
        return None;
    }
    let data_key = CopyKeys::new(parsed.ledger_id, parsed.uid).data;
    let data = data.take().filter(|data| data.key == data_key)?;
    let ledger = ScannedLedger {
        ledger_id: parsed.ledger_id,
        uid: parsed.uid,
        managed_ledger: None,
        size_bytes: data.object_bytes + object.object_bytes,
    };
    Some(Found { ledger, data_key })
}

/// Listings carry no user metadata. A copy that was deleted meanwhile is left out.
async fn name_all(requests: &Requests, found: Vec<Found>) -> Result<Vec<ScannedLedger>> {
    let named = stream::iter(found).map(|copy| name(requests, copy)).buffered(LOOKS_IN_FLIGHT_MAX);
    named.try_filter_map(|ledger| std::future::ready(Ok(ledger))).try_collect().await
}

async fn name(requests: &Requests, copy: Found) -> Result<Option<ScannedLedger>> {
    match requests.head(&CopyKeys::new(copy.ledger.ledger_id, copy.ledger.uid).index).await {
        Ok(head) => {
            let managed_ledger = head.user_metadata.get(MANAGED_LEDGER_NAME).map(str::to_owned);
            Ok(Some(ScannedLedger { managed_ledger, ..copy.ledger }))
        }
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
