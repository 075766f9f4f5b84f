/* The join of one key range, which sorts both sides by key and merges them.
 *
 * 1. The lines of each side are read into a list with the position, size and key of each.
 * 2. Each side is sorted by key, unless it is already sorted. Keys are compared by eight of their
 *    bytes as one number, the head. The keys of a range often begin with the same bytes, such as
 *    a prefix of all ids, so the head consists of the bytes after those that all keys of both
 *    sides share. A radix sort considers only the bits in which heads differ, 11 at a time, from
 *    the last to the first. Then the few lines with equal heads are sorted by their whole key and
 *    bytes. Lines outside of the bounds are now at the ends, and are dropped.
 * 3. If several lines have one key, the smallest is kept. If they differ, the key has a conflict.
 * 4. One pass over both sides adds each line to the lists of the files that it belongs to. The
 *    lists refer to the lines. The caller knows their size, and then has them written. */

#include "lines.h"

static bool is_within(const Line *line, const Join *join)
{
    const unsigned char *key = line->text + line->key;
    Text begin = join->begin, end = join->end;
    return (!begin.data || compare_bytes(key, line->key_size, begin.data, begin.size) >= 0)
           && (!end.data || compare_bytes(key, line->key_size, end.data, end.size) < 0);
}

static Outcome read_side(Side *side, Text text, const Join *join)
{
    size_t capacity = usual_line_count(text);
    Scan scan;
    NextLine next;
    if (!begin_scan(&scan, text, join->width, join->key))
        return REFUSED;
    if (!(side->lines = malloc(capacity * sizeof(Line))))
        return NO_MEMORY;
    while ((next = next_line(&scan, &side->lines[side->count])) == LINE_READ) {
        if (IN_BOUNDS(++side->count < capacity))
            continue;
        Line *more = grow(side->lines, &capacity, sizeof(Line));
        if (!more)
            return NO_MEMORY;
        side->lines = more;
    }
    return next == LINE_REFUSED ? REFUSED : DONE;
}

/* --- The order ------------------------------------------------------------------------ */

/* Return the length of the prefix, at most `shared`, that all keys of a side share with the
 * model's. */
static size_t shared_bytes(const Side *side, Text text, const Line *model, size_t shared)
{
    const unsigned char *end = text.data + text.size;
    uint64_t first = first_word(model->text + model->key, model->key_size);
    for (size_t i = 0; i < side->count; i++) {
        const Line *line = &side->lines[i];
        const unsigned char *key = line->text + line->key;
        if (!IN_BOUNDS(line->key_size >= shared))
            shared = line->key_size;
        uint64_t differing = first_word(key, (size_t)(end - key)) ^ first;
        if (differing && lowest_bit(differing) / 8 < shared)
            shared = lowest_bit(differing) / 8;
        while (shared > 8 && memcmp(key, model->text + model->key, shared) != 0)
            shared--;
    }
    return shared;
}

static int compare_lines(const Line *a, const Line *b)
{
    int order = compare_keys(a, b);
    return order ? order : compare_bytes(a->text, a->size, b->text, b->size);
}

/* Set the heads of all lines, and in `varying` the bits in which heads differ. Return whether the
 * keys ascend strictly. */
static bool set_heads(Side *side, size_t shared, Text text, uint64_t *varying)
{
    bool ascends = true;
    *varying = 0;
    for (size_t i = 0; i < side->count; i++) {
        Line *line = &side->lines[i];
        line->head = key_head(line, shared, text.data + text.size);
        *varying |= line->head ^ side->lines[0].head;
        ascends = ascends && (!i || compare_keys(line - 1, line) < 0);
    }
    return ascends;
}

typedef struct {
    uint64_t head;
    size_t place;
} Item;

/* The bits in which heads differ are packed together, so that the sort needs fewer rounds: among
 * digits, only four bits of each byte differ. In each byte, all bits from the first that differs
 * to the last are kept, in order. */
typedef struct {
    unsigned shifts[8], sizes[8], size;
} Packing;

