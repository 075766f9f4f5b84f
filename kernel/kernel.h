/* The inner loops of the library in C: what `module.c` offers to Python.
 *
 * Everything here works on memory that the caller owns, keeps no state, and calls nothing but
 * malloc, realloc, free, qsort and the mem functions. So it needs no lock, and it can be
 * tested without Python.
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

/* The largest text, because offsets in it are kept in 32 bits. */
#define MAX_TEXT_BYTES ((size_t)UINT32_MAX - 1)

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

/* --- filled.c ------------------------------------------------------------------------- */

/* Add to `filled` the number of rows that have a value in each column. The lines may have line
 * ends in quoted cells. If the outcome is REFUSED, the numbers have no meaning. */
Outcome add_filled(Text lines, unsigned width, size_t *filled);

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
