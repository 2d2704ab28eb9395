/* Proves the driver through its tables, with a small host of its own: copy, read, list in pages while copies vanish, delete, cancel.
 * Run under AddressSanitizer and UndefinedBehaviorSanitizer by `make check`; a good start for tests of a driver of yours. */
#define _POSIX_C_SOURCE 200809L

#undef NDEBUG
#include <assert.h>
#include <inttypes.h>
#include <offloader.h>
#include <stdlib.h>
#include <unistd.h>

extern const offloader_root_t offloader_root;

enum { ENTRIES = 100 };

/* ------------------------------------------------------------------------------------------------------------------------
 * The host
 * --------------------------------------------------------------------------------------------------------------------- */

static uint32_t log_enabled(const offloader_host_t *host, uint32_t level, offloader_str_t target) {
  (void)host, (void)level;
  return target.len == strlen("example_c");
}

static void log_event(const offloader_host_t *host, const offloader_log_event_t *event) {
  (void)host;
  assert(event->struct_size == sizeof *event && event->message.len > 0);
}

static const void *get_extension(const offloader_host_t *host, offloader_str_t id) {
  (void)host, (void)id;
  return NULL;
}

static uint64_t metric(const offloader_host_t *host, const offloader_metric_t *metric) {
  (void)host, (void)metric;
  return 0;
}

static void metric_record(const offloader_host_t *host, uint64_t series, double value) { (void)host, (void)series, (void)value; }

static const offloader_host_t host = {
    sizeof host, 1, 0, 0, 0, NULL, log_enabled, log_event, metric, metric_record, get_extension};

static uint32_t cancelled(const offloader_call_t *call) { return call->self != NULL; }

static const offloader_call_t call = {sizeof call, NULL, cancelled, 1000, {0}, {0}, 0, 0};
static const offloader_call_t cancelled_call = {sizeof call, (void *)&call, cancelled, 1000, {1, 2}, {0xab}, 1, 0};

/* Entry n has n bytes. Batches are of memory of their own, so that a missing or doubled release is noticed. */
static offloader_code_t ledger_read(const offloader_ledger_t *ledger, uint64_t first, uint64_t last, uint64_t max_bytes,
                                    offloader_batch_t *out, offloader_error_t *error) {
  size_t count = last - first + 1 > 7 ? 7 : (size_t)(last - first + 1), at;
  offloader_entry_t *entries = calloc(count, sizeof *entries + ENTRIES);
  (void)error, (void)max_bytes;
  assert(entries != NULL && out->struct_size == sizeof *out && last < ledger->metadata->entry_count);
  for (at = 0; at < count; at++) {
    uint8_t *payload = (uint8_t *)(entries + count) + at * ENTRIES;
    memset(payload, (int)(first + at), (size_t)(first + at));
    entries[at].entry_id = first + at;
    entries[at].payload.ptr = payload;
    entries[at].payload.len = (size_t)(first + at);
  }
  out->entries = entries;
  out->count = count;
  out->owner = entries;
  out->release = free;
  return OFFLOADER_OK;
}

static uint64_t progress;

static void ledger_progress(const offloader_ledger_t *ledger, uint64_t bytes) {
  (void)ledger;
  progress += bytes;
}

static const uint8_t stored_form[] = "what the host keeps with every copy";
static const offloader_ledger_metadata_t metadata = {
    sizeof metadata, 5, ENTRIES, ENTRIES * (ENTRIES - 1) / 2, 0, 1, 0, {stored_form, sizeof stored_form}};
static const offloader_ledger_t ledger = {sizeof ledger, NULL, &metadata, ledger_read, ledger_progress};

static char message[512];
static offloader_error_t error;

/* An error buffer as a call begins with it. */
static offloader_error_t *no_error(void) {
  offloader_error_t fresh = {sizeof fresh, OFFLOADER_RETRY_BY_CODE, 0, message, sizeof message, 0, 0};
  error = fresh;
  return &error;
}

