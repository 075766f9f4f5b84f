/* The check of lines that should be in the order of the key, each key once.
 *
 * The scan refuses lines that are not canonical. So it only remains to compare each key with the
 * one before it, and to count the values. */

#include "lines.h"

Outcome check_lines(Text lines, unsigned width, unsigned key, Text after, size_t *filled,
                    Checked *checked)
{
    size_t plain = 0, ended = 0;
    Scan scan;
    Line line = {0};
    NextLine next;
    *checked = (Checked){.last = after, .ascends = true};
    /* The Python code handles a last line without a line end. */
    if (IN_BOUNDS(lines.size > 0) && lines.data[lines.size - 1] != '\n')
        return REFUSED;
    if (!begin_scan(&scan, lines, width, key))
        return REFUSED;
    while ((next = next_line(&scan, &line)) == LINE_READ) {
        Text found = {line.text + line.key, line.key_size}, last = checked->last;
        if (compare_bytes(found.data, found.size, last.data, last.size) <= 0)
            checked->ascends = false;
        checked->last = found;
        checked->rows++;
        if (!line.has_empty_cell) {
            plain++;
            ended += line.text[line.size - 1] != ','; /* the width is 2 at least */
        }
        else if (add_filled((Text){line.text, line.size}, width, filled) != DONE)
            return REFUSED; /* impossible, unless another thread changes the text */
    }
    for (unsigned column = ID_COLUMNS; column < width; column++)
        filled[column] += column + 1 < width ? plain : ended;
    return next == LINE_REFUSED ? REFUSED : DONE;
}
