/* Columns: canonical lines become the texts of each column, in one of two layouts of Arrow.
 *
 * In the layout `string`, a column has the bytes of its texts one after the other, and the offset
 * at which each begins, followed by the end of the last one. The first pass finds the cells and
 * writes the offsets. Then it is known where the texts of each column begin. The second pass
 * copies the cells there, without the quotes around them.
 *
 * In the layout `string_view`, a column has a record of 16 bytes for each text: its size, and the
 * text itself or, if it is longer than 12 bytes, its first 4 bytes, the number of a buffer (0) and
 * the offset in that. One pass is enough, as the long texts of all columns are in one buffer.
 *
 * The separators are found eight bytes at a time (see lines.h). In texts with quotes, the quotes
 * and CRs are found too, and a quoted cell is read byte by byte. */

#include "lines.h"

/* Arrow's offsets are signed. */
#define MAX_COLUMN_BYTES ((size_t)INT32_MAX)

/* The room in which a short cell is copied at once, whatever its size: it is faster than a loop
 * over its bytes. What is written after the cell is overwritten by the next one. */
#define WIDE 32

#define OFFSET_BYTES ((size_t)4)
#define VIEW_BYTES ((size_t)16)
#define SHORT_BYTES ((size_t)12)

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

/* --- The cells ------------------------------------------------------------------------ */

/* A cell of a row. */
typedef struct {
    size_t begin; /* the offset of its first byte, which may be a quote */
    size_t size;  /* the number of bytes of its text, without the quotes around it */
    bool is_quoted;
} Cell;

/* Copy the text of a cell. Return the offset after the cell.
 *
 * `room` is the number of bytes from the cell on that may be read, and written at `to`. */
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
    for (size_t i = 0; i < cell->size; i++, at++) {
        to[i] = lines.data[at];
        at += to[i] == '"'; /* it is doubled */
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

/* Return the first bytes of a word, and NUL for the others. */
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
    uint64_t head = load_word(text.data, text.size, 0);
    store_bytes(view + 4, first_bytes(head, size), 8);
    uint64_t rest = size > 8 ? load_word(text.data, text.size, 8) : 0;
    store_bytes(view + 12, first_bytes(rest, size > 8 ? size - 8 : 0), 4);
}

/* Write the view of a cell, and a long text to `texts`. The long texts so far need less room
 * than their cells, so they end before the offset at which the cell begins. */
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

/* The text of a column that is left to copy. */
typedef struct {
    unsigned char *to;
    uint32_t begin, end; /* the offsets of the next cell, and of the end of the column */
} Rest;

/* Copy the cells of all rows to the columns. The first pass has checked them. */
static void copy_cells(Text lines, const Columns *columns, Rest *rests)
{
    size_t at = 0;
    for (size_t row = 1; row <= columns->rows; row++)
        for (unsigned column = 0; column < columns->width; column++, at++) {
            Rest *rest = &rests[column];
            uint32_t end = load_number(entry(columns, column, row));
            bool is_quoted = IN_BOUNDS(at < lines.size) && lines.data[at] == '"';
            Cell cell = {at, end - rest->begin, is_quoted};
            /* The column has no more bytes left than the lines. */
            at = copy_cell(lines, &cell, rest->to, rest->end - rest->begin);
            rest->to += cell.size;
            rest->begin = end;
        }
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
    copy_cells(lines, columns, rests);
    free(rests);
    return DONE;
}

/* --- All lines ------------------------------------------------------------------------ */

/* Read a cell. Return the offset of the separator after it, or of the end of the text; false if
 * it is not canonical. */
static inline bool read_cell(Marks *marks, Cell *cell, size_t *end)
{
    const Text lines = marks->lines;
    size_t at = next_mark(marks);
    *cell = (Cell){cell->begin, at - cell->begin, false};
    if (marks->has_quotes && IN_BOUNDS(at < lines.size) && lines.data[at] == '"') {
        size_t after = at == cell->begin ? measure_quoted(lines, at, &cell->size) : 0;
        if (!after)
            return false;
        move_to(marks, after);
        at = next_mark(marks);
        if (at != after)
            return false;
        cell->is_quoted = true;
    }
    *end = at;
    return true;
}

/* Find the cells of all rows, and write their offsets or views. */
static inline bool write_entries(Marks *marks, Columns *columns, unsigned char *texts)
{
    const Text lines = marks->lines;
    size_t used = 0, end;
    unsigned column = 0;
    Cell cell;
    /* After a comma at the end of the text there is one more cell, which is empty. */
    for (size_t begin = 0; begin < lines.size || column; begin = end + 1) {
        cell.begin = begin;
        if (!read_cell(marks, &cell, &end))
            return false;
        bool is_row_end = !IN_BOUNDS(end < lines.size) || lines.data[end] == '\n';
        if (!is_row_end && lines.data[end] != ',')
            return false; /* a quote or a CR in a cell without quotes */
        if (!IN_BOUNDS(column < columns->width) || !IN_BOUNDS(columns->rows + 1 < columns->stride))
            return false;
        if (columns->layout == VIEWS)
            put_view(lines, &cell, columns, column, texts, &used);
        else
            put_offset(&cell, columns, column);
        column++;
        if (is_row_end) {
            if (column != columns->width)
                return false;
            column = 0;
            columns->rows++;
        }
    }
    return true;
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
    size_t room = columns->out_size / (columns->layout == VIEWS ? VIEW_BYTES : OFFSET_BYTES);
    return IN_BOUNDS(columns->stride > 0) && IN_BOUNDS(columns->stride <= room / columns->width)
           && IN_BOUNDS(columns->out_size - entries_size(columns) >= lines.size);
}

Outcome write_columns(Text lines, Columns *columns)
{
    columns->rows = 0;
    memset(columns->sizes, 0, columns->width * sizeof *columns->sizes);
    if (!can_begin(lines, columns))
        return REFUSED;
    Marks marks = {.lines = lines, .has_quotes = lines.size && memchr(lines.data, '"', lines.size)};
    move_to(&marks, 0);
    unsigned char *texts = columns->out + entries_size(columns);
    if (!write_entries(&marks, columns, texts))
        return REFUSED;
    return columns->layout == VIEWS ? DONE : copy_texts(lines, columns, texts);
}
