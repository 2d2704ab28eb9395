//! No secret is in what is logged, whatever goes wrong and however much is logged.

use std::io::Write;
use std::sync::{Arc, Mutex};

use longshore_plugin_api::Offloader;

use crate::kit::{Rig, SECRET, offload, read, stored};
use crate::stub::Reply;

#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_logged() {
    let logged = Logged::default();
    let taken = logged.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || taken.clone()).finish();
    // All tests of the process log here, other threads' as well.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    for status in [200, 403, 500] {
        let rig = Rig::new(move |_| (status != 200).then(|| Reply::refusal(status, "Whatever"))).await;
        let driver = rig.driver(&[]).await;
        let _ = offload(&driver, 100).await;
        let _ = read(&driver, 100).await;
        let _ = driver.delete(stored(5)).await;
    }
    let logged = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    assert!(logged.contains("a request is tried again"), "something was logged");
    assert!(!logged.contains(SECRET));
}
