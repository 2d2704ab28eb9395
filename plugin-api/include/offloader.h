/* offloader.h: tiered storage drivers for Longshore, written in C99 or later, or in C++14 or later.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A plugin is a shared library that exports one constant, `offloader_root`, and carries an identity note that the host reads
 * without running the library. OFFLOADER_EXPORT emits both. The author fills three tables: what the library does
 * (offloader_plugin_t), what a driver does (offloader_driver_t), what an open copy does (offloader_read_handle_t).
 * docs/plugin-guide-c.md leads through it; plugins/example-c is a whole plugin.
 *
 * Words: a LEDGER is a closed list of ENTRIES with the ids 0, 1, 2..; a COPY is a ledger in your store; the UID names one
 * attempt to make a copy.
 *
 * Every item below carries tags:
 *
 *   [worker]      The host calls it on a thread that it keeps for this library's calls; on any of them, several at once, also
 *                 for the same object. It may block and take its time within the deadline that the host's configuration sets.
 *   [any-thread]  May be called on any thread, several at once.
 *   [no-block]    Returns at once, and may be called where blocking is not allowed.
 *   [lent]        Belongs to whoever passes it, and is valid until the function that received it returns. Copy what is needed
 *                 longer. Never free it.
 *   [given]       Belongs to the receiver from now on, who gives it back exactly once by the function that is named.
 *   [static]      Valid and unchanged until the process ends.
 *
 * Rules:
 *   1. Texts are UTF-8 with an explicit length and no terminating zero. A text or byte range of length 0 may have any pointer.
 *   2. Functions answer OFFLOADER_OK or an error code; see offloader_error_t. Where the answer is an error, all that was
 *      written to [lent] result structures is ignored, and nothing in them is given back.
 *   3. Nothing unwinds out of a function: no C++ exception, no longjmp. Either ends the process. C++17 checks it when compiling
 *      (the functions in the tables are `noexcept`).
 *   4. The host checks what comes back as far as values can be checked: null pointers, counts, lengths, order, UTF-8, sizes of
 *      structures. It cannot check that a pointer leads to as many bytes as its length says. A crash in a plugin is a crash of
 *      the host.
 *   5. A library stays loaded until the process ends; destructors and atexit handlers are no place for work.
 *   6. Structures begin with `struct_size`, the size that their maker knows. Whoever reads a member that came after version 1.0
 *      looks at `struct_size` first. Structures without it never change. Tables and structures grow at their end only; the
 *      numbers of codes never change their meaning.
 *
 * Version policy: OFFLOADER_API_* is the version of this contract, the same as that of Rust plugins. A host runs every plugin of
 * the same major version that does not need a newer host than it is.
 */
#ifndef LONGSHORE_OFFLOADER_H
#define LONGSHORE_OFFLOADER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(__cplusplus) && __cplusplus < 201402L
#error "offloader.h needs C++14 or later"
#endif

#if defined(__cplusplus) && __cplusplus >= 201703L
#define OFFLOADER_NOEXCEPT noexcept
#else
#define OFFLOADER_NOEXCEPT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------------------------
 * Versions and codes
 * --------------------------------------------------------------------------------------------------------------------- */

/* The contract of this header. */
#define OFFLOADER_API_MAJOR 1
#define OFFLOADER_API_MINOR 0
#define OFFLOADER_API_PATCH 0
#define OFFLOADER_API_VERSION "1.0.0"

/* The lowest host on which the plugin works. Define it before the inclusion to ask for more. */
#ifndef OFFLOADER_API_VERSION_MIN
#define OFFLOADER_API_VERSION_MIN "1.0.0"
#endif

/* What a function answers. A number that the host does not know is shown as it is and never retried. */
typedef uint32_t offloader_code_t;
enum {
  OFFLOADER_OK = 0,
  OFFLOADER_NOT_FOUND = 1,         /* the copy, or what should hold it, does not exist */
  OFFLOADER_PERMISSION_DENIED = 2, /* the store says no, or does not know us */
  OFFLOADER_RATE_LIMITED = 3,      /* the store asks for fewer requests; retried later */
  OFFLOADER_UNAVAILABLE = 4,       /* the store cannot be reached or has a passing fault; retried later */
  OFFLOADER_TIMEOUT = 5,           /* a deadline of the store passed; retried later */
  OFFLOADER_INVALID_CONFIG = 6,    /* the configuration cannot work; name the key */
  OFFLOADER_INVALID_ARGUMENT = 7,  /* the caller broke the contract: an empty or open ledger, first > last */
  OFFLOADER_CORRUPT = 8,           /* stored bytes are not what was written; name file (or object) and offset */
  OFFLOADER_OUT_OF_RANGE = 9,      /* a read beyond the last entry */
  OFFLOADER_UNSUPPORTED = 10,      /* the driver does not offer this */
  OFFLOADER_CONFLICT = 11,         /* something else changed the same thing meanwhile */
  OFFLOADER_CANCELLED = 12,        /* the host gave the call up */
  OFFLOADER_INTERNAL = 14,         /* any other fault */
  OFFLOADER_STORAGE_FULL = 15,     /* no space, or a quota is used up; retried later */
  OFFLOADER_MISBEHAVED = 16        /* the contract was broken; the host answers it, a plugin need not */
};

