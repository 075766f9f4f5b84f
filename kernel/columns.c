/* The conversion of canonical lines to the texts of each column, in one of two Arrow layouts.
 *
 * In the layout `string`, a column has the bytes of its texts one after the other, and the offset
 * at which each begins, followed by the end of the last one. The first pass finds the cells and
 * writes the offsets. The beginning of the texts of each column follows from their sizes. The
 * second pass copies the cells there, without the quotes around them.
 *
 * In the layout `string_view`, a column has a record of 16 bytes for each text: its size, and the
 * text itself or, if it is longer than 12 bytes, its first 4 bytes, the number of a buffer (0)
 * and the offset in that buffer. One pass is enough, because the long texts of all columns are in
 * one buffer.
 *
 * The separators are found 64 bytes at a time (see lines.h), but a quoted cell is read byte by
 * byte. All quotes and CRs are counted, because they must be in quoted cells. */

#include "lines.h"

/* Arrow's offsets are signed. */
#define MAX_COLUMN_BYTES ((size_t)INT32_MAX)

/* The number of bytes that are copied for a short cell, even if it has fewer: this is faster than
 * a loop over its bytes. The next cell overwrites the surplus. */
#define WIDE 32

#define OFFSET_BYTES ((size_t)4)
#define VIEW_BYTES ((size_t)16)
#define SHORT_BYTES ((size_t)12)

typedef struct {
    Text lines;
    size_t block;       /* the offset of the block that is searched */
    uint64_t marks;     /* the remaining separators of this block */
    size_t quotes, crs; /* those that no quoted cell has had so far */
} Reading;

static inline size_t count_byte(Text text, unsigned char byte)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == byte;
    return count;
}

/* Continue at an offset. */
static inline void move_to(Reading *reading, size_t at)
{
    reading->block = at - at % BLOCK;
    reading->marks = mark_separators(reading->lines.data, reading->lines.size, reading->block)
                     & ~(uint64_t)0 << at % BLOCK;
}

/* Return the offset of the next separator, or the end of the text if there is none. */
static inline size_t next_separator(Reading *reading)
{
    const Text lines = reading->lines;
    while (!reading->marks) {
        reading->block += BLOCK;
        if (!IN_BOUNDS(reading->block < lines.size))
            return lines.size;
        reading->marks = mark_separators(lines.data, lines.size, reading->block);
    }
    size_t at = reading->block + lowest_bit(reading->marks);
    reading->marks &= reading->marks - 1;
    return at;
}

/* --- The cells ------------------------------------------------------------------------ */

/* A cell of a row. */
typedef struct {
    size_t begin; /* the offset of its first byte, which may be a quote */
    size_t size;  /* the number of bytes of its text, without the quotes around it */
    bool is_quoted;
} Cell;

/* Read a quoted cell. Return the offset after it, or 0 if it is not canonical. */
static size_t read_quoted(Reading *reading, Cell *cell)
{
    const Text lines = reading->lines;
    size_t at = cell->begin + 1, doubled = 0, crs = 0;
    bool needs_quotes = false;
    for (; IN_BOUNDS(at < lines.size); at++) {
        unsigned char c = lines.data[at];
        needs_quotes |= c == ',' || c == '\n' || c == '\r';
        crs += c == '\r';
        if (c != '"')
            continue;
        if (!IN_BOUNDS(at + 1 < lines.size) || lines.data[at + 1] != '"')
            break;
        at++;
        doubled++;
    }
    if (at >= lines.size || !(needs_quotes || doubled))
        return 0; /* never closed, or quoted although not needed */
    reading->quotes -= 2 * doubled + 2;
    reading->crs -= crs;
    *cell = (Cell){cell->begin, at - cell->begin - 1 - doubled, true};
    return at + 1;
}

/* Copy the text of a cell. Return the offset after the cell.
 *
 * `room` is the number of bytes that may be read from the cell on, and written from `to` on. */
