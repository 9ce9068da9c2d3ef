/* SPDX-License-Identifier: Apache-2.0
 * Ranks of judged documents: which of them were retrieved, and how equal scores stand. */
#include "columns.h"

/* Sorts judged documents, each noted as its number, by score and then by id. A merge sort; 0: ids do not compare. */
static int sort_tied(int64_t *order, int64_t *room, size_t many, int64_t n, int sign, const rp_judged_t *judged,
                     rp_compare_t compare, const void *list)
{
    for (size_t width = 1; width < many; width *= 2) {
        for (size_t i = 0; i < many; i += 2 * width) {
            const size_t half = many - i < width ? many : i + width, end = many - i < 2 * width ? many : i + 2 * width;
            for (size_t a = i, b = half, out = i; out < end; out++) {
                int first = b >= end;
                if (a < half && b < end) {
                    const double left = judged->scores[order[a]], right = judged->scores[order[b]];
                    const int by_id = left == right ? compare(list, n + order[a], n + order[b]) : 0;
                    if (by_id == RP_INCOMPARABLE)
                        return 0;
                    first = left > right || (left == right && sign * by_id <= 0);
                }
                room[out] = first ? order[a++] : order[b++];
            }
        }
        memcpy(order, room, many * sizeof *order);
    }
    return 1;
}

int rp_place_ties(const double *scores, size_t n, size_t count, int ties, rp_judged_t *judged, rp_compare_t compare,
                  const void *list)
{
    int64_t *order = (int64_t *)judged->pairs, *room = order + count, *before = (int64_t *)judged->room;
    const int sign = ties == RP_TIES_ID_DESC ? -1 : 1;
    size_t many = 0;
    for (size_t j = 0; j < count; j++)
        if (judged->tied[j] > 1)
            order[many++] = (int64_t)j;
    if (!many)
        return 1;
    if (!sort_tied(order, room, many, (int64_t)n, sign, judged, compare, list))
        return 0;
    memset(before, 0, many * sizeof *before);
    for (size_t k = 0; k < n; k++) {
        size_t low = 0, end = many; /* the judged documents of this score */
        while (low < end) {
            const size_t middle = low + (end - low) / 2;
            if (judged->scores[order[middle]] > scores[k])
                low = middle + 1;
            else
                end = middle;
        }
        if (low == many || judged->scores[order[low]] != scores[k])
            continue;
        size_t place = low; /* of these the first that this document stands before */
        for (end = many; place < end;) {
            const size_t middle = place + (end - place) / 2;
            int after = judged->scores[order[middle]] < scores[k] ? -1 : 0;
            if (!after)
                after = compare(list, (int64_t)k, (int64_t)n + order[middle]);
            if (after == RP_INCOMPARABLE)
                return 0;
            if (judged->scores[order[middle]] == scores[k] && sign * after >= 0)
                place = middle + 1;
            else
                end = middle;
        }
        if (ties != RP_TIES_INPUT) {
            if (place < many && judged->scores[order[place]] == scores[k])
                before[place]++;
            continue;
        }
        /* By place in the list: what was counted so far stands before the judged document that this one is. */
        if (place > low && compare(list, (int64_t)k, (int64_t)n + order[place - 1]) == 0)
            judged->rank[order[place - 1]] += before[low];
        before[low]++;
    }
    int64_t sum = 0;
    for (size_t place = 0; ties != RP_TIES_INPUT && place < many; place++) {
        if (place && judged->scores[order[place]] != judged->scores[order[place - 1]])
            sum = 0;
        sum += before[place];
        judged->rank[order[place]] += sum;
    }
    return 1;
}

void rp_write_judged(size_t count, rp_judged_t *judged, int64_t at, const rp_found_t *found)
{
    for (size_t j = 0; j < count; j++)
        judged->pairs[j] = (rp_pair_t){-(double)judged->rank[j], (int64_t)j};
    rp_sort(judged->pairs, judged->room, count);
    for (size_t i = 0; i < count; i++) {
        const int64_t j = judged->pairs[i].index;
        found->rank[at + (int64_t)i] = judged->rank[j];
        found->grade[at + (int64_t)i] = judged->grades[j];
        found->above[at + (int64_t)i] = judged->above[j];
        found->tied[at + (int64_t)i] = judged->tied[j];
    }
}

void rp_write_grades(const double *grades, size_t count, rp_judged_t *judged, double *out)
{
    for (size_t j = 0; j < count; j++)
        judged->pairs[j] = (rp_pair_t){grades[j], 0};
    rp_sort(judged->pairs, judged->room, count);
    for (size_t j = 0; j < count; j++)
        out[j] = judged->pairs[j].key;
}

size_t rp_judged_bytes(size_t judgments, size_t longest)
{
    return (2 * rp_table_size(judgments) + 8 * judgments + longest + 8) * sizeof(int64_t) + 2 * judgments * sizeof(rp_pair_t);
}

rp_judged_t rp_judged_room(void *scratch, size_t judgments)
{
    rp_judged_t judged;
    judged.pairs = scratch;
    judged.room = judged.pairs + judgments;
    judged.scores = (double *)(judged.room + judgments);
    judged.grades = judged.scores + judgments;
    judged.above = (int64_t *)(judged.grades + judgments);
    judged.tied = judged.above + judgments;
    judged.rank = judged.tied + judgments;
    judged.which = judged.rank + judgments;
    judged.at = judged.which + judgments;
    judged.list = (double *)(judged.at + judgments);
    return judged;
}

/* More documents than were judged: some share a key. */
#define COLLIDED ((size_t)-1)

