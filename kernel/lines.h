/* The scan of canonical lines, which finds one line after the other, and the key of each.
 *
 * Most lines have no quotes. Their commas and line ends are found 64 bytes at a time. A block of
 * 64 bytes becomes a number with a bit for each byte, which is set if the byte is a separator.
 * The lowest bit that is set is then the position of the next separator, and is cleared to
 * proceed. A line that has quotes is read again, one byte at a time.
 *
 * Every 64-bit x86 processor can compare 16 bytes with one instruction (SSE2). The code for other
 * processors compares eight bytes: arithmetic on a word sets the highest bit of each byte that is
 * equal. Words are assembled from bytes, so the result does not depend on the byte order of the
 * processor. Compilers turn this into one load. */

#ifndef LINES_H
#define LINES_H

#include <stdlib.h>
#include <string.h>

#include "kernel.h"

#if defined(__SSE2__) && !defined(KERNEL_PORTABLE)
#include <emmintrin.h>
#endif

struct Line {
    uint64_t head; /* 8 bytes of the key, after the shared bytes: see join.c */
    const unsigned char *text; /* without its line end */
    uint32_t size;
    uint32_t key, key_size; /* the place of the key in the text */
    bool has_empty_cell; /* in a property column except the last; perhaps, if it has quotes */
    bool has_conflict;   /* different rows of this key were dropped */
};

/* The Amplitude id and the user id come first, and the properties after them. */
#define ID_COLUMNS 2

typedef struct {
    const unsigned char *text;
    size_t size;
    size_t line;    /* the offset of the next line */
    size_t block;   /* the offset of the block that is searched */
    uint64_t marks; /* the remaining separators of this block */
    unsigned width, key;
    bool has_quotes; /* in any line of the text */
} Scan;

/* Return eight bytes as a number, with the first one lowest. */
static inline uint64_t load_word(const unsigned char *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24
           | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48
           | (uint64_t)p[7] << 56;
}

/* Return the first eight bytes of a text as a number, the first one lowest, padded with NUL. */
static inline uint64_t first_word(const unsigned char *text, size_t size)
{
    uint64_t word = 0;
    if (IN_BOUNDS(size >= 8))
        return load_word(text);
    for (unsigned i = 0; i < 8 && IN_BOUNDS(i < size); i++)
        word |= (uint64_t)text[i] << 8 * i;
    return word;
}

static inline uint64_t reverse_bytes(uint64_t x)
{
    x = (x & 0x00ff00ff00ff00ffULL) << 8 | (x >> 8 & 0x00ff00ff00ff00ffULL);
    x = (x & 0x0000ffff0000ffffULL) << 16 | (x >> 16 & 0x0000ffff0000ffffULL);
    return x << 32 | x >> 32;
}

/* Return the position of the lowest bit that is set. */
static inline unsigned lowest_bit(uint64_t bits)
{
#if defined(__GNUC__) && !defined(KERNEL_PORTABLE)
    return (unsigned)__builtin_ctzll(bits);
#else
    unsigned place = 0;
    for (unsigned half = 32; half; half /= 2)
        if (!(bits & (((uint64_t)1 << half) - 1))) {
            bits >>= half;
            place += half;
        }
    return place;
#endif
}

#define BLOCK 64

#if defined(__SSE2__) && !defined(KERNEL_PORTABLE)

static inline uint64_t mark_block(const unsigned char *block)
{
    const __m128i commas = _mm_set1_epi8(','), line_ends = _mm_set1_epi8('\n');
    uint64_t marks = 0;
    for (unsigned i = 0; i < BLOCK; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(block + i));
        __m128i found =
            _mm_or_si128(_mm_cmpeq_epi8(bytes, commas), _mm_cmpeq_epi8(bytes, line_ends));
        marks |= (uint64_t)(unsigned)_mm_movemask_epi8(found) << i;
    }
    return marks;
}

#else

/* Return the word with the highest bit of each byte that equals `byte`, and no other bit. The
 * shorter formula of the C folklore also marks some bytes that differ. */
