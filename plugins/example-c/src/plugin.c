/* The plugin: its identity, its tables, its configuration. Driver `example-c` keeps each ledger as one file in a folder, in the
 * same form as the example in Rust, so that each reads what the other wrote. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "folder.h"

#define FOLDER_KEY "managedLedgerOffloadExtraConfigFolder"

/* What the host checks before it asks validate(). */
#define SCHEMA \
  "{\"properties\":{\"" FOLDER_KEY \
  "\":{\"type\":\"string\",\"minLength\":1,\"description\":\"The folder that keeps the ledgers\"}},\"required\":[\"" FOLDER_KEY "\"]}"

static const offloader_host_t *the_host;

static offloader_code_t start(const offloader_host_t *host, offloader_error_t *error) {
  (void)error;
  the_host = host;
  frames_start();
  return OFFLOADER_OK;
}

static void validate(const offloader_call_t *call, const offloader_config_t *config, const offloader_problems_t *problems) {
  offloader_str_t folder = offloader_config_get(config, FOLDER_KEY);
  (void)call;
  /* That the key is there the schema says; a path with a zero byte in it is none. */
  if (folder.len > 0 && memchr(folder.ptr, '\0', folder.len) != NULL) {
    problems->report(problems, offloader_text(FOLDER_KEY), folder, offloader_text("is no path: it has a zero byte"));
  }
}

/* Makes a folder and the folders above it, as far as they are missing. */
static int make_folders(char *path) {
  char *at;
  for (at = path + 1; *at; at++) {
    if (*at == '/') {
      *at = '\0';
      if (mkdir(path, 0777) != 0 && errno != EEXIST) {
        *at = '/';
        return -1;
      }
      *at = '/';
    }
  }
  return mkdir(path, 0777) != 0 && errno != EEXIST ? -1 : 0;
}

static offloader_code_t create(const offloader_call_t *call, const offloader_config_t *config, void **driver,
                               offloader_error_t *error) {
  offloader_str_t path = offloader_config_get(config, FOLDER_KEY);
  folder_t *folder = calloc(1, sizeof *folder);
  (void)call;
  if (folder == NULL || (folder->path = malloc(path.len + 1)) == NULL) {
    free(folder);
    return offloader_fail(error, OFFLOADER_INTERNAL, "create the driver: no memory");
  }
  memcpy(folder->path, path.len ? path.ptr : "", path.len);
  folder->path[path.len] = '\0';
  if (make_folders(folder->path) != 0) {
    offloader_code_t code = fail_system(error, "create folder", folder->path);
    folder_destroy(folder);
    return code;
  }
  offloader_log(the_host, OFFLOADER_LOG_DEBUG, "example_c", "ledgers are kept in %s", folder->path);
  *driver = folder;
  return OFFLOADER_OK;
}

static const offloader_plugin_t plugin = {sizeof(offloader_plugin_t), start, validate, create, NULL};

static const offloader_driver_t driver = {sizeof(offloader_driver_t),
                                          folder_offload,
                                          folder_open_read,
                                          folder_delete,
                                          folder_destroy,
                                          NULL, /* the folder is found by the configuration alone */
                                          folder_scan,
                                          folder_health,
                                          NULL /* nothing is left to finish */};

static const offloader_read_handle_t read_handle = {sizeof(offloader_read_handle_t), copy_read, copy_close};

OFFLOADER_EXPORT(OFFLOADER_NOTE_WITH_SCHEMA("example-c", "0.1.0", "The smallest complete plugin in C: one flat file for each ledger",
                                            "Apache-2.0", "", OFFLOADER_DRIVERS("example-c"), SCHEMA),
                 &plugin, &driver, &read_handle)