/* Whether the same call may succeed if it is made again: offloader_error_t.retry. */
enum {
  OFFLOADER_RETRY_NEVER = 0,
  OFFLOADER_RETRY_NOW = 1,
  OFFLOADER_RETRY_LATER = 2,
  OFFLOADER_RETRY_BY_CODE = 3 /* what the comments at the codes say */
};

/* Levels of the log. */
enum {
  OFFLOADER_LOG_ERROR = 1,
  OFFLOADER_LOG_WARN = 2,
  OFFLOADER_LOG_INFO = 3,
  OFFLOADER_LOG_DEBUG = 4,
  OFFLOADER_LOG_TRACE = 5
};

/* ------------------------------------------------------------------------------------------------------------------------
 * Values. Structures without `struct_size` never change.
 * --------------------------------------------------------------------------------------------------------------------- */

/* A text: UTF-8, `len` bytes, no terminating zero. Where it may be absent, `ptr` is null then. */
typedef struct offloader_str {
  const char *ptr;
  size_t len;
} offloader_str_t;

/* Bytes. */
typedef struct offloader_bytes {
  const uint8_t *ptr;
  size_t len;
} offloader_bytes_t;

/* A name and its value. */
typedef struct offloader_pair {
  offloader_str_t name;
  offloader_str_t value;
} offloader_pair_t;

/* One entry of a ledger. Ids are dense: the first is 0, the last `entry_count - 1`. A payload may be empty. */
typedef struct offloader_entry {
  uint64_t entry_id;
  offloader_bytes_t payload;
} offloader_entry_t;

/* Entries that change hands without a copy, in either direction: whoever fills it keeps array and payloads unchanged until the
 * receiver calls `release(owner)`. [given]
 *
 * From a plugin: the host calls `release` exactly once, on any thread, so it must not block. The read handle is closed after the
 * last of its batches was released, so that entries may lie in memory of the handle (a mapped file); `release` may be null then.
 * From the host: the plugin calls `release` when it needs the entries no more; [any-thread] [no-block]. A second call for the
 * same owner does nothing. What is not released when the offload returns is taken back by the host. */
typedef struct offloader_batch {
  size_t struct_size; /* set by the host */
  const offloader_entry_t *entries;
  size_t count;
  void *owner;
  void (*release)(void *owner) OFFLOADER_NOEXCEPT;
} offloader_batch_t;

/* Where a function tells why it answers an error. The buffer is the host's [lent]; offloader_fail() writes it.
 * Messages are lower case, without a full stop, and say what was tried, on what, and what to do. Never put a secret into one. */
typedef struct offloader_error {
  size_t struct_size;      /* set by the host */
  uint32_t retry;          /* OFFLOADER_RETRY_*; the host sets OFFLOADER_RETRY_BY_CODE before the call */
  uint32_t reserved;       /* 0 */
  char *message;           /* the host's buffer */
  size_t message_capacity; /* bytes that fit into it */
  size_t message_len;      /* bytes that the function wrote; 0 before the call */
  uint64_t retry_after_ms; /* with OFFLOADER_RETRY_LATER: how long to wait, where the store says; 0 before the call */
} offloader_error_t;

/* What is known of a ledger. [lent], and so is what it points to. */
typedef struct offloader_ledger_metadata {
  size_t struct_size;
  uint64_t ledger_id;
  uint64_t entry_count;  /* 0 for an empty ledger, which must not be offloaded */
  uint64_t length_bytes; /* sum of the payloads */
  uint64_t created_ms;   /* since 1970 */
  uint32_t closed;       /* 1, or 0 for a ledger that is open and must not be offloaded */
  uint32_t reserved;     /* 0 */
  /* All of the above and more in the form in which Pulsar's offloaders store it (BookKeeper's LedgerMetadataFormat, protobuf).
   * Keep these bytes with the copy, unchanged: open_read() answers them. */
  offloader_bytes_t stored_form;
} offloader_ledger_metadata_t;

/* The configuration of one driver instance. [lent], and so is what it points to.
 * `properties` are all offload settings in Pulsar's spelling, also those that this driver does not know: ignore them. Values are
 * trimmed. offloader_config_get() finds one. */
typedef struct offloader_config {
  size_t struct_size;
  offloader_str_t driver; /* in the spelling that the note claims */
  const offloader_pair_t *properties;
  size_t property_count;
  const offloader_str_t *search_folders; /* where a relative path is looked for, in this order */
  size_t search_folder_count;
} offloader_config_t;

