/* Writing, deleting and listing copies. One is written as a part with a name of its own, so that attempts at one copy do not meet,
 * flushed and renamed, so that nobody meets half a copy. A crash leaves the part, which a delete removes. */
#define _POSIX_C_SOURCE 200809L

#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes that an offload asks the host for at once. */
#define READ_BYTES (1024 * 1024)

/* Room for an attempt's name: 20 digits, a hyphen, a uid. */
#define NAME_BYTES_MAX 64

/* How often a delete looks again where somebody else writes into the attempt's folder meanwhile. */
#define DELETE_ROUNDS_MAX 16

static offloader_code_t code_of(int number) {
  switch (number) {
    case ENOENT: return OFFLOADER_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS: return OFFLOADER_PERMISSION_DENIED;
    case ENOSPC:
    case EDQUOT: return OFFLOADER_STORAGE_FULL;
    case ETIMEDOUT: return OFFLOADER_TIMEOUT;
    case EINTR:
    case ESTALE:
    case EBUSY: return OFFLOADER_UNAVAILABLE;
    default: return OFFLOADER_INTERNAL;
  }
}

offloader_code_t fail_system(offloader_error_t *error, const char *what, const char *path) {
  int number = errno;
  char reason[128];
  if (strerror_r(number, reason, sizeof reason) != 0) {
    snprintf(reason, sizeof reason, "error %d", number);
  }
  return offloader_fail(error, code_of(number), "%s %s: %s", what, path, reason);
}

static offloader_code_t fail_memory(offloader_error_t *error) {
  return offloader_fail(error, OFFLOADER_INTERNAL, "no memory is left for the operation");
}

char *folder_attempt(const folder_t *folder, uint64_t ledger_id, const uint8_t uid[16], const char *rest) {
  size_t room = strlen(folder->path) + 1 + NAME_BYTES_MAX + strlen(rest);
  char uid_text[OFFLOADER_UID_TEXT_BYTES], *path = malloc(room);
  if (path != NULL) {
    offloader_uid_text(uid, uid_text);
    snprintf(path, room, "%s/%" PRIu64 "-%s%s", folder->path, ledger_id, uid_text, rest);
  }
  return path;
}

int call_goes_on(void *context) {
  const offloader_call_t *call = context;
  return !call->cancelled(call);
}

/* Writes the metadata and every entry. */
static offloader_code_t write_ledger(FILE *file, const char *path, const offloader_call_t *call, const offloader_ledger_t *ledger,
                                     offloader_error_t *error) {
  const offloader_ledger_metadata_t *metadata = ledger->metadata;
  uint64_t next = 0, bytes;
  size_t at;
  if (frames_write(file, metadata->stored_form.ptr, (uint32_t)metadata->stored_form.len) != FRAMES_OK) {
    return fail_system(error, "write", path);
  }
  while (next < metadata->entry_count) {
    offloader_batch_t batch = {sizeof batch, NULL, 0, NULL, NULL};
    offloader_code_t code = ledger->read(ledger, next, metadata->entry_count - 1, READ_BYTES, &batch, error);
    if (code != OFFLOADER_OK) {
      return code;
    }
    for (at = 0, bytes = 0; at < batch.count && code == OFFLOADER_OK; at++) {
      offloader_bytes_t payload = batch.entries[at].payload;
      if (payload.len > FRAME_BYTES_MAX) {
        code = offloader_fail(error, OFFLOADER_INVALID_ARGUMENT, "entry %" PRIu64 " has %zu bytes, a frame holds %" PRIu32,
                              batch.entries[at].entry_id, payload.len, FRAME_BYTES_MAX);
      } else if (frames_write(file, payload.ptr, (uint32_t)payload.len) != FRAMES_OK) {
        code = fail_system(error, "write", path);
      }
      bytes += payload.len;
    }
    next += batch.count;
    offloader_batch_release(&batch);
    if (code != OFFLOADER_OK) {
      return code;
    }
    ledger->progress(ledger, bytes);
    if (call->cancelled(call)) {
      return OFFLOADER_CANCELLED;
    }
  }
  return OFFLOADER_OK;
}

/* Makes the names in a folder durable. */
static int sync_folder(const char *path) {
  int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result;
  if (folder < 0) {
    return -1;
  }
  result = fsync(folder);
  close(folder);
  return result;
}

/* The files of one offload. */
typedef struct paths {
  char *attempt;
  char *part;
  char *ledger;
} paths_t;

