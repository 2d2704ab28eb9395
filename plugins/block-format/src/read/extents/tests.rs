//! Extents, without a store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;

const COPY: CopyId = CopyId { uid: Uuid::nil(), ledger_id: 1 };

async fn bytes_of(range: Range<u64>) -> Result<Bytes> {
    Ok(range.map(|at| at as u8).collect::<Vec<u8>>().into())
}

/// A source of one extent for each request.
#[derive(Clone)]
struct Whole<T>(T);

impl<F, T> Source for Whole<T>
where
    F: Future<Output = Result<Bytes>> + Send,
    T: FnOnce(Range<u64>) -> F + Clone + Send + 'static,
{
    fn cut(&self, range: Range<u64>) -> Vec<Range<u64>> {
        vec![range]
    }

    async fn fetch(self, mut arrivals: Arrivals) {
        let result = (self.0)(arrivals.range()).await;
        arrivals.arrived(result);
    }
}

/// A source of extents of 10 bytes.
#[derive(Clone)]
struct Tens;

impl Source for Tens {
    fn cut(&self, range: Range<u64>) -> Vec<Range<u64>> {
        range.clone().step_by(10).map(|start| start..(start + 10).min(range.end)).collect()
    }

    async fn fetch(self, mut arrivals: Arrivals) {
        while let Some(range) = arrivals.next() {
            match range.start {
                20 => return arrivals.fail(&Error::new(ErrorCode::Unavailable, "why")),
                _ => arrivals.arrived(bytes_of(range).await),
            }
        }
    }
}

#[tokio::test]
async fn what_came_of_a_request_counts_though_the_rest_failed() {
    let extents = Arc::new(Extents::new(1 << 20));
    let get = async |offset: u64| extents.get(COPY, offset, 0..50, &Tens).await;
    let (late, early) = tokio::join!(get(45), get(15));
    assert_eq!(late.unwrap_err().code(), ErrorCode::Unavailable);
    assert_eq!((early.unwrap().start, extents.held_bytes()), (10, 20));
    let state = extents.state();
    assert_eq!((state.unread_bytes, state.slots.len()), (10, 2));
}

#[tokio::test]
async fn what_was_passed_is_left_behind_and_nothing_else() {
    let extents = Arc::new(Extents::new(1 << 20));
    for at in [0, 10, 20] {
        extents.get(COPY, at, at..at + 10, &Whole(bytes_of)).await.unwrap();
    }
    extents.fetch_ahead(COPY, 30..40, &Whole(bytes_of));
    while extents.held_bytes() < 40 {
        tokio::task::yield_now().await;
    }
    extents.leave_behind(COPY, 25);
    assert_eq!(extents.held_bytes(), 20);
    extents.leave_behind(COPY, 40);
    assert_eq!(extents.held_bytes(), 10, "what nobody came for yet stays");
}

#[tokio::test]
async fn what_nobody_reads_is_let_go() {
    let extents = Arc::new(Extents::new(1 << 20));
    let read = async |at: u64| extents.get(COPY, at, at..at + 10, &Whole(bytes_of)).await.unwrap().end();
    read(0).await;
    let first = Instant::now();
    // An extent of a later moment.
    while Instant::now() == first {
        tokio::task::yield_now().await;
    }
    read(100).await;
    assert!(extents.let_go(first + KEPT_UNREAD));
    assert_eq!((extents.held_bytes(), extents.state().is_swept), (10, true));
    assert!(!extents.let_go(Instant::now() + KEPT_UNREAD));
    assert_eq!((extents.held_bytes(), extents.state().is_swept), (0, false));
    assert_eq!((read(0).await, extents.state().is_swept), (10, true));
}

#[tokio::test]
async fn what_is_here_is_not_fetched_again_and_gaps_are_filled() {
    let extents = Arc::new(Extents::new(1 << 20));
    let fetched = Arc::new(AtomicU64::new(0));
    let counted = fetched.clone();
    let fetch = &Whole(move |range: Range<u64>| {
        counted.fetch_add(range.end - range.start, Ordering::Relaxed);
        bytes_of(range)
    });
    let middle = extents.get(COPY, 100, 100..200, fetch).await.unwrap();
    assert_eq!((middle.start, middle.end()), (100, 200));
    let before = extents.get(COPY, 50, 40..300, fetch).await.unwrap();
    assert_eq!((before.start, before.end()), (40, 100));
    let behind = extents.get(COPY, 200, 200..300, fetch).await.unwrap();
    assert_eq!((behind.start, behind.end()), (200, 300));
    for offset in 40..300 {
        assert_eq!(extents.get(COPY, offset, offset..300, fetch).await.unwrap().from(offset)[0], offset as u8);
    }
    assert_eq!(fetched.load(Ordering::Relaxed), 260);
    extents.get(CopyId { ledger_id: 2, ..COPY }, 100, 100..200, fetch).await.unwrap();
    assert_eq!(fetched.load(Ordering::Relaxed), 360, "copies share nothing");
}

