//! What we write is read by Hadoop's own classes, record for record and by key, checksums verified on its side as well.
//!
//! Needs Java and the class path that scripts/hadoop-classpath prints, in LONGSHORE_HADOOP_CLASSPATH.

use std::env;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::kit::{COMPRESSIONS, Tier, random_payloads};

const CLASS_PATH: &str = "LONGSHORE_HADOOP_CLASSPATH";

/// Lines of tests/hadoop/ReadMapFile.java for the folder.
fn read_by_hadoop(class_path: &str, folder: &Path) -> Vec<String> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/hadoop/ReadMapFile.java");
    let output = Command::new("java").args(["-cp", class_path]).arg(program).arg(folder).output().unwrap();
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {printed}{errors}", folder.display());
    printed.lines().map(str::to_owned).collect()
}

fn record_line(key: i64, value: &[u8]) -> String {
    let digest: String = Sha256::digest(value).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{key} {} {digest}", value.len())
}

#[tokio::test]
async fn hadoop_reads_what_we_write() {
    let Ok(class_path) = env::var(CLASS_PATH) else {
        eprintln!("SKIPPED: hadoop_reads_what_we_write: set {CLASS_PATH} to what scripts/hadoop-classpath prints");
        return;
    };
    let mut random = fastrand::Rng::with_seed(6);
    let noise: Vec<u8> = (0..5 << 20).map(|_| random.u8(..)).collect();
    let ledgers: [(u64, Vec<Bytes>); 3] = [
        (1, vec![Bytes::new()]),
        (2, random_payloads(&mut random, 3000, 600)),
        (
            3,
            vec![
                noise.into(),
                Bytes::new(),
                vec![7; 5 << 20].into(),
                Bytes::from_static(b"x"),
                vec![1; 102_400].into(),
            ],
        ),
    ];
    for compression in COMPRESSIONS {
        let tier = Tier::new(Some(compression)).await;
        for (ledger_id, payloads) in &ledgers {
            tier.offload(*ledger_id, Uuid::nil(), payloads).await.unwrap();
            let printed = read_by_hadoop(&class_path, &tier.copy_folder(*ledger_id, Uuid::nil()));
            assert_eq!(printed[0], format!("compression {compression}"));
            let entries = &printed[2..printed.len() - 1];
            let expected: Vec<String> = (0..).zip(payloads).map(|(key, value)| record_line(key, value)).collect();
            assert!(printed[1].starts_with("-1 "), "{}", printed[1]);
            assert!(*entries == expected, "{compression}, ledger {ledger_id}");
            let last = format!("found by key {}, verified by checksum", payloads.len() + 1);
            assert_eq!(printed[printed.len() - 1], last);
        }
        eprintln!("hadoop read {} ledgers, {compression}", ledgers.len());
    }
}