/* One attempt to copy one ledger. [lent], and so is what it points to. */
typedef struct offloader_offload_request {
  size_t struct_size;
  uint64_t ledger_id;
  uint8_t uid[16];                /* in the order of RFC 9562; must decide the copy's names in the store */
  offloader_str_t managed_ledger; /* tenant/namespace/persistent/topic, the topic URL-encoded */
  const offloader_pair_t *extra;  /* names and values that a driver may store with the copy */
  size_t extra_count;
} offloader_offload_request_t;

/* A copy that an earlier attempt made, or tried to. [lent], and so is what it points to. */
typedef struct offloader_stored_ledger {
  size_t struct_size;
  uint64_t ledger_id;
  uint8_t uid[16];
  offloader_str_t managed_ledger;
  const offloader_pair_t *driver_metadata; /* what driver_metadata() answered when the ledger was offloaded */
  size_t driver_metadata_count;
} offloader_stored_ledger_t;

/* One complete copy in a listing. [lent] to the host. */
typedef struct offloader_scanned_ledger {
  size_t struct_size; /* set it to sizeof(offloader_scanned_ledger_t) */
  uint64_t ledger_id;
  uint8_t uid[16];
  offloader_str_t managed_ledger; /* null where the store does not know it */
  uint64_t size_bytes;            /* that the copy takes in the store */
} offloader_scanned_ledger_t;

/* ------------------------------------------------------------------------------------------------------------------------
 * What the host offers
 * --------------------------------------------------------------------------------------------------------------------- */

/* One event of the log. [lent] to the host, and so is what it points to. */
typedef struct offloader_log_event {
  size_t struct_size; /* set it to sizeof(offloader_log_event_t) */
  uint32_t level;     /* OFFLOADER_LOG_* */
  uint32_t reserved;  /* 0 */
  offloader_str_t target; /* whose event it is, for filters: the plugin's name, or a part of it such as `tape.upload` */
  offloader_str_t message;
  const offloader_pair_t *fields;
  size_t field_count;
} offloader_log_event_t;

/* Kinds of metrics: a count that only grows, to which recording adds; a value that goes up and down, which recording sets; a
 * distribution, of which recording observes one value. */
enum { OFFLOADER_METRIC_COUNTER = 1, OFFLOADER_METRIC_GAUGE = 2, OFFLOADER_METRIC_HISTOGRAM = 3 };

/* One series of a metric. [lent] to the host, and so is what it points to. */
typedef struct offloader_metric {
  size_t struct_size;   /* set it to sizeof(offloader_metric_t) */
  uint32_t kind;        /* OFFLOADER_METRIC_* */
  uint32_t reserved;    /* 0 */
  offloader_str_t name; /* letters, digits and `_`, the unit last; a counter ends in `_total`. Shown as longshore_plugin_<plugin>_<name> */
  offloader_str_t help; /* one sentence for people */
  const offloader_pair_t *labels; /* what tells the series from others of the name; few values */
  size_t label_count;
  const double *buckets; /* upper bounds of a histogram's buckets, ascending; none leaves them to the host */
  size_t bucket_count;
} offloader_metric_t;

/* The host. [static]: from start() on it may be used by any thread until the process ends. */
typedef struct offloader_host offloader_host_t;
struct offloader_host {
  size_t struct_size;
  uint32_t api_major; /* of the host */
  uint32_t api_minor;
  uint32_t api_patch;
  uint32_t reserved; /* 0 */
  void *self;        /* the host's own */
  /* Whether the log wants events of this level and target: 1 or 0. [any-thread] [no-block] */
  uint32_t (*log_enabled)(const offloader_host_t *host, uint32_t level, offloader_str_t target) OFFLOADER_NOEXCEPT;
  /* Writes one event; offloader_log() is the short way. [any-thread]; may wait for the log's writer. */
  void (*log)(const offloader_host_t *host, const offloader_log_event_t *event) OFFLOADER_NOEXCEPT;
  /* The number of a series, never 0; the same description has the same number. 0 where the host refuses it (a name that cannot be,
   * too many series), which it says in its log. Ask once and keep the number. [any-thread] [no-block] */
  uint64_t (*metric)(const offloader_host_t *host, const offloader_metric_t *metric) OFFLOADER_NOEXCEPT;
  /* Adds to, sets or observes, as the kind of the series says; 0 and unknown numbers are ignored. [any-thread] [no-block] */
  void (*metric_record)(const offloader_host_t *host, uint64_t series, double value) OFFLOADER_NOEXCEPT;
  /* What the host offers beyond this table, by a name such as `longshore.something/1`: a [static] table, or null where this host
   * does not offer it. Version 1.0 defines none. [any-thread] [no-block] */
  const void *(*get_extension)(const offloader_host_t *host, offloader_str_t id) OFFLOADER_NOEXCEPT;
};

