/* Canonization, which turns rows of any dialect into canonical lines.
 *
 * The rows may have CRLF, blank lines, quotes that are not needed, and columns in another order
 * than the schema. A row is split into cells, which refer to the text. Doubled quotes stay
 * doubled: a cell with a quote is also quoted in the output, so nothing has to be decoded. */

#include "lines.h"

#define MAX_CELLS 254u

typedef struct {
    const unsigned char *text;
    size_t size;
    bool needs_quotes;
} Cell;

/* Read a quoted cell at its first quote. Return the offset after it, or 0 if it is refused. */
static size_t read_quoted(Text rows, size_t at, Cell *cell)
{
    size_t begin = ++at;
    bool needs_quotes = false;
    for (;; at++) {
        if (!IN_BOUNDS(at < rows.size) || rows.data[at] == '\n')
            return 0; /* a line end in a cell, or never closed */
        unsigned char c = rows.data[at];
        if (c == ',' || c == '\r')
            needs_quotes = true;
        if (c != '"')
            continue;
        if (!IN_BOUNDS(at + 1 < rows.size) || rows.data[at + 1] != '"')
            break;
        at++;
        needs_quotes = true;
    }
    *cell = (Cell){rows.data + begin, at - begin, needs_quotes};
    return at + 1;
}

static size_t read_unquoted(Text rows, size_t at, Cell *cell)
{
    size_t begin = at;
    for (; IN_BOUNDS(at < rows.size); at++) {
        unsigned char c = rows.data[at];
        if (c == ',' || c == '\n' || c == '"' || c == '\r')
            break;
    }
    *cell = (Cell){rows.data + begin, at - begin, false};
    return at;
}

/* Read the cells of a row and its line end. Return the offset after it, or 0 if it is refused. */
static size_t read_row(Text rows, size_t at, unsigned width, Cell *cells)
{
    for (unsigned n = 0;; at++) {
        if (!IN_BOUNDS(n < width))
            return 0;
        Cell *cell = &cells[n++];
        if (IN_BOUNDS(at < rows.size) && rows.data[at] == '"') {
            if (!(at = read_quoted(rows, at, cell)))
                return 0;
        }
        else
            at = read_unquoted(rows, at, cell);
        if (!IN_BOUNDS(at < rows.size))
            return n == width ? at : 0;
        if (rows.data[at] == ',')
            continue;
        if (rows.data[at] == '\r' && IN_BOUNDS(at + 1 < rows.size))
            at++; /* of CRLF; the next condition refuses any other CR */
        return rows.data[at] == '\n' && n == width ? at + 1 : 0;
    }
}

/* Return the size of a blank line at an offset, or 0. */
static size_t blank_line(Text rows, size_t at)
{
    if (rows.data[at] == '\n')
        return 1;
    bool is_crlf = rows.data[at] == '\r' && IN_BOUNDS(at + 1 < rows.size)
                   && rows.data[at + 1] == '\n';
    return is_crlf ? 2 : 0;
}

/* Write a cell and its separator. Return the next place to write, or NULL if it does not fit. */
static unsigned char *write_cell(const Cell *cell, unsigned char separator, unsigned char *to,
                                 const unsigned char *end)
{
    size_t needed = cell->size + (cell->needs_quotes ? 3 : 1);
    if (!IN_BOUNDS((size_t)(end - to) >= needed))
        return NULL;
    if (cell->needs_quotes)
        *to++ = '"';
    if (cell->size)
        memcpy(to, cell->text, cell->size);
    to += cell->size;
    if (cell->needs_quotes)
        *to++ = '"';
    *to++ = separator;
    return to;
}

static bool are_valid_places(Text places, unsigned width)
{
    for (size_t i = 0; i < places.size; i++)
        if (places.data[i] != NO_CELL && !IN_BOUNDS(places.data[i] < width))
            return false;
    return !places.data || places.size > 0;
}

Outcome canonize_rows(Text rows, unsigned width, Text places, unsigned char *out,
                      size_t out_size, size_t *written)
{
    const Cell missing = {0};
    Cell cells[MAX_CELLS];
    unsigned char *to = out;
    const unsigned char *end = out + out_size;
    if (!IN_BOUNDS(width <= MAX_CELLS) || !are_valid_places(places, width))
        return REFUSED;
    unsigned found = find_specials(rows);
    if (found & HAS_NUL || (found & HAS_NON_ASCII && !is_utf8(rows)))
        return REFUSED;
    size_t count = places.data ? places.size : width;
    for (size_t at = 0; IN_BOUNDS(at < rows.size);) {
        size_t blank = blank_line(rows, at);
        at += blank;
        if (blank)
            continue;
        if (!(at = read_row(rows, at, width, cells)))
            return REFUSED;
        for (size_t i = 0; i < count; i++) {
            size_t place = places.data ? places.data[i] : i;
            const Cell *cell = place == NO_CELL ? &missing : &cells[place];
            to = write_cell(cell, i + 1 < count ? ',' : '\n', to, end);
            if (!to)
                return REFUSED;
        }
    }
    *written = (size_t)(to - out);
    return DONE;
}
