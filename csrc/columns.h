/* SPDX-License-Identifier: Apache-2.0
 * What columns.c, ranks.c, lists.c and pyobjects.c share: sorting, hashing and comparing ids. */
#ifndef RANK_PLUGINS_COLUMNS_H
#define RANK_PLUGINS_COLUMNS_H

#include "rank_plugins.h"

#include <string.h>

/* Fetches what lies at an address, which need not be valid. */
#ifdef __GNUC__
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)(address))
#endif

/* A number to sort by, and what it belongs to. */
typedef struct {
    double key;
    int64_t index;
} rp_pair_t;

/* Sorts by key, highest first; equal keys keep their order. `room` is as long as `pairs`. */
void rp_sort(rp_pair_t *pairs, rp_pair_t *room, size_t count);

/* Entries of the hash table for `count` ids, a power of two, so that at most a quarter of them is taken: as
 * table_size in _columns.py. */
static inline size_t rp_table_size(size_t count)
{
    size_t size = 16;
    while (size < 4 * count)
        size *= 2;
    return size;
}

static inline size_t rp_slot(uint64_t key, size_t size)
{
    key ^= key >> 32; /* numbers that differ in their upper bits alone, too, spread */
    return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (size - 1);
}

/* Ids in columns: their keys, and their text unless they are whole numbers (text NULL). */
typedef struct {
    const uint64_t *keys;
    const uint8_t *text;
    const int64_t *starts, *lengths;
} rp_ids_t;

static inline int rp_same_id(const rp_ids_t *a, int64_t i, const rp_ids_t *b, int64_t j)
{
    if (a->keys[i] != b->keys[j])
        return 0;
    if (!a->text)
        return 1;
    return a->lengths[i] == b->lengths[j] &&
           !memcmp(a->text + a->starts[i], b->text + b->starts[j], (size_t)a->lengths[i]);
}

/* < 0, 0, > 0 as id i comes before, is, or comes after id j: numbers by value, text by its bytes. */
static inline int rp_compare_ids(const rp_ids_t *ids, int64_t i, int64_t j)
{
    if (!ids->text) {
        const int64_t a = (int64_t)ids->keys[i], b = (int64_t)ids->keys[j];
        return (a > b) - (a < b);
    }
    const int64_t a = ids->lengths[i], b = ids->lengths[j];
    const int order = memcmp(ids->text + ids->starts[i], ids->text + ids->starts[j], (size_t)(a < b ? a : b));
    return order ? order : (a > b) - (a < b);
}

/* above[j] = scores higher than judged[j]; tied[j] = scores equal to it. */
void rp_count(const double *scores, size_t n, const double *judged, size_t count, int64_t *above, int64_t *tied);

/* Room for the judged documents of one query: of those that were retrieved their scores, grades, ranks, what `rp_count`
 * says of them, which judgments they are and where in the run; and for a list of scores. */
typedef struct {
    rp_pair_t *pairs, *room;
    double *scores, *grades;
    int64_t *above, *tied, *rank, *which, *at;
    double *list;
} rp_judged_t;

/* Lays out `scratch`, rp_judged_bytes(judgments, longest) long, for queries of up to `judgments` judgments. */
rp_judged_t rp_judged_room(void *scratch, size_t judgments);

/* From judged->scores the counts, and the rank that a document has where nothing ties with it. */
void rp_rank_judged(const double *scores, size_t n, size_t count, rp_judged_t *judged);

/* Compares two documents by id, entries of a list or (from n on) judged ones: -1, 0, 1, or that it cannot. */
enum { RP_INCOMPARABLE = 2 };
typedef int (*rp_compare_t)(const void *list, int64_t a, int64_t b);

/* Adds to the ranks of judged documents how many of the list's n documents of the same score stand before them. Takes
 * n log(count) steps. 0: ids do not compare. */
int rp_place_ties(const double *scores, size_t n, size_t count, int ties, rp_judged_t *judged, rp_compare_t compare,
                  const void *list);

/* Writes the judged documents by rank from row `at` on, and all grades of a query, the highest first. */
void rp_write_judged(size_t count, rp_judged_t *judged, int64_t at, const rp_found_t *found);
void rp_write_grades(const double *grades, size_t count, rp_judged_t *judged, double *out);

#endif
