/* The inner loops of the library in C, which `module.c` makes available to Python.
 *
 * The functions work on memory that the caller owns, keep no state, and call only malloc, calloc,
 * realloc, free and the mem functions. So they need no lock, and can be tested without Python. If
 * another thread changes a text during a call, the result is undefined, but nothing outside of
 * the buffers is read or written: no size or offset depends on reading a byte twice.
 *
 * Text means UTF-8 bytes. Lines are rows in canonical form (see the explanation of the file
 * format): cells separated by commas, quoted only if necessary, each line ended by LF; the LF of
 * the last line may be missing. A function returns REFUSED for any other bytes, and also for the
 * few canonical lines that have a line end in a cell, a CR, or quotes around the key. The Python
 * code then processes the bytes. If they break a rule, it raises the error, with the line and the
 * rule. So the kernel reports no such errors itself.
 */

#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A condition that keeps a read or a write inside of its buffer. The tests remove these
 * conditions one at a time, and must detect each removal. */
#define IN_BOUNDS(condition) (condition)

typedef enum { DONE, REFUSED, NO_MEMORY } Outcome;

typedef struct {
    const unsigned char *data;
    size_t size;
} Text;

/* The size of the largest text: offsets in it have 32 bits. The tests set a smaller limit. */
#ifndef MAX_TEXT_BYTES
#define MAX_TEXT_BYTES ((size_t)UINT32_MAX - 1)
#endif

/* --- partition.c ---------------------------------------------------------------------- */

/* The key ranges. Range n + 1 begins at the key `prefix` + `heads[n]`, where a head is the next
 * eight bytes as a big-endian number, padded with NUL. The heads ascend. */
typedef struct {
    Text prefix;
    const uint64_t *heads;
    size_t head_count;
} Ranges;

/* With more heads, the number of a range would not fit in 16 bits. */
#define MAX_HEADS ((size_t)UINT16_MAX - 1)

typedef struct {
    size_t rows;       /* all rows */
    size_t skipped;    /* the rows with an empty key, which are in no range */
    uint32_t *lengths; /* the bytes of each range; freed by the caller */
} Partitioned;

/* Write the lines of each range to `out`, one range after the other. Within a range, the lines
 * keep their order. An LF separates them; there is none after the last line of a range. */
Outcome partition_lines(Text lines, unsigned width, unsigned key, const Ranges *ranges,
                        unsigned char *out, size_t out_size, Partitioned *result);

/* --- join.c --------------------------------------------------------------------------- */

/* The users that the file `existing` contains: the current members, the members who stayed,
 * or the previous members. */
typedef enum { MEMBERS, STAYED, PREVIOUS } Meaning;

typedef struct {
    Text before, now;       /* lines, each side in one text */
    unsigned width, key;    /* the number of cells of a row, and the position of the key */
    Text begin, end;        /* the bounds of the range; no bound if there is no data */
    bool before_is_sorted;  /* REFUSED unless the previous keys ascend strictly */
    Meaning meaning;
    uint64_t lacking; /* a bit for each of the first 64 columns that the previous members lack */
} Join;

typedef struct Line Line;

typedef struct {
    Line *lines;
    size_t count;     /* the members */
    size_t arrived;   /* the rows in the range, including those that were dropped */
    size_t conflicts; /* keys with different rows */
} Side;

typedef struct {
    const Line **lines;
    size_t count, size; /* the number of lines, and of their bytes with their LF */
} LineList;

typedef enum { EVERYONE, ENTERING, EXITING, EXISTING, OUTPUTS } Output;

typedef struct {
    Side before, now;
    LineList outputs[OUTPUTS];
    size_t *filled; /* the number of current members with a value, for each column from 2 on */
    size_t changed; /* the members on both sides whose cells differ, in columns that both have */
    bool has_float_ids;
} Joined;

/* Join the two sides of one key range. The caller must free `joined` after any outcome. It refers
 * to the texts of the join. The output EXISTING is empty if it would equal EVERYONE. */
Outcome join_range(const Join *join, Joined *joined);
void write_output(const Joined *joined, Output output, unsigned char *to);
/* Return the next key with different current rows, from `place` on, and set `place` after it.
 * Return a text without data if there is none. */
Text next_conflict(const Joined *joined, size_t *place);
void free_joined(Joined *joined);
/* Return whether a text is that of a floating-point number, such as 7.0 or 3e+17. A program has
 * read such an id as a number, and it may have lost digits. Return false for digits alone. */
bool is_float_text(Text text);