/* One call of the host, for as long as it runs. [lent] */
typedef struct offloader_call offloader_call_t;
struct offloader_call {
  size_t struct_size;
  void *self; /* the host's own */
  /* Whether the host has given the call up (deadline, shutdown): 1 or 0. Nobody waits for the answer then: clean up and return
   * OFFLOADER_CANCELLED. Ask between blocks of long work; nothing else interrupts a call. [any-thread] [no-block] */
  uint32_t (*cancelled)(const offloader_call_t *call) OFFLOADER_NOEXCEPT;
  uint64_t timeout_ms;  /* how long the host is going to wait, or for an offload how long without progress; 0 where it does not say */
  uint8_t trace_id[16]; /* the W3C trace to which the call belongs, for your own requests; zeros for none. offloader_traceparent() */
  uint8_t span_id[8];
  uint32_t trace_flags;
  uint32_t reserved; /* 0 */
};

/* The ledger to copy, for one offload(). [lent] */
typedef struct offloader_ledger offloader_ledger_t;
struct offloader_ledger {
  size_t struct_size;
  void *self; /* the host's own */
  const offloader_ledger_metadata_t *metadata;
  /* Reads whole entries from `first` on, in order and without gaps, up to `last` (inclusive) or until the next payload would make
   * their sum exceed `max_bytes`; at least one, however large. Then `*out` is [given]: release it. Few batches may be held at
   * once; a read beyond that is refused with OFFLOADER_INVALID_ARGUMENT. Answers OFFLOADER_CANCELLED once the host gave the
   * offload up. Set `out->struct_size` to sizeof(offloader_batch_t); `error` may be null. [any-thread]; blocks. */
  offloader_code_t (*read)(const offloader_ledger_t *ledger, uint64_t first, uint64_t last, uint64_t max_bytes,
                           offloader_batch_t *out, offloader_error_t *error) OFFLOADER_NOEXCEPT;
  /* So many more bytes reached the store. The host's deadline of an offload is on progress, not on the whole: each read and each
   * call of this begins it anew. [any-thread] [no-block] */
  void (*progress)(const offloader_ledger_t *ledger, uint64_t bytes) OFFLOADER_NOEXCEPT;
};

/* Where validate() reports problems. [lent] */
typedef struct offloader_problems offloader_problems_t;
struct offloader_problems {
  size_t struct_size;
  void *self; /* the host's own */
  /* One problem: the key; its value, or a null text where it is absent or a secret; what is wrong and what is allowed. The texts
   * are [lent] to the host. On the thread of the call. [no-block] */
  void (*report)(const offloader_problems_t *problems, offloader_str_t key, offloader_str_t value,
                 offloader_str_t problem) OFFLOADER_NOEXCEPT;
};

/* Where driver_metadata() puts names and values. [lent] */
typedef struct offloader_pairs offloader_pairs_t;
struct offloader_pairs {
  size_t struct_size;
  void *self; /* the host's own */
  /* One name and its value, [lent] to the host. On the thread of the call. [no-block] */
  void (*put)(const offloader_pairs_t *pairs, offloader_str_t name, offloader_str_t value) OFFLOADER_NOEXCEPT;
};

/* Where scan() puts one page. [lent] */
typedef struct offloader_page offloader_page_t;
struct offloader_page {
  size_t struct_size;
  void *self; /* the host's own */
  /* One copy, [lent] to the host; never more than the `limit` of the call. On the thread of the call. [no-block] */
  void (*put)(const offloader_page_t *page, const offloader_scanned_ledger_t *ledger) OFFLOADER_NOEXCEPT;
  /* Where the next page begins, [lent] to the host; not called on the last page. On the thread of the call. [no-block] */
  void (*next)(const offloader_page_t *page, offloader_str_t after) OFFLOADER_NOEXCEPT;
};

/* ------------------------------------------------------------------------------------------------------------------------
 * What a plugin offers: three [static] tables. A function is needed unless its comment says "may be null".
 * --------------------------------------------------------------------------------------------------------------------- */

/* The library. */
typedef struct offloader_plugin {
  size_t struct_size; /* sizeof(offloader_plugin_t) */

  /* Called once for each process, before every other function; keep `host`, which is [static]. An error refuses the plugin. Starts
   * no work and looks at no store. On the thread that loads the library; returns soon. */
  offloader_code_t (*start)(const offloader_host_t *host, offloader_error_t *error) OFFLOADER_NOEXCEPT;

  /* Checks a configuration and reports all problems at once; no problem means that create() can only fail because of the store.
   * Does no network request and changes nothing. [worker] */
  void (*validate)(const offloader_call_t *call, const offloader_config_t *config,
                   const offloader_problems_t *problems) OFFLOADER_NOEXCEPT;

  /* Makes a driver's instance: `*driver`, which may be null, is `self` of the driver's functions. [given]: the host gives it back
   * by destroy(). Called once for each distinct configuration. [worker] */
  offloader_code_t (*create)(const offloader_call_t *call, const offloader_config_t *config, void **driver,
                             offloader_error_t *error) OFFLOADER_NOEXCEPT;

  /* What the plugin offers beyond its tables, by name: a [static] table, or null. May be null. [any-thread] [no-block] */
  const void *(*get_extension)(offloader_str_t id) OFFLOADER_NOEXCEPT;
} offloader_plugin_t;

