/* Frames: see frames.h. */
#define _POSIX_C_SOURCE 200809L

#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes that indexing reads at once. */
#define BLOCK_BYTES (256 * 1024)

static uint32_t crc_table[256];

void frames_start(void) {
  uint32_t byte, bit, crc;
  for (byte = 0; byte < 256; byte++) {
    crc = byte;
    for (bit = 0; bit < 8; bit++) {
      crc = (crc >> 1) ^ ((crc & 1) ? UINT32_C(0xEDB88320) : 0);
    }
    crc_table[byte] = crc;
  }
}

/* Goes on with a checksum that began as `UINT32_MAX` and ends inverted. */
static uint32_t crc_over(uint32_t crc, const uint8_t *bytes, size_t length) {
  size_t at;
  for (at = 0; at < length; at++) {
    crc = (crc >> 8) ^ crc_table[(crc ^ bytes[at]) & 255];
  }
  return crc;
}

uint32_t frames_crc(const uint8_t *bytes, size_t length) { return ~crc_over(UINT32_MAX, bytes, length); }

static void put_u32(uint8_t *to, uint32_t number) {
  to[0] = (uint8_t)(number >> 24);
  to[1] = (uint8_t)(number >> 16);
  to[2] = (uint8_t)(number >> 8);
  to[3] = (uint8_t)number;
}

static uint32_t get_u32(const uint8_t *from) {
  return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

frames_result_t frames_write(FILE *file, const uint8_t *bytes, uint32_t length) {
  uint8_t header[FRAME_HEADER_BYTES];
  put_u32(header, length);
  put_u32(header + 4, frames_crc(bytes, length));
  if (fwrite(header, 1, sizeof header, file) != sizeof header) {
    return FRAMES_SYSTEM;
  }
  return length == 0 || fwrite(bytes, 1, length, file) == length ? FRAMES_OK : FRAMES_SYSTEM;
}

/* Reads exactly `length` bytes; fewer are FRAMES_DAMAGED. */
static frames_result_t read_at(int file, uint8_t *bytes, size_t length, off_t offset) {
  while (length > 0) {
    ssize_t got = pread(file, bytes, length, offset);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return got < 0 ? FRAMES_SYSTEM : FRAMES_DAMAGED;
    }
    bytes += got;
    length -= (size_t)got;
    offset += got;
  }
  return FRAMES_OK;
}

frames_result_t frames_read(int file, const frame_t *frame, uint8_t *bytes) {
  frames_result_t result = read_at(file, bytes, frame->length, frame->offset);
  if (result == FRAMES_OK && frames_crc(bytes, frame->length) != frame->crc) {
    return FRAMES_DAMAGED;
  }
  return result;
}

/* A file that is read from start to end, a block at a time. */
typedef struct blocks {
  int file;
  off_t end;        /* the file's length */
  off_t block_at;   /* where the block begins in the file */
  size_t block_len; /* bytes in it */
  uint8_t *block;
  int (*go_on)(void *context);
  void *context;
} blocks_t;

/* The bytes at `offset` that are in the block, read if need be: at least one, at most `wanted`. `offset` never goes back. */
static frames_result_t next_bytes(blocks_t *blocks, off_t offset, uint64_t wanted, const uint8_t **bytes, size_t *length) {
  frames_result_t result;
  if (offset >= blocks->block_at + (off_t)blocks->block_len) {
    off_t left = blocks->end - offset;
    if (left <= 0) {
      return FRAMES_DAMAGED;
    }
    if (!blocks->go_on(blocks->context)) {
      return FRAMES_STOPPED;
    }
    blocks->block_at = offset;
    blocks->block_len = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
    result = read_at(blocks->file, blocks->block, blocks->block_len, offset);
    if (result != FRAMES_OK) {
      return result;
    }
  }
  *bytes = blocks->block + (offset - blocks->block_at);
  *length = blocks->block_len - (size_t)(offset - blocks->block_at);
  if (*length > wanted) {
    *length = (size_t)wanted;
  }
  return FRAMES_OK;
}

/* Reads the frame whose header begins at `offset`, and compares its checksum. */
static frames_result_t index_frame(blocks_t *blocks, off_t offset, frame_t *frame) {
  uint8_t header[FRAME_HEADER_BYTES];
  const uint8_t *bytes;
  size_t length, at, done = 0;
  uint32_t crc = UINT32_MAX;
  frames_result_t result;
  while (done < sizeof header) {
    result = next_bytes(blocks, offset + (off_t)done, sizeof header - done, &bytes, &length);
    if (result != FRAMES_OK) {
      return result;
    }
    for (at = 0; at < length; at++) {
      header[done++] = bytes[at];
    }
  }
  frame->offset = offset + FRAME_HEADER_BYTES;
  frame->length = get_u32(header);
  frame->crc = get_u32(header + 4);
  for (done = 0; done < frame->length; done += length) {
    result = next_bytes(blocks, frame->offset + (off_t)done, frame->length - done, &bytes, &length);
    if (result != FRAMES_OK) {
      return result;
    }
    crc = crc_over(crc, bytes, length);
  }
  return ~crc == frame->crc ? FRAMES_OK : FRAMES_DAMAGED;
}

/* Makes room for one more frame. */
static frames_result_t grow(frame_t **frames, size_t count, size_t *room) {
  frame_t *larger;
  if (count < *room) {
    return FRAMES_OK;
  }
  *room = *room ? *room * 2 : 64;
  larger = realloc(*frames, *room * sizeof **frames);
  if (larger == NULL) {
    return FRAMES_SYSTEM;
  }
  *frames = larger;
  return FRAMES_OK;
}

frames_result_t frames_index(int file, int (*go_on)(void *context), void *context, frame_t **frames, size_t *count, off_t *damaged_at) {
  blocks_t blocks = {file, 0, 0, 0, NULL, go_on, context};
  frames_result_t result = FRAMES_OK;
  struct stat status;
  size_t room = 0;
  off_t offset = 0;
  *frames = NULL;
  *count = 0;
  if (fstat(file, &status) != 0 || (blocks.block = malloc(BLOCK_BYTES)) == NULL) {
    return FRAMES_SYSTEM;
  }
  blocks.end = status.st_size;
  while (result == FRAMES_OK && offset < blocks.end) {
    result = grow(frames, *count, &room);
    if (result == FRAMES_OK) {
      result = index_frame(&blocks, offset, &(*frames)[*count]);
    }
    if (result == FRAMES_OK) {
      offset = (*frames)[*count].offset + (off_t)(*frames)[*count].length;
      *count += 1;
    }
  }
  free(blocks.block);
  if (result != FRAMES_OK) {
    *damaged_at = offset;
    free(*frames);
    *frames = NULL;
    *count = 0;
  }
  return result;
}