static inline size_t copy_cell(Text lines, const Cell *cell, unsigned char *to, size_t room)
{
    size_t at = cell->begin;
    if (!cell->is_quoted) {
        if (cell->size <= WIDE && IN_BOUNDS(room >= WIDE))
            memcpy(to, lines.data + at, WIDE);
        else if (cell->size)
            memcpy(to, lines.data + at, cell->size);
        return at + cell->size;
    }
    at++;
    /* The second condition fails only if another thread changes the text. */
    for (size_t i = 0; i < cell->size && IN_BOUNDS(at < lines.size); i++, at++) {
        to[i] = lines.data[at];
        at += to[i] == '"'; /* skip the second of two quotes */
    }
    return at + 1;
}

static inline void store_number(unsigned char *to, uint32_t number)
{
    memcpy(to, &number, sizeof number);
}

static inline uint32_t load_number(const unsigned char *from)
{
    uint32_t number;
    memcpy(&number, from, sizeof number);
    return number;
}

/* Return the place of the offset or view of a cell. */
static inline unsigned char *entry(const Columns *columns, unsigned column, size_t row)
{
    size_t size = columns->layout == VIEWS ? VIEW_BYTES : OFFSET_BYTES;
    return columns->out + (column * columns->stride + row) * size;
}

static inline size_t entries_size(const Columns *columns)
{
    return (size_t)(entry(columns, columns->width, 0) - columns->out);
}

/* --- The layout with views ------------------------------------------------------------ */

/* Return a word in which all but the first bytes are NUL. */
static inline uint64_t first_bytes(uint64_t word, size_t count)
{
    return count < 8 ? word & (((uint64_t)1 << 8 * count) - 1) : word;
}

static inline void store_bytes(unsigned char *to, uint64_t word, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        to[i] = (unsigned char)(word >> 8 * i);
}

/* Write a text of 12 bytes at most into its view. `text` has more bytes after it. */
static inline void store_short(unsigned char *view, Text text, size_t size)
{
    uint64_t head = first_word(text.data, text.size);
    store_bytes(view + 4, first_bytes(head, size), 8);
    uint64_t rest = size > 8 ? first_word(text.data + 8, text.size - 8) : 0;
    store_bytes(view + 12, first_bytes(rest, size > 8 ? size - 8 : 0), 4);
}

/* Write the view of a cell and, if its text is long, the text to `texts`. The long texts so far
 * are shorter in total than the lines before the cell, so they end before its offset. */
static inline void put_view(Text lines, const Cell *cell, Columns *columns, unsigned column,
                            unsigned char *texts, size_t *used)
{
    unsigned char *view = entry(columns, column, columns->rows), *text = texts + *used;
    store_number(view, (uint32_t)cell->size);
    bool is_short = cell->size <= SHORT_BYTES;
    if (is_short && !cell->is_quoted) {
        Text rest = {lines.data + cell->begin, lines.size - cell->begin};
        store_short(view, rest, cell->size);
        return;
    }
    copy_cell(lines, cell, text, lines.size - cell->begin);
    if (is_short) {
        store_short(view, (Text){text, cell->size}, cell->size);
        return;
    }
    memcpy(view + 4, text, 4);
    store_number(view + 8, 0);
    store_number(view + 12, (uint32_t)*used);
    *used += cell->size;
    columns->sizes[column] += (uint32_t)cell->size;
}

/* --- The layout with offsets ---------------------------------------------------------- */

static inline void put_offset(const Cell *cell, Columns *columns, unsigned column)
{
    columns->sizes[column] += (uint32_t)cell->size;
    store_number(entry(columns, column, columns->rows + 1), columns->sizes[column]);
}

/* The rest of a column, which remains to be copied. */
typedef struct {
    unsigned char *to;
    uint32_t begin, end; /* the offsets of the next cell, and of the end of the column */
} Rest;

/* Copy the cells of all rows to the columns. The first pass has checked them, so this fails only
 * if another thread changes the text or the offsets. */
