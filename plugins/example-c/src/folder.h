/* The driver: a folder that keeps each ledger as one file of frames, `<ledger>-<uid>/ledger`, and its open copies. */
#ifndef EXAMPLE_C_FOLDER_H
#define EXAMPLE_C_FOLDER_H

#include <offloader.h>

#include "frames.h"

/* One driver instance: `self` of the functions of offloader_driver_t. */
typedef struct folder {
  char *path;
} folder_t;

/* The name of a complete copy inside its attempt's folder. */
#define LEDGER_FILE "/ledger"

/* `<ledger>-<uid>`, the folder of whatever one attempt leaves, with `rest` behind it; for the caller to free, null where there is no
 * memory. */
char *folder_attempt(const folder_t *folder, uint64_t ledger_id, const uint8_t uid[16], const char *rest);

/* An error of the system while doing `what` to `path`, by errno. */
offloader_code_t fail_system(offloader_error_t *error, const char *what, const char *path);

/* Whether the call goes on; `context` is its offloader_call_t. For frames_index(). */
int call_goes_on(void *context);

/* Functions of offloader_driver_t. */
offloader_code_t folder_offload(void *self, const offloader_call_t *call, const offloader_ledger_t *ledger,
                                const offloader_offload_request_t *request, offloader_error_t *error);
offloader_code_t folder_open_read(void *self, const offloader_call_t *call, const offloader_stored_ledger_t *stored, void **handle,
                                  offloader_bytes_t *stored_form, offloader_error_t *error);
offloader_code_t folder_delete(void *self, const offloader_call_t *call, const offloader_stored_ledger_t *stored,
                               offloader_error_t *error);
offloader_code_t folder_scan(void *self, const offloader_call_t *call, offloader_str_t after, uint32_t limit,
                             const offloader_page_t *page, offloader_error_t *error);
offloader_code_t folder_health(void *self, const offloader_call_t *call, offloader_error_t *error);
void folder_destroy(void *self);

/* Functions of offloader_read_handle_t. */
offloader_code_t copy_read(void *self, const offloader_call_t *call, uint64_t first, uint64_t last, uint64_t max_bytes,
                           offloader_batch_t *out, offloader_error_t *error);
void copy_close(void *self);

#endif
