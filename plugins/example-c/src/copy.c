/* An open copy: its file, and where each entry is. Opening reads the file once and checks every byte; a bigger driver keeps an
 * index. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "folder.h"

typedef struct copy {
  int file;
  char *path;
  frame_t *frames; /* the metadata, then each entry */
  size_t count;
  uint8_t *stored_form;
} copy_t;

void copy_close(void *self) {
  copy_t *copy = self;
  if (copy->file >= 0) {
    close(copy->file);
  }
  free(copy->path);
  free(copy->frames);
  free(copy->stored_form);
  free(copy);
}

static offloader_code_t fail_frames(offloader_error_t *error, frames_result_t result, const copy_t *copy, off_t offset) {
  switch (result) {
    case FRAMES_DAMAGED:
      return offloader_fail(error, OFFLOADER_CORRUPT, "%s is damaged at offset %" PRIdMAX, copy->path, (intmax_t)offset);
    case FRAMES_STOPPED: return OFFLOADER_CANCELLED;
    default: return fail_system(error, "read", copy->path);
  }
}

/* Opens the file, finds its frames, reads the first. */
static offloader_code_t open_copy(copy_t *copy, const offloader_call_t *call, offloader_bytes_t *stored_form,
                                  offloader_error_t *error) {
  frames_result_t result;
  off_t damaged_at = 0;
  copy->file = open(copy->path, O_RDONLY | O_CLOEXEC);
  if (copy->file < 0) {
    return fail_system(error, "open", copy->path);
  }
  result = frames_index(copy->file, call_goes_on, (void *)call, &copy->frames, &copy->count, &damaged_at);
  if (result != FRAMES_OK) {
    return fail_frames(error, result, copy, damaged_at);
  }
  if (copy->count < 2) {
    return offloader_fail(error, OFFLOADER_CORRUPT, "%s has no entry", copy->path);
  }
  copy->stored_form = malloc(copy->frames[0].length + 1);
  if (copy->stored_form == NULL) {
    return offloader_fail(error, OFFLOADER_INTERNAL, "no memory is left to open %s", copy->path);
  }
  result = frames_read(copy->file, &copy->frames[0], copy->stored_form);
  if (result != FRAMES_OK) {
    return fail_frames(error, result, copy, 0);
  }
  stored_form->ptr = copy->stored_form;
  stored_form->len = copy->frames[0].length;
  return OFFLOADER_OK;
}

offloader_code_t folder_open_read(void *self, const offloader_call_t *call, const offloader_stored_ledger_t *stored, void **handle,
                                  offloader_bytes_t *stored_form, offloader_error_t *error) {
  offloader_code_t code;
  copy_t *copy = calloc(1, sizeof *copy);
  if (copy == NULL) {
    return offloader_fail(error, OFFLOADER_INTERNAL, "no memory is left to open a copy");
  }
  copy->file = -1;
  copy->path = folder_attempt(self, stored->ledger_id, stored->uid, LEDGER_FILE);
  code = copy->path ? open_copy(copy, call, stored_form, error)
                    : offloader_fail(error, OFFLOADER_INTERNAL, "no memory is left to open a copy");
  if (code != OFFLOADER_OK) {
    copy_close(copy);
    return code;
  }
  *handle = copy;
  return OFFLOADER_OK;
}

/* The frame of the first entry that does not fit any more, and the bytes of those before it. */
static size_t end_of_batch(const copy_t *copy, size_t first, size_t last, uint64_t max_bytes, uint64_t *bytes) {
  size_t end = first;
  *bytes = 0;
  while (end <= last && (end == first || (*bytes <= max_bytes && copy->frames[end].length <= max_bytes - *bytes))) {
    *bytes += copy->frames[end++].length;
  }
  return end;
}

/* One piece of memory holds the array and behind it the payloads; giving it back is free(). */
offloader_code_t copy_read(void *self, const offloader_call_t *call, uint64_t first, uint64_t last, uint64_t max_bytes,
                           offloader_batch_t *out, offloader_error_t *error) {
  const copy_t *copy = self;
  offloader_entry_t *entries;
  size_t first_frame, end, at;
  uint64_t bytes;
  uint8_t *payload;
  (void)call;
  if (first > last) {
    return offloader_fail(error, OFFLOADER_INVALID_ARGUMENT, "a read of %s that ends before it begins", copy->path);
  }
  if (last >= copy->count - 1) {
    return offloader_fail(error, OFFLOADER_OUT_OF_RANGE, "%s has %zu entries", copy->path, copy->count - 1);
  }
  /* Frame 0 is the metadata. */
  first_frame = (size_t)first + 1;
  end = end_of_batch(copy, first_frame, (size_t)last + 1, max_bytes, &bytes);
  entries = malloc((end - first_frame) * sizeof *entries + (size_t)bytes);
  if (entries == NULL) {
    return offloader_fail(error, OFFLOADER_INTERNAL, "no memory is left for %" PRIu64 " bytes of %s", bytes, copy->path);
  }
  payload = (uint8_t *)(entries + (end - first_frame));
  for (at = first_frame; at < end; at++) {
    offloader_entry_t *entry = &entries[at - first_frame];
    frames_result_t result = frames_read(copy->file, &copy->frames[at], payload);
    if (result != FRAMES_OK) {
      offloader_code_t code = fail_frames(error, result, copy, copy->frames[at].offset - FRAME_HEADER_BYTES);
      free(entries);
      return code;
    }
    entry->entry_id = at - 1;
    entry->payload.ptr = payload;
    entry->payload.len = copy->frames[at].length;
    payload += copy->frames[at].length;
  }
  out->entries = entries;
  out->count = end - first_frame;
  out->owner = entries;
  out->release = free;
  return OFFLOADER_OK;
}
