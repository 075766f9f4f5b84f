/* The Python module, which converts arguments and results. The work is done without the GIL.
 *
 * Texts and `out` are buffers. Python neither frees nor resizes them during a call, but other
 * threads can change their bytes. The short arguments are bytes objects, which never change.
 *
 * The module has no state and no slots. By default, Python does not import such a module in an
 * interpreter that has its own GIL. A Python without a GIL has no limited API, so the module
 * can't be built for it. In both cases, the Python code is used.
 *
 * A function returns None for bytes that the Python code must process: see `kernel.h`. For an
 * argument that no caller has a reason to pass, such as a key that is not a column, it raises
 * ValueError. The stubs in `_kernel.pyi` describe the functions. */

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000 /* one binary for Python 3.11 and all later ones */
#endif
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "kernel.h"

static Text text_of(const Py_buffer *buffer)
{
    return (Text){buffer->buf, (size_t)buffer->len};
}

/* An argument that is bytes, str or None, with its size. */
typedef struct {
    const char *data;
    Py_ssize_t size;
} Short;

static Text short_text(Short bytes)
{
    return (Text){(const unsigned char *)bytes.data, (size_t)bytes.size};
}

static bool overlap(const Py_buffer *a, const Py_buffer *b)
{
    uintptr_t a_begin = (uintptr_t)a->buf, b_begin = (uintptr_t)b->buf;
    return a_begin < b_begin + (uintptr_t)b->len && b_begin < a_begin + (uintptr_t)a->len;
}

static bool fail(const char *message)
{
    PyErr_SetString(PyExc_ValueError, message);
    return false;
}

static bool check_columns(int width, int key)
{
    if (!IN_BOUNDS(width >= 2) || !IN_BOUNDS(width <= UINT16_MAX))
        return fail("width must be from 2 to 65,535");
    if (!IN_BOUNDS(key >= 0) || !IN_BOUNDS(key < width))
        return fail("key must be the position of a column");
    return true;
}

static bool check_out(const Py_buffer *in, const Py_buffer *out)
{
    return IN_BOUNDS(!overlap(in, out)) || fail("out must not overlap the text");
}

/* Return None for REFUSED. The only other outcome is a lack of memory, which is raised. */
static PyObject *none_or_error(Outcome outcome)
{
    return outcome == REFUSED ? Py_NewRef(Py_None) : PyErr_NoMemory();
}

static PyObject *numbers(const size_t *values, size_t count)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; tuple && i < count; i++) {
        PyObject *value = PyLong_FromSize_t(values[i]);
        if (!value || PyTuple_SetItem(tuple, (Py_ssize_t)i, value) < 0)
            Py_CLEAR(tuple); /* SetItem has taken the reference, even if it failed */
    }
    return tuple;
}

/* --- partition ------------------------------------------------------------------------ */

/* Return the heads as numbers, which the caller frees; NULL with an exception. */
static uint64_t *read_heads(Text bytes)
{
    size_t count = bytes.size / 8;
    if (!IN_BOUNDS(bytes.size % 8 == 0) || !IN_BOUNDS(count <= MAX_HEADS)) {
        fail("heads must be at most 65,534 texts of 8 bytes");
        return NULL;
    }
    uint64_t *heads = malloc((count + 1) * sizeof *heads);
    if (!heads) {
        PyErr_NoMemory();
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        heads[i] = 0;
        for (size_t byte = 0; byte < 8; byte++)
            heads[i] = heads[i] << 8 | bytes.data[8 * i + byte];
        if (i && heads[i] <= heads[i - 1]) {
            fail("heads must ascend");
            free(heads);
            return NULL;
        }
    }
    return heads;
}