/* Names a part that no other offload of this process or another has. */
static int find_paths(paths_t *paths, const folder_t *folder, const offloader_offload_request_t *request) {
  static unsigned long parts;
  char part[64];
  snprintf(part, sizeof part, "/%ld-%lu.part", (long)getpid(), __atomic_fetch_add(&parts, 1, __ATOMIC_RELAXED));
  paths->attempt = folder_attempt(folder, request->ledger_id, request->uid, "");
  paths->part = folder_attempt(folder, request->ledger_id, request->uid, part);
  paths->ledger = folder_attempt(folder, request->ledger_id, request->uid, LEDGER_FILE);
  return paths->attempt && paths->part && paths->ledger;
}

/* Writes the part. */
static offloader_code_t write_part(const char *part, const offloader_call_t *call, const offloader_ledger_t *ledger,
                                   offloader_error_t *error) {
  offloader_code_t code;
  int number = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  FILE *file = number < 0 ? NULL : fdopen(number, "wb");
  if (file == NULL) {
    code = fail_system(error, "create", part);
    if (number >= 0) {
      close(number);
    }
    return code;
  }
  code = write_ledger(file, part, call, ledger, error);
  if (code == OFFLOADER_OK && (fflush(file) != 0 || fsync(number) != 0)) {
    code = fail_system(error, "write", part);
  }
  if (fclose(file) != 0 && code == OFFLOADER_OK) {
    code = fail_system(error, "write", part);
  }
  return code;
}

/* Writes the part and gives it its name. */
static offloader_code_t offload_to(const paths_t *paths, const folder_t *folder, const offloader_call_t *call,
                                   const offloader_ledger_t *ledger, offloader_error_t *error) {
  offloader_code_t code;
  if (mkdir(paths->attempt, 0777) != 0 && errno != EEXIST) {
    return fail_system(error, "create folder", paths->attempt);
  }
  code = write_part(paths->part, call, ledger, error);
  if (code == OFFLOADER_OK && rename(paths->part, paths->ledger) != 0) {
    code = fail_system(error, "finish", paths->ledger);
  }
  if (code != OFFLOADER_OK) {
    unlink(paths->part);
  } else if (sync_folder(paths->attempt) != 0 || sync_folder(folder->path) != 0) {
    code = fail_system(error, "finish", paths->ledger);
  }
  return code;
}

offloader_code_t folder_offload(void *self, const offloader_call_t *call, const offloader_ledger_t *ledger,
                                const offloader_offload_request_t *request, offloader_error_t *error) {
  const folder_t *folder = self;
  offloader_code_t code = offloader_check_offloadable(ledger->metadata, error);
  paths_t paths;
  if (code != OFFLOADER_OK) {
    return code;
  }
  code = find_paths(&paths, folder, request) ? offload_to(&paths, folder, call, ledger, error) : fail_memory(error);
  free(paths.attempt);
  free(paths.part);
  free(paths.ledger);
  return code;
}

/* Removes every file of an attempt's folder; -1 with errno where that fails. */
static int empty_folder(const char *path) {
  DIR *directory = opendir(path);
  const struct dirent *entry;
  int result = 0, number;
  if (directory == NULL) {
    return -1;
  }
  while (result == 0 && (entry = readdir(directory)) != NULL) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
        unlinkat(dirfd(directory), entry->d_name, 0) != 0 && errno != ENOENT) {
      result = -1;
    }
  }
  number = errno;
  closedir(directory);
  errno = number;
  return result;
}

offloader_code_t folder_delete(void *self, const offloader_call_t *call, const offloader_stored_ledger_t *stored,
                               offloader_error_t *error) {
  char *attempt = folder_attempt(self, stored->ledger_id, stored->uid, "");
  offloader_code_t code = OFFLOADER_OK;
  int rounds = 0, gone = 0;
  (void)call;
  if (attempt == NULL) {
    return fail_memory(error);
  }
  while (!gone && code == OFFLOADER_OK) {
    if (empty_folder(attempt) == 0 && rmdir(attempt) == 0) {
      gone = 1;
    } else if (errno == ENOENT) {
      gone = 1;
    } else if ((errno != ENOTEMPTY && errno != EEXIST) || ++rounds == DELETE_ROUNDS_MAX) {
      code = fail_system(error, "delete", attempt);
    }
  }
  free(attempt);
  return code;
}

offloader_code_t folder_health(void *self, const offloader_call_t *call, offloader_error_t *error) {
  const folder_t *folder = self;
  (void)call;
  return access(folder->path, R_OK | W_OK | X_OK) == 0 ? OFFLOADER_OK : fail_system(error, "use folder", folder->path);
}

void folder_destroy(void *self) {
  folder_t *folder = self;
  free(folder->path);
  free(folder);
}

/* ------------------------------------------------------------------------------------------------------------------------
 * Listing
 * --------------------------------------------------------------------------------------------------------------------- */

/* The names of attempts, in their order. */
typedef struct names {
  char (*at)[NAME_BYTES_MAX];
  size_t count, room;
} names_t;

