/* A driver's library without a device: memory is the host's, and after so many waits every call fails with the
 * same code for as long as the process lives, as a poisoned context does.
 *
 * STUB_CODE: the code, 0 for none. STUB_AFTER: how many waits for the context succeed. A code of 2 (out of
 * memory) is told once and does not stay. */
#include <stdlib.h>
#include <string.h>

static int poisoned;
static long waits;

static long setting(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int answer(void) { return poisoned; }

int cuInit(unsigned flags) { (void)flags; return answer(); }
int cuDeviceGet(int *device, int ordinal) {
    if (ordinal != 0) return 101;
    *device = 0;
    return answer();
}
int cuDeviceGetName(char *name, int size, int device) {
    (void)device;
    strncpy(name, "Stub", (size_t)size);
    return answer();
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)attribute; (void)device;
    *value = 0;
    return answer();
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    (void)device;
    *context = &poisoned;
    return answer();
}
int cuDevicePrimaryCtxRelease_v2(int device) { (void)device; return answer(); }
int cuCtxGetCurrent(void **context) { *context = &poisoned; return answer(); }
int cuCtxSetCurrent(void *context) { (void)context; return answer(); }
int cuCtxSynchronize(void) {
    long code = setting("STUB_CODE");
    if (poisoned) return poisoned;
    if (code && ++waits > setting("STUB_AFTER")) {
        if (code == 2) {
            if (waits == setting("STUB_AFTER") + 1) return 2;
        } else {
            poisoned = (int)code;
        }
    }
    return poisoned;
}
int cuStreamSynchronize(void *stream) { (void)stream; return answer(); }
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
    (void)stream; (void)event; (void)flags;
    return answer();
}
int cuEventCreate(void **event, unsigned flags) { (void)flags; *event = &waits; return answer(); }
int cuEventRecord(void *event, void *stream) { (void)event; (void)stream; return answer(); }
int cuEventDestroy_v2(void *event) { (void)event; return answer(); }
int cuMemAlloc_v2(unsigned long long *at, size_t size) {
    *at = (unsigned long long)malloc(size);
    return answer();
}
int cuMemFree_v2(unsigned long long at) { free((void *)at); return answer(); }
int cuMemsetD8Async(unsigned long long at, unsigned char byte, size_t size, void *stream) {
    (void)stream;
    memset((void *)at, byte, size);
    return answer();
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t size, void *stream) {
    (void)stream;
    memcpy((void *)to, from, size);
    return answer();
}
int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t size, void *stream) {
    (void)stream;
    memcpy(to, (void *)from, size);
    return answer();
}
int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t size, void *stream) {
    (void)stream;
    memcpy((void *)to, (void *)from, size);
    return answer();
}
