//! A damaged copy gives a typed error that names file and offset, or the right entries; never others, never a hang.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use longshore_plugin_api::{ErrorCode, Result};
use uuid::Uuid;

use crate::kit::{COMPRESSIONS, Tier, random_payloads, read_all};

const LEDGER: u64 = 5;
const UID: Uuid = Uuid::from_u128(1);

async fn read_back(tier: &Tier) -> Result<Vec<Bytes>> {
    let handle = tier.open(LEDGER, UID).await?;
    read_all(&handle, 200).await
}

fn flip(path: &Path, at: usize) -> u8 {
    let mut bytes = fs::read(path).unwrap();
    let before = bytes[at];
    bytes[at] ^= 0x21;
    fs::write(path, bytes).unwrap();
    before
}

#[tokio::test]
async fn each_flipped_byte_of_each_file_is_an_error_or_harmless() {
    let model = random_payloads(&mut fastrand::Rng::with_seed(4), 8, 60);
    for compression in COMPRESSIONS {
        let tier = Tier::new(Some(compression)).await;
        tier.offload(LEDGER, UID, &model).await.unwrap();
        for name in ["data", "index", ".data.crc", ".index.crc"] {
            let path = tier.copy_folder(LEDGER, UID).join(name);
            let sound = fs::read(&path).unwrap();
            for at in 0..sound.len() {
                flip(&path, at);
                match read_back(&tier).await {
                    Err(error) => {
                        assert_eq!(error.code(), ErrorCode::Corrupt, "{compression} {name} byte {at}: {error}");
                        let text = error.to_string();
                        assert!(text.contains("offset") && text.contains("/tier/"), "{text}");
                    }
                    Ok(read) => {
                        assert_eq!(read, model, "{compression} {name} byte {at}");
                        assert!(name.ends_with(".crc"), "{compression} {name} byte {at}: nobody noticed");
                    }
                }
                fs::write(&path, &sound).unwrap();
            }
        }
        assert_eq!(read_back(&tier).await.unwrap(), model);
    }
}

#[tokio::test]
async fn without_checksums_a_lost_tail_is_still_an_error() {
    let model = random_payloads(&mut fastrand::Rng::with_seed(4), 40, 60);
    for compression in COMPRESSIONS {
        let tier = Tier::new(Some(compression)).await;
        tier.offload(LEDGER, UID, &model).await.unwrap();
        let folder = tier.copy_folder(LEDGER, UID);
        fs::remove_file(folder.join(".data.crc")).unwrap();
        assert_eq!(read_back(&tier).await.unwrap(), model);
        let sound = fs::read(folder.join("data")).unwrap();
        for len in 0..sound.len() {
            fs::write(folder.join("data"), &sound[..len]).unwrap();
            let error = read_back(&tier).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::Corrupt, "{compression} cut at {len}: {error}");
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_is_found_only_where_it_lies() {
    let model: Vec<Bytes> = (0..400u32).map(|at| vec![at as u8; 1000].into()).collect();
    let tier = Tier::new(Some("NONE")).await;
    tier.offload(LEDGER, UID, &model).await.unwrap();
    flip(&tier.copy_folder(LEDGER, UID).join("data"), 300_000);
    let handle = tier.open(LEDGER, UID).await.unwrap();
    use longshore_plugin_api::ReadHandle;
    let sound = handle.read(0, 100, u64::MAX).await.unwrap();
    assert!(sound.iter().all(|entry| entry.payload == model[entry.entry_id as usize]));
    let before = handle.read(200, 399, u64::MAX).await.unwrap();
    assert!(before.iter().all(|entry| entry.payload == model[entry.entry_id as usize]));
    let next = before.last().unwrap().entry_id + 1;
    assert!((285..295).contains(&next), "entry {next} holds byte 300000");
    let error = handle.read(next, 399, u64::MAX).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Corrupt);
    assert!(error.to_string().contains(&format!("damaged at offset {}", 300_000 / 512 * 512)), "{error}");
    let behind = handle.read(next + 2, 399, u64::MAX).await.unwrap();
    assert_eq!(behind.last().unwrap().entry_id, 399);
}
