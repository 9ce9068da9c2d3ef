/* SPDX-License-Identifier: Apache-2.0
 * Walks Python dicts and lists for evaluation and fusion; no other file includes Python.h. cffi calls in without the
 * GIL, so each function takes it; it never leaves an exception set, but says where the trouble is. Python then looks
 * for itself, and raises. */
#include <pyconfig.h>
#ifndef Py_GIL_DISABLED
#define Py_LIMITED_API 0x030A0000
#endif
#include <Python.h>

#include "columns.h"

#include <math.h>

/* Without a GIL a dict may change under PyDict_Next, and PyPy's objects are not where id() says. */
#if defined(Py_GIL_DISABLED) || defined(PYPY_VERSION)
int rp_py_walks(void) { return 0; }
#else
int rp_py_walks(void) { return 1; }
#endif

enum { AHEAD = 16 }; /* objects fetched before they are used */

/* Whether using this object could run Python code, which might change the dict that is being walked. */
static int foreign(PyObject *object) { return (PyType_GetFlags(Py_TYPE(object)) & Py_TPFLAGS_HEAPTYPE) != 0; }

static int number(PyObject *object, double *value)
{
    if (Py_TYPE(object) == &PyFloat_Type) {
        *value = PyFloat_AsDouble(object);
        return 1;
    }
    if (!PyFloat_Check(object) && !PyLong_Check(object) && (PyUnicode_Check(object) || PyBytes_Check(object) || foreign(object)))
        return 0;
    *value = PyFloat_AsDouble(object);
    if (*value != -1.0 || !PyErr_Occurred())
        return 1;
    PyErr_Clear();
    return 0;
}

enum { OTHER, TEXT, BYTES, WHOLE };
static int kind(PyObject *id)
{
    if (Py_TYPE(id) == &PyUnicode_Type || PyUnicode_Check(id))
        return TEXT;
    return foreign(id) ? OTHER : PyBytes_Check(id) ? BYTES : OTHER + (PyLong_Check(id) || PyIndex_Check(id)) * WHOLE;
}

/* > 0, 0, < 0 as a comes after, is or comes before b, two ids of one kind that is not OTHER. */
static int compare(PyObject *a, PyObject *b)
{
    if (Py_TYPE(a) == &PyUnicode_Type || PyUnicode_Check(a))
        return PyUnicode_Compare(a, b);
    return PyObject_RichCompareBool(a, b, Py_GT) - PyObject_RichCompareBool(a, b, Py_LT);
}

/* All scores of a list and their documents; -1 where something is wrong. First the pointers, then what they point to:
 * floats lie anywhere in memory, and fetching them ahead hides most of the wait. */
static Py_ssize_t read_list(PyObject *list, int single, int nan_last, size_t longest, double *scores, PyObject **ids)
{
    union { PyObject *object; double score; } *slots = (void *)scores;
    Py_ssize_t place = 0;
    size_t count = 0;
    while (count < longest && PyDict_Next(list, &place, &ids[count], &slots[count].object))
        count++;
    if (count != (size_t)PyDict_Size(list))
        return -1;
    for (size_t i = 0; i < count; i++) {
        double score;
        if (i + AHEAD < count)
            PREFETCH(slots[i + AHEAD].object);
        if (!number(slots[i].object, &score) || (isnan(score) && !nan_last))
            return -1;
        slots[i].score = isnan(score) ? -INFINITY : single ? (double)(float)score : score;
    }
    return (Py_ssize_t)count;
}

/* The documents that `rp_place_ties` compares: n of a list, and the judged ones among them. */
typedef struct {
    PyObject **ids, **documents;
    int64_t n;
} rp_names_t;

static int compare_names(const void *list, int64_t a, int64_t b)
{
    const rp_names_t *in = list;
    PyObject *left = a < in->n ? in->ids[a] : in->documents[a - in->n];
    PyObject *right = b < in->n ? in->ids[b] : in->documents[b - in->n];
    return kind(left) == kind(right) ? compare(left, right) : RP_INCOMPARABLE;
}

/* Reads the judgments of one query, and the scores of those that are listed, each of which it holds in `documents`;
 * how many judgments there are, or -1 where something is wrong. */