/* A driver's instance; `self` is what create() made. */
typedef struct offloader_driver {
  size_t struct_size; /* sizeof(offloader_driver_t) */

  /* Copies one closed ledger.
   * - OFFLOADER_OK means: complete, durable, readable. The host may delete its own copy afterwards.
   * - Readers see nothing of an attempt before it is complete.
   * - A call for the same ledger and uid again overwrites.
   * - An empty or open ledger is refused with OFFLOADER_INVALID_ARGUMENT: offloader_check_offloadable().
   * - After an error, or when the host gave up, a partial copy may stay: delete_ledger() with the same uid comes for it.
   * [worker] */
  offloader_code_t (*offload)(void *self, const offloader_call_t *call, const offloader_ledger_t *ledger,
                              const offloader_offload_request_t *request, offloader_error_t *error) OFFLOADER_NOEXCEPT;

  /* Opens a complete copy: `*handle`, which may be null, is `self` of the read handle's functions, [given]: the host gives it back
   * by close(). `*stored_form` are the bytes of offloader_ledger_metadata_t.stored_form as they were kept with the copy; they
   * stay valid until close(). All handles are closed before destroy(). OFFLOADER_NOT_FOUND where there is no complete copy,
   * OFFLOADER_CORRUPT where its index or metadata is damaged. [worker] */
  offloader_code_t (*open_read)(void *self, const offloader_call_t *call, const offloader_stored_ledger_t *stored, void **handle,
                                offloader_bytes_t *stored_form, offloader_error_t *error) OFFLOADER_NOEXCEPT;

  /* Deletes whatever the attempt with this uid left, complete or not. Deleting what does not exist is a success. [worker] */
  offloader_code_t (*delete_ledger)(void *self, const offloader_call_t *call, const offloader_stored_ledger_t *stored,
                                    offloader_error_t *error) OFFLOADER_NOEXCEPT;

  /* Gives the instance back. Called once, when no call of it runs and all its handles are closed. Not called at the end of the
   * process, where shutdown() is the last word. [worker] */
  void (*destroy)(void *self) OFFLOADER_NOEXCEPT;

  /* Names and values that the host records with each ledger before a byte moves, and hands back with offloader_stored_ledger_t:
   * whatever finds the copy again after the configuration changed. No secrets. Called once, after create(). May be null. [worker]
   * [no-block] */
  void (*driver_metadata)(void *self, const offloader_pairs_t *pairs) OFFLOADER_NOEXCEPT;

  /* Lists complete copies in a stable order, at most `limit` (1 or more) of them, from the place `after` on, which is null for the
   * first page and what `page->next` was told for a later one. Foreign objects and unfinished attempts are left out; concurrent
   * deletes do not end the listing early. May be null: the driver cannot list. [worker] */
  offloader_code_t (*scan)(void *self, const offloader_call_t *call, offloader_str_t after, uint32_t limit,
                           const offloader_page_t *page, offloader_error_t *error) OFFLOADER_NOEXCEPT;

  /* Whether the store can be reached with this configuration, cheaply and without leaving anything behind. May be null. [worker] */
  offloader_code_t (*health)(void *self, const offloader_call_t *call, offloader_error_t *error) OFFLOADER_NOEXCEPT;

  /* Called once before the process ends; finish within `deadline_ms` what cannot be left. Other calls may still run. May be null.
   * [worker] */
  void (*shutdown)(void *self, const offloader_call_t *call, uint64_t deadline_ms) OFFLOADER_NOEXCEPT;
} offloader_driver_t;

/* An open copy; `self` is what open_read() made. */
typedef struct offloader_read_handle {
  size_t struct_size; /* sizeof(offloader_read_handle_t) */

  /* Reads whole entries from `first` on, in order and without gaps, up to `last` (inclusive) or until the next payload would make
   * their sum exceed `max_bytes`; at least one, however large. `*out` is [given] to the host. Reads are positional and
   * stateless: any number runs at once. The host has checked that `first <= last < entry_count`. A damaged byte is
   * OFFLOADER_CORRUPT and never returned as data. [worker] */
  offloader_code_t (*read)(void *self, const offloader_call_t *call, uint64_t first, uint64_t last, uint64_t max_bytes,
                           offloader_batch_t *out, offloader_error_t *error) OFFLOADER_NOEXCEPT;

  /* Gives the handle back. Called once, when no read of it runs and all its batches are released. [worker] */
  void (*close)(void *self) OFFLOADER_NOEXCEPT;
} offloader_read_handle_t;

