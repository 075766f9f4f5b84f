/* The number of line ends in a text, for the numbers of lines in error messages.
 *
 * The inner loop counts in bytes, so that compilers can use vector operations of at least 16
 * bytes. A byte can count to 255, so the loop ends before that. */

#include "kernel.h"

#define STEP ((size_t)255)

size_t count_line_ends(Text text)
{
    size_t count = 0;
    for (size_t at = 0; at < text.size;) {
        unsigned char found = 0;
        size_t end = IN_BOUNDS(text.size - at >= STEP) ? at + STEP : text.size;
        for (; at < end; at++)
            found += text.data[at] == '\n';
        count += found;
    }
    return count;
}