static Packing packing_of(uint64_t varying)
{
    Packing packing = {.size = 0};
    for (unsigned i = 0; i < 8; i++) {
        unsigned byte = varying >> (56 - 8 * i) & 0xff, first = 0, size = 8;
        while (size && !(byte >> (size - 1)))
            size--;
        while (size && !(byte >> first & 1)) {
            first++;
            size--;
        }
        packing.shifts[i] = 56 - 8 * i + first;
        packing.sizes[i] = size;
        packing.size += size;
    }
    return packing;
}

static inline uint64_t pack(const Packing *packing, uint64_t head)
{
    uint64_t packed = 0;
    for (unsigned i = 0; i < 8; i++) {
        unsigned size = packing->sizes[i];
        packed = packed << size | (head >> packing->shifts[i] & ((1u << size) - 1));
    }
    return packed;
}

#define DIGIT_BITS 11
#define DIGITS (1u << DIGIT_BITS)

/* Sort items by some bits of their heads; items with equal bits keep their order. */
static void sort_by_digit(const Item *from, Item *to, size_t count, unsigned shift)
{
    uint32_t begins[DIGITS] = {0}, sum = 0;
    for (size_t i = 0; i < count; i++)
        begins[from[i].head >> shift & (DIGITS - 1)]++;
    for (unsigned digit = 0; digit < DIGITS; digit++) {
        uint32_t found = begins[digit];
        begins[digit] = sum;
        sum += found;
    }
    for (size_t i = 0; i < count; i++)
        to[begins[from[i].head >> shift & (DIGITS - 1)]++] = from[i];
}

/* Sort lines by merging. This stays within the buffers and ends even if the results of
 * comparisons contradict each other, because another thread changes the text. Not every qsort
 * does so. */
static void sort_lines(Line *lines, Line *spare, size_t count)
{
    size_t half = count / 2, left = 0, right = half;
    if (count < 2)
        return;
    sort_lines(lines, spare, half);
    sort_lines(lines + half, spare, count - half);
    memcpy(spare, lines, half * sizeof(Line));
    for (size_t to = 0; IN_BOUNDS(left < half); to++) {
        bool from_right = IN_BOUNDS(right < count)
                          && compare_lines(&lines[right], &spare[left]) < 0;
        lines[to] = from_right ? lines[right++] : spare[left++];
    }
}

static void sort_equal_heads(Line *lines, Line *spare, size_t count)
{
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; IN_BOUNDS(end < count) && lines[end].head == lines[i].head;)
            end++;
        if (end - i > 1)
            sort_lines(lines + i, spare, end - i);
    }
}

static Outcome sort_side(Side *side, uint64_t varying)
{
    size_t count = side->count;
    Packing packing = packing_of(varying);
    Item *from = malloc(count * sizeof(Item)), *to = malloc(count * sizeof(Item));
    Line *sorted = malloc(count * sizeof(Line));
    Outcome outcome = NO_MEMORY;
    if (from && to && sorted) {
        for (size_t i = 0; i < count; i++)
            from[i] = (Item){pack(&packing, side->lines[i].head), i};
        for (unsigned shift = 0; shift < packing.size; shift += DIGIT_BITS) {
            sort_by_digit(from, to, count, shift);
            Item *swapped = from;
            from = to;
            to = swapped;
        }
        for (size_t i = 0; i < count; i++)
            sorted[i] = side->lines[from[i].place];
        Line *unsorted = side->lines;
        side->lines = sorted;
        sorted = unsorted;
        sort_equal_heads(side->lines, unsorted, count);
        outcome = DONE;
    }
    free(from);
    free(to);
    free(sorted);
    return outcome;
}

/* Keep the first line of each key, which is the smallest. */
static void keep_first_of_each_key(Side *side)
{
    Line *lines = side->lines;
    size_t kept = 0;
    for (size_t i = 0, end; i < side->count; i = end) {
        bool differ = false;
        for (end = i + 1; IN_BOUNDS(end < side->count) && !compare_keys(&lines[i], &lines[end]);)
            differ |= compare_lines(&lines[i], &lines[end++]) != 0;
        if (kept != i)
            lines[kept] = lines[i];
        if (differ) {
            lines[kept].has_conflict = true;
            side->conflicts++;
        }
        kept++;
    }
    side->count = kept;
}