static PyObject *partition_buffers(const Py_buffer *lines, const Py_buffer *out, int width,
                                   int key, Short prefix, Short heads)
{
    if (!check_columns(width, key) || !check_out(lines, out))
        return NULL;
    if (!IN_BOUNDS(out->len >= lines->len)) {
        fail("out must be as large as the text");
        return NULL;
    }
    Ranges ranges = {.prefix = short_text(prefix), .head_count = (size_t)heads.size / 8};
    uint64_t *numbers = read_heads(short_text(heads));
    if (!numbers)
        return NULL;
    ranges.heads = numbers;
    Partitioned found;
    Outcome outcome;
    Py_BEGIN_ALLOW_THREADS
    outcome = partition_lines(text_of(lines), (unsigned)width, (unsigned)key, &ranges, out->buf,
                              (size_t)out->len, &found);
    Py_END_ALLOW_THREADS
    PyObject *result;
    if (outcome == DONE) {
        Py_ssize_t size = (Py_ssize_t)((ranges.head_count + 1) * sizeof *found.lengths);
        result = Py_BuildValue("nny#", (Py_ssize_t)found.rows, (Py_ssize_t)found.skipped,
                               (char *)found.lengths, size);
    }
    else
        result = none_or_error(outcome);
    free(found.lengths);
    free(numbers);
    return result;
}

static PyObject *partition(PyObject *self, PyObject *args)
{
    Py_buffer lines, out;
    Short prefix, heads;
    int width, key;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*iiy#y#:partition", &lines, &out, &width, &key, &prefix.data,
                          &prefix.size, &heads.data, &heads.size))
        return NULL;
    PyObject *result = partition_buffers(&lines, &out, width, key, prefix, heads);
    PyBuffer_Release(&lines);
    PyBuffer_Release(&out);
    return result;
}

/* --- join ----------------------------------------------------------------------------- */

/* Return the counts of the properties as a tuple, without those of the two id columns. */
static PyObject *filled_properties(const size_t *filled, unsigned width)
{
    return numbers(filled + 2, width - 2);
}

static PyObject *conflicting_keys(const Joined *joined, Py_ssize_t limit)
{
    PyObject *keys = PyList_New(0);
    size_t place = 0;
    while (keys && IN_BOUNDS(PyList_Size(keys) < limit)) {
        Text key = next_conflict(joined, &place);
        if (!key.data)
            break;
        PyObject *text = PyUnicode_DecodeUTF8((const char *)key.data, (Py_ssize_t)key.size, NULL);
        if (!text || PyList_Append(keys, text) < 0)
            Py_CLEAR(keys);
        Py_XDECREF(text);
    }
    return keys;
}

/* Make the texts of the files. Equal texts are one object, which is made only once. */
static bool make_texts(const Joined *joined, Meaning meaning, PyObject *texts[OUTPUTS])
{
    const LineList *lists = joined->outputs;
    bool all_enter = lists[ENTERING].count == lists[EVERYONE].count;
    char *places[OUTPUTS] = {NULL};
    for (int i = 0; i < OUTPUTS; i++) {
        if ((i == ENTERING && all_enter) || (i == EXISTING && meaning == MEMBERS)) {
            texts[i] = Py_NewRef(texts[EVERYONE]);
            continue;
        }
        texts[i] = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)lists[i].size);
        if (!texts[i] || !(places[i] = PyBytes_AsString(texts[i])))
            return false;
    }
    Py_BEGIN_ALLOW_THREADS
    for (int i = 0; i < OUTPUTS; i++)
        if (places[i])
            write_output(joined, (Output)i, (unsigned char *)places[i]);
    Py_END_ALLOW_THREADS
    return true;
}

static PyObject *build_result(const Joined *joined, Meaning meaning, PyObject *const *texts,
                              PyObject *conflicting, PyObject *filled)
{
    const LineList *lists = joined->outputs;
    size_t existing = lists[meaning == MEMBERS ? EVERYONE : EXISTING].count;
    return Py_BuildValue(
        "nnnnOOOOOnnnOOn", (Py_ssize_t)joined->before.count, (Py_ssize_t)joined->now.arrived,
        (Py_ssize_t)joined->now.count, (Py_ssize_t)joined->now.conflicts, conflicting,
        texts[EVERYONE], texts[ENTERING], texts[EXITING], texts[EXISTING],
        (Py_ssize_t)lists[ENTERING].count, (Py_ssize_t)lists[EXITING].count,
        (Py_ssize_t)existing, filled, joined->has_float_ids ? Py_True : Py_False,
        (Py_ssize_t)joined->changed);
}

