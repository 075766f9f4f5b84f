/* Calls the kernel without Python: reads calls from standard input, writes their results.
 *
 * All numbers are 32 bits, little-endian. A text is its size and its bytes; the size
 * 0xffffffff means no text. Each text is copied into a block of exactly its size, so that
 * AddressSanitizer notices a read beyond it. A result begins with the outcome. Each call is
 * also repeated with each of its allocations failing in turn: it must then report the lack of
 * memory. The program ends with 3 if it does not, and with 4 if memory is left in use. And it is
 * repeated with other texts from each of its allocations on, as if another thread changed them:
 * it must then stay in its buffers.
 */

#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

extern long allocations_before_failure, allocations_before_change, blocks_in_use;
extern void (*change_texts)(void);
void *__real_malloc(size_t size);
void __real_free(void *memory);

#define NO_TEXT 0xffffffffu

/* --- Input and output ----------------------------------------------------------------- */

static unsigned read_number(void)
{
    unsigned char bytes[4];
    if (fread(bytes, 1, 4, stdin) != 4)
        exit(2);
    return bytes[0] | (unsigned)bytes[1] << 8 | (unsigned)bytes[2] << 16
           | (unsigned)bytes[3] << 24;
}

static void write_number(size_t number)
{
    for (int i = 0; i < 4; i++)
        putchar((int)(number >> 8 * i & 0xff));
}

static Text read_text(void)
{
    unsigned size = read_number();
    if (size == NO_TEXT)
        return (Text){0};
    unsigned char *data = __real_malloc(size);
    if (size && fread(data, 1, size, stdin) != size)
        exit(2);
    return (Text){data, size};
}

static void write_text(Text text)
{
    write_number(text.size);
    if (text.size)
        fwrite(text.data, 1, text.size, stdout);
}

static void drop(Text text)
{
    __real_free((void *)text.data);
}

static unsigned char *make_out(size_t size)
{
    unsigned char *out = __real_malloc(size);
    if (size)
        memset(out, 0xaa, size);
    return out;
}

/* --- The calls ------------------------------------------------------------------------ */

typedef struct {
    unsigned width, key, meaning, out_size;
    bool is_sorted;
    Text texts[4];
    uint64_t *heads; /* big-endian texts of 8 bytes, from the last text of a partition */
} Call;

/* Return the numbers of 8 bytes in a text. */
static uint64_t *read_big_endian(Text bytes)
{
    uint64_t *numbers = __real_malloc(bytes.size);
    for (size_t i = 0; i < bytes.size / 8; i++) {
        numbers[i] = 0;
        for (size_t byte = 0; byte < 8; byte++)
            numbers[i] = numbers[i] << 8 | bytes.data[8 * i + byte];
    }
    return numbers;
}

/* Each of these returns the outcome, and writes the results of a call that is done. */

static Outcome call_partition(const Call *call, bool writes)
{
    Ranges ranges = {call->texts[1], call->heads, call->texts[2].size / 8};
    unsigned char *out = make_out(call->out_size);
    Partitioned found;
    Outcome outcome = partition_lines(call->texts[0], call->width, call->key, &ranges, out,
                                      call->out_size, &found);
    if (writes)
        write_number(outcome);
    if (writes && outcome == DONE) {
        size_t sum = 0;
        write_number(found.rows);
        write_number(found.skipped);
        for (size_t i = 0; i <= ranges.head_count; i++) {
            write_number(found.lengths[i]);
            sum += found.lengths[i];
        }
        write_text((Text){out, sum});
    }
    free(found.lengths);
    __real_free(out);
    return outcome;
}

static void write_joined(const Joined *joined, unsigned width)
{
    size_t place = 0;
    write_number(joined->before.count);
    write_number(joined->now.arrived);
    write_number(joined->now.count);
    write_number(joined->now.conflicts);
    for (Text key; (key = next_conflict(joined, &place)).data;)
        write_text(key);
    for (int i = 0; i < OUTPUTS; i++) {
        Text text = {make_out(joined->outputs[i].size), joined->outputs[i].size};
        write_output(joined, (Output)i, (unsigned char *)text.data);
        write_number(joined->outputs[i].count);
        write_text(text);
        drop(text);
    }
    for (unsigned i = 2; i < width; i++)
        write_number(joined->filled[i]);
    write_number(joined->has_float_ids);
    write_number(joined->changed);
}

static Outcome call_join(const Call *call, bool writes)
{
    Join join = {call->texts[0], call->texts[1], call->width,     call->key,
                 call->texts[2], call->texts[3], call->is_sorted, (Meaning)call->meaning,
                 call->out_size};
    Joined joined;
    Outcome outcome = join_range(&join, &joined);
    if (writes)
        write_number(outcome);
    if (writes && outcome == DONE)
        write_joined(&joined, call->width);
    free_joined(&joined);
    return outcome;
}