static inline uint64_t mark_bytes(uint64_t word, unsigned char byte)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fULL;
    uint64_t x = word ^ 0x0101010101010101ULL * byte;
    return ~(((x & low) + low) | x | low);
}

static inline uint64_t mark_block(const unsigned char *block)
{
    uint64_t marks = 0;
    for (unsigned i = 0; i < BLOCK; i += 8) {
        uint64_t word = load_word(block + i);
        uint64_t found = mark_bytes(word, ',') | mark_bytes(word, '\n');
        /* The product moves the lowest bit of byte n to bit 56 + n. */
        marks |= ((found >> 7) * 0x0102040810204080ULL >> 56) << i;
    }
    return marks;
}

#endif

/* Return the separators of the block at an offset. The text may end within the block. */
static inline uint64_t mark_separators(const unsigned char *text, size_t size, size_t offset)
{
    unsigned char part[BLOCK] = {0};
    if (IN_BOUNDS(offset + BLOCK <= size))
        return mark_block(text + offset);
    for (unsigned i = 0; i < BLOCK && IN_BOUNDS(offset + i < size); i++)
        part[i] = text[offset + i];
    return mark_block(part);
}

enum { HAS_QUOTE = 1, HAS_CR = 2, HAS_NUL = 4, HAS_NON_ASCII = 128 };

/* Return the kinds of special bytes in a text. Compilers turn the loop into vector operations. */
static inline unsigned find_specials(Text text)
{
    unsigned char found = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = text.data[i];
        found |= (unsigned char)((unsigned char)(c == '"') | (unsigned char)(c == '\r') << 1
                                 | (unsigned char)(c == 0) << 2 | (c & 0x80));
    }
    return found;
}

/* Return whether a text is UTF-8 by RFC 3629, without overlong forms, surrogates and code points
 * above U+10FFFF. */
static inline bool is_utf8(Text text)
{
    const unsigned char *data = text.data;
    for (size_t i = 0; i < text.size;) {
        unsigned char c = data[i++];
        if (c < 0x80)
            continue;
        unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || !IN_BOUNDS(text.size - i >= more))
            return false;
        if ((c == 0xe0 && data[i] < 0xa0) || (c == 0xed && data[i] > 0x9f)
            || (c == 0xf0 && data[i] < 0x90) || (c == 0xf4 && data[i] > 0x8f))
            return false;
        for (; more; more--)
            if ((data[i++] & 0xc0) != 0x80)
                return false;
    }
    return true;
}

/* Begin a scan. Return false if the text is too large, or has bytes that lines can't have. */
static inline bool begin_scan(Scan *scan, Text text, unsigned width, unsigned key)
{
    if (!IN_BOUNDS(text.size <= MAX_TEXT_BYTES))
        return false;
    unsigned found = find_specials(text);
    if (found & (HAS_CR | HAS_NUL) || (found & HAS_NON_ASCII && !is_utf8(text)))
        return false;
    *scan = (Scan){.text = text.data,
                   .size = text.size,
                   .marks = mark_separators(text.data, text.size, 0),
                   .width = width,
                   .key = key,
                   .has_quotes = found & HAS_QUOTE};
    return true;
}

/* Return the offset after a quoted cell of a line, or 0 if the cell is not canonical. */
static inline size_t skip_quoted(const unsigned char *line, size_t size, size_t at)
{
    bool needs_quotes = false;
    for (at++; IN_BOUNDS(at < size); at++) {
        if (line[at] == ',')
            needs_quotes = true;
        if (line[at] != '"')
            continue;
        if (!IN_BOUNDS(at + 1 < size) || line[at + 1] == ',')
            return needs_quotes ? at + 1 : 0;
        if (line[++at] != '"')
            return 0; /* text follows the quoted cell */
        needs_quotes = true;
    }
    return 0; /* never closed, or closed on another line */
}

