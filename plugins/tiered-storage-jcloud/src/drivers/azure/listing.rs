//! Listings, a page at a time.
//!
//! Azure goes on from a marker of its own, and not behind a key. So the markers of recent pages are kept by the key that they
//! follow: a listing that is read to its end costs a request for each page. A listing that begins behind a key that no page
//! ended with is read from the beginning, once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use block_format::store::{ListPage, ListRequest, ListedObject};
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use longshore_plugin_api::Result;
use percent_encoding::utf8_percent_encode;

use super::blocks::{Container, parse};
use crate::object_store::failure::Failure;
use crate::object_store::own_requests::ListObjects;
use crate::object_store::xml_multiparts::{QUERY, text_in};

/// Blobs of a page, as Azure allows.
const PAGE_BLOBS_MAX: u32 = 5000;
/// Listings that go on at once.
const MARKERS_MAX: usize = 64;

/// Lists one container.
#[derive(Debug)]
pub(super) struct Listing {
    container: Container,
    markers: Mutex<VecDeque<Marker>>,
}

/// Where a listing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Marker {
    prefix: String,
    after: String,
    marker: String,
}

/// What Azure answers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    objects: Vec<ListedObject>,
    next: Option<String>,
}

impl Listing {
    pub(super) fn new(container: Container) -> Self {
        Self { container, markers: Mutex::default() }
    }

    /// The marker behind a key, where a page ended with it.
    fn marker(&self, prefix: &str, after: &str) -> Option<String> {
        let markers = self.markers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = markers.iter().find(|known| known.prefix == prefix && known.after == after);
        known.map(|known| known.marker.clone())
    }

    fn keep(&self, marker: Marker) {
        let mut markers = self.markers.lock().unwrap_or_else(PoisonError::into_inner);
        markers.retain(|known| known.prefix != marker.prefix || known.after != marker.after);
        if markers.len() >= MARKERS_MAX {
            markers.pop_front();
        }
        markers.push_back(marker);
    }

    async fn page(&self, prefix: &str, marker: Option<&str>, limit: u32) -> Result<Page, Failure> {
        let mut query = format!("comp=list&maxresults={limit}");
        for (name, value) in [("marker", marker), ("prefix", Some(prefix).filter(|prefix| !prefix.is_empty()))] {
            if let Some(value) = value {
                query.push_str(&format!("&{name}={}", utf8_percent_encode(value, QUERY)));
            }
        }
        query.push_str("&restype=container");
        let answer = self.container.exchange(Method::GET, "", &query, HeaderMap::new(), Bytes::new()).await?;
        let page = read_page(&answer)?;
        if page.next.is_some() && page.next.as_deref() == marker {
            return Err(Failure::Garbled("it goes on where it began".to_owned()));
        }
        Ok(page)
    }

    async fn read(&self, request: &ListRequest) -> Result<ListPage, Failure> {
        let limit = request.limit.clamp(1, PAGE_BLOBS_MAX);
        let known = request.after.as_ref().map(|after| self.marker(&request.prefix, after));
        // Keys up to `after` come again where its marker is not known.
        let skips = matches!(known, Some(None));
        let mut marker = known.flatten();
        let mut objects: Vec<ListedObject> = Vec::new();
        loop {
            let wanted = limit as usize - objects.len();
            let asked = if skips { PAGE_BLOBS_MAX } else { wanted as u32 };
            let page = self.page(&request.prefix, marker.as_deref(), asked).await?;
            let behind = |it: &ListedObject| request.after.as_ref().is_none_or(|after| it.key > *after);
            let mut found: Vec<ListedObject> = page.objects.into_iter().filter(behind).collect();
            if found.len() > wanted {
                found.truncate(wanted);
                objects.extend(found);
                return Ok(ListPage { objects, more: true });
            }
            objects.extend(found);
            marker = page.next;
            if marker.is_none() || objects.len() == limit as usize {
                break;
            }
        }
        let more = marker.is_some();
        if let Some((marker, last)) = marker.zip(objects.last()) {
            self.keep(Marker { prefix: request.prefix.clone(), after: last.key.clone(), marker });
        }
        Ok(ListPage { objects, more })
    }
}

#[async_trait]
impl ListObjects for Listing {
    async fn list(&self, request: &ListRequest) -> Result<ListPage> {
        self.read(request).await.map_err(self.container.error(""))
    }
}

fn read_page(answer: &Response<Bytes>) -> Result<Page, Failure> {
    let document = parse(answer)?;
    let named = |name: &'static str| document.descendants().filter(move |node| node.tag_name().name() == name);
    let objects = named("Blob").map(|blob| {
        let properties = blob.children().find(|node| node.tag_name().name() == "Properties")?;
        let object_bytes = text_in(properties, "Content-Length")?.parse().ok()?;
        Some(ListedObject { key: text_in(blob, "Name")?, object_bytes })
    });
    let objects: Option<Vec<ListedObject>> = objects.collect();
    let objects = objects.ok_or_else(|| Failure::Garbled("it lists a blob without name or length".to_owned()))?;
    Ok(Page { objects, next: text_in(document.root_element(), "NextMarker") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_with_the_place_where_the_next_one_begins() {
        let xml = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>\
            <Blob><Name>a&amp;b</Name><Properties><Content-Length>7</Content-Length></Properties></Blob></Blobs>\
            <NextMarker>m1</NextMarker></EnumerationResults>";
        let page = read_page(&Response::new(Bytes::from(xml))).unwrap();
        let objects = vec![ListedObject { key: "a&b".to_owned(), object_bytes: 7 }];
        assert_eq!(page, Page { objects, next: Some("m1".to_owned()) });
        let last = xml.replace("<NextMarker>m1</NextMarker>", "<NextMarker />");
        assert_eq!(read_page(&Response::new(last.into())).unwrap().next, None);
        let short = xml.replace("<Content-Length>7</Content-Length>", "");
        assert!(read_page(&Response::new(short.into())).is_err());
    }
}