/* ------------------------------------------------------------------------------------------------------------------------
 * The tests
 * --------------------------------------------------------------------------------------------------------------------- */

static char folder[64];
static void *driver;

static const offloader_driver_t *functions(void) { return offloader_root.driver; }

static offloader_stored_ledger_t stored(uint8_t uid) {
  offloader_stored_ledger_t stored = {sizeof stored, 5, {0}, {NULL, 0}, NULL, 0};
  memset(stored.uid, uid, sizeof stored.uid);
  return stored;
}

static offloader_code_t offload(uint8_t uid, const offloader_call_t *as) {
  offloader_offload_request_t request = {sizeof request, 5, {0}, {"t/n/persistent/x", 16}, NULL, 0};
  memset(request.uid, uid, sizeof request.uid);
  return functions()->offload(driver, as, &ledger, &request, no_error());
}

static offloader_code_t delete_copy(uint8_t uid) {
  offloader_stored_ledger_t wanted = stored(uid);
  return functions()->delete_ledger(driver, &call, &wanted, no_error());
}

static void a_copy_is_read_as_it_was_written(void) {
  offloader_stored_ledger_t wanted = stored(1);
  offloader_bytes_t kept = {NULL, 0};
  uint64_t next = 0, max_bytes = 300;
  void *handle = NULL;
  size_t at;
  assert(offload(1, &call) == OFFLOADER_OK && offload(1, &call) == OFFLOADER_OK);
  assert(progress == 2 * metadata.length_bytes);
  assert(functions()->open_read(driver, &call, &wanted, &handle, &kept, no_error()) == OFFLOADER_OK);
  assert(kept.len == sizeof stored_form && memcmp(kept.ptr, stored_form, kept.len) == 0);
  while (next < ENTRIES) {
    offloader_batch_t batch = {sizeof batch, NULL, 0, NULL, NULL};
    uint64_t bytes = 0;
    assert(offloader_root.read_handle->read(handle, &call, next, ENTRIES - 1, max_bytes, &batch, no_error()) == OFFLOADER_OK);
    for (at = 0; at < batch.count; at++) {
      assert(batch.entries[at].entry_id == next && batch.entries[at].payload.len == next);
      assert(next == 0 || batch.entries[at].payload.ptr[next - 1] == next);
      bytes += batch.entries[at].payload.len;
      next++;
    }
    assert(batch.count >= 1 && (batch.count == 1 || bytes <= max_bytes));
    assert(next == ENTRIES || bytes + next > max_bytes);
    offloader_batch_release(&batch);
    offloader_batch_release(&batch);
  }
  offloader_root.read_handle->close(handle);
}

static void what_is_missing_is_told_and_deleted_without_complaint(void) {
  offloader_stored_ledger_t wanted = stored(1);
  offloader_bytes_t kept;
  void *handle;
  assert(delete_copy(1) == OFFLOADER_OK && delete_copy(1) == OFFLOADER_OK);
  assert(functions()->open_read(driver, &call, &wanted, &handle, &kept, no_error()) == OFFLOADER_NOT_FOUND);
  assert(error.message_len > 0 && strstr(message, "5-01010101-0101-0101-0101-010101010101/ledger") != NULL);
}

static void a_call_that_was_given_up_ends_and_leaves_no_copy(void) {
  offloader_stored_ledger_t wanted = stored(2);
  offloader_bytes_t kept;
  void *handle;
  assert(offload(2, &cancelled_call) == OFFLOADER_CANCELLED);
  assert(functions()->open_read(driver, &call, &wanted, &handle, &kept, no_error()) == OFFLOADER_NOT_FOUND);
  assert(delete_copy(2) == OFFLOADER_OK);
}