/* Find the key of a line that has quotes; return false if the line is refused. */
static inline bool read_quoted_line(const Scan *scan, Line *line)
{
    size_t at = 0;
    line->has_empty_cell = true; /* perhaps: empty cells are counted later, if it is a member */
    for (unsigned cell = 0;; cell++, at++) {
        size_t begin = at;
        if (IN_BOUNDS(at < line->size) && line->text[at] == '"') {
            at = skip_quoted(line->text, line->size, at);
            if (!at || cell == scan->key)
                return false;
        }
        for (; IN_BOUNDS(at < line->size) && line->text[at] != ','; at++)
            if (line->text[at] == '"')
                return false;
        if (cell == scan->key) {
            line->key = (uint32_t)begin;
            line->key_size = (uint32_t)(at - begin);
        }
        if (!IN_BOUNDS(at < line->size))
            return cell + 1 == scan->width;
    }
}

typedef enum { LINE_READ, LINE_REFUSED, NO_LINE } NextLine;

/* Read the next line. This sets all fields of `line` except `head`. */
static inline NextLine next_line(Scan *scan, Line *line)
{
    size_t begin = scan->line, at, cell = begin, key = begin, key_end = 0;
    bool has_empty_cell = false;
    unsigned commas = 0;
    if (!IN_BOUNDS(begin < scan->size))
        return NO_LINE;
    for (;;) {
        while (!scan->marks) {
            scan->block += BLOCK;
            if (!IN_BOUNDS(scan->block < scan->size))
                break;
            scan->marks = mark_separators(scan->text, scan->size, scan->block);
        }
        if (!scan->marks) {
            at = scan->size; /* the last line has no line end */
            scan->line = at;
            break;
        }
        at = scan->block + lowest_bit(scan->marks);
        scan->marks &= scan->marks - 1;
        if (scan->text[at] == '\n') {
            scan->line = at + 1;
            break;
        }
        if (commas == scan->key)
            key_end = at;
        else if (commas + 1 == scan->key)
            key = at + 1;
        has_empty_cell |= (at == cell) & (commas >= ID_COLUMNS);
        cell = at + 1;
        commas++;
    }
    line->text = scan->text + begin;
    line->size = (uint32_t)(at - begin);
    line->has_empty_cell = has_empty_cell;
    line->has_conflict = false;
    if (scan->has_quotes && memchr(line->text, '"', line->size))
        return read_quoted_line(scan, line) ? LINE_READ : LINE_REFUSED;
    if (commas + 1 != scan->width)
        return LINE_REFUSED;
    line->key = (uint32_t)(key - begin);
    line->key_size = (uint32_t)((scan->key + 1 == scan->width ? at : key_end) - key);
    return LINE_READ;
}

/* Return eight bytes of a line's key from an offset on as a big-endian number, padded with NUL,
 * so that the numbers sort like the bytes. `end` is the end of the text that contains the line:
 * the bytes after the key are read too, and then cleared. */
static inline uint64_t key_head(const Line *line, size_t offset, const unsigned char *end)
{
    const unsigned char *key = line->text + line->key + offset;
    size_t size = line->key_size - offset;
    uint64_t word = first_word(key, (size_t)(end - key));
    if (size < 8)
        word &= size ? ~(uint64_t)0 >> (64 - 8 * size) : 0;
    return reverse_bytes(word);
}

static inline int compare_bytes(const unsigned char *a, size_t a_size, const unsigned char *b,
                                size_t b_size)
{
    int order = memcmp(a, b, IN_BOUNDS(a_size >= b_size) ? b_size : a_size);
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

/* Compare the keys of two lines whose heads are set. */
static inline int compare_keys(const Line *a, const Line *b)
{
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    return compare_bytes(a->text + a->key, a->key_size, b->text + b->key, b->key_size);
}

/* Double the space for items, and set `capacity`. Return NULL if there is no memory. */
static inline void *grow(void *items, size_t *capacity, size_t item_size)
{
    if (*capacity > SIZE_MAX / 2 / item_size)
        return NULL;
    void *more = realloc(items, *capacity * 2 * item_size);
    if (more)
        *capacity *= 2;
    return more;
}

/* Return a capacity that is enough if the lines of a text have the usual size. See `grow`. */
static inline size_t usual_line_count(Text text)
{
    return text.size / 32 + 64;
}

#endif