static Py_ssize_t read_judged(PyObject *wanted, PyObject *listed, int single, size_t judgments, rp_judged_t *judged,
                              PyObject **documents, size_t *count)
{
    PyObject *id, *object;
    Py_ssize_t place = 0;
    size_t all = 0;
    int kinds = OTHER;
    double *every = (double *)judged->at; /* all grades of the query */
    while (PyDict_Next(wanted, &place, &id, &object)) {
        if (all == judgments || !number(object, &every[all]) || !isfinite(every[all]))
            return -1;
        kinds = all ? kinds : kind(id);
        if (kind(id) != kinds)
            return -1;
        Py_INCREF(id); /* a lookup may run code of the ids' class, and that code may change the dict */
        documents[*count] = id;
        *count += 1;
        PyObject *score = listed ? PyDict_GetItemWithError(listed, id) : NULL;
        if (!score) {
            *count -= 1;
            Py_DECREF(id);
            if (PyErr_Occurred()) {
                PyErr_Clear();
                return -1;
            }
        } else {
            double *mine = &judged->scores[*count - 1];
            if (!number(score, mine))
                return -1;
            *mine = isnan(*mine) ? -INFINITY : single ? (double)(float)*mine : *mine;
            judged->grades[*count - 1] = every[all];
        }
        all++;
    }
    return (Py_ssize_t)all;
}

/* One query, all its judgments read; 0 where something is wrong. */
static int judge(PyObject *wanted, PyObject *listed, int64_t at, int ties, int single, int nan_last, size_t longest,
                 size_t count, rp_judged_t *judged, int64_t *n, const rp_found_t *found, int64_t *found_count)
{
    PyObject **ids = (PyObject **)(judged->list + longest), **documents = (PyObject **)judged->which;
    PyObject *id, *object;
    Py_ssize_t place = 0;
    const Py_ssize_t length = read_list(listed, single, nan_last, longest, judged->list, ids);
    if (length < 0)
        return 0;
    *n = length;
    if (length && PyDict_Next(wanted, &place, &id, &object) && (kind(id) != kind(ids[0]) || kind(id) == OTHER))
        return 0;
    rp_rank_judged(judged->list, (size_t)length, count, judged);
    const rp_names_t list = {ids, documents, length};
    if (!rp_place_ties(judged->list, (size_t)length, count, ties, judged, compare_names, &list))
        return 0;
    rp_write_judged(count, judged, at, found);
    *found_count = (int64_t)count;
    return 1;
}

int64_t rp_py_judged(void *qrels, void *run, void *queries, const int64_t *offsets, int ties, int single, int nan_last,
                     void *scratch, size_t judgments, size_t longest, int64_t *n, double *grades,
                     const rp_found_t *found)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    rp_judged_t judged = rp_judged_room(scratch, judgments);
    const Py_ssize_t count = PyList_Size(queries);
    int64_t wrong = -1;
    for (Py_ssize_t q = 0; q < count && wrong < 0; q++) {
        PyObject *query = PyList_GetItem(queries, q), **documents = (PyObject **)judged.which;
        PyObject *wanted = PyDict_GetItemWithError(qrels, query);
        Py_XINCREF(wanted);
        PyObject *listed = wanted ? PyDict_GetItemWithError(run, query) : NULL;
        Py_XINCREF(listed);
        const size_t here = (size_t)(offsets[q + 1] - offsets[q]);
        size_t count = 0;
        wrong = q;
        if (!PyErr_Occurred() && wanted && PyDict_Check(wanted) && !(listed && !PyDict_Check(listed)) &&
            here <= judgments) {
            const Py_ssize_t all = read_judged(wanted, listed, single, here, &judged, documents, &count);
            if (all >= 0 && (size_t)all == here) {
                rp_write_grades((double *)judged.at, (size_t)all, &judged, grades + offsets[q]);
                if (!listed || judge(wanted, listed, offsets[q], ties, single, nan_last, longest, count, &judged, &n[q],
                                     found, &found->counts[q]))
                    wrong = -1;
            }
        }
        PyErr_Clear();
        while (count)
            Py_DECREF(documents[--count]);
        Py_XDECREF(listed);
        Py_XDECREF(wanted);
    }
    PyGILState_Release(gil);
    return wrong;
}

/* ---- Fusion: the lists of some queries made into columns, and the fused scores into dicts and lists. ---- */

