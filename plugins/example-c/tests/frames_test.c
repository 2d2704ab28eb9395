/* Proves the format alone: what is written is found and read again, every changed byte and every cut is noticed, a caller may stop.
 * Run under AddressSanitizer and UndefinedBehaviorSanitizer by `make check`. */
#define _POSIX_C_SOURCE 200809L

#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/frames.h"

static int always(void *context) {
  (void)context;
  return 1;
}

static int never(void *context) {
  (void)context;
  return 0;
}

/* The n-th of the payloads: empty, short, and longer than a block of the reader. */
static size_t length_of(size_t n) { return n == 0 ? 0 : n == 1 ? 300 * 1024 : n * 7; }

enum { COUNT = 40 };

static FILE *written(void) {
  static uint8_t bytes[300 * 1024];
  FILE *file = tmpfile();
  size_t n;
  assert(file != NULL);
  for (n = 0; n < COUNT; n++) {
    memset(bytes, (int)n, length_of(n));
    assert(frames_write(file, bytes, (uint32_t)length_of(n)) == FRAMES_OK);
  }
  assert(fflush(file) == 0);
  return file;
}

static void what_is_written_is_found_and_read(void) {
  FILE *file = written();
  frame_t *frames;
  size_t count, n, at;
  off_t damaged_at;
  assert(frames_index(fileno(file), always, NULL, &frames, &count, &damaged_at) == FRAMES_OK);
  assert(count == COUNT);
  for (n = 0; n < COUNT; n++) {
    uint8_t *bytes = malloc(frames[n].length + 1);
    assert(bytes != NULL && frames[n].length == length_of(n));
    assert(frames_read(fileno(file), &frames[n], bytes) == FRAMES_OK);
    for (at = 0; at < length_of(n); at++) {
      assert(bytes[at] == n);
    }
    free(bytes);
  }
  free(frames);
  fclose(file);
}

static void damage_is_noticed_and_placed(void) {
  FILE *file = written();
  int number = fileno(file);
  off_t places[] = {0, 3, 7, 8, 9, 12, 16, 200000, 307224, 307230}, end = lseek(number, 0, SEEK_END), damaged_at;
  frame_t *frames;
  size_t count, at;
  uint8_t byte;
  for (at = 0; at < sizeof places / sizeof *places; at++) {
    assert(pread(number, &byte, 1, places[at]) == 1);
    byte ^= 1;
    assert(pwrite(number, &byte, 1, places[at]) == 1);
    damaged_at = -1;
    assert(frames_index(number, always, NULL, &frames, &count, &damaged_at) == FRAMES_DAMAGED);
    assert(frames == NULL && damaged_at <= places[at]);
    byte ^= 1;
    assert(pwrite(number, &byte, 1, places[at]) == 1);
  }
  for (at = 1; at < 12; at++) {
    assert(ftruncate(number, end - (off_t)at) == 0);
    assert(frames_index(number, always, NULL, &frames, &count, &damaged_at) == FRAMES_DAMAGED);
  }
  fclose(file);
}

static void a_frame_that_changes_later_is_noticed(void) {
  FILE *file = written();
  frame_t *frames;
  size_t count;
  off_t damaged_at;
  uint8_t bytes[14];
  assert(frames_index(fileno(file), always, NULL, &frames, &count, &damaged_at) == FRAMES_OK);
  assert(pwrite(fileno(file), "x", 1, frames[2].offset) == 1);
  assert(frames_read(fileno(file), &frames[2], bytes) == FRAMES_DAMAGED);
  free(frames);
  fclose(file);
}

static void a_caller_may_stop(void) {
  FILE *file = written();
  frame_t *frames;
  size_t count;
  off_t damaged_at;
  assert(frames_index(fileno(file), never, NULL, &frames, &count, &damaged_at) == FRAMES_STOPPED);
  fclose(file);
}

static void the_checksum_is_the_well_known_one(void) { assert(frames_crc((const uint8_t *)"123456789", 9) == UINT32_C(0xCBF43926)); }

int main(void) {
  frames_start();
  the_checksum_is_the_well_known_one();
  what_is_written_is_found_and_read();
  damage_is_noticed_and_placed();
  a_frame_that_changes_later_is_noticed();
  a_caller_may_stop();
  puts("frames: ok");
  return 0;
}