/* --- canonize.c ----------------------------------------------------------------------- */

/* The place, for `canonize_rows`, of a cell that the row lacks. It becomes an empty cell. */
#define NO_CELL 255u

/* Write rows of any dialect to `out` in canonical form, with the cells at the given places or,
 * without places, with all cells in order. */
Outcome canonize_rows(Text rows, unsigned width, Text places, unsigned char *out,
                      size_t out_size, size_t *written);

/* --- spans.c -------------------------------------------------------------------------- */

/* Read spans of a file, each an offset and a size, into `out`, separated by LF. `out_size` must
 * be the size of all spans with these LFs. The outcome is REFUSED if the file can't be read or is
 * too short. */
Outcome read_spans(int file, const uint64_t *spans, size_t count, unsigned char *out,
                   size_t out_size);

/* --- filled.c ------------------------------------------------------------------------- */

/* Add to `filled` the number of rows that have a value in each column. The lines may have line
 * ends in quoted cells. If the outcome is REFUSED, the numbers are undefined. */
Outcome add_filled(Text lines, unsigned width, size_t *filled);

/* --- columns.c ------------------------------------------------------------------------ */

/* The layouts of texts in Arrow: `string` and `string_view`. */
typedef enum { OFFSETS, VIEWS } Layout;

typedef struct {
    Layout layout;
    unsigned width;     /* the number of cells of a row */
    size_t stride;      /* the offsets or views that fit for a column; more than its rows */
    unsigned char *out; /* for all of these, and then for the texts */
    size_t out_size;
    size_t rows;     /* the number of rows */
    uint32_t *sizes; /* the number of bytes of each column; allocated by the caller */
} Columns;

/* Write to `out` the offsets of the texts in each column, in 32 bits, and then the texts of each
 * column, one after the other; or the views of the texts, of 16 bytes, and then all texts that do
 * not fit into their views. The lines may have line ends and CRs in quoted cells. */
Outcome write_columns(Text lines, Columns *columns);

/* --- line_ends.c ---------------------------------------------------------------------- */

size_t count_line_ends(Text text);

/* --- stays.c -------------------------------------------------------------------------- */

/* The change of a user that a line means, in the order in which the changes of a sync apply. */
typedef enum { EXITED, ENTERED, PRESENT } ChangeKind;

typedef struct {
    Text lines; /* one for each key, in the order of the keys */
    uint32_t number; /* of the sync */
    ChangeKind kind;
    bool has_more;   /* the side has more lines after these */
    size_t consumed; /* the number of bytes that were merged */
} StaySide;

typedef struct {
    size_t count, size; /* the number of stays, and of the bytes of their lines */
    uint32_t *entered, *exited; /* 1 more than the numbers of the syncs, or 0 */
} Stays;

/* Merge the lines of sides, which are in the order of the syncs and kinds, into stays, up to the
 * key that all sides reach. A line for each stay is written to `out`, for which the size of all
 * lines with their line ends is always enough. The caller must free `stays` after any outcome. */
Outcome merge_stays(StaySide *sides, size_t count, unsigned width, unsigned key,
                    unsigned char *out, size_t out_size, Stays *stays);
void free_stays(Stays *stays);

/* --- check.c -------------------------------------------------------------------------- */

typedef struct {
    size_t rows;
    bool ascends; /* each key is greater than the one before it */
    Text last;    /* the last key; `after` if there is no line */
} Checked;

/* Check whether the keys of lines ascend, and the first is greater than `after`. Add the numbers
 * of values to `filled`. The last line must have its line end. */
Outcome check_lines(Text lines, unsigned width, unsigned key, Text after, size_t *filled,
                    Checked *checked);

/* --- sides.c -------------------------------------------------------------------------- */

/* Write the key of each line to `out`, each ended by LF. */
Outcome take_keys(Text lines, unsigned width, unsigned key, unsigned char *out, size_t out_size,
                  size_t *written);

#define MAX_SIDES 8u

typedef struct {
    size_t counts[1u << MAX_SIDES]; /* the number of keys that exactly some sides have; the index
                                     * has a bit for each of these sides */
    unsigned found[1u << MAX_SIDES]; /* the indexes that occur, in the order of their first keys */
    unsigned found_count;
    size_t rests[MAX_SIDES]; /* the offset of the remaining keys of each side */
} SideCounts;

/* Merge sides until one of them has no key left. The keys of a side must ascend. A side with an
 * empty text is ignored. */
void count_sides(const Text *texts, unsigned count, SideCounts *result);

#endif
