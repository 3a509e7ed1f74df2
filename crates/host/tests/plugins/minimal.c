/* A plugin in C, to show that the boundary needs no Rust: a source that has every segment, all of them empty. */

#include "segport_plugin.h"

#include <string.h>

static SegportBuffer text(const char *json) {
    SegportBuffer buffer = {(const uint8_t *)json, strlen(json), NULL, NULL};
    return buffer;
}

static void release(SegportBuffer buffer) {
    if (buffer.free) buffer.free(buffer.ctx, buffer.ptr, buffer.len);
}

static int32_t init(const SegportHostTable *host, SegportBuffer *error) {
    if (host->magic == SEGPORT_HOST_MAGIC) return SEGPORT_STATUS_OK;
    *error = text("{\"kind\":\"contract\",\"message\":\"this is no Segport host\"}");
    return SEGPORT_STATUS_ERROR;
}

static int32_t describe(SegportBuffer *answer) {
    *answer = text("{\"id\":\"minimal\",\"version\":\"1\",\"kind\":\"source\",\"display_name\":\"C\",\"description\":\"Empty.\"}");
    return SEGPORT_STATUS_OK;
}

static int32_t open_instance(SegportBuffer request, void **instance, SegportBuffer *answer) {
    static int one;
    release(request);
    *instance = &one;
    *answer = text("{\"limits\":null}");
    return SEGPORT_STATUS_OK;
}

static void submit(void *instance, uint64_t call_id, uint32_t op, uint64_t timeout_ms, SegportBuffer request,
                   SegportCompletion completion) {
    (void)instance, (void)call_id, (void)op, (void)timeout_ms;
    release(request);
    completion.call(completion.ctx, SEGPORT_STATUS_ERROR,
                    text("{\"kind\":\"unsupported\",\"message\":\"there is nothing to read\"}"));
}

static void cancel(void *instance, uint64_t call_id) { (void)instance, (void)call_id; }
static void close_instance(void *instance) { (void)instance; }
static void set_log_level(uint32_t level) { (void)level; }
static void stop(void) {}

const SegportPluginTable *segport_plugin_v1_minimal(void) {
    static const SegportPluginTable table = {
        SEGPORT_PLUGIN_MAGIC, sizeof(SegportPluginTable), SEGPORT_MAJOR, SEGPORT_MINOR,
        init, describe, open_instance, submit, cancel, close_instance, set_log_level, stop,
    };
    return &table;
}
