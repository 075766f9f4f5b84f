/* The number of rows that have a value in each column.
 *
 * A cell is empty if its separator directly follows another separator or the begin of the text.
 * Most texts have no quotes. In these, the separators are found 64 bytes at a time (see lines.h).
 * In a text with quotes, each byte is read, because commas and line ends in quotes are not
 * separators. A quoted cell is never empty. */

#include "lines.h"

typedef struct {
    unsigned width, column;
    size_t begin; /* of the cell */
    size_t *filled;
} Count;

/* Count the cell that ends at a separator; return false if the row has another width. */
static inline bool count_cell(Count *count, size_t at, bool is_line_end)
{
    if (!IN_BOUNDS(count->column < count->width))
        return false;
    count->filled[count->column++] += at > count->begin;
    count->begin = at + 1;
    if (!is_line_end)
        return true;
    bool is_whole = count->column == count->width;
    count->column = 0;
    return is_whole;
}

static bool count_unquoted(Count *count, Text lines)
{
    for (size_t block = 0; IN_BOUNDS(block < lines.size); block += BLOCK) {
        uint64_t marks = mark_separators(lines.data, lines.size, block);
        for (; marks; marks &= marks - 1) {
            size_t at = block + lowest_bit(marks);
            if (!count_cell(count, at, lines.data[at] == '\n'))
                return false;
        }
    }
    return true;
}

static bool count_quoted(Count *count, Text lines)
{
    bool quoted = false;
    for (size_t at = 0; IN_BOUNDS(at < lines.size); at++) {
        unsigned char c = lines.data[at];
        if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == ',' || c == '\n') && !count_cell(count, at, c == '\n'))
            return false;
    }
    return !quoted;
}

Outcome add_filled(Text lines, unsigned width, size_t *filled)
{
    Count count = {.width = width, .filled = filled};
    bool has_quotes = lines.size && memchr(lines.data, '"', lines.size);
    if (!(has_quotes ? count_quoted : count_unquoted)(&count, lines))
        return REFUSED;
    /* The last line may lack its line end. */
    if (lines.size && count.begin < lines.size + (count.column > 0)
        && !count_cell(&count, lines.size, true))
        return REFUSED;
    return DONE;
}