/* Remove the lines outside of the bounds, which are at the ends of an ordered side. */
static void trim(Side *side, const Join *join)
{
    size_t first = 0, end = side->count;
    while (IN_BOUNDS(first < end) && !is_within(&side->lines[first], join))
        first++;
    while (IN_BOUNDS(end > first) && !is_within(&side->lines[end - 1], join))
        end--;
    side->count = end - first;
    if (first)
        memmove(side->lines, side->lines + first, side->count * sizeof(Line));
}

static Outcome order_side(Side *side, size_t shared, Text text, bool must_ascend,
                          const Join *join)
{
    uint64_t varying;
    bool ascends = set_heads(side, shared, text, &varying);
    if (!ascends && must_ascend)
        return REFUSED;
    if (!ascends && sort_side(side, varying) != DONE)
        return NO_MEMORY;
    trim(side, join);
    side->arrived = side->count;
    if (!ascends)
        keep_first_of_each_key(side);
    return DONE;
}

/* --- The merge ------------------------------------------------------------------------ */

static size_t skip_digits(Text text, size_t at)
{
    while (IN_BOUNDS(at < text.size) && text.data[at] >= '0' && text.data[at] <= '9')
        at++;
    return at;
}

static size_t skip_sign(Text text, size_t at)
{
    bool is_sign = IN_BOUNDS(at < text.size) && (text.data[at] == '+' || text.data[at] == '-');
    return at + is_sign;
}

bool is_float_text(Text text)
{
    size_t begin = skip_sign(text, 0), at = skip_digits(text, begin), digits = at - begin;
    bool has_point = IN_BOUNDS(at < text.size) && text.data[at] == '.';
    if (has_point) {
        begin = at + 1;
        at = skip_digits(text, begin);
        digits += at - begin;
    }
    if (!digits)
        return false;
    if (!IN_BOUNDS(at < text.size))
        return has_point;
    if (text.data[at] != 'e' && text.data[at] != 'E')
        return false;
    begin = skip_sign(text, at + 1);
    at = skip_digits(text, begin);
    return at == text.size && at > begin;
}

/* Return whether the first cell of a line, the Amplitude id, is the text of a float. */
static bool has_float_id(const Line *line)
{
    const unsigned char *comma = memchr(line->text, ',', line->size);
    return is_float_text((Text){line->text, comma ? (size_t)(comma - line->text) : line->size});
}

static inline void add(LineList *list, const Line *line)
{
    list->lines[list->count++] = line;
    list->size += line->size + 1;
}

/* Count the values of the current members. In nearly all lines, only the last cell can be empty.
 * Only the other lines are read once more. */
static Outcome count_values(const Join *join, Joined *joined)
{
    const LineList *everyone = &joined->outputs[EVERYONE];
    size_t *filled = joined->filled, plain = 0, ended = 0;
    for (size_t i = 0; i < everyone->count; i++) {
        const Line *line = everyone->lines[i];
        if (!line->has_empty_cell) {
            plain++;
            ended += line->text[line->size - 1] != ','; /* the width is 2 at least */
        }
        else if (add_filled((Text){line->text, line->size}, join->width, filled) != DONE)
            return REFUSED; /* impossible, unless another thread changes the text */
    }
    for (unsigned column = ID_COLUMNS; column < join->width; column++)
        filled[column] += column + 1 < join->width ? plain : ended;
    return DONE;
}

/* Return the end of the cell of a line that begins at a place. */
static size_t cell_end(const Line *line, size_t at)
{
    bool quoted = false;
    for (; IN_BOUNDS(at < line->size) && (quoted || line->text[at] != ','); at++)
        quoted ^= line->text[at] == '"';
    return at;
}

/* Return whether two lines that differ also differ in a column that both sides have. */
static bool has_changed_cell(const Line *was, const Line *is, const Join *join)
{
    uint64_t lacking = join->lacking;
    size_t was_begin = 0, is_begin = 0;
    if (!lacking)
        return true;
    for (unsigned column = 0; column < join->width; column++, lacking >>= 1) {
        size_t was_end = cell_end(was, was_begin), is_end = cell_end(is, is_begin);
        if (!(lacking & 1)
            && compare_bytes(was->text + was_begin, was_end - was_begin, is->text + is_begin,
                             is_end - is_begin) != 0)
            return true;
        was_begin = was_end + 1;
        is_begin = is_end + 1;
    }
    return false;
}