/* The exported constant. OFFLOADER_EXPORT makes it. */
typedef struct offloader_root {
  size_t struct_size;
  uint32_t api_major; /* OFFLOADER_API_*: must be what the note says */
  uint32_t api_minor;
  uint32_t api_patch;
  uint32_t reserved;     /* 0 */
  offloader_str_t note; /* the JSON of the identity note, byte for byte */
  const offloader_plugin_t *plugin;
  const offloader_driver_t *driver;
  const offloader_read_handle_t *read_handle;
} offloader_root_t;

/* ------------------------------------------------------------------------------------------------------------------------
 * The identity note and the export
 * --------------------------------------------------------------------------------------------------------------------- */

/* The target triple, which must be the host's. Define it where the compiler's macros do not tell. */
#ifndef OFFLOADER_TARGET
#if defined(__linux__) && defined(__GLIBC__)
#define OFFLOADER_SYSTEM_ "unknown-linux-gnu"
#elif defined(__linux__) && !defined(__ANDROID__)
#define OFFLOADER_SYSTEM_ "unknown-linux-musl"
#endif
#if !defined(OFFLOADER_SYSTEM_)
#error "define OFFLOADER_TARGET as the target triple of the host, for example \"x86_64-unknown-linux-gnu\""
#elif defined(__x86_64__) && defined(__LP64__)
#define OFFLOADER_TARGET "x86_64-" OFFLOADER_SYSTEM_
#elif defined(__aarch64__) && defined(__LP64__) && defined(__AARCH64EL__)
#define OFFLOADER_TARGET "aarch64-" OFFLOADER_SYSTEM_
#elif defined(__riscv) && __riscv_xlen == 64
#define OFFLOADER_TARGET "riscv64gc-" OFFLOADER_SYSTEM_
#else
#error "define OFFLOADER_TARGET as the target triple of the host, for example \"x86_64-unknown-linux-gnu\""
#endif
#endif

#ifdef __OPTIMIZE__
#define OFFLOADER_PROFILE_ "release"
#else
#define OFFLOADER_PROFILE_ "debug"
#endif

#ifdef __clang__
#define OFFLOADER_COMPILER_ __VERSION__
#else
#define OFFLOADER_COMPILER_ "gcc " __VERSION__
#endif

/* The driver names that a plugin claims, 1 to 8 of them: OFFLOADER_DRIVERS("tape", "tape-2"). */
#define OFFLOADER_DRIVERS(...) \
  OFFLOADER_PICK_(__VA_ARGS__, OFFLOADER_D8_, OFFLOADER_D7_, OFFLOADER_D6_, OFFLOADER_D5_, OFFLOADER_D4_, OFFLOADER_D3_, \
                  OFFLOADER_D2_, OFFLOADER_D1_, 0)(__VA_ARGS__)
#define OFFLOADER_PICK_(a, b, c, d, e, f, g, h, picked, ...) picked
#define OFFLOADER_D1_(a) "\"" a "\""
#define OFFLOADER_D2_(a, b) OFFLOADER_D1_(a) "," OFFLOADER_D1_(b)
#define OFFLOADER_D3_(a, b, c) OFFLOADER_D2_(a, b) "," OFFLOADER_D1_(c)
#define OFFLOADER_D4_(a, b, c, d) OFFLOADER_D3_(a, b, c) "," OFFLOADER_D1_(d)
#define OFFLOADER_D5_(a, b, c, d, e) OFFLOADER_D4_(a, b, c, d) "," OFFLOADER_D1_(e)
#define OFFLOADER_D6_(a, b, c, d, e, f) OFFLOADER_D5_(a, b, c, d, e) "," OFFLOADER_D1_(f)
#define OFFLOADER_D7_(a, b, c, d, e, f, g) OFFLOADER_D6_(a, b, c, d, e, f) "," OFFLOADER_D1_(g)
#define OFFLOADER_D8_(a, b, c, d, e, f, g, h) OFFLOADER_D7_(a, b, c, d, e, f, g) "," OFFLOADER_D1_(h)

/* The text of the identity note: plugin name (letters, digits, `-`, `_`, `.`), its version (semver), one line about it, its license
 * (SPDX), where it comes from, and OFFLOADER_DRIVERS. All are string literals, which become JSON as they are: no quotes, no
 * backslashes, no control characters. Format: docs/formats/plugin-note.md. */
#define OFFLOADER_NOTE(name, version, description, license, homepage, drivers) \
  OFFLOADER_NOTE_(name, version, description, license, homepage, drivers, "")

/* The same with the configuration schema of the drivers: the JSON of an object as plugin-api/src/schema.rs describes it, as one literal. The
 * host checks keys by it before validate() is called, and never shows the values of keys that it marks as secret. */
#define OFFLOADER_NOTE_WITH_SCHEMA(name, version, description, license, homepage, drivers, schema) \
  OFFLOADER_NOTE_(name, version, description, license, homepage, drivers, ",\"config_schema\":" schema)