static Outcome call_canonize(const Call *call, bool writes)
{
    unsigned char *out = make_out(call->out_size);
    size_t written = 0;
    Outcome outcome = canonize_rows(call->texts[0], call->width, call->texts[1], out,
                                    call->out_size, &written);
    if (writes)
        write_number(outcome);
    if (writes && outcome == DONE)
        write_text((Text){out, written});
    __real_free(out);
    return outcome;
}

static Outcome call_count_filled(const Call *call, bool writes)
{
    size_t *filled = __real_malloc(call->width * sizeof *filled);
    memset(filled, 0, call->width * sizeof *filled);
    Outcome outcome = add_filled(call->texts[0], call->width, filled);
    if (writes)
        write_number(outcome);
    for (unsigned i = 2; writes && outcome == DONE && i < call->width; i++)
        write_number(filled[i]);
    __real_free(filled);
    return outcome;
}

static uint32_t number_at(const unsigned char *bytes)
{
    uint32_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

/* Write the text of a view. */
static void write_view(const unsigned char *view, const unsigned char *texts)
{
    uint32_t size = number_at(view);
    if (size <= 12) {
        for (uint32_t i = size; i < 12; i++)
            if (view[4 + i])
                exit(5);
        write_text((Text){view + 4, size});
        return;
    }
    const unsigned char *text = texts + number_at(view + 12);
    if (number_at(view + 8) || memcmp(view + 4, text, 4))
        exit(5);
    write_text((Text){text, size});
}

static void write_column_texts(const Columns *columns)
{
    size_t entry = columns->layout == VIEWS ? 16 : 4;
    const unsigned char *texts = columns->out + columns->stride * columns->width * entry;
    const unsigned char *text = texts;
    write_number(columns->rows);
    for (unsigned column = 0; column < columns->width; column++) {
        const unsigned char *entries = columns->out + column * columns->stride * entry;
        for (size_t row = 0; row < columns->rows + (columns->layout == OFFSETS); row++)
            if (columns->layout == VIEWS)
                write_view(entries + row * entry, texts);
            else
                write_number(number_at(entries + row * entry));
        if (columns->layout == OFFSETS)
            write_text((Text){text, columns->sizes[column]});
        text += columns->sizes[column];
    }
    for (unsigned column = 0; columns->layout == VIEWS && column < columns->width; column++)
        write_number(columns->sizes[column]);
}

static Outcome call_columns(const Call *call, bool writes)
{
    Columns columns = {.layout = (Layout)call->meaning,
                       .width = call->width,
                       .stride = call->key,
                       .out = make_out(call->out_size),
                       .out_size = call->out_size,
                       .sizes = __real_malloc(call->width * sizeof(uint32_t))};
    Outcome outcome = write_columns(call->texts[0], &columns);
    if (writes)
        write_number(outcome);
    if (writes && outcome == DONE)
        write_column_texts(&columns);
    __real_free(columns.out);
    __real_free(columns.sizes);
    return outcome;
}

/* The first three texts are sides. The last one has 5 bytes for each: a number and a kind. */
static Outcome call_stays(const Call *call, bool writes)
{
    StaySide sides[3];
    size_t count = call->texts[3].size / 5;
    for (size_t i = 0; i < count; i++) {
        const unsigned char *change = call->texts[3].data + 5 * i;
        uint32_t number = change[0] | (uint32_t)change[1] << 8 | (uint32_t)change[2] << 16
                          | (uint32_t)change[3] << 24;
        sides[i] = (StaySide){call->texts[i], number, (ChangeKind)(change[4] & 3), change[4] > 3, 0};
    }
    unsigned char *out = make_out(call->out_size);
    Stays stays;
    Outcome outcome = merge_stays(sides, count, call->width, call->key, out, call->out_size,
                                  &stays);
    if (writes)
        write_number(outcome);
    if (writes && outcome == DONE) {
        write_text((Text){out, stays.size});
        write_number(stays.count);
        for (size_t i = 0; i < stays.count; i++) {
            write_number(stays.entered[i]);
            write_number(stays.exited[i]);
        }
        for (size_t i = 0; i < count; i++)
            write_number(sides[i].consumed);
    }
    free_stays(&stays);
    __real_free(out);
    return outcome;
}

static Outcome done_with(size_t number, bool writes)
{
    if (writes) {
        write_number(DONE);
        write_number(number);
    }
    return DONE;
}

static Outcome call_is_float_text(const Call *call, bool writes)
{
    return done_with(is_float_text(call->texts[0]), writes);
}

static Outcome call_count_line_ends(const Call *call, bool writes)
{
    return done_with(count_line_ends(call->texts[0]), writes);
}

static Outcome call_check(const Call *call, bool writes)
{
    size_t *filled = __real_malloc(call->width * sizeof *filled);
    Checked checked;
    memset(filled, 0, call->width * sizeof *filled);
    Outcome outcome = check_lines(call->texts[0], call->width, call->key, call->texts[1], filled,
                                  &checked);
    if (writes)
        write_number(outcome);
    if (writes && outcome == DONE) {
        write_number(checked.rows);
        write_number(checked.ascends);
        for (unsigned i = 2; i < call->width; i++)
            write_number(filled[i]);
        write_text(checked.last);
    }
    __real_free(filled);
    return outcome;
}

static Outcome call_take_keys(const Call *call, bool writes)
{
    unsigned char *out = make_out(call->out_size);
    size_t written = 0;
    Outcome outcome = take_keys(call->texts[0], call->width, call->key, out, call->out_size,
                                &written);
    if (writes)
        write_number(outcome);
    if (writes && outcome == DONE)
        write_text((Text){out, written});
    __real_free(out);
    return outcome;
}

/* The width is the number of sides. */
static Outcome call_count_sides(const Call *call, bool writes)
{
    SideCounts counted;
    count_sides(call->texts, call->width, &counted);
    if (writes) {
        write_number(DONE);
        write_number(counted.found_count);
        for (unsigned i = 0; i < counted.found_count; i++) {
            write_number(counted.found[i]);
            write_number(counted.counts[counted.found[i]]);
        }
        for (unsigned side = 0; side < call->width; side++)
            write_number(counted.rests[side]);
    }
    return DONE;
}

/* The first text is the file; the second one has 16 bytes for each span, big-endian. */
static Outcome call_read_spans(const Call *call, bool writes)
{
    FILE *file = tmpfile();
    size_t size = call->texts[0].size;
    if (!file || fwrite(call->texts[0].data, 1, size, file) != size || fflush(file))
        exit(2);
    unsigned char *out = make_out(call->out_size);
    uint64_t *spans = read_big_endian(call->texts[1]);
    Outcome outcome = read_spans(fileno(file), spans, call->texts[1].size / 16, out,
                                 call->out_size);
    if (writes)
        write_number(outcome);
    if (writes && outcome == DONE)
        write_text((Text){out, call->out_size});
    __real_free(spans);
    __real_free(out);
    fclose(file);
    return outcome;
}

static Outcome call_function(int function, const Call *call, bool writes)
{
    switch (function) {
    case 'p':
        return call_partition(call, writes);
    case 'j':
        return call_join(call, writes);
    case 'c':
        return call_canonize(call, writes);
    case 'f':
        return call_count_filled(call, writes);
    case 't':
        return call_columns(call, writes);
    case 's':
        return call_stays(call, writes);
    case 'i':
        return call_is_float_text(call, writes);
    case 'l':
        return call_count_line_ends(call, writes);
    case 'o':
        return call_check(call, writes);
    case 'k':
        return call_take_keys(call, writes);
    case 'u':
        return call_count_sides(call, writes);
    case 'r':
        return call_read_spans(call, writes);
    default:
        exit(2);
    }
}

/* Make one allocation after the other fail. Return the exit code. */
static int fail_allocations(int function, const Call *call)
{
    for (long n = 0;; n++) {
        allocations_before_failure = n;
        Outcome outcome = call_function(function, call, false);
        bool has_failed = allocations_before_failure < 0;
        allocations_before_failure = -1;
        if (blocks_in_use)
            return 4;
        if (!has_failed)
            return 0;
        if (outcome != NO_MEMORY)
            return 3;
    }
}

static const Call *changed_call;
static const char *swapped_bytes;

/* Swap some bytes for others in all texts; the second time, they are as before. */
static void swap_bytes(void)
{
    for (int i = 0; i < 4; i++)
        for (size_t at = 0; at < changed_call->texts[i].size; at++) {
            unsigned char *byte = (unsigned char *)changed_call->texts[i].data + at;
            const char *found = *byte ? strchr(swapped_bytes, *byte) : NULL;
            if (found)
                *byte = (unsigned char)swapped_bytes[(found - swapped_bytes) ^ 1];
        }
}

/* Change the texts at one allocation after the other. Return the exit code. */
static int change_at_allocations(int function, const Call *call)
{
    const char *const swaps[] = {"a\"1,x\n", "1\"a\n,x", "\",\n1"}; /* pairs of bytes */
    changed_call = call;
    change_texts = swap_bytes;
    for (unsigned i = 0; i < 3; i++)
        for (long n = 0;; n++) {
            swapped_bytes = swaps[i];
            allocations_before_change = n;
            call_function(function, call, false);
            bool has_changed = allocations_before_change < 0;
            allocations_before_change = -1;
            if (blocks_in_use)
                return 4;
            if (!has_changed)
                break;
            swap_bytes();
        }
    return 0;
}

int main(void)
{
    for (int function; (function = getchar()) != EOF;) {
        Call call = {0};
        call.width = read_number();
        call.key = read_number();
        call.meaning = read_number();
        call.is_sorted = read_number();
        call.out_size = read_number();
        for (int i = 0; i < 4; i++)
            call.texts[i] = read_text();
        call.heads = read_big_endian(function == 'p' ? call.texts[2] : (Text){0});
        call_function(function, &call, true);
        int code = fail_allocations(function, &call);
        if (!code)
            code = change_at_allocations(function, &call);
        if (code)
            return code;
        for (int i = 0; i < 4; i++)
            drop(call.texts[i]);
        __real_free(call.heads);
    }
    return 0;
}
