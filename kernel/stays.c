/* The stays of users, merged from the lines of many files.
 *
 * Each side has one line for each of its keys, in the order of the keys. A heap orders the sides
 * by the key of their next line, and sides with equal keys by their number, which is the order of
 * the syncs. The changes of one user therefore follow each other in time, and a few variables are
 * enough to find the stays of this user.
 *
 * The texts of the sides need not end at the same key. Among the sides that have more lines than
 * their text, the one whose text ends with the smallest key determines the cut: lines are merged
 * up to that key. The caller then adds the next lines of the sides, and calls again. */

#include "lines.h"

typedef struct {
    Scan scan;
    Line line;     /* the next one to merge */
    bool has_line; /* a line was read before, and keys must ascend from it */
} Cursor;

typedef struct {
    StaySide *sides;
    Cursor *cursors;
    size_t *heap; /* the sides with a line left; the smallest key is first */
    size_t heap_count;
    Text cut; /* the last key to merge; all keys if there is no data */
    Stays *stays;
    unsigned char *out;
    size_t out_size, capacity;
} Merge;

/* --- The sides ------------------------------------------------------------------------ */

typedef enum { ADVANCED, ENDED, UNREADABLE } Step;

/* Read the next line of a side that has a key and whose key is not after the cut. */
static Step advance(Merge *merge, size_t place)
{
    Cursor *cursor = &merge->cursors[place];
    StaySide *side = &merge->sides[place];
    for (;;) {
        Line line = {0};
        size_t begin = cursor->scan.line;
        NextLine next = next_line(&cursor->scan, &line);
        if (next == LINE_REFUSED)
            return UNREADABLE;
        side->consumed = begin;
        if (next == NO_LINE)
            return ENDED;
        const unsigned char *key = line.text + line.key;
        Text cut = merge->cut;
        if (cut.data && compare_bytes(key, line.key_size, cut.data, cut.size) > 0)
            return ENDED;
        if (!line.key_size)
            continue; /* a row without a key is not a member */
        line.head = key_head(&line, 0, side->lines.data + side->lines.size);
        if (cursor->has_line && compare_keys(&cursor->line, &line) >= 0)
            return UNREADABLE;
        cursor->line = line;
        cursor->has_line = true;
        return ADVANCED;
    }
}

/* Return the key of the last line of a text, or a text without data if it can't be read. */
static Text last_key(Text lines, unsigned width, unsigned key)
{
    size_t end = lines.size;
    if (IN_BOUNDS(end) && lines.data[end - 1] == '\n')
        end--;
    size_t begin = end;
    while (IN_BOUNDS(begin) && lines.data[begin - 1] != '\n')
        begin--;
    Scan scan;
    Line line = {0};
    if (!begin_scan(&scan, (Text){lines.data + begin, end - begin}, width, key)
        || next_line(&scan, &line) != LINE_READ)
        return (Text){0};
    return (Text){line.text + line.key, line.key_size};
}

/* Find the smallest of the last keys of the sides that have more lines. */
static bool find_cut(Merge *merge, size_t count, unsigned width, unsigned key)
{
    for (size_t i = 0; i < count; i++) {
        if (!merge->sides[i].has_more)
            continue;
        Text last = last_key(merge->sides[i].lines, width, key), cut = merge->cut;
        if (!last.data)
            return false;
        if (!cut.data || compare_bytes(last.data, last.size, cut.data, cut.size) < 0)
            merge->cut = last;
    }
    return true;
}

/* --- The heap ------------------------------------------------------------------------- */

static bool is_before(const Merge *merge, size_t a, size_t b)
{
    int order = compare_keys(&merge->cursors[a].line, &merge->cursors[b].line);
    return order ? order < 0 : a < b;
}

/* Move the side at a place of the heap down to its right place. */
static void sift_down(Merge *merge, size_t place)
{
    size_t *heap = merge->heap, side = heap[place];
    for (;;) {
        size_t child = 2 * place + 1;
        if (!IN_BOUNDS(child < merge->heap_count))
            break;
        if (IN_BOUNDS(child + 1 < merge->heap_count)
            && is_before(merge, heap[child + 1], heap[child]))
            child++;
        if (!is_before(merge, heap[child], side))
            break;
        heap[place] = heap[child];
        place = child;
    }
    heap[place] = side;
}

/* Read the next line of the first side; return false if it can't be read. */
static bool pop(Merge *merge)
{
    Step step = advance(merge, merge->heap[0]);
    if (step == ENDED)
        merge->heap[0] = merge->heap[--merge->heap_count];
    if (merge->heap_count)
        sift_down(merge, 0);
    return step != UNREADABLE;
}