#[tokio::test]
async fn many_readers_of_one_place_cause_one_fetch_also_when_the_first_leaves() {
    let extents = Arc::new(Extents::new(1 << 20));
    let fetched = Arc::new(AtomicU64::new(0));
    let counted = fetched.clone();
    let slow = &Whole(move |range: Range<u64>| async move {
        counted.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
        bytes_of(range).await
    });
    let mut leaver = Box::pin(extents.get(COPY, 0, 0..100, slow));
    assert!(futures_util::poll!(&mut leaver).is_pending());
    drop(leaver);
    let readers = (0..64).map(|at| extents.get(COPY, at, at..100, slow));
    for extent in futures_util::future::join_all(readers).await {
        assert_eq!(extent.unwrap().end(), 100);
    }
    assert_eq!(fetched.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_error_reaches_all_who_wait_and_is_forgotten() {
    let extents = Arc::new(Extents::new(1 << 20));
    let fail = &Whole(|_| async {
        tokio::task::yield_now().await;
        Err(Error::new(ErrorCode::Unavailable, "why"))
    });
    let (one, two) = tokio::join!(extents.get(COPY, 0, 0..10, fail), extents.get(COPY, 5, 5..10, fail));
    assert_eq!((one.unwrap_err().code(), two.unwrap_err().code()), (ErrorCode::Unavailable, ErrorCode::Unavailable));
    assert_eq!(extents.get(COPY, 0, 0..10, &Whole(bytes_of)).await.unwrap().end(), 10);
    assert_eq!(extents.held_bytes(), 10);
}

#[tokio::test]
async fn a_store_that_panics_does_not_block_its_place() {
    let extents = Arc::new(Extents::new(1 << 20));
    let error = extents.get(COPY, 0, 0..10, &Whole(|_| async { panic!("on request") })).await.unwrap_err();
    assert_eq!((error.code(), extents.held_bytes()), (ErrorCode::Panicked, 0));
    assert_eq!(extents.get(COPY, 0, 0..10, &Whole(bytes_of)).await.unwrap().end(), 10);
}

#[tokio::test]
async fn the_room_is_never_exceeded_and_what_was_read_makes_room_first() {
    let extents = Arc::new(Extents::new(100_000));
    for at in 0..50_u64 {
        extents.get(COPY, at * 10_000, at * 10_000..(at + 1) * 10_000, &Whole(bytes_of)).await.unwrap();
        assert!(extents.held_bytes() <= 100_000);
    }
    assert_eq!(extents.fetch_ahead(COPY, 1_000_000..1_010_000, &Whole(bytes_of)), Some(1_010_000));
    tokio::time::sleep(Duration::from_millis(10)).await;
    for at in 100..130_u64 {
        extents.get(COPY, at * 20_000, at * 20_000..at * 20_000 + 10_000, &Whole(bytes_of)).await.unwrap();
    }
    let fail =
        &Whole(|_| async { Err(Error::new(ErrorCode::Internal, "what was fetched ahead should still be here")) });
    let unread = extents.get(COPY, 1_000_000, 1_000_000..1_010_000, fail);
    assert_eq!(unread.await.unwrap().end(), 1_010_000);
}

#[tokio::test]
async fn too_much_is_not_fetched_ahead() {
    let extents = Arc::new(Extents::new(100_000));
    let ahead = |at: u64| extents.fetch_ahead(COPY, at..at + 20_000, &Whole(bytes_of));
    let begun = [ahead(0), ahead(20_000), ahead(40_000), ahead(60_000)];
    assert_eq!(begun, [Some(20_000), Some(40_000), Some(60_000), None]);
    extents.get(COPY, 0, 0..20_000, &Whole(bytes_of)).await.unwrap();
    assert_eq!(ahead(60_000), Some(80_000));
    extents.forget(COPY);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(extents.held_bytes(), 0);
    assert_eq!(extents.state().unread_bytes, 0);
}