/* The list of a query in a run, or NULL; `queries` NULL: each run is itself the list of the one query. */
static PyObject *list_of(PyObject *runs, Py_ssize_t j, PyObject *queries, Py_ssize_t q, int *wrong)
{
    PyObject *run = PyList_GetItem(runs, j);
    if (!queries)
        return run;
    if (!PyDict_Check(run)) {
        *wrong = 1;
        return NULL;
    }
    PyObject *list = PyDict_GetItemWithError(run, PyList_GetItem(queries, q));
    if (PyErr_Occurred()) {
        PyErr_Clear();
        *wrong = 1;
    }
    return list;
}

static Py_ssize_t size_of(PyObject *list)
{
    if (!list)
        return 0;
    return PyDict_Check(list) ? PyDict_Size(list) : PyList_Check(list) ? PyList_Size(list)
         : PyTuple_Check(list) ? PyTuple_Size(list) : -1;
}

int64_t rp_py_entries(void *runs, void *queries, int64_t *most)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    const Py_ssize_t m = PyList_Size(runs), count = queries ? PyList_Size(queries) : 1;
    int64_t entries = 0;
    int wrong = 0;
    *most = 0;
    for (Py_ssize_t q = 0; q < count; q++) {
        int64_t here = 0;
        for (Py_ssize_t j = 0; j < m; j++) {
            PyObject *list = list_of(runs, j, queries, q, &wrong);
            const Py_ssize_t size = size_of(list);
            wrong |= size < 0 || (list && !queries != !PyDict_Check(list));
            here += size;
        }
        entries += here;
        *most = here > *most ? here : *most;
    }
    PyGILState_Release(gil);
    return wrong ? -1 : entries;
}

/* The score of a document; 0 for what is left to Python: whatever runs code of its own, and what warns as arrays do. */
static int score_of(PyObject *object, double *score)
{
    if (Py_TYPE(object) == &PyFloat_Type) {
        *score = PyFloat_AsDouble(object);
        return 1;
    }
    if (!PyFloat_Check(object) && (foreign(object) || PySequence_Check(object) || PyComplex_Check(object)))
        return 0;
    return number(object, score);
}

/* The kind of an id; OTHER where hashing it could run Python code, too. */
static int kind_of(PyObject *id)
{
    return Py_TYPE(id) == &PyUnicode_Type ? TEXT : foreign(id) ? OTHER : kind(id);
}

/* Entry `i` of a list or tuple of pairs or ids: its id and score; 0 where it is neither. */
static int item_of(PyObject *list, int is_list, Py_ssize_t i, Py_ssize_t size, int scored, PyObject **id, double *score)
{
    PyObject *item = is_list ? PyList_GetItem(list, i) : PyTuple_GetItem(list, i);
    if (!scored) {
        *id = item;
        *score = (double)(size - i);
        return 1;
    }
    if ((Py_TYPE(item) == &PyTuple_Type || PyTuple_Check(item)) && PyTuple_Size(item) == 2) {
        *id = PyTuple_GetItem(item, 0);
        return score_of(PyTuple_GetItem(item, 1), score);
    }
    if (PyList_Check(item) && PyList_Size(item) == 2) {
        *id = PyList_GetItem(item, 0);
        return score_of(PyList_GetItem(item, 1), score);
    }
    return 0;
}

/* What `gather` works with: the entries of one list, and the documents of one query in a hash table. */
typedef struct {
    rp_pair_t *pairs, *room;
    PyObject **ids, **documents; /* of the entries, and of the union; borrowed, for as long as the lists do not change */
    int64_t *hashes, *segment, *best; /* of each document of the union: its hash, the last list that had it, best rank */
    double *sums;
    int64_t *table, count; /* documents of the union */
    size_t size, all; /* of the table; entries of the query */
} rp_gather_t;

/* Reads one list into pairs and ids; the count, or -1 where something is wrong. A score of -inf is no entry. Of a dict
 * first the pointers, then what they point to, fetched ahead. */
