/* The boundary between a Segport host and a plugin: see ABI.md for who owns what, on which thread.
 * Made from the Rust types of the crate segport-abi; do not edit. */

#ifndef SEGPORT_PLUGIN_H
#define SEGPORT_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

// The first eight bytes of a plugin's table: `SEGPLUG1` read as a little-endian number.
#define SEGPORT_PLUGIN_MAGIC 3550900617457648979

// The first eight bytes of a host's table: `SEGHOST1` read as a little-endian number.
#define SEGPORT_HOST_MAGIC 3554557605882316115

// A host loads a plugin of the same major number only.
#define SEGPORT_MAJOR 1

// A host loads a plugin whose minor number is not above its own.
#define SEGPORT_MINOR 0

// The buffer is the result.
#define SEGPORT_STATUS_OK 0

// The buffer is an error as JSON. Every status but 0 is read as this one.
#define SEGPORT_STATUS_ERROR 1

// A timeout that never ends.
#define SEGPORT_NO_TIMEOUT UINT64_MAX

// Nothing is logged.
#define SEGPORT_LEVEL_OFF 0

// Errors.
#define SEGPORT_LEVEL_ERROR 1

// Warnings.
#define SEGPORT_LEVEL_WARN 2

// What a user of the host wants to know.
#define SEGPORT_LEVEL_INFO 3

// What an author of a plugin wants to know.
#define SEGPORT_LEVEL_DEBUG 4

// Everything.
#define SEGPORT_LEVEL_TRACE 5

// Bytes that the callee may read until the function returns.
typedef struct SegportSlice {
  // The first byte; may be null when `len` is 0.
  const uint8_t *ptr;
  // How many bytes.
  size_t len;
} SegportSlice;

// Gives memory back to who made it. Called once, from any thread.
typedef void (*SegportFreeFn)(void *ctx, const uint8_t *ptr, size_t len);

// Bytes with an owner: whoever holds the buffer calls `free` once, and memory is released by the side that made it.
typedef struct SegportBuffer {
  // The first byte; may be null when `len` is 0.
  const uint8_t *ptr;
  // How many bytes.
  size_t len;
  // The first argument of `free`.
  void *ctx;
  // Releases the bytes; null when there is nothing to release.
  SegportFreeFn free;
} SegportBuffer;

// Takes the answer to a call.
typedef void (*SegportCompleteFn)(void *ctx, int32_t status, struct SegportBuffer answer);

// Where the answer to one call goes: called exactly once, from any thread, also before the submit returns.
typedef struct SegportCompletion {
  // The first argument of `call`.
  void *ctx;
  // Takes a status and the answer; never null.
  SegportCompleteFn call;
} SegportCompletion;

// What the host offers. Entries are only ever appended; no function is null.
typedef struct SegportHostTable {
  // `SEGPORT_HOST_MAGIC`.
  uint64_t magic;
  // Size of this struct in bytes in the version that the host was built for.
  uint32_t struct_size;
  // The major version that the host was built for.
  uint16_t major;
  // The minor version that the host was built for.
  uint16_t minor;
  // The first argument of the functions below.
  void *ctx;
  // Takes one log event as JSON.
  void (*log)(void *ctx, uint32_t level, struct SegportSlice event);
  // Sends an HTTP request for the instance whose `open` was given `scope`; answered exactly once.
  void (*http_submit)(void *ctx, uint64_t scope, uint64_t call_id, struct SegportBuffer head, struct SegportBuffer body, struct SegportCompletion completion);
  // Gives an HTTP request up. It is still answered exactly once. A request that is not under way is ignored.
  void (*http_cancel)(void *ctx, uint64_t scope, uint64_t call_id);
} SegportHostTable;

// What a plugin offers. Entries are only ever appended; none is null.
typedef struct SegportPluginTable {
  // `SEGPORT_PLUGIN_MAGIC`.
  uint64_t magic;
  // Size of this struct in bytes in the version that the plugin was built for.
  uint32_t struct_size;
  // The major version that the plugin was built for.
  uint16_t major;
  // The minor version that the plugin was built for.
  uint16_t minor;
  // Called once, before anything else. Writes to `error` if it fails.
  int32_t (*init)(const struct SegportHostTable *host, struct SegportBuffer *error);
  // Writes the plugin's description as JSON, or an error, to `answer`.
  int32_t (*describe)(struct SegportBuffer *answer);
  // Makes an instance of the settings in `request`; writes it to `instance`, and the JSON answer or an error to `answer`.
  int32_t (*open)(struct SegportBuffer request, void **instance, struct SegportBuffer *answer);
  // Starts a call and returns at once; `completion` is called exactly once with its answer.
  void (*submit)(void *instance, uint64_t call_id, uint32_t op, uint64_t timeout_ms, struct SegportBuffer request, struct SegportCompletion completion);
  // Gives a call up. It is still answered exactly once. A call that is not under way is ignored.
  void (*cancel)(void *instance, uint64_t call_id);
  // Gives an instance up. Calls under way are cancelled, and answered.
  void (*close)(void *instance);
  // Sets the most talkative level that is worth a call of the host's `log`.
  void (*set_log_level)(uint32_t level);
  // Stops the plugin's threads. Calls under way are cancelled, and answered.
  void (*shutdown)(void);
} SegportPluginTable;

#endif  /* SEGPORT_PLUGIN_H */
