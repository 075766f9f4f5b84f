/* Columns: canonical lines become the texts of each column, as Arrow keeps them.
 *
 * A column of Arrow has the bytes of its texts one after the other, and the offset at which each
 * begins, followed by the end of the last one. The first pass finds the cells and writes the
 * offsets. Then it is known where the texts of each column begin. The second pass copies the
 * cells there, without the quotes around them.
 *
 * The separators are found eight bytes at a time (see lines.h). In texts with quotes, the quotes
 * and CRs are found too, and a quoted cell is read byte by byte. */

#include "lines.h"

/* Arrow's offsets are signed. */
#define MAX_COLUMN_BYTES ((size_t)INT32_MAX)

/* The room in which a short cell is copied at once, whatever its size: it is faster than a loop
 * over its bytes. What is written after the cell is overwritten by the next one. */
#define WIDE 32

typedef struct {
    Text lines;
    size_t word;    /* the offset of the word that is searched */
    uint64_t marks; /* the marks of this word that are left */
    bool has_quotes;
} Marks;

static inline uint64_t mark_word(const Marks *marks)
{
    uint64_t word = load_word(marks->lines.data, marks->lines.size, marks->word);
    uint64_t found = mark_separators(word);
    return marks->has_quotes ? found | mark_bytes(word, '"') | mark_bytes(word, '\r') : found;
}

/* Continue at an offset. */
static inline void move_to(Marks *marks, size_t at)
{
    marks->word = at - at % 8;
    marks->marks = mark_word(marks) & ~(uint64_t)0 << 8 * (at % 8);
}

/* Return the offset of the next mark; the end of the text if there is none. */
static inline size_t next_mark(Marks *marks)
{
    while (!marks->marks) {
        marks->word += 8;
        if (!IN_BOUNDS(marks->word < marks->lines.size))
            return marks->lines.size;
        marks->marks = mark_word(marks);
    }
    size_t at = marks->word + lowest_byte(marks->marks);
    marks->marks &= marks->marks - 1;
    return at;
}

/* Return the offset after a quoted cell, and the size of its text; 0 if it is not canonical. */
static inline size_t measure_quoted(Text lines, size_t at, size_t *size)
{
    size_t doubled = 0, begin = ++at;
    bool needs_quotes = false;
    for (; IN_BOUNDS(at < lines.size); at++) {
        unsigned char c = lines.data[at];
        needs_quotes |= c == ',' || c == '\n' || c == '\r';
        if (c != '"')
            continue;
        if (!IN_BOUNDS(at + 1 < lines.size) || lines.data[at + 1] != '"') {
            *size = at - begin - doubled;
            return needs_quotes || doubled ? at + 1 : 0;
        }
        at++;
        doubled++;
    }
    return 0; /* never closed */
}

static inline void store_offset(unsigned char *out, size_t place, uint32_t offset)
{
    memcpy(out + place * sizeof offset, &offset, sizeof offset);
}

static inline uint32_t load_offset(const unsigned char *out, size_t place)
{
    uint32_t offset;
    memcpy(&offset, out + place * sizeof offset, sizeof offset);
    return offset;
}

static inline size_t offsets_size(const Columns *columns)
{
    return columns->stride * columns->width * sizeof(uint32_t);
}

/* Find the cells of all rows, and write the offsets of their ends. */
static inline bool write_offsets(Marks *marks, Columns *columns)
{
    const Text lines = marks->lines;
    unsigned column = 0;
    /* After a comma at the end of the text there is one more cell, which is empty. */
    for (size_t begin = 0; begin < lines.size || column;) {
        size_t at = next_mark(marks), size = at - begin;
        if (marks->has_quotes && IN_BOUNDS(at < lines.size) && lines.data[at] == '"') {
            size_t after = at == begin ? measure_quoted(lines, at, &size) : 0;
            if (!after)
                return false;
            move_to(marks, after);
            at = next_mark(marks);
            if (at != after)
                return false;
        }
        bool is_row_end = !IN_BOUNDS(at < lines.size) || lines.data[at] == '\n';
        if (!is_row_end && lines.data[at] != ',')
            return false; /* a quote or a CR in a cell without quotes */
        if (!IN_BOUNDS(column < columns->width) || !IN_BOUNDS(columns->rows + 1 < columns->stride))
            return false;
        columns->sizes[column] += (uint32_t)size;
        store_offset(columns->out, column * columns->stride + columns->rows + 1,
                     columns->sizes[column]);
        column++;
        if (is_row_end) {
            if (column != columns->width)
                return false;
            column = 0;
            columns->rows++;
        }
        begin = at + 1;
    }
    return true;
}