static PyObject *make_result(const Joined *joined, const Join *join, Py_ssize_t max_conflicts)
{
    PyObject *texts[OUTPUTS] = {NULL}, *conflicting = NULL, *filled = NULL, *result = NULL;
    if (make_texts(joined, join->meaning, texts)
        && (conflicting = conflicting_keys(joined, max_conflicts))
        && (filled = filled_properties(joined->filled, join->width)))
        result = build_result(joined, join->meaning, texts, conflicting, filled);
    for (int i = 0; i < OUTPUTS; i++)
        Py_XDECREF(texts[i]);
    Py_XDECREF(conflicting);
    Py_XDECREF(filled);
    return result;
}

static PyObject *join(PyObject *self, PyObject *args)
{
    Py_buffer before, now;
    Short begin, end;
    int width, key, is_sorted, meaning;
    Py_ssize_t max_conflicts;
    unsigned long long lacking = 0;
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*iiz#z#pin|K:join", &before, &now, &width, &key, &begin.data,
                          &begin.size, &end.data, &end.size, &is_sorted, &meaning,
                          &max_conflicts, &lacking))
        return NULL;
    if (!IN_BOUNDS(meaning >= MEMBERS) || !IN_BOUNDS(meaning <= PREVIOUS))
        fail("meaning must be 0, 1 or 2");
    else if (check_columns(width, key)) {
        Join task = {text_of(&before),  text_of(&now),   (unsigned)width, (unsigned)key,
                     short_text(begin), short_text(end), is_sorted != 0,  (Meaning)meaning,
                     lacking};
        Joined joined;
        Outcome outcome;
        Py_BEGIN_ALLOW_THREADS
        outcome = join_range(&task, &joined);
        Py_END_ALLOW_THREADS
        result = outcome == DONE ? make_result(&joined, &task, max_conflicts)
                                 : none_or_error(outcome);
        free_joined(&joined);
    }
    PyBuffer_Release(&before);
    PyBuffer_Release(&now);
    return result;
}

/* --- canonize and count_filled -------------------------------------------------------- */

static PyObject *canonize(PyObject *self, PyObject *args)
{
    Py_buffer rows, out;
    Short places;
    int width;
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*iz#:canonize", &rows, &out, &width, &places.data,
                          &places.size))
        return NULL;
    if (check_columns(width, 0) && check_out(&rows, &out)) {
        size_t written = 0;
        Outcome outcome;
        Py_BEGIN_ALLOW_THREADS
        outcome = canonize_rows(text_of(&rows), (unsigned)width, short_text(places), out.buf,
                                (size_t)out.len, &written);
        Py_END_ALLOW_THREADS
        result = outcome == DONE ? PyLong_FromSize_t(written) : none_or_error(outcome);
    }
    PyBuffer_Release(&rows);
    PyBuffer_Release(&out);
    return result;
}

static PyObject *count_filled(PyObject *self, PyObject *args)
{
    Py_buffer lines;
    int width;
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*i:count_filled", &lines, &width))
        return NULL;
    size_t *filled = NULL;
    if (check_columns(width, 0)) {
        Outcome outcome = NO_MEMORY;
        filled = calloc((size_t)width, sizeof *filled);
        if (filled) {
            Py_BEGIN_ALLOW_THREADS
            outcome = add_filled(text_of(&lines), (unsigned)width, filled);
            Py_END_ALLOW_THREADS
        }
        result = outcome == DONE ? filled_properties(filled, (unsigned)width)
                                 : none_or_error(outcome);
    }
    free(filled);
    PyBuffer_Release(&lines);
    return result;
}

/* --- columns and count_line_ends ------------------------------------------------------ */

