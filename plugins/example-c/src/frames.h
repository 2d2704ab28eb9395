/* The file of one ledger: a row of frames. A frame is the length of its bytes and their CRC-32 (IEEE), both 32 bits big-endian, then
 * the bytes. Knows files and bytes, and nothing of drivers. */
#ifndef EXAMPLE_C_FRAMES_H
#define EXAMPLE_C_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Bytes before those of a frame. */
#define FRAME_HEADER_BYTES 8

/* The longest frame. */
#define FRAME_BYTES_MAX UINT32_MAX

typedef enum frames_result {
  FRAMES_OK,
  FRAMES_SYSTEM,  /* the system refuses, errno says why */
  FRAMES_DAMAGED, /* the bytes are not what was written */
  FRAMES_STOPPED  /* the caller does not want to go on */
} frames_result_t;

/* A frame's place in its file. */
typedef struct frame {
  off_t offset;    /* of its bytes */
  uint32_t length; /* of its bytes */
  uint32_t crc;    /* that they must have */
} frame_t;

/* Prepares the checksum. Once, before everything else. */
void frames_start(void);

/* The CRC-32 of some bytes. */
uint32_t frames_crc(const uint8_t *bytes, size_t length);

/* Writes one frame. FRAMES_SYSTEM. */
frames_result_t frames_write(FILE *file, const uint8_t *bytes, uint32_t length);

/* Reads a whole file from its start and answers where its frames are: `*frames`, for the caller to free, `*count` of them. Every
 * checksum is compared. `go_on(context)` is asked now and then. Where the file is damaged, `*damaged_at` is the offset of the frame. */
frames_result_t frames_index(int file, int (*go_on)(void *context), void *context, frame_t **frames, size_t *count, off_t *damaged_at);

/* Reads the bytes of one frame to `bytes`, which has room for them, and compares their checksum. */
frames_result_t frames_read(int file, const frame_t *frame, uint8_t *bytes);

#endif