static Py_ssize_t read_entries(PyObject *list, int higher, int scored, size_t room, int kinds, rp_gather_t *work)
{
    Py_ssize_t place = 0, count = 0;
    const int dict = PyDict_Check(list), is_list = PyList_Check(list);
    const Py_ssize_t size = size_of(list);
    if (size < 0 || (size_t)size > room)
        return -1;
    PyObject **objects = (PyObject **)work->room; /* not in use yet */
    for (Py_ssize_t i = 0; dict && i < size; i++) {
        if (!PyDict_Next(list, &place, &work->ids[i], &objects[i]))
            return -1;
        PREFETCH(work->ids[i]);
        PREFETCH(objects[i]);
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *id;
        double score;
        if (dict) {
            id = work->ids[i];
            if (!score_of(objects[i], &score))
                return -1;
        } else if (!item_of(list, is_list, i, size, scored, &id, &score))
            return -1;
        if (!higher)
            score = -score;
        if (isnan(score) || kind_of(id) != kinds)
            return -1;
        if (score == -INFINITY)
            continue;
        work->pairs[count] = (rp_pair_t){score, count};
        work->ids[count++] = id;
    }
    return count;
}

/* Sorts entries with equal scores: by their tiebreak, the smaller first, where there is one; then by id, the larger
 * first. A merge sort by halves. */
static void sort_tied(rp_pair_t *pairs, rp_pair_t *room, size_t count, PyObject *const *ids, const int64_t *tiebreak)
{
    if (count < 2)
        return;
    const size_t half = count / 2;
    sort_tied(pairs, room, half, ids, tiebreak);
    sort_tied(pairs + half, room, count - half, ids, tiebreak);
    memcpy(room, pairs, half * sizeof *pairs);
    size_t a = 0, b = half;
    for (size_t i = 0; a < half; i++) {
        int second = 0;
        if (b < count) {
            const int64_t x = room[a].index, y = pairs[b].index;
            if (tiebreak && tiebreak[x] != tiebreak[y])
                second = tiebreak[y] < tiebreak[x];
            else
                second = compare(ids[x], ids[y]) < 0;
        }
        pairs[i] = second ? pairs[b++] : room[a++];
    }
}

/* Best first: by score, then as sort_tied. */
static void sort_entries(rp_pair_t *pairs, rp_pair_t *room, size_t count, PyObject *const *ids, const int64_t *tiebreak)
{
    rp_sort(pairs, room, count);
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && pairs[end].key == pairs[i].key; end++)
            ;
        if (end - i > 1)
            sort_tied(pairs + i, room, end - i, ids, tiebreak);
    }
}

/* The place of a document in the union of its query, new or known; -1 where the list `segment` has had it, for what
 * has no hash, and where lists have grown. */
static int64_t code_of(PyObject *id, int64_t segment, int64_t rank, rp_gather_t *work)
{
    const Py_hash_t hash = PyObject_Hash(id);
    if (hash == -1)
        return -1;
    size_t slot = rp_slot((uint64_t)hash, work->size);
    for (; work->table[slot] >= 0; slot = (slot + 1) & (work->size - 1)) {
        const int64_t document = work->table[slot];
        PyObject *other = work->documents[document];
        if (work->hashes[document] == hash && (other == id || compare(other, id) == 0)) {
            if (work->segment[document] == segment)
                return -1;
            work->segment[document] = segment;
            work->best[document] = rank < work->best[document] ? rank : work->best[document];
            return document;
        }
    }
    if ((size_t)work->count == work->all)
        return -1;
    work->table[slot] = work->count;
    work->documents[work->count] = id;
    work->hashes[work->count] = hash;
    work->segment[work->count] = segment;
    work->best[work->count] = rank;
    work->sums[work->count] = 0;
    return work->count++;
}

size_t rp_gather_bytes(size_t most)
{
    return 2 * most * sizeof(rp_pair_t) + (6 * most + rp_table_size(most)) * sizeof(int64_t);
}

/* What is the same for all lists of a call. */
typedef struct {
    PyObject *runs, *queries;
    Py_ssize_t m;
    const uint8_t *higher, *scored;
    size_t most;
    int kinds; /* of ids; OTHER until the first is seen */
} rp_call_t;

static rp_gather_t lay_out(void *scratch, size_t most)
{
    rp_gather_t work;
    work.pairs = scratch;
    work.room = work.pairs + most;
    work.ids = (PyObject **)(work.room + most);
    work.documents = work.ids + most;
    work.hashes = (int64_t *)(work.documents + most);
    work.segment = work.hashes + most;
    work.best = work.segment + most;
    work.sums = (double *)(work.best + most);
    work.table = (int64_t *)(work.sums + most);
    return work;
}