static PyObject *columns(PyObject *self, PyObject *args)
{
    Py_buffer lines, out;
    int width, as_views;
    Py_ssize_t stride;
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*inp:columns", &lines, &out, &width, &stride, &as_views))
        return NULL;
    if (check_columns(width, 0) && check_out(&lines, &out)
        && (stride > 0 || fail("stride must be positive"))) {
        Columns made = {.layout = as_views ? VIEWS : OFFSETS,
                        .width = (unsigned)width,
                        .stride = (size_t)stride,
                        .out = out.buf,
                        .out_size = (size_t)out.len};
        Outcome outcome = NO_MEMORY;
        Py_ssize_t size = width * (Py_ssize_t)sizeof *made.sizes;
        made.sizes = malloc((size_t)size);
        if (made.sizes) {
            Py_BEGIN_ALLOW_THREADS
            outcome = write_columns(text_of(&lines), &made);
            Py_END_ALLOW_THREADS
        }
        result = outcome == DONE
                     ? Py_BuildValue("ny#", (Py_ssize_t)made.rows, (char *)made.sizes, size)
                     : none_or_error(outcome);
        free(made.sizes);
    }
    PyBuffer_Release(&lines);
    PyBuffer_Release(&out);
    return result;
}

static PyObject *count_line_ends_of(PyObject *self, PyObject *args)
{
    Py_buffer text;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*:count_line_ends", &text))
        return NULL;
    /* The GIL is kept: this takes less time than getting it back from other threads. */
    size_t count = count_line_ends(text_of(&text));
    PyBuffer_Release(&text);
    return PyLong_FromSize_t(count);
}

/* --- stays ---------------------------------------------------------------------------- */

static PyObject *build_stays(const Stays *stays, const StaySide *sides, size_t count)
{
    PyObject *consumed = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; consumed && i < count; i++) {
        PyObject *size = PyLong_FromSize_t(sides[i].consumed);
        if (!size || PyTuple_SetItem(consumed, (Py_ssize_t)i, size) < 0)
            Py_CLEAR(consumed);
    }
    if (!consumed)
        return NULL;
    Py_ssize_t bytes = (Py_ssize_t)(stays->count * sizeof *stays->entered);
    return Py_BuildValue("ny#y#N", (Py_ssize_t)stays->size, (char *)stays->entered, bytes,
                         (char *)stays->exited, bytes, consumed);
}

static PyObject *stays_of_sides(StaySide *sides, size_t count, int width, int key,
                                const Py_buffer *out)
{
    Stays found;
    Outcome outcome;
    Py_BEGIN_ALLOW_THREADS
    outcome = merge_stays(sides, count, (unsigned)width, (unsigned)key, out->buf,
                          (size_t)out->len, &found);
    Py_END_ALLOW_THREADS
    PyObject *result = outcome == DONE ? build_stays(&found, sides, count)
                                       : none_or_error(outcome);
    free_stays(&found);
    return result;
}

/* Set the numbers (32 bits each) and kinds of the sides. A kind has 4 added if there are more
 * lines. */
static bool read_changes(StaySide *sides, size_t count, Text numbers, Text kinds)
{
    if (numbers.size != count * sizeof sides->number || kinds.size != count)
        return fail("each side must have a number and a kind");
    for (size_t i = 0; i < count; i++) {
        if ((kinds.data[i] & 3) > PRESENT || kinds.data[i] > 7)
            return fail("a kind must be 0, 1 or 2, or 4 more");
        memcpy(&sides[i].number, numbers.data + i * sizeof sides->number, sizeof sides->number);
        sides[i].kind = (ChangeKind)(kinds.data[i] & 3);
        sides[i].has_more = kinds.data[i] > 3;
    }
    return true;
}

static PyObject *stays_of_tuple(PyObject *texts, const Py_buffer *numbers, const Py_buffer *kinds,
                                int width, int key, const Py_buffer *out)
{
    size_t count = (size_t)PyTuple_Size(texts), opened = 0;
    StaySide *sides = calloc(count + 1, sizeof *sides);
    Py_buffer *buffers = calloc(count + 1, sizeof *buffers);
    bool is_valid = sides && buffers;
    PyObject *result = NULL;
    if (!is_valid)
        PyErr_NoMemory();
    for (; is_valid && opened < count; opened += is_valid) {
        PyObject *text = PyTuple_GetItem(texts, (Py_ssize_t)opened);
        is_valid = PyObject_GetBuffer(text, &buffers[opened], PyBUF_SIMPLE) == 0;
        if (is_valid)
            sides[opened].lines = text_of(&buffers[opened]);
    }
    for (size_t i = 0; is_valid && i < count; i++)
        is_valid = check_out(&buffers[i], out);
    if (is_valid && check_columns(width, key)
        && read_changes(sides, count, text_of(numbers), text_of(kinds)))
        result = stays_of_sides(sides, count, width, key, out);
    while (opened)
        PyBuffer_Release(&buffers[--opened]);
    free(buffers);
    free(sides);
    return result;
}