/* Merge both sides. `was` is the next previous line, and `is` the next current one. */
static void merge(const Join *join, Joined *joined)
{
    LineList *outputs = joined->outputs;
    const Line *was = joined->before.lines, *was_end = was + joined->before.count;
    const Line *is = joined->now.lines, *is_end = is + joined->now.count;
    while (was < was_end || is < is_end) {
        int order = !IN_BOUNDS(was < was_end) ? 1
                    : !IN_BOUNDS(is < is_end) ? -1
                                              : compare_keys(was, is);
        if (order < 0) {
            add(&outputs[EXITING], was);
            if (join->meaning == PREVIOUS)
                add(&outputs[EXISTING], was);
            was++;
            continue;
        }
        add(&outputs[EVERYONE], is);
        bool changed = true;
        if (order > 0)
            add(&outputs[ENTERING], is);
        else {
            if (join->meaning != MEMBERS)
                add(&outputs[EXISTING], is);
            changed = compare_bytes(was->text, was->size, is->text, is->size) != 0;
            joined->changed += changed && has_changed_cell(was, is, join);
            was++;
        }
        /* The ids of unchanged rows were checked at an earlier sync. A row that was dropped has
         * the same id if the id is the key. */
        if (changed || (!join->key && is->has_conflict))
            joined->has_float_ids = joined->has_float_ids || has_float_id(is);
        is++;
    }
}

static Outcome make_results(const Join *join, Joined *joined)
{
    size_t before = joined->before.count, now = joined->now.count;
    const size_t room[OUTPUTS] = {
        [EVERYONE] = now, [ENTERING] = now, [EXITING] = before, [EXISTING] = before};
    for (int i = 0; i < OUTPUTS; i++)
        if (!(joined->outputs[i].lines = malloc((room[i] + 1) * sizeof(Line *))))
            return NO_MEMORY;
    joined->filled = calloc(join->width, sizeof *joined->filled);
    return joined->filled ? DONE : NO_MEMORY;
}

Outcome join_range(const Join *join, Joined *joined)
{
    Side *before = &joined->before, *now = &joined->now;
    bool is_sorted = join->before_is_sorted;
    Outcome outcome;
    *joined = (Joined){0};
    if ((outcome = read_side(before, join->before, join)) != DONE
        || (outcome = read_side(now, join->now, join)) != DONE)
        return outcome;
    if (before->count + now->count) {
        const Line *model = before->count ? before->lines : now->lines;
        size_t shared = shared_bytes(before, join->before, model, model->key_size);
        shared = shared_bytes(now, join->now, model, shared);
        if ((outcome = order_side(before, shared, join->before, is_sorted, join)) != DONE
            || (outcome = order_side(now, shared, join->now, false, join)) != DONE)
            return outcome;
    }
    if ((outcome = make_results(join, joined)) != DONE)
        return outcome;
    merge(join, joined);
    return count_values(join, joined);
}

/* --- The result ----------------------------------------------------------------------- */

void write_output(const Joined *joined, Output output, unsigned char *to)
{
    const LineList *list = &joined->outputs[output];
    for (size_t i = 0; i < list->count; i++) {
        const Line *line = list->lines[i];
        memcpy(to, line->text, line->size);
        to[line->size] = '\n';
        to += line->size + 1;
    }
}

Text next_conflict(const Joined *joined, size_t *place)
{
    while (IN_BOUNDS(*place < joined->now.count)) {
        const Line *line = &joined->now.lines[(*place)++];
        if (line->has_conflict)
            return (Text){line->text + line->key, line->key_size};
    }
    return (Text){0};
}

void free_joined(Joined *joined)
{
    free(joined->before.lines);
    free(joined->now.lines);
    for (int i = 0; i < OUTPUTS; i++)
        free(joined->outputs[i].lines);
    free(joined->filled);
}
