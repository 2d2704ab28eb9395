//! Damage behind the driver's back: a flipped byte, a lost end, a lost object. Never is it returned as data.

use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::ErrorCode;
use tokio::task::block_in_place;

use crate::case::{Verdict, cases, ensure};
use crate::model::payload;
use crate::stage::{Attempt, Stage, must_be, probe_failed};

cases! {
    "flipped-bytes-are-noticed": "a flipped byte is `Corrupt`, or harmless; it is never data",
        "ReadHandle: a damaged byte is `Corrupt`", [Probe] => flipped_bytes;
    "lost-ends-are-noticed": "an object that lost its end is `Corrupt`, never a shorter ledger",
        "ReadHandle: a damaged byte is `Corrupt`", [Probe] => lost_ends;
    "lost-objects-are-noticed": "a copy that lost an object is `Corrupt` or `NotFound`",
        "Offloader::open_read: errors", [Probe] => lost_objects;
    "damage-is-named": "the error of damage names the object and the offset",
        "ReadHandle: names file (or object) and offset", [Probe] => damage_is_named;
}

/// A copy of noise, and the objects that it consists of.
async fn copy_and_objects(stage: &Stage) -> Verdict<(Attempt, Vec<String>)> {
    let mut random = stage.random();
    let before = stage.objects()?;
    let mut noise = |len: usize| -> Bytes {
        let mut bytes = payload(&mut random, len).to_vec();
        random.fill(&mut bytes);
        bytes.into()
    };
    let ledger = (0..12).map(|number| noise(50 + number * 10)).collect();
    let copy = stage.copy(ledger).await?;
    let mut objects = stage.objects()?;
    objects.retain(|name| !before.contains(name));
    ensure!(!objects.is_empty(), "the probe sees no object of a copy: it looks at another store");
    Ok((copy, objects))
}

/// Whether somebody noticed that the copy is damaged. Fails where other entries came than were offloaded. A fresh instance
/// looks, because one that keeps what it read need not notice.
async fn is_noticed(
    stage: &Stage,
    copy: &Attempt,
    damage: &str,
    allowed: &[ErrorCode],
) -> Verdict<Option<longshore_plugin_api::Error>> {
    let copy = copy.through(&stage.fresh().await?);
    let open = match copy.try_open().await {
        Ok(open) => open,
        Err(error) => {
            must_be(&error, allowed, format_args!("open a copy with {damage}"))?;
            return Ok(Some(error));
        }
    };
    let (count, wanted) = (open.metadata().entry_count, copy.model.count());
    ensure!(count == wanted, "a copy with {damage} shows {count} entries where {wanted} were offloaded");
    for entry in 0..wanted {
        match open.read(entry, entry, u64::MAX).await {
            Err(error) => {
                must_be(&error, allowed, format_args!("read entry {entry} of a copy with {damage}"))?;
                return Ok(Some(error));
            }
            Ok(found) => {
                let sound = copy.model.check(entry, entry, u64::MAX, &found);
                sound.map_err(|failure| crate::case::Failure(format!("a copy with {damage}: {failure}")))?;
            }
        }
    }
    Ok(None)
}

/// Writes `bytes` over the object while `look` runs, then what was there.
async fn with_object<T>(
    stage: &Stage,
    name: &str,
    bytes: &[u8],
    sound: &[u8],
    look: impl Future<Output = Verdict<T>>,
) -> Verdict<T> {
    let probe = stage.probe()?;
    block_in_place(|| probe.write(name, bytes)).map_err(probe_failed("damage an object"))?;
    let seen = look.await;
    block_in_place(|| probe.write(name, sound)).map_err(probe_failed("mend an object"))?;
    seen
}

fn read_object(stage: &Stage, name: &str) -> Verdict<Vec<u8>> {
    let probe = stage.probe()?;
    block_in_place(|| probe.read(name)).map_err(probe_failed("read an object"))
}

async fn flipped_bytes(stage: Arc<Stage>) -> Verdict {
    let (copy, objects) = copy_and_objects(&stage).await?;
    let mut random = stage.random();
    let mut noticed = 0;
    for name in &objects {
        let sound = read_object(&stage, name)?;
        for _ in 0..stage.profile.bytes_damaged().min(sound.len() * 2) {
            let (at, bit) = (random.usize(0..sound.len()), random.u8(0..8));
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << bit;
            let damage = format!("bit {bit} of byte {at} of {name} flipped");
            let look = is_noticed(&stage, &copy, &damage, &[ErrorCode::Corrupt]);
            noticed += usize::from(with_object(&stage, name, &bytes, &sound, look).await?.is_some());
        }
    }
    ensure!(noticed > 0, "no flipped byte of {objects:?} was noticed");
    copy.check().await
}

async fn lost_ends(stage: Arc<Stage>) -> Verdict {
    let (copy, objects) = copy_and_objects(&stage).await?;
    let mut noticed = 0;
    for name in &objects {
        let sound = read_object(&stage, name)?;
        let lengths = [0, 1, sound.len() / 3, sound.len() / 2, sound.len().saturating_sub(1)];
        for len in lengths.into_iter().filter(|len| *len < sound.len()) {
            let damage = format!("{name} cut to {len} of {} bytes", sound.len());
            let look = is_noticed(&stage, &copy, &damage, &[ErrorCode::Corrupt]);
            noticed += usize::from(with_object(&stage, name, &sound[..len], &sound, look).await?.is_some());
        }
    }
    ensure!(noticed > 0, "no lost end of {objects:?} was noticed");
    copy.check().await
}

async fn lost_objects(stage: Arc<Stage>) -> Verdict {
    let (copy, objects) = copy_and_objects(&stage).await?;
    let probe = stage.probe()?;
    let mut noticed = 0;
    for name in &objects {
        let sound = read_object(&stage, name)?;
        block_in_place(|| probe.remove(name)).map_err(probe_failed("remove an object"))?;
        let look = is_noticed(&stage, &copy, &format!("{name} gone"), &[ErrorCode::Corrupt, ErrorCode::NotFound]).await;
        block_in_place(|| probe.write(name, &sound)).map_err(probe_failed("put an object back"))?;
        noticed += usize::from(look?.is_some());
    }
    ensure!(noticed > 0, "no object of {objects:?} was missed");
    copy.check().await
}

async fn damage_is_named(stage: Arc<Stage>) -> Verdict {
    let (copy, objects) = copy_and_objects(&stage).await?;
    let mut named = 0;
    for name in &objects {
        let sound = read_object(&stage, name)?;
        let mut bytes = sound.clone();
        if let Some(byte) = bytes.last_mut() {
            *byte ^= 0x10;
        }
        let damage = format!("the last byte of {name} flipped");
        let look = is_noticed(&stage, &copy, &damage, &[ErrorCode::Corrupt]);
        let Some(error) = with_object(&stage, name, &bytes, &sound, look).await? else { continue };
        let text = error.to_string();
        // A checksum in an object of its own is reported for the object that it is of.
        let base = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        let is_named = objects.iter().any(|object| text.contains(&base(object)));
        ensure!(is_named, "the error names none of {objects:?}: {text}");
        ensure!(text.contains("offset"), "the error names no offset: {text}");
        named += 1;
    }
    ensure!(named > 0, "no flipped last byte of {objects:?} was noticed");
    copy.check().await
}
