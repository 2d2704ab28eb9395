//! The conformance kit over each driver: in memory, and on each server with a look at its bucket.

use std::io;

use http::Method;
use longshore_conformance::table::Place;
use longshore_conformance::{Profile, StoreProbe, Suite};
use longshore_plugin_api::DriverConfig;
use tiered_storage_jcloud::ObjectStoreFactory;

use crate::raw::Raw;
use crate::server::Server;

/// A look at a bucket behind the driver's back.
struct BucketProbe(Server);

impl BucketProbe {
    /// Asks from a thread of its own: whoever looks may be on a runtime's.
    fn ask(&self, method: Method, target: &str, body: Vec<u8>) -> io::Result<(u16, Vec<u8>)> {
        let answered: io::Result<(u16, Vec<u8>)> = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    let answer = Raw::new(&self.0).send(method, target, &[], body).await;
                    let status = answer.status().as_u16();
                    Ok((status, answer.bytes().await.map_err(io::Error::other)?.to_vec()))
                })
            });
            asking.join().unwrap()
        });
        match answered? {
            (404, _) => Err(io::ErrorKind::NotFound.into()),
            (status @ 200..=299, body) => Ok((status, body)),
            (status, _) => Err(io::Error::other(format!("the store answered {status}"))),
        }
    }
}

impl StoreProbe for BucketProbe {
    fn objects(&self) -> io::Result<Vec<String>> {
        let (_, body) = self.ask(Method::GET, "?list-type=2", Vec::new())?;
        let text = String::from_utf8(body).map_err(io::Error::other)?;
        assert!(text.contains("<IsTruncated>false"), "{text}");
        Ok(text.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.ask(Method::GET, name, Vec::new())?.1)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.ask(Method::PUT, name, bytes.to_vec()).map(drop)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.ask(Method::DELETE, name, Vec::new()).map(drop)
    }
}

fn try_out_on_servers(driver: &str) {
    for server in Server::all() {
        let server = Server { bucket: format!("conformance-{}", driver.to_lowercase()), ..server };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { Raw::new(&server).make_bucket().await });
        let suite = Suite::new(Profile::Quick).probe(BucketProbe(server.clone()));
        let report = suite.try_out::<ObjectStoreFactory>(server.config(driver, &[]));
        report.into_table(server.place(driver)).assert_passed();
    }
}

#[test]
fn every_promise_is_kept_in_memory() {
    let config = DriverConfig {
        driver: "transient".to_owned(),
        properties: [("managedLedgerOffloadBucket".to_owned(), "conformance".to_owned())].into(),
        search_folders: Vec::new(),
    };
    let report = Suite::new(Profile::Quick).try_out::<ObjectStoreFactory>(config);
    report.into_table(Place { driver: "transient", server: "memory" }).assert_passed();
}

#[test]
fn every_promise_of_aws_s3_is_kept() {
    try_out_on_servers("aws-s3");
}

#[test]
fn every_promise_of_s3_is_kept() {
    try_out_on_servers("S3");
}