static Outcome open_sides(Merge *merge, size_t count, unsigned width, unsigned key)
{
    for (size_t i = 0; i < count; i++)
        if (!begin_scan(&merge->cursors[i].scan, merge->sides[i].lines, width, key))
            return REFUSED;
    if (!find_cut(merge, count, width, key))
        return REFUSED;
    for (size_t i = 0; i < count; i++) {
        Step step = advance(merge, i);
        if (step == UNREADABLE)
            return REFUSED;
        if (step == ADVANCED)
            merge->heap[merge->heap_count++] = i;
    }
    for (size_t i = merge->heap_count; i--;)
        sift_down(merge, i);
    return DONE;
}

/* --- The stays ------------------------------------------------------------------------ */

static Outcome add_stay(Merge *merge, const Line *row, uint32_t entered, uint32_t exited)
{
    Stays *stays = merge->stays;
    if (!IN_BOUNDS(stays->count < merge->capacity)) {
        size_t capacity = merge->capacity;
        uint32_t *more = grow(stays->entered, &capacity, sizeof *more);
        if (!more)
            return NO_MEMORY;
        stays->entered = more;
        if (!(more = grow(stays->exited, &merge->capacity, sizeof *more)))
            return NO_MEMORY;
        stays->exited = more;
    }
    if (!IN_BOUNDS(merge->out_size - stays->size > row->size))
        return REFUSED;
    memcpy(merge->out + stays->size, row->text, row->size);
    stays->size += row->size;
    merge->out[stays->size++] = '\n';
    stays->entered[stays->count] = entered;
    stays->exited[stays->count++] = exited;
    return DONE;
}

/* Merge all lines of the first key. */
static Outcome merge_user(Merge *merge)
{
    bool is_member = false, has_left = false;
    uint32_t entered = 0;
    Line row, first = merge->cursors[merge->heap[0]].line;
    do {
        size_t place = merge->heap[0];
        const StaySide *side = &merge->sides[place];
        row = merge->cursors[place].line;
        if (side->kind == EXITED) {
            /* An exit without an entry means a member since before the first known sync. */
            if (is_member || !has_left) {
                Outcome outcome = add_stay(merge, &row, entered, side->number + 1);
                if (outcome != DONE)
                    return outcome;
            }
            is_member = false;
            has_left = true;
            entered = 0;
        }
        else if (!is_member) {
            is_member = true;
            entered = side->kind == ENTERED || has_left ? side->number + 1 : 0;
        }
        if (!pop(merge))
            return REFUSED;
    } while (merge->heap_count
             && !compare_keys(&merge->cursors[merge->heap[0]].line, &first));
    return is_member ? add_stay(merge, &row, entered, 0) : DONE;
}

static Outcome merge_all(Merge *merge, size_t count, unsigned width, unsigned key)
{
    Stays *stays = merge->stays;
    merge->capacity = usual_line_count((Text){NULL, merge->out_size});
    merge->cursors = calloc(count + !count, sizeof *merge->cursors);
    merge->heap = calloc(count + !count, sizeof *merge->heap);
    stays->entered = malloc(merge->capacity * sizeof *stays->entered);
    stays->exited = malloc(merge->capacity * sizeof *stays->exited);
    if (!merge->cursors || !merge->heap || !stays->entered || !stays->exited)
        return NO_MEMORY;
    Outcome outcome = open_sides(merge, count, width, key);
    while (outcome == DONE && merge->heap_count)
        outcome = merge_user(merge);
    size_t consumed = 0;
    for (size_t i = 0; i < count; i++)
        consumed += merge->sides[i].consumed;
    /* If nothing was consumed, the lines before the cut are not in order. */
    return outcome == DONE && merge->cut.data && !consumed ? REFUSED : outcome;
}

Outcome merge_stays(StaySide *sides, size_t count, unsigned width, unsigned key,
                    unsigned char *out, size_t out_size, Stays *stays)
{
    Merge merge = {.sides = sides, .stays = stays, .out = out, .out_size = out_size};
    *stays = (Stays){0};
    for (size_t i = 0; i < count; i++)
        sides[i].consumed = 0;
    Outcome outcome = merge_all(&merge, count, width, key);
    free(merge.cursors);
    free(merge.heap);
    return outcome;
}

void free_stays(Stays *stays)
{
    free(stays->entered);
    free(stays->exited);
}