/* Empties the hash table, for the lists of query q; 0 where they are more than there is room for. */
static int begin(const rp_call_t *call, Py_ssize_t q, rp_gather_t *work)
{
    size_t all = 0;
    int wrong = 0;
    for (Py_ssize_t j = 0; j < call->m; j++) {
        const Py_ssize_t size = size_of(list_of(call->runs, j, call->queries, q, &wrong));
        all += size > 0 ? (size_t)size : 0;
    }
    if (wrong || all > call->most)
        return 0;
    work->count = 0;
    work->all = all;
    work->size = rp_table_size(all);
    memset(work->table, 0xff, work->size * sizeof *work->table); /* -1: free */
    return 1;
}

/* Reads list j of query q, best first; how many entries, or -1 where something is wrong. */
static Py_ssize_t read_sorted(rp_call_t *call, Py_ssize_t q, Py_ssize_t j, rp_gather_t *work)
{
    int wrong = 0;
    PyObject *list = list_of(call->runs, j, call->queries, q, &wrong);
    if (!list)
        return wrong ? -1 : 0;
    if (call->kinds == OTHER && size_of(list) > 0) {
        PyObject *id = NULL, *object;
        Py_ssize_t place = 0;
        double score;
        if (PyDict_Check(list) ? PyDict_Next(list, &place, &id, &object)
                               : item_of(list, PyList_Check(list), 0, 1, call->scored[j], &id, &score))
            call->kinds = kind_of(id);
    }
    const Py_ssize_t length = read_entries(list, call->higher[j], call->scored[j], call->most, call->kinds, work);
    if (wrong || length < 0 || (length && call->kinds == OTHER))
        return -1;
    sort_entries(work->pairs, work->room, (size_t)length, work->ids, NULL);
    return length;
}

int64_t rp_py_gather(void *runs, void *queries, const uint8_t *higher, const uint8_t *scored, void *scratch,
                     size_t most, size_t entries, void *names, const rp_lists_t *lists)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    rp_call_t call = {runs, queries, PyList_Size(runs), higher, scored, most, OTHER};
    const Py_ssize_t count = queries ? PyList_Size(queries) : 1;
    rp_gather_t work = lay_out(scratch, most);
    int64_t entry = 0, wrong = -1;
    lists->segments[0] = lists->unions[0] = 0;
    for (Py_ssize_t q = 0; q < count && wrong < 0; q++) {
        const int64_t base = lists->unions[q];
        if (!begin(&call, q, &work))
            wrong = q;
        for (Py_ssize_t j = 0; j < call.m && wrong < 0; j++) {
            const int64_t segment = q * call.m + j;
            const Py_ssize_t length = read_sorted(&call, q, j, &work);
            if (length < 0 || (size_t)(entry + length) > entries)
                wrong = q;
            for (Py_ssize_t i = 0; i < length && wrong < 0; i++, entry++) {
                const int64_t code = code_of(work.ids[work.pairs[i].index], segment, i + 1, &work);
                if (code < 0) {
                    wrong = q;
                    break;
                }
                lists->code[entry] = base + code;
                lists->rank[entry] = i + 1;
                lists->score[entry] = work.pairs[i].key;
            }
            lists->segments[segment + 1] = entry;
        }
        for (int64_t code = 0; code < work.count && wrong < 0; code++)
            if (PyList_Append(names, work.documents[code]))
                wrong = q;
        if (wrong < 0)
            memcpy(lists->best + base, work.best, (size_t)work.count * sizeof *work.best);
        lists->unions[q + 1] = base + work.count;
    }
    PyErr_Clear();
    PyGILState_Release(gil);
    return wrong;
}

/* A document and its score into the dict `fused`, or where there is none as a pair into the list `out`. */
static int put(PyObject *fused, PyObject *out, PyObject *id, double value)
{
    PyObject *score = PyFloat_FromDouble(value);
    int failed = !score;
    if (score && fused) {
        failed = PyDict_SetItem(fused, id, score);
        Py_DECREF(score);
    } else if (score) {
        PyObject *pair = PyTuple_New(2);
        failed = !pair;
        if (pair) {
            Py_INCREF(id);
            failed = PyTuple_SetItem(pair, 0, id) | PyTuple_SetItem(pair, 1, score) | PyList_Append(out, pair);
            Py_DECREF(pair);
        } else
            Py_DECREF(score);
    }
    return failed;
}

