/* The reading of spans of a file into one text, such as the lines of a key range, which has a
 * span in each batch. One call reads all spans, because each return to Python may have to wait
 * for the GIL. */

#define _POSIX_C_SOURCE 200809L

#include <string.h>

#include "kernel.h"

#ifdef _WIN32

Outcome read_spans(int file, const uint64_t *spans, size_t count, unsigned char *out,
                   size_t out_size)
{
    (void)file, (void)spans, (void)count, (void)out, (void)out_size;
    return REFUSED; /* this system has no pread */
}

#else

#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

static bool read_span(int file, uint64_t offset, unsigned char *out, size_t size)
{
    while (size) {
        ssize_t got = pread(file, out, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        out += got, offset += (uint64_t)got, size -= (size_t)got;
    }
    return true;
}

Outcome read_spans(int file, const uint64_t *spans, size_t count, unsigned char *out,
                   size_t out_size)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t offset = spans[2 * i], size = spans[2 * i + 1];
        if (i) {
            if (!IN_BOUNDS(at < out_size))
                return REFUSED;
            out[at++] = '\n';
        }
        if (!IN_BOUNDS(size <= out_size - at))
            return REFUSED;
        if (!read_span(file, offset, out + at, (size_t)size))
            return REFUSED;
        at += (size_t)size;
    }
    return at == out_size ? DONE : REFUSED;
}

#endif
