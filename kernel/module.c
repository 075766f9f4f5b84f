/* The Python module: arguments in, results out. The work is done without the GIL.
 *
 * Texts and `out` are buffers, which Python neither frees nor resizes during a call, but which
 * other threads can change. The short arguments are bytes, which nothing changes.
 *
 * There is no state, so the module has no slots and could be imported in any interpreter. But
 * by the defaults of Python, an interpreter with a GIL of its own refuses it, and so does the
 * build for a Python without a GIL, as that has no limited API. Both use the Python code.
 *
 * A function returns None for bytes that it leaves to the Python code: see `kernel.h`. An
 * argument that no caller has a reason to pass, such as a key that is not a column, is a
 * ValueError. The stubs in `_kernel.pyi` describe the functions. */

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000 /* one binary for Python 3.11 and all later ones */
#endif
#include <Python.h>

#include <stdlib.h>

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

/* Return None for REFUSED; else raise, as only the lack of memory is left. */
static PyObject *none_or_error(Outcome outcome)
{
    return outcome == REFUSED ? Py_NewRef(Py_None) : PyErr_NoMemory();
}

/* --- partition ------------------------------------------------------------------------ */

/* Return the heads as numbers, to be freed by the caller; NULL with an error. */
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

/* Return the counts as a tuple of the properties: without the two columns of ids. */
static PyObject *filled_properties(const size_t *filled, unsigned width)
{
    PyObject *counts = PyTuple_New((Py_ssize_t)width - 2);
    for (unsigned column = 2; counts && column < width; column++) {
        PyObject *count = PyLong_FromSize_t(filled[column]);
        if (!count || PyTuple_SetItem(counts, (Py_ssize_t)column - 2, count) < 0)
            Py_CLEAR(counts); /* SetItem has taken the count in any case */
    }
    return counts;
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

/* Make the texts of the files. Equal ones are one object, which is written once. */
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
        "nnnnOOOOOnnnOO", (Py_ssize_t)joined->before.count, (Py_ssize_t)joined->now.arrived,
        (Py_ssize_t)joined->now.count, (Py_ssize_t)joined->now.conflicts, conflicting,
        texts[EVERYONE], texts[ENTERING], texts[EXITING], texts[EXISTING],
        (Py_ssize_t)lists[ENTERING].count, (Py_ssize_t)lists[EXITING].count,
        (Py_ssize_t)existing, filled, joined->has_float_ids ? Py_True : Py_False);
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
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*iiz#z#pin:join", &before, &now, &width, &key, &begin.data,
                          &begin.size, &end.data, &end.size, &is_sorted, &meaning,
                          &max_conflicts))
        return NULL;
    if (!IN_BOUNDS(meaning >= MEMBERS) || !IN_BOUNDS(meaning <= PREVIOUS))
        fail("meaning must be 0, 1 or 2");
    else if (check_columns(width, key)) {
        Join task = {text_of(&before),  text_of(&now),   (unsigned)width, (unsigned)key,
                     short_text(begin), short_text(end), is_sorted != 0,  (Meaning)meaning};
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

static PyMethodDef methods[] = {
    {"partition", partition, METH_VARARGS, NULL},
    {"join", join, METH_VARARGS, NULL},
    {"canonize", canonize, METH_VARARGS, NULL},
    {"count_filled", count_filled, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_kernel", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__kernel(void)
{
    return PyModuleDef_Init(&definition);
}