#define OFFLOADER_NOTE_(name, version, description, license, homepage, drivers, more) \
  "{\"schema\":1,\"entry\":\"c\",\"name\":\"" name "\",\"version\":\"" version "\",\"description\":\"" description \
  "\",\"license\":\"" license "\",\"homepage\":\"" homepage "\",\"api\":\"" OFFLOADER_API_VERSION "\",\"api_min\":\"" \
  OFFLOADER_API_VERSION_MIN "\",\"drivers\":[" drivers "],\"target\":\"" OFFLOADER_TARGET \
  "\",\"panic\":\"none\",\"profile\":\"" OFFLOADER_PROFILE_ "\",\"compiler\":\"" OFFLOADER_COMPILER_ "\"" more "}"

#if defined(__has_attribute)
#if __has_attribute(nonstring)
#define OFFLOADER_NONSTRING_ __attribute__((nonstring))
#endif
#endif
#ifndef OFFLOADER_NONSTRING_
#define OFFLOADER_NONSTRING_
#endif

#define OFFLOADER_IN_NOTE_SECTION_ __attribute__((used, section(".note.longshore"), aligned(4)))
#define OFFLOADER_PUBLIC_ __attribute__((visibility("default")))

/* Emits the note and the exported constant. Once in a library, at file scope:
 *
 *   OFFLOADER_EXPORT(OFFLOADER_NOTE("tape", "1.0.0", "Ledgers on tape", "Apache-2.0", "", OFFLOADER_DRIVERS("tape")),
 *                    &plugin, &driver, &read_handle)
 *
 * Compile the library with -fvisibility=hidden, so that `offloader_root` is all that it exports. */
#define OFFLOADER_EXPORT(note_text, plugin_table, driver_table, read_handle_table) \
  OFFLOADER_PLACE_NOTE_(note_text) \
  OFFLOADER_EXTERN_C_BEGIN_ \
  extern OFFLOADER_PUBLIC_ const offloader_root_t offloader_root; \
  const offloader_root_t offloader_root = {sizeof(offloader_root_t), \
                                           OFFLOADER_API_MAJOR, \
                                           OFFLOADER_API_MINOR, \
                                           OFFLOADER_API_PATCH, \
                                           0, \
                                           {offloader_note_.json, sizeof offloader_note_.json}, \
                                           plugin_table, \
                                           driver_table, \
                                           read_handle_table}; \
  OFFLOADER_EXTERN_C_END_

#ifndef __cplusplus
#define OFFLOADER_EXTERN_C_BEGIN_
#define OFFLOADER_EXTERN_C_END_
#define OFFLOADER_PLACE_NOTE_(note_text) \
  static const struct { \
    uint32_t owner_len, json_len, type; \
    char owner[12]; \
    char json[sizeof(note_text) - 1] OFFLOADER_NONSTRING_; \
  } offloader_note_ OFFLOADER_IN_NOTE_SECTION_ = {10, sizeof(note_text) - 1, 1, "Longshore\0\0", note_text};
#endif

/* ------------------------------------------------------------------------------------------------------------------------
 * Helpers, compiled into the plugin
 * --------------------------------------------------------------------------------------------------------------------- */

#define OFFLOADER_PRINTF_(at, first) __attribute__((format(printf, at, first)))

/* The longest message of offloader_log(), in bytes; the rest is cut off. */
#define OFFLOADER_LOG_BYTES_MAX 1024

/* The text of a C string that ends in a zero byte; null stays null. */
static inline offloader_str_t offloader_text(const char *text) {
  offloader_str_t str = {text, text ? strlen(text) : 0};
  return str;
}