static PyObject *stays(PyObject *self, PyObject *args)
{
    PyObject *texts;
    Py_buffer numbers, kinds, out;
    int width, key;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*y*w*ii:stays", &texts, &numbers, &kinds, &out, &width, &key))
        return NULL;
    PyObject *result = NULL;
    if (PyTuple_Check(texts))
        result = stays_of_tuple(texts, &numbers, &kinds, width, key, &out);
    else
        PyErr_SetString(PyExc_TypeError, "sides must be a tuple");
    PyBuffer_Release(&numbers);
    PyBuffer_Release(&kinds);
    PyBuffer_Release(&out);
    return result;
}

/* --- read_spans ----------------------------------------------------------------------- */

/* Return the size of the text of all spans, or a size above the limit. */
static size_t spans_size(const uint64_t *spans, size_t count)
{
    uint64_t total = count ? count - 1 : 0;
    for (size_t i = 0; i < count && total <= MAX_TEXT_BYTES; i++)
        total += spans[2 * i + 1] <= MAX_TEXT_BYTES ? spans[2 * i + 1] : UINT32_MAX;
    return (size_t)total;
}

static PyObject *text_of_spans(int file, const uint64_t *spans, size_t count)
{
    size_t size = spans_size(spans, count);
    if (size > MAX_TEXT_BYTES)
        return Py_NewRef(Py_None);
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    char *out = result ? PyBytes_AsString(result) : NULL;
    if (!out)
        return NULL;
    Outcome outcome;
    Py_BEGIN_ALLOW_THREADS
    outcome = read_spans(file, spans, count, (unsigned char *)out, size);
    Py_END_ALLOW_THREADS
    if (outcome == DONE)
        return result;
    Py_DECREF(result);
    return none_or_error(outcome);
}

static PyObject *read_spans_of(PyObject *self, PyObject *args)
{
    int file;
    const char *bytes;
    Py_ssize_t length;
    (void)self;
    if (!PyArg_ParseTuple(args, "iy#:read_spans", &file, &bytes, &length))
        return NULL;
    if (length % 16) {
        fail("spans must be pairs of an offset and a size");
        return NULL;
    }
    uint64_t *spans = malloc((size_t)length + 1); /* malloc aligns them; never 0 bytes */
    if (!spans)
        return PyErr_NoMemory();
    memcpy(spans, bytes, (size_t)length);
    PyObject *result = text_of_spans(file, spans, (size_t)length / 16);
    free(spans);
    return result;
}

/* --- check, keys and sides ------------------------------------------------------------ */

static PyObject *check_buffer(Text lines, unsigned width, unsigned key, Text after)
{
    Checked checked;
    Outcome outcome = NO_MEMORY;
    PyObject *counts = NULL, *result = NULL;
    size_t *filled = calloc((size_t)width, sizeof *filled);
    if (filled) {
        Py_BEGIN_ALLOW_THREADS
        outcome = check_lines(lines, width, key, after, filled, &checked);
        Py_END_ALLOW_THREADS
    }
    if (outcome != DONE)
        result = none_or_error(outcome);
    else if ((counts = filled_properties(filled, width)))
        result = Py_BuildValue("nOOy#", (Py_ssize_t)checked.rows,
                               checked.ascends ? Py_True : Py_False, counts,
                               checked.last.size ? (const char *)checked.last.data : "",
                               (Py_ssize_t)checked.last.size);
    Py_XDECREF(counts);
    free(filled);
    return result;
}