static void the_trace_of_a_call_can_be_sent_along(void) {
  char text[OFFLOADER_TRACEPARENT_BYTES];
  assert(!offloader_traceparent(&call, text) && text[0] == '\0');
  assert(offloader_traceparent(&cancelled_call, text));
  assert(strcmp(text, "00-01020000000000000000000000000000-ab00000000000000-01") == 0);
}

static void an_empty_ledger_is_refused(void) {
  offloader_ledger_metadata_t empty = metadata;
  offloader_ledger_t of_nothing = ledger;
  offloader_offload_request_t request = {sizeof request, 5, {0}, {NULL, 0}, NULL, 0};
  empty.entry_count = 0;
  of_nothing.metadata = &empty;
  assert(functions()->offload(driver, &call, &of_nothing, &request, no_error()) == OFFLOADER_INVALID_ARGUMENT);
}

/* A page as it comes in. */
typedef struct listing {
  size_t count;
  uint8_t last;
  char next[128];
} listing_t;

static void put(const offloader_page_t *page, const offloader_scanned_ledger_t *found) {
  listing_t *listing = page->self;
  assert(found->ledger_id == 5 && found->size_bytes > 0);
  assert(listing->count == 0 || found->uid[0] > listing->last);
  listing->last = found->uid[0];
  listing->count++;
}

static void set_next(const offloader_page_t *page, offloader_str_t after) {
  listing_t *listing = page->self;
  memcpy(listing->next, after.ptr, after.len);
  listing->next[after.len] = '\0';
}

static void a_listing_goes_on_while_copies_vanish_and_leaves_out_what_is_foreign(void) {
  listing_t listing = {0, 0, ""};
  offloader_page_t page = {sizeof page, &listing, put, set_next};
  char foreign[128];
  uint8_t uid;
  int pages = 0;
  FILE *file;
  for (uid = 1; uid <= 20; uid++) {
    assert(offload(uid, &call) == OFFLOADER_OK);
  }
  snprintf(foreign, sizeof foreign, "%s/5-0101", folder);
  file = fopen(foreign, "w");
  assert(file != NULL && fclose(file) == 0);
  do {
    char after[128];
    size_t before = listing.count;
    strcpy(after, listing.next);
    listing.next[0] = '\0';
    assert(functions()->scan(driver, &call, offloader_text(after), 6, &page, no_error()) == OFFLOADER_OK);
    assert(listing.count - before <= 6);
    /* The copy after which the next page begins, and one before it. */
    assert(delete_copy(listing.last) == OFFLOADER_OK && delete_copy(1) == OFFLOADER_OK);
    pages++;
  } while (listing.next[0] != '\0');
  assert(listing.count == 20 && pages == 4);
  assert(unlink(foreign) == 0);
  for (uid = 1; uid <= 20; uid++) {
    assert(delete_copy(uid) == OFFLOADER_OK);
  }
}

int main(void) {
  offloader_pair_t properties[1];
  offloader_config_t config = {sizeof config, {"example-c", 9}, properties, 1, NULL, 0};
  strcpy(folder, "/tmp/example-c-XXXXXX");
  assert(mkdtemp(folder) != NULL);
  properties[0].name = offloader_text("managedLedgerOffloadExtraConfigFolder");
  properties[0].value = offloader_text(folder);
  assert(offloader_root.plugin->start(&host, no_error()) == OFFLOADER_OK);
  assert(offloader_root.plugin->create(&call, &config, &driver, no_error()) == OFFLOADER_OK);
  assert(functions()->health(driver, &call, no_error()) == OFFLOADER_OK);
  a_copy_is_read_as_it_was_written();
  what_is_missing_is_told_and_deleted_without_complaint();
  a_call_that_was_given_up_ends_and_leaves_no_copy();
  an_empty_ledger_is_refused();
  the_trace_of_a_call_can_be_sent_along();
  a_listing_goes_on_while_copies_vanish_and_leaves_out_what_is_foreign();
  functions()->destroy(driver);
  assert(rmdir(folder) == 0);
  puts("driver: ok");
  return 0;
}