/* Whether two texts are the same. */
static inline int offloader_str_equal(offloader_str_t a, offloader_str_t b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* The value of a key, or a null text where it is absent or empty. */
static inline offloader_str_t offloader_config_get(const offloader_config_t *config, const char *key) {
  offloader_str_t wanted = offloader_text(key), none = {NULL, 0};
  size_t at;
  for (at = 0; at < config->property_count; at++) {
    if (offloader_str_equal(config->properties[at].name, wanted)) {
      return config->properties[at].value.len ? config->properties[at].value : none;
    }
  }
  return none;
}

/* Writes the message of an error, cut to what fits, and answers the code: return offloader_fail(error, CODE, "format", ...). */
static inline offloader_code_t offloader_fail(offloader_error_t *error, offloader_code_t code, const char *format, ...)
    OFFLOADER_PRINTF_(3, 4);
static inline offloader_code_t offloader_fail(offloader_error_t *error, offloader_code_t code, const char *format, ...) {
  va_list arguments;
  int written;
  if (error == NULL || error->message == NULL || error->message_capacity == 0) {
    return code;
  }
  va_start(arguments, format);
  written = vsnprintf(error->message, error->message_capacity, format, arguments);
  va_end(arguments);
  if (written < 0) {
    error->message_len = 0;
  } else if ((size_t)written < error->message_capacity) {
    error->message_len = (size_t)written;
  } else {
    error->message_len = error->message_capacity - 1;
  }
  return code;
}

/* Refuses what must never be offloaded, in the words of Pulsar. */
static inline offloader_code_t offloader_check_offloadable(const offloader_ledger_metadata_t *metadata, offloader_error_t *error) {
  if (metadata->entry_count == 0 || !metadata->closed) {
    return offloader_fail(error, OFFLOADER_INVALID_ARGUMENT, "An empty or open ledger should never be offloaded");
  }
  return OFFLOADER_OK;
}

/* Gives a batch back; one that was given back already is left alone. */
static inline void offloader_batch_release(offloader_batch_t *batch) {
  if (batch->release) {
    batch->release(batch->owner);
  }
  batch->release = NULL;
  batch->entries = NULL;
  batch->count = 0;
}

/* Writes one event without fields to the host's log, unless the host does not want it. */
static inline void offloader_log(const offloader_host_t *host, uint32_t level, const char *target, const char *format, ...)
    OFFLOADER_PRINTF_(4, 5);
static inline void offloader_log(const offloader_host_t *host, uint32_t level, const char *target, const char *format, ...) {
  char message[OFFLOADER_LOG_BYTES_MAX];
  offloader_log_event_t event;
  va_list arguments;
  int written;
  if (host == NULL || !host->log_enabled(host, level, offloader_text(target))) {
    return;
  }
  va_start(arguments, format);
  written = vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  if (written < 0) {
    return;
  }
  memset(&event, 0, sizeof event);
  event.struct_size = sizeof event;
  event.level = level;
  event.target = offloader_text(target);
  event.message.ptr = message;
  event.message.len = (size_t)written < sizeof message ? (size_t)written : sizeof message - 1;
  host->log(host, &event);
}

/* Room for the 36 characters of a uid and a terminating zero. */
#define OFFLOADER_UID_TEXT_BYTES 37

/* Writes a uid as 8-4-4-4-12 hexadecimal digits in lower case, with a terminating zero. */
static inline void offloader_uid_text(const uint8_t uid[16], char text[OFFLOADER_UID_TEXT_BYTES]) {
  static const char digits[] = "0123456789abcdef";
  size_t at, place = 0;
  for (at = 0; at < 16; at++) {
    if (at == 4 || at == 6 || at == 8 || at == 10) {
      text[place++] = '-';
    }
    text[place++] = digits[uid[at] >> 4];
    text[place++] = digits[uid[at] & 15];
  }
  text[place] = '\0';
}

/* Room for a traceparent and a terminating zero. */
#define OFFLOADER_TRACEPARENT_BYTES 56

/* Writes the value of a `traceparent` header (W3C Trace Context) for requests of this call, with a terminating zero; 0 and an empty
 * text where the call belongs to no trace. */
static inline int offloader_traceparent(const offloader_call_t *call, char text[OFFLOADER_TRACEPARENT_BYTES]) {
  static const char digits[] = "0123456789abcdef";
  uint8_t any = 0;
  size_t at, place = 3;
  memcpy(text, "00-", 4);
  for (at = 0; at < 16 + 8; at++) {
    uint8_t byte = at < 16 ? call->trace_id[at] : call->span_id[at - 16];
    if (at == 16) {
      text[place++] = '-';
    }
    any = (uint8_t)(any | byte);
    text[place++] = digits[byte >> 4];
    text[place++] = digits[byte & 15];
  }
  text[place++] = '-';
  text[place++] = digits[(call->trace_flags >> 4) & 15];
  text[place++] = digits[call->trace_flags & 15];
  text[place] = '\0';
  if (any == 0) {
    text[0] = '\0';
  }
  return any != 0;
}

#ifdef __cplusplus
} /* extern "C" */

/* The note, for C++, where an array cannot be initialised from a literal without room for its terminating zero. */
template <size_t N>
struct offloader_note_of_ {
  uint32_t owner_len, json_len, type;
  char owner[12];
  char json[N];
  constexpr explicit offloader_note_of_(const char (&text)[N + 1])
      : owner_len(10), json_len(N), type(1), owner{'L', 'o', 'n', 'g', 's', 'h', 'o', 'r', 'e', 0, 0, 0}, json() {
    for (size_t at = 0; at < N; ++at) {
      json[at] = text[at];
    }
  }
};

#define OFFLOADER_EXTERN_C_BEGIN_ extern "C" {
#define OFFLOADER_EXTERN_C_END_ }
#define OFFLOADER_PLACE_NOTE_(note_text) \
  static constexpr offloader_note_of_<sizeof(note_text) - 1> offloader_note_ OFFLOADER_IN_NOTE_SECTION_{note_text};
#endif

#endif /* LONGSHORE_OFFLOADER_H */