/* Judged documents of one query among the documents `start` to `stop` of a run, by their keys: which, and where. A byte
 * for each value of a hash, nearly all of them 0, turns nearly every document away. */
static size_t find(const rp_ids_t *listed, int64_t start, int64_t stop, const rp_ids_t *wanted, int64_t first,
                   int64_t last, int64_t *table, rp_judged_t *judged)
{
    const size_t size = rp_table_size((size_t)(last - first)), marks = size * sizeof *table;
    uint8_t *mark = (uint8_t *)(table + size);
    size_t count = 0;
    memset(table, 0xff, size * sizeof *table); /* -1: free */
    memset(mark, 0, marks);
    for (int64_t j = first; j < last; j++) {
        size_t slot = rp_slot(wanted->keys[j], size);
        while (table[slot] >= 0)
            slot = (slot + 1) & (size - 1);
        table[slot] = j;
        mark[rp_slot(wanted->keys[j], marks)] = 1;
    }
    for (int64_t i = start; i < stop; i++) {
        if (!mark[rp_slot(listed->keys[i], marks)])
            continue;
        for (size_t slot = rp_slot(listed->keys[i], size); table[slot] >= 0; slot = (slot + 1) & (size - 1))
            if (listed->keys[i] == wanted->keys[table[slot]]) {
                if (count == (size_t)(last - first))
                    return COLLIDED;
                judged->which[count] = table[slot];
                judged->at[count++] = i;
                break;
            }
    }
    return count;
}

/* Whether those that were found by their keys are the same texts: all but certain, but two texts may share a key. The
 * texts lie far apart, so they are fetched before they are compared. */
static int same_texts(const rp_ids_t *listed, const rp_ids_t *wanted, size_t count, const rp_judged_t *judged)
{
    if (!listed->text)
        return 1;
    for (size_t j = 0; j < count; j++) {
        PREFETCH(listed->starts + judged->at[j]);
        PREFETCH(listed->lengths + judged->at[j]);
    }
    for (size_t j = 0; j < count; j++)
        PREFETCH(listed->text + listed->starts[judged->at[j]]);
    for (size_t j = 0; j < count; j++)
        if (!rp_same_id(listed, judged->at[j], wanted, judged->which[j]))
            return 0;
    return 1;
}

/* The same as `find`, pair by pair. */
static size_t find_slowly(const rp_ids_t *listed, int64_t start, int64_t stop, const rp_ids_t *wanted, int64_t first,
                          int64_t last, rp_judged_t *judged)
{
    size_t count = 0;
    for (int64_t i = start; i < stop; i++)
        for (int64_t j = first; j < last; j++)
            if (rp_same_id(listed, i, wanted, j)) {
                judged->which[count] = j;
                judged->at[count++] = i;
            }
    return count;
}

/* The documents that `rp_place_ties` compares: entries of a list from `start` on, and the judged ones among them. */
typedef struct {
    const rp_ids_t *ids;
    const int64_t *at;
    int64_t start, n;
} rp_list_t;

static int compare_entries(const void *list, int64_t a, int64_t b)
{
    const rp_list_t *in = list;
    const int order = rp_compare_ids(in->ids, a < in->n ? in->start + a : in->at[a - in->n],
                                     b < in->n ? in->start + b : in->at[b - in->n]);
    return (order > 0) - (order < 0);
}

void rp_judged_columns(const rp_columns_t *run, const rp_columns_t *qrels, const int64_t *judged_rows,
                       const int64_t *run_rows, size_t first, size_t last, const int64_t *offsets, int ties, int single,
                       void *scratch, size_t judgments, int64_t *n, double *grades, const rp_found_t *found)
{
    const rp_ids_t listed = {run->keys, run->text, run->starts, run->lengths};
    const rp_ids_t wanted = {qrels->keys, qrels->text, qrels->starts, qrels->lengths};
    rp_judged_t judged = rp_judged_room(scratch, judgments);
    int64_t *table = (int64_t *)judged.list; /* the table is done with when a list is written over it */
    for (size_t q = first; q < last; q++) {
        const int64_t begin = qrels->offsets[judged_rows[q]], end = qrels->offsets[judged_rows[q] + 1];
        rp_write_grades(qrels->values + begin, (size_t)(end - begin), &judged, grades + offsets[q]);
        if (run_rows[q] < 0)
            continue;
        const int64_t start = run->offsets[run_rows[q]], stop = run->offsets[run_rows[q] + 1];
        n[q] = stop - start;
        size_t count = find(&listed, start, stop, &wanted, begin, end, table, &judged);
        if (count == COLLIDED || !same_texts(&listed, &wanted, count, &judged))
            count = find_slowly(&listed, start, stop, &wanted, begin, end, &judged);
        if (!count)
            continue;
        const double *scores = run->values + start;
        if (single) {
            for (int64_t i = 0; i < stop - start; i++)
                judged.list[i] = (double)(float)scores[i];
            scores = judged.list;
        }
        for (size_t j = 0; j < count; j++) {
            judged.scores[j] = scores[judged.at[j] - start];
            judged.grades[j] = qrels->values[judged.which[j]];
        }
        rp_rank_judged(scores, (size_t)(stop - start), count, &judged);
        const rp_list_t list = {&listed, judged.at, start, stop - start};
        rp_place_ties(scores, (size_t)(stop - start), count, ties, &judged, compare_entries, &list);
        rp_write_judged(count, &judged, offsets[q], found);
        found->counts[q] = (int64_t)count;
    }
}
