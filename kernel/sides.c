/* The merge of sorted keys, which counts the users of each combination of sides.
 *
 * A side is, for example, one file of a sync. The caller passes its keys in several texts; LF
 * ends each key. A merge ends when the text of a side has no key left, because the first key of
 * the next text is not known yet. The caller then passes that text, and the rests of the other
 * texts. */

#include "lines.h"

typedef struct {
    Text text, key;
    uint64_t head; /* of the key */
    size_t next;   /* the offset after the key and its line end */
} SideScan;

Outcome take_keys(Text lines, unsigned width, unsigned key, unsigned char *out, size_t out_size,
                  size_t *written)
{
    Scan scan;
    Line line = {0};
    NextLine next;
    *written = 0;
    if (!begin_scan(&scan, lines, width, key))
        return REFUSED;
    while ((next = next_line(&scan, &line)) == LINE_READ) {
        if (!IN_BOUNDS(out_size - *written > line.key_size))
            return REFUSED;
        memcpy(out + *written, line.text + line.key, line.key_size);
        *written += line.key_size;
        out[(*written)++] = '\n';
    }
    return next == LINE_REFUSED ? REFUSED : DONE;
}

/* Read the next key of a side; return false if there is none. */
static inline bool next_key(SideScan *side)
{
    Text rest = {side->text.data + side->next, side->text.size - side->next};
    if (!IN_BOUNDS(rest.size > 0))
        return false;
    const unsigned char *end = memchr(rest.data, '\n', rest.size);
    size_t size = end ? (size_t)(end - rest.data) : rest.size;
    side->key = (Text){rest.data, size};
    side->head = reverse_bytes(first_word(rest.data, size));
    side->next += size + (end != NULL);
    return true;
}

static inline int compare_side_keys(const SideScan *a, const SideScan *b)
{
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    return compare_bytes(a->key.data, a->key.size, b->key.data, b->key.size);
}

void count_sides(const Text *texts, unsigned count, SideCounts *result)
{
    *result = (SideCounts){0};
    SideScan sides[MAX_SIDES];
    unsigned present[MAX_SIDES], used = 0;
    for (unsigned n = 0; n < count; n++) {
        sides[used] = (SideScan){.text = texts[n]};
        if (next_key(&sides[used]))
            present[used++] = n; /* the numbers of the sides with a text */
    }
    for (bool ended = used == 0; !ended;) {
        unsigned least = 0, same = 1; /* bits of the sides with the least key */
        for (unsigned i = 1; i < used; i++) {
            int order = compare_side_keys(&sides[i], &sides[least]);
            if (order < 0)
                least = i;
            if (order <= 0)
                same = (order < 0 ? 0 : same) | 1u << i;
        }
        unsigned on = 0;
        for (unsigned i = 0; i < used; i++) {
            if (!(same >> i & 1))
                continue;
            on |= 1u << present[i];
            result->rests[present[i]] = sides[i].next;
            ended |= !next_key(&sides[i]);
        }
        if (!result->counts[on]++)
            result->found[result->found_count++] = on;
    }
}
