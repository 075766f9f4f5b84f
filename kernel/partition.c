/* Partitioning, which sorts the lines of a batch into key ranges.
 *
 * The first pass finds the range of each line, and the size of each range. From the sizes follows
 * the offset at which each range begins in the output, so the second pass can copy each line to
 * its place. Between the passes, six bytes are stored for each line: its size and its range.
 *
 * A binary search among the heads, which are numbers, finds the range of a key. Eight bytes after
 * the prefix that all boundaries share are nearly always enough. The search has no branch that
 * depends on the key, because the processor could not predict it. */

#include "lines.h"

#define NO_RANGE UINT16_MAX

typedef struct {
    uint32_t *sizes;  /* the size of each line, without its LF */
    uint16_t *places; /* the range of each line */
    size_t count, capacity;
} Placed;

static size_t find_range(const Line *line, const Ranges *ranges, const unsigned char *end)
{
    Text prefix = ranges->prefix;
    const unsigned char *key = line->text + line->key;
    size_t common = IN_BOUNDS(line->key_size >= prefix.size) ? prefix.size : line->key_size;
    int order = common ? memcmp(key, prefix.data, common) : 0;
    if (order)
        return order > 0 ? ranges->head_count : 0;
    if (!IN_BOUNDS(common == prefix.size))
        return 0; /* the key is shorter than the prefix */
    uint64_t head = key_head(line, prefix.size, end);
    const uint64_t *base = ranges->heads;
    for (size_t n = ranges->head_count; n;) {
        size_t half = (n + 1) / 2;
        base += half & (size_t)-(ptrdiff_t)(base[half - 1] <= head);
        n -= half;
    }
    return (size_t)(base - ranges->heads);
}

static bool make_room(Placed *placed)
{
    size_t capacity = placed->capacity;
    uint32_t *sizes = grow(placed->sizes, &capacity, sizeof *sizes);
    if (!sizes)
        return false;
    placed->sizes = sizes;
    uint16_t *places = grow(placed->places, &placed->capacity, sizeof *places);
    if (!places)
        return false;
    placed->places = places;
    return true;
}

static Outcome place_lines(Text lines, unsigned width, unsigned key, const Ranges *ranges,
                           Placed *placed, Partitioned *result)
{
    Scan scan;
    Line line = {0};
    NextLine next;
    if (!begin_scan(&scan, lines, width, key))
        return REFUSED;
    while ((next = next_line(&scan, &line)) == LINE_READ) {
        if (!IN_BOUNDS(placed->count < placed->capacity) && !make_room(placed))
            return NO_MEMORY;
        size_t range = NO_RANGE;
        if (line.key_size) {
            range = find_range(&line, ranges, lines.data + lines.size);
            result->lengths[range] += line.size + 1;
        }
        else
            result->skipped++;
        placed->sizes[placed->count] = line.size;
        placed->places[placed->count++] = (uint16_t)range;
    }
    return next == LINE_REFUSED ? REFUSED : DONE;
}

/* Copy the lines to their ranges. `begins` and `ends` have the offsets of each range. */
static void copy_lines(Text lines, const Placed *placed, const uint32_t *begins, uint32_t *ends,
                       unsigned char *out)
{
    for (size_t i = 0, at = 0; i < placed->count; i++) {
        uint16_t range = placed->places[i];
        if (range != NO_RANGE) {
            if (ends[range] != begins[range])
                out[ends[range]++] = '\n';
            memcpy(out + ends[range], lines.data + at, placed->sizes[i]);
            ends[range] += placed->sizes[i];
        }
        at += (size_t)placed->sizes[i] + 1;
    }
}

static Outcome partition(Text lines, unsigned width, unsigned key, const Ranges *ranges,
                         unsigned char *out, Placed *placed, Partitioned *result)
{
    size_t count = ranges->head_count + 1;
    Outcome outcome = place_lines(lines, width, key, ranges, placed, result);
    if (outcome != DONE)
        return outcome;
    uint32_t *begins = malloc(2 * count * sizeof *begins), offset = 0;
    if (!begins)
        return NO_MEMORY;
    uint32_t *ends = begins + count;
    for (size_t i = 0; i < count; i++) {
        if (result->lengths[i])
            result->lengths[i]--; /* the last line of a range has no LF */
        begins[i] = ends[i] = offset;
        offset += result->lengths[i];
    }
    copy_lines(lines, placed, begins, ends, out);
    free(begins);
    result->rows = placed->count;
    return DONE;
}

Outcome partition_lines(Text lines, unsigned width, unsigned key, const Ranges *ranges,
                        unsigned char *out, size_t out_size, Partitioned *result)
{
    *result = (Partitioned){0};
    if (!IN_BOUNDS(ranges->head_count <= MAX_HEADS) || !IN_BOUNDS(out_size >= lines.size))
        return REFUSED;
    Placed placed = {.capacity = usual_line_count(lines)};
    placed.sizes = malloc(placed.capacity * sizeof *placed.sizes);
    placed.places = malloc(placed.capacity * sizeof *placed.places);
    result->lengths = calloc(ranges->head_count + 1, sizeof *result->lengths);
    Outcome outcome = NO_MEMORY;
    if (placed.sizes && placed.places && result->lengths)
        outcome = partition(lines, width, key, ranges, out, &placed, result);
    free(placed.sizes);
    free(placed.places);
    return outcome;
}