static PyObject *check(PyObject *self, PyObject *args)
{
    Py_buffer lines, after;
    int width, key;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*iiy*:check", &lines, &width, &key, &after))
        return NULL;
    PyObject *result = NULL;
    if (check_columns(width, key))
        result = check_buffer(text_of(&lines), (unsigned)width, (unsigned)key, text_of(&after));
    PyBuffer_Release(&lines);
    PyBuffer_Release(&after);
    return result;
}

static PyObject *keys(PyObject *self, PyObject *args)
{
    Py_buffer lines, out;
    int width, key;
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*ii:keys", &lines, &out, &width, &key))
        return NULL;
    if (check_columns(width, key) && check_out(&lines, &out)) {
        size_t written = 0;
        Outcome outcome;
        Py_BEGIN_ALLOW_THREADS
        outcome = take_keys(text_of(&lines), (unsigned)width, (unsigned)key, out.buf,
                            (size_t)out.len, &written);
        Py_END_ALLOW_THREADS
        result = outcome == DONE ? PyLong_FromSize_t(written) : none_or_error(outcome);
    }
    PyBuffer_Release(&lines);
    PyBuffer_Release(&out);
    return result;
}

/* Return a tuple with a pair for each combination of sides: its bits, and its number of keys. */
static PyObject *side_counts(const SideCounts *counted)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)counted->found_count);
    for (unsigned i = 0; tuple && i < counted->found_count; i++) {
        unsigned on = counted->found[i];
        PyObject *pair = Py_BuildValue("In", on, (Py_ssize_t)counted->counts[on]);
        if (!pair || PyTuple_SetItem(tuple, (Py_ssize_t)i, pair) < 0)
            Py_CLEAR(tuple); /* SetItem has taken the reference, even if it failed */
    }
    return tuple;
}

static PyObject *count_buffers(const Py_buffer *buffers, unsigned count)
{
    Text texts[MAX_SIDES];
    SideCounts counted;
    for (unsigned n = 0; n < count; n++)
        texts[n] = text_of(&buffers[n]);
    Py_BEGIN_ALLOW_THREADS
    count_sides(texts, count, &counted);
    Py_END_ALLOW_THREADS
    PyObject *found = side_counts(&counted);
    PyObject *rests = found ? numbers(counted.rests, count) : NULL;
    PyObject *result = rests ? PyTuple_Pack(2, found, rests) : NULL;
    Py_XDECREF(found);
    Py_XDECREF(rests);
    return result;
}

static PyObject *sides(PyObject *self, PyObject *texts)
{
    Py_buffer buffers[MAX_SIDES];
    unsigned count = 0;
    PyObject *result = NULL;
    (void)self;
    Py_ssize_t size = PyTuple_Size(texts);
    if (size > (Py_ssize_t)MAX_SIDES)
        fail("there must be at most 8 sides");
    else {
        while (count < size
               && !PyObject_GetBuffer(PyTuple_GetItem(texts, (Py_ssize_t)count), &buffers[count],
                                      PyBUF_SIMPLE))
            count++;
        if (count == size)
            result = count_buffers(buffers, count);
    }
    while (count)
        PyBuffer_Release(&buffers[--count]);
    return result;
}

static PyMethodDef methods[] = {
    {"partition", partition, METH_VARARGS, NULL},
    {"join", join, METH_VARARGS, NULL},
    {"canonize", canonize, METH_VARARGS, NULL},
    {"count_filled", count_filled, METH_VARARGS, NULL},
    {"columns", columns, METH_VARARGS, NULL},
    {"count_line_ends", count_line_ends_of, METH_VARARGS, NULL},
    {"read_spans", read_spans_of, METH_VARARGS, NULL},
    {"stays", stays, METH_VARARGS, NULL},
    {"check", check, METH_VARARGS, NULL},
    {"keys", keys, METH_VARARGS, NULL},
    {"sides", sides, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* The Python code refuses a kernel with another number: see _kernel_loading.py. */
static int add_interface(PyObject *module)
{
    return PyModule_AddIntConstant(module, "INTERFACE", 1718483679);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)add_interface}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_kernel", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__kernel(void)
{
    return PyModuleDef_Init(&definition);
}