static int hex_digit(char letter) {
  if (letter >= '0' && letter <= '9') {
    return letter - '0';
  }
  return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Reads `<ledger>-<uid>`, exactly as folder_attempt() writes it; 0 where it is another name. */
static int parse_name(const char *name, uint64_t *ledger_id, uint8_t uid[16]) {
  char *rest, again[NAME_BYTES_MAX], uid_text[OFFLOADER_UID_TEXT_BYTES];
  size_t at = 0, place = 1;
  if (*name < '0' || *name > '9' || strlen(name) >= NAME_BYTES_MAX) {
    return 0;
  }
  errno = 0;
  *ledger_id = strtoull(name, &rest, 10);
  if (errno != 0 || *rest != '-' || strlen(rest) != 1 + 36) {
    return 0;
  }
  while (at < 16) {
    int high, low;
    if (rest[place] == '-') {
      place++;
    }
    high = hex_digit(rest[place]);
    low = high < 0 ? -1 : hex_digit(rest[place + 1]);
    if (low < 0) {
      return 0;
    }
    uid[at++] = (uint8_t)(high * 16 + low);
    place += 2;
  }
  offloader_uid_text(uid, uid_text);
  snprintf(again, sizeof again, "%" PRIu64 "-%s", *ledger_id, uid_text);
  return strcmp(again, name) == 0;
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

/* Keeps a name; 0 where there is no memory. */
static int keep_name(names_t *names, const char *name) {
  if (names->count == names->room) {
    size_t room = names->room ? names->room * 2 : 64;
    void *larger = realloc(names->at, room * sizeof *names->at);
    if (larger == NULL) {
      return 0;
    }
    names->at = larger;
    names->room = room;
  }
  memcpy(names->at[names->count++], name, strlen(name) + 1);
  return 1;
}

/* Finds the attempts whose names come after `after`, in order. */
static offloader_code_t find_names(const folder_t *folder, const char *after, names_t *names, offloader_error_t *error) {
  DIR *directory = opendir(folder->path);
  const struct dirent *entry;
  uint64_t ledger_id;
  uint8_t uid[16];
  if (directory == NULL) {
    return fail_system(error, "list folder", folder->path);
  }
  for (errno = 0; (entry = readdir(directory)) != NULL; errno = 0) {
    if (strcmp(entry->d_name, after) > 0 && parse_name(entry->d_name, &ledger_id, uid) && !keep_name(names, entry->d_name)) {
      closedir(directory);
      return fail_memory(error);
    }
  }
  if (errno != 0) {
    offloader_code_t code = fail_system(error, "list folder", folder->path);
    closedir(directory);
    return code;
  }
  closedir(directory);
  qsort(names->at, names->count, sizeof *names->at, by_name);
  return OFFLOADER_OK;
}

/* Puts one copy on the page, unless it is not complete or was deleted meanwhile. */
static int put_copy(const folder_t *folder, const char *name, const offloader_page_t *page) {
  offloader_scanned_ledger_t ledger;
  struct stat status;
  char *file;
  memset(&ledger, 0, sizeof ledger);
  ledger.struct_size = sizeof ledger;
  parse_name(name, &ledger.ledger_id, ledger.uid);
  file = folder_attempt(folder, ledger.ledger_id, ledger.uid, LEDGER_FILE);
  if (file == NULL) {
    return 0;
  }
  if (stat(file, &status) == 0) {
    ledger.size_bytes = (uint64_t)status.st_size;
    page->put(page, &ledger);
  }
  free(file);
  return 1;
}

/* Each page lists the folder anew and goes on after the last name of the page before, so that deletes do not disturb it. A driver
 * for very many ledgers would keep folders of folders. */
offloader_code_t folder_scan(void *self, const offloader_call_t *call, offloader_str_t after, uint32_t limit,
                             const offloader_page_t *page, offloader_error_t *error) {
  names_t names = {NULL, 0, 0};
  char from[NAME_BYTES_MAX] = "";
  offloader_code_t code;
  size_t at;
  (void)call;
  if (after.len >= sizeof from) {
    return offloader_fail(error, OFFLOADER_INVALID_ARGUMENT, "the place to go on from is none of this listing");
  }
  if (after.len > 0) {
    memcpy(from, after.ptr, after.len);
  }
  code = find_names(self, from, &names, error);
  for (at = 0; at < names.count && at < limit && code == OFFLOADER_OK; at++) {
    if (!put_copy(self, names.at[at], page)) {
      code = fail_memory(error);
    }
  }
  if (code == OFFLOADER_OK && names.count > limit) {
    page->next(page, offloader_text(names.at[limit - 1]));
  }
  free(names.at);
  return code;
}