static bool copy_cells(Text lines, const Columns *columns, Rest *rests)
{
    size_t at = 0;
    for (size_t row = 1; row <= columns->rows; row++)
        for (unsigned column = 0; column < columns->width; column++, at++) {
            Rest *rest = &rests[column];
            uint32_t size = load_number(entry(columns, column, row)) - rest->begin;
            size_t room = rest->end - rest->begin;
            if (!IN_BOUNDS(at <= lines.size) || !IN_BOUNDS(size <= lines.size - at)
                || size > room)
                return false;
            if (!IN_BOUNDS(room <= lines.size - at))
                room = lines.size - at;
            bool is_quoted = IN_BOUNDS(at < lines.size) && lines.data[at] == '"';
            Cell cell = {at, size, is_quoted};
            at = copy_cell(lines, &cell, rest->to, room);
            rest->to += size;
            rest->begin += size;
        }
    return true;
}

static Outcome copy_texts(Text lines, const Columns *columns, unsigned char *texts)
{
    Rest *rests = malloc(columns->width * sizeof *rests);
    if (!rests)
        return NO_MEMORY;
    for (unsigned column = 0; column < columns->width; column++) {
        store_number(entry(columns, column, 0), 0);
        rests[column] = (Rest){.to = texts, .end = columns->sizes[column]};
        texts += columns->sizes[column];
    }
    bool is_copied = copy_cells(lines, columns, rests);
    free(rests);
    return is_copied ? DONE : REFUSED;
}

/* --- All lines ------------------------------------------------------------------------ */

/* Read a cell, and find the separator after it or the end of the text. */
static inline bool read_cell(Reading *reading, Cell *cell, size_t *end)
{
    const Text lines = reading->lines;
    if (reading->quotes && IN_BOUNDS(cell->begin < lines.size)
        && lines.data[cell->begin] == '"') {
        size_t after = read_quoted(reading, cell);
        if (!after)
            return false;
        move_to(reading, after);
        *end = next_separator(reading);
        return *end == after;
    }
    *end = next_separator(reading);
    *cell = (Cell){cell->begin, *end - cell->begin, false};
    return true;
}

/* Find the cells of all rows, and write their offsets or views. */
static inline bool write_entries(Reading *reading, Columns *columns, unsigned char *texts)
{
    const Text lines = reading->lines;
    size_t used = 0, end;
    unsigned column = 0;
    /* If the text ends with a comma, an empty cell follows. */
    for (size_t begin = 0; begin < lines.size || column; begin = end + 1) {
        Cell cell = {.begin = begin};
        if (!read_cell(reading, &cell, &end) || !IN_BOUNDS(column < columns->width)
            || !IN_BOUNDS(columns->rows + 1 < columns->stride))
            return false;
        if (columns->layout == VIEWS)
            put_view(lines, &cell, columns, column, texts, &used);
        else
            put_offset(&cell, columns, column);
        column++;
        if (IN_BOUNDS(end < lines.size) && lines.data[end] == ',')
            continue;
        if (column != columns->width)
            return false;
        column = 0;
        columns->rows++;
    }
    return !reading->quotes && !reading->crs; /* all of them are in quoted cells */
}

/* Return whether the columns fit into `out`. */
static bool have_room(Text lines, const Columns *columns)
{
    size_t room = columns->out_size / (columns->layout == VIEWS ? VIEW_BYTES : OFFSET_BYTES);
    return lines.size <= MAX_COLUMN_BYTES && IN_BOUNDS(columns->stride > 0)
           && IN_BOUNDS(columns->stride <= room / columns->width)
           && IN_BOUNDS(columns->out_size - entries_size(columns) >= lines.size);
}

Outcome write_columns(Text lines, Columns *columns)
{
    unsigned found = find_specials(lines);
    columns->rows = 0;
    memset(columns->sizes, 0, columns->width * sizeof *columns->sizes);
    if (found & HAS_NUL || (found & HAS_NON_ASCII && !is_utf8(lines))
        || !have_room(lines, columns))
        return REFUSED;
    Reading reading = {.lines = lines,
                       .quotes = found & HAS_QUOTE ? count_byte(lines, '"') : 0,
                       .crs = found & HAS_CR ? count_byte(lines, '\r') : 0};
    move_to(&reading, 0);
    unsigned char *texts = columns->out + entries_size(columns);
    if (!write_entries(&reading, columns, texts))
        return REFUSED;
    return columns->layout == VIEWS ? DONE : copy_texts(lines, columns, texts);
}