int rp_py_finish(void *names, const int64_t *unions, size_t count, const double *scores, const int64_t *tiebreak,
                 size_t top, void *scratch, size_t most, int64_t *order, int64_t *begins, void *queries, void *out)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    rp_pair_t *pairs = scratch, *room = pairs + most;
    PyObject **ids = (PyObject **)(room + most);
    int failed = 0;
    begins[0] = 0;
    for (size_t q = 0; q < count && !failed; q++) {
        const int64_t base = unions[q], size = unions[q + 1] - base;
        size_t documents = 0, kept = 0;
        for (int64_t i = 0; i < size; i++) {
            ids[i] = PyList_GetItem(names, base + i);
            if (!isnan(scores[base + i]))
                pairs[documents++] = (rp_pair_t){scores[base + i], i};
        }
        sort_entries(pairs, room, documents, ids, tiebreak + base);
        PyObject *fused = out && queries ? PyDict_New() : NULL;
        failed = out && queries && !fused;
        for (; kept < documents && kept < top && !failed; kept++) {
            order[begins[q] + (int64_t)kept] = base + pairs[kept].index;
            if (out)
                failed = put(fused, out, ids[pairs[kept].index], pairs[kept].key);
        }
        if (fused && !failed)
            failed = PyDict_SetItem(out, PyList_GetItem(queries, (Py_ssize_t)q), fused);
        Py_XDECREF(fused);
        begins[q + 1] = begins[q] + (int64_t)kept;
    }
    PyErr_Clear();
    PyGILState_Release(gil);
    return failed;
}

/* Fuses query q by points for ranks, into the dict `fused` or the list `out`; 0 where something is wrong. */
static int fuse_query(rp_call_t *call, Py_ssize_t q, const double *points, size_t depth, size_t top, rp_gather_t *work,
                      PyObject *fused, PyObject *out)
{
    if (!begin(call, q, work))
        return 0;
    for (Py_ssize_t j = 0; j < call->m; j++) {
        const Py_ssize_t length = read_sorted(call, q, j, work);
        if (length < 0 || (size_t)length > depth)
            return 0;
        for (Py_ssize_t i = 0; i < length; i++) {
            const int64_t code = code_of(work->ids[work->pairs[i].index], j, i + 1, work);
            if (code < 0)
                return 0;
            work->sums[code] += points[(size_t)j * depth + (size_t)i];
        }
    }
    const size_t count = (size_t)work->count;
    for (size_t code = 0; code < count; code++)
        work->pairs[code] = (rp_pair_t){work->sums[code], (int64_t)code};
    sort_entries(work->pairs, work->room, count, work->documents, work->best);
    const size_t kept = count < top ? count : top;
    int failed = 0;
    /* New tuples may start the garbage collector, and so anybody's code, which may change the lists. */
    for (size_t i = 0; i < kept && !fused; i++)
        Py_INCREF(work->documents[work->pairs[i].index]);
    for (size_t i = 0; i < kept; i++) {
        PyObject *document = work->documents[work->pairs[i].index];
        failed = failed || put(fused, out, document, work->pairs[i].key);
        if (!fused)
            Py_DECREF(document);
    }
    return !failed;
}

int64_t rp_py_fuse(void *runs, void *queries, const uint8_t *higher, const uint8_t *scored, const double *points,
                   size_t depth, size_t top, void *scratch, size_t most, void *out)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    rp_call_t call = {runs, queries, PyList_Size(runs), higher, scored, most, OTHER};
    const Py_ssize_t count = queries ? PyList_Size(queries) : 1;
    rp_gather_t work = lay_out(scratch, most);
    int64_t wrong = -1;
    for (Py_ssize_t q = 0; q < count && wrong < 0; q++) {
        PyObject *fused = queries ? PyDict_New() : NULL;
        if ((queries && !fused) || !fuse_query(&call, q, points, depth, top, &work, fused, out) ||
            (fused && PyDict_SetItem(out, PyList_GetItem(queries, q), fused)))
            wrong = q;
        Py_XDECREF(fused);
    }
    PyErr_Clear();
    PyGILState_Release(gil);
    return wrong;
}
