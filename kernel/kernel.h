/* The inner loops of the library in C: what `module.c` offers to Python.
 *
 * Everything here works on memory that the caller owns, keeps no state, and calls nothing but
 * malloc, calloc, realloc, free and the mem functions. So it needs no lock, and it can be
 * tested without Python. If another thread changes a text during a call, the result has no
 * meaning, but nothing outside of the buffers is read or written: no size or offset depends on
 * reading a byte twice.
 *
 * Text means UTF-8 bytes. Lines are rows in canonical form (see the explanation of the file
 * format): cells separated by commas, quoted only if necessary, each line ended by LF; the LF
 * of the last line may be missing. A function that is given any other bytes answers REFUSED,
 * and so it does for the few canonical lines that need care: with a line end in a cell, a CR,
 * or quotes around the key. The Python code then handles them. It also finds the line and the
 * rule for the error message, if they break a rule. Hence there are no errors here.
 */

#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Marks a condition that keeps a read or a write inside of its buffer. The tests remove these
 * conditions one at a time, and must notice each. */
#define IN_BOUNDS(condition) (condition)

typedef enum { DONE, REFUSED, NO_MEMORY } Outcome;

typedef struct {
    const unsigned char *data;
    size_t size;
} Text;

/* The largest text, because offsets in it are kept in 32 bits. The tests set a smaller limit. */
#ifndef MAX_TEXT_BYTES
#define MAX_TEXT_BYTES ((size_t)UINT32_MAX - 1)
#endif

/* --- partition.c ---------------------------------------------------------------------- */

/* The key ranges. Range n + 1 begins at the key `prefix` + `heads[n]`, where a head is the
 * next eight bytes as a big-endian number, filled up with NUL. The heads ascend. */
typedef struct {
    Text prefix;
    const uint64_t *heads;
    size_t head_count;
} Ranges;

/* One more range than this could not be counted in 16 bits. */
#define MAX_HEADS ((size_t)UINT16_MAX - 1)

typedef struct {
    size_t rows;       /* all of them */
    size_t skipped;    /* those with an empty key, which belong to no range */
    uint32_t *lengths; /* the bytes of each range; to be freed by the caller */
} Partitioned;

/* Write the lines of each range to `out`, one range after the other, in the order in which
 * they come. An LF separates the lines of a range; none is after the last one. */
Outcome partition_lines(Text lines, unsigned width, unsigned key, const Ranges *ranges,
                        unsigned char *out, size_t out_size, Partitioned *result);

/* --- join.c --------------------------------------------------------------------------- */

/* The users that the file `existing` contains: the current members, the members who stayed,
 * or the previous members. */
typedef enum { MEMBERS, STAYED, PREVIOUS } Meaning;

typedef struct {
    Text before, now;       /* lines, each side in one text */
    unsigned width, key;    /* the number of cells of a row, and the position of the key */
    Text begin, end;        /* the bounds of the range; without data, there is no such bound */
    bool before_is_sorted;  /* the previous lines must ascend strictly; else REFUSED */
    Meaning meaning;
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
    bool has_float_ids;
} Joined;

/* Join the two sides of one key range. `joined` must be freed by the caller in any case, and
 * refers to the texts of the join. The output EXISTING stays empty if it equals EVERYONE. */
Outcome join_range(const Join *join, Joined *joined);
void write_output(const Joined *joined, Output output, unsigned char *to);
/* Return the key of the next current member from `place` on whose key has different rows,
 * with the place after it; a text without data if there is none. */
Text next_conflict(const Joined *joined, size_t *place);
void free_joined(Joined *joined);
/* Return whether a text is that of a floating-point number, such as 7.0 or 3e+17: an id that a
 * program has read as a number, and that may have lost digits. Digits alone are none. */
bool is_float_text(Text text);

/* --- canonize.c ----------------------------------------------------------------------- */

/* In the places of a canonization: a cell that the row lacks, which becomes an empty one. */
#define NO_CELL 255u

/* Write rows of any dialect to `out` in canonical form, with the cells at the given places;
 * without places, all cells in their order. */
Outcome canonize_rows(Text rows, unsigned width, Text places, unsigned char *out,
                      size_t out_size, size_t *written);

/* --- spans.c -------------------------------------------------------------------------- */

/* Read parts of a file, each with an offset and a size, and write them to `out`, with an LF
 * between two. `out_size` must be their size with these LFs. REFUSED if the file can't be read
 * or is too short. */
Outcome read_spans(int file, const uint64_t *spans, size_t count, unsigned char *out,
                   size_t out_size);

/* --- filled.c ------------------------------------------------------------------------- */

/* Add to `filled` the number of rows that have a value in each column. The lines may have line
 * ends in quoted cells. If the outcome is REFUSED, the numbers have no meaning. */
Outcome add_filled(Text lines, unsigned width, size_t *filled);

/* --- columns.c ------------------------------------------------------------------------ */

/* The layouts of texts in Arrow: `string` and `string_view`. */
typedef enum { OFFSETS, VIEWS } Layout;

typedef struct {
    Layout layout;
    unsigned width;     /* the number of cells of a row */
    size_t stride;      /* the room for the offsets or views of a column: more than its rows */
    unsigned char *out; /* the room for these, and for as many bytes as the lines have */
    size_t out_size;
    size_t rows;     /* the number of rows */
    uint32_t *sizes; /* the number of bytes of each column; the room is the caller's */
} Columns;

/* Write to `out` the offsets of the texts in each column, in 32 bits, and then the texts of each
 * column, one after the other; or the views of the texts, of 16 bytes, and then all texts that do
 * not fit into their views. The lines may have line ends and CRs in quoted cells. */
Outcome write_columns(Text lines, Columns *columns);

/* --- line_ends.c ---------------------------------------------------------------------- */

size_t count_line_ends(Text text);

/* --- stays.c -------------------------------------------------------------------------- */

/* The change of a user that a line shows, in the order in which those of one sync apply. */
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

/* Merge the lines of sides, which are in the order of the syncs and kinds, into stays, as far as
 * all sides go. A line for each stay is written to `out`, which is large enough if it has room
 * for all lines with their line ends. `stays` must be freed by the caller in any case. */
Outcome merge_stays(StaySide *sides, size_t count, unsigned width, unsigned key,
                    unsigned char *out, size_t out_size, Stays *stays);
void free_stays(Stays *stays);

/* --- check.c -------------------------------------------------------------------------- */

typedef struct {
    size_t rows;
    bool ascends; /* each key is greater than the one before it */
    Text last;    /* the last key; `after` if there is no line */
} Checked;

/* Check whether the keys of lines ascend, the first one from `after` on, and add the numbers of
 * values to `filled`. The last line must have its line end. */
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
    unsigned found[1u << MAX_SIDES]; /* the indexes of these, in the order of their first keys */
    unsigned found_count;
    size_t rests[MAX_SIDES]; /* the offset of the keys that are left, for each side */
} SideCounts;

/* Merge sides until one of them has no key left. The keys of a side must ascend. A side without
 * text has ended, and does not count. */
void count_sides(const Text *texts, unsigned count, SideCounts *result);

#endif