/* Copy the text of a quoted cell. Return the offset after it. */
static inline size_t copy_quoted(const unsigned char *text, size_t at, unsigned char *to,
                                 size_t size)
{
    for (at++; size; size--, at++) {
        *to++ = text[at];
        at += text[at] == '"'; /* it is doubled */
    }
    return at + 1;
}

/* The text of a column that is left to copy. */
typedef struct {
    unsigned char *to;
    uint32_t begin, end; /* the offsets of the next cell, and of the end of the column */
} Rest;

/* Copy the cells of all rows to the columns. The first pass has checked them. */
static inline void copy_cells(Text lines, const Columns *columns, Rest *rests)
{
    size_t at = 0;
    for (size_t row = 1; row <= columns->rows; row++)
        for (unsigned column = 0; column < columns->width; column++, at++) {
            Rest *rest = &rests[column];
            uint32_t next = load_offset(columns->out, column * columns->stride + row);
            size_t size = next - rest->begin, room = rest->end - rest->begin;
            unsigned char *to = rest->to;
            rest->to += size;
            rest->begin = next;
            if (IN_BOUNDS(at < lines.size) && lines.data[at] == '"') {
                at = copy_quoted(lines.data, at, to, size);
                continue;
            }
            if (size <= WIDE && IN_BOUNDS(room >= WIDE) && IN_BOUNDS(lines.size - at >= WIDE))
                memcpy(to, lines.data + at, WIDE);
            else if (size)
                memcpy(to, lines.data + at, size);
            at += size;
        }
}

size_t count_lines(Text lines)
{
    size_t count = lines.size && lines.data[lines.size - 1] != '\n';
    for (size_t i = 0; i < lines.size; i++)
        count += lines.data[i] == '\n';
    return count;
}

/* Return whether the lines may be split, and whether there is room for the columns. */
static bool can_begin(Text lines, const Columns *columns)
{
    unsigned found = find_specials(lines);
    if (found & HAS_NUL || (found & HAS_CR && !(found & HAS_QUOTE))
        || (found & HAS_NON_ASCII && !is_utf8(lines)) || lines.size > MAX_COLUMN_BYTES)
        return false;
    size_t offsets = columns->out_size / sizeof(uint32_t);
    return columns->stride && IN_BOUNDS(columns->stride <= offsets / columns->width)
           && IN_BOUNDS(columns->out_size - offsets_size(columns) >= lines.size);
}

Outcome write_columns(Text lines, Columns *columns)
{
    columns->rows = 0;
    memset(columns->sizes, 0, columns->width * sizeof *columns->sizes);
    if (!can_begin(lines, columns))
        return REFUSED;
    for (unsigned column = 0; column < columns->width; column++)
        store_offset(columns->out, column * columns->stride, 0);
    Marks marks = {.lines = lines, .has_quotes = lines.size && memchr(lines.data, '"', lines.size)};
    move_to(&marks, 0);
    if (!write_offsets(&marks, columns))
        return REFUSED;
    Rest *rests = malloc(columns->width * sizeof *rests);
    if (!rests)
        return NO_MEMORY;
    unsigned char *to = columns->out + offsets_size(columns);
    for (unsigned column = 0; column < columns->width; column++) {
        rests[column] = (Rest){.to = to, .end = columns->sizes[column]};
        to += columns->sizes[column];
    }
    copy_cells(lines, columns, rests);
    free(rests);
    return DONE;
}
