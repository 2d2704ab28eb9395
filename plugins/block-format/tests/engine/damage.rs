//! What is damaged in the store or on the way is never an entry.

use block_format::IndexForm;
use block_format::store::memory::StoredObject;
use bytes::Bytes;
use longshore_plugin_api::{ErrorCode, ReadHandle};

use crate::kit::{
    Fault, FaultyStore, engine, keys, options, patient, read_all, reader, request, small_ledger, stored, uid,
};

fn with_bytes(object: &StoredObject, change: impl FnOnce(&mut Vec<u8>)) -> Option<StoredObject> {
    let mut bytes = object.bytes.to_vec();
    change(&mut bytes);
    Some(StoredObject { bytes: bytes.into(), ..object.clone() })
}

#[tokio::test]
async fn a_flipped_byte_costs_the_entries_of_its_granule_and_no_others() {
    let (store, payloads) = (FaultyStore::new(), small_ledger());
    engine(&store, options(IndexForm::Checked)).offload(reader(&payloads), request(uid(1))).await.unwrap();
    let key = keys(uid(1)).data;
    let sound = store.inner.object(&key).unwrap();
    for at in (0..sound.bytes.len()).step_by(97) {
        store.inner.set_object(&key, with_bytes(&sound, |bytes| bytes[at] ^= 0x10));
        let handle = engine(&store, options(IndexForm::Checked)).open_read(&stored(uid(1))).await.unwrap();
        let hit = handle.index().granule(handle.index().granule_at(at as u64));
        let mut failed = 0;
        for (id, payload) in payloads.iter().enumerate() {
            let granule = handle.index().granule(handle.index().floor(id as u64));
            match handle.read(id as u64, id as u64, 1).await {
                Ok(entries) => assert_eq!((&entries[0].payload, granule != hit), (payload, true), "byte {at}"),
                Err(error) => {
                    failed += 1;
                    assert_eq!((error.code(), &granule), (ErrorCode::Corrupt, &hit), "byte {at}: {error}");
                    assert!(error.message().contains(&format!("{key} is damaged at offset {}", hit.start)), "{error}");
                }
            }
        }
        assert!(failed > 0, "byte {at}");
    }
}

#[tokio::test]
async fn an_answer_torn_on_its_way_is_asked_for_again() {
    let (store, payloads) = (FaultyStore::new(), small_ledger());
    engine(&store, options(IndexForm::Checked)).offload(reader(&payloads), request(uid(1))).await.unwrap();
    for flipped in [true, false] {
        let handle = engine(&store, patient(IndexForm::Checked)).open_read(&stored(uid(1))).await.unwrap();
        store.misbehave(Fault::Torn { at: 0, flipped });
        assert_eq!(handle.read(9, 9, 1).await.unwrap()[0].payload, payloads[9]);
        assert_eq!(store.gets().len(), 2);
    }
}

#[tokio::test]
async fn an_index_is_read_whole_and_sound_or_not_at_all() {
    let store = FaultyStore::new();
    engine(&store, options(IndexForm::Checked)).offload(reader(&small_ledger()), request(uid(1))).await.unwrap();
    let key = keys(uid(1)).index;
    let sound = store.inner.object(&key).unwrap();
    let code = async || {
        let opened = engine(&store, options(IndexForm::Checked)).open_read(&stored(uid(1))).await;
        opened.err().map(|error| error.code())
    };
    for at in 0..sound.bytes.len() {
        store.inner.set_object(&key, with_bytes(&sound, |bytes| bytes[at] ^= 1));
        assert_eq!(code().await, Some(ErrorCode::Corrupt), "byte {at}");
    }
    let mut other_version = sound.clone();
    let pairs = [("S3ManagedLedgerOffloaderFormatVersion".to_owned(), "2".to_owned())];
    other_version.attributes.user_metadata = pairs.into_iter().collect();
    store.inner.set_object(&key, Some(other_version));
    assert_eq!(code().await, Some(ErrorCode::Unsupported));
    let bare = StoredObject { attributes: Default::default(), ..sound.clone() };
    store.inner.set_object(&key, Some(bare));
    assert_eq!(code().await, None, "user metadata may be lost, the bytes decide");
    store.inner.set_object(&key, None);
    assert_eq!(code().await, Some(ErrorCode::NotFound));
}

#[tokio::test]
async fn a_data_object_that_is_cut_or_gone_or_anothers_is_an_error() {
    for form in [IndexForm::Sparse, IndexForm::Checked] {
        let (store, payloads) = (FaultyStore::new(), small_ledger());
        let writer = engine(&store, options(form));
        writer.offload(reader(&payloads), request(uid(1))).await.unwrap();
        let other: Vec<Bytes> = payloads.iter().rev().cloned().collect();
        writer.offload(reader(&other), request(uid(2))).await.unwrap();
        let key = keys(uid(1)).data;
        let sound = store.inner.object(&key).unwrap();
        let code = async || {
            let handle = engine(&store, options(form)).open_read(&stored(uid(1))).await.unwrap();
            read_all(&handle, 3_000).await.err().map(|error| error.code())
        };
        assert_eq!(code().await, None);
        store.inner.set_object(&key, with_bytes(&sound, |bytes| bytes.truncate(bytes.len() - 1)));
        assert_eq!(code().await, Some(ErrorCode::Corrupt), "{form:?}");
        store.inner.set_object(&key, None);
        assert_eq!(code().await, Some(ErrorCode::NotFound), "{form:?}");
        if form == IndexForm::Checked {
            store.inner.set_object(&key, store.inner.object(&keys(uid(2)).data));
            assert_eq!(code().await, Some(ErrorCode::Corrupt));
            store.inner.set_object(&key, Some(sound));
            store.inner.set_object(&keys(uid(1)).index, store.inner.object(&keys(uid(2)).index));
            let error = engine(&store, options(form)).open_read(&stored(uid(1))).await.unwrap_err();
            assert!(error.message().contains(&format!("is the index of the copy with uid {}", uid(2))), "{error}");
        }
    }
}
