/* SPDX-License-Identifier: Apache-2.0
 * Ranks of judged documents, without sorting any list: for each of them, how many scores are higher? */
#include "columns.h"

#include <math.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define RP_X86_COUNT 1
#define COUNT_AVX2 __attribute__((target("avx2")))
#define COUNT_AVX512 __attribute__((target("avx512f")))
#endif

enum { FEW = 48 }; /* judged documents up to which comparing all with all beats sorting them */

/* The loop that compilers vectorise, once for each instruction set. */
#define COUNT_EACH                                                                                                     \
    for (size_t j = 0; j < count; j++) {                                                                               \
        const double mine = judged[j];                                                                                 \
        int64_t higher = 0, equal = 0;                                                                                 \
        for (size_t i = 0; i < n; i++) {                                                                               \
            higher += scores[i] > mine;                                                                                \
            equal += scores[i] == mine;                                                                                \
        }                                                                                                              \
        above[j] = higher;                                                                                             \
        tied[j] = equal;                                                                                               \
    }

static void count_plain(const double *scores, size_t n, const double *judged, size_t count, int64_t *above,
                        int64_t *tied)
{
    COUNT_EACH
}

#ifdef RP_X86_COUNT
COUNT_AVX2 static void count_avx2(const double *scores, size_t n, const double *judged, size_t count, int64_t *above,
                                  int64_t *tied)
{
    COUNT_EACH
}

COUNT_AVX512 static void count_avx512(const double *scores, size_t n, const double *judged, size_t count,
                                      int64_t *above, int64_t *tied)
{
    COUNT_EACH
}
#endif

void rp_count(const double *scores, size_t n, const double *judged, size_t count, int64_t *above, int64_t *tied)
{
#ifdef RP_X86_COUNT
    const uint32_t cpu = rp_cpu_features(); /* found out once, then remembered */
    if (cpu & RP_CPU_AVX512)
        count_avx512(scores, n, judged, count, above, tied);
    else if (cpu & RP_CPU_AVX2)
        count_avx2(scores, n, judged, count, above, tied);
    else
#endif
        count_plain(scores, n, judged, count, above, tied);
}

/* The same for many judged documents: they are sorted, and each score is placed among them by bisection. */
static void count_many(const double *scores, size_t n, const double *judged, size_t count, int64_t *above,
                       int64_t *tied, rp_pair_t *pairs, rp_pair_t *room)
{
    int64_t *upto = (int64_t *)room, *same = upto + count; /* by place in `pairs`, after sorting */
    for (size_t j = 0; j < count; j++)
        pairs[j] = (rp_pair_t){judged[j], (int64_t)j};
    rp_sort(pairs, room, count);
    memset(upto, 0, 2 * count * sizeof *upto);
    for (size_t i = 0; i < n; i++) {
        size_t low = 0, rest = count; /* the first place whose score is not above scores[i] */
        while (rest) {
            const size_t half = rest / 2;
            if (pairs[low + half].key > scores[i]) {
                low += half + 1;
                rest -= half + 1;
            } else
                rest = half;
        }
        if (low == count)
            continue;
        if (pairs[low].key == scores[i])
            same[low]++; /* equal ones further on take it over below */
        else
            upto[low]++;
    }
    int64_t higher = 0;
    for (size_t place = 0; place < count;) {
        higher += upto[place];
        const double key = pairs[place].key;
        const int64_t equal = same[place];
        for (; place < count && pairs[place].key == key; place++) {
            above[pairs[place].index] = higher;
            tied[pairs[place].index] = equal;
        }
        higher += equal;
    }
}

void rp_ranks_at(const double *scores, const int64_t *unions, size_t queries, const int64_t *codes, size_t count,
                 int64_t *ranks)
{
    size_t j = 0;
    for (size_t q = 0; q < queries; q++)
        for (; j < count && codes[j] < unions[q + 1]; j++) {
            const int64_t start = unions[q], mine = codes[j];
            int64_t above, tied, before;
            if (isnan(scores[mine])) {
                ranks[j] = 0;
                continue;
            }
            rp_count(scores + start, (size_t)(unions[q + 1] - start), scores + mine, 1, &above, &tied);
            before = 0;
            if (tied > 1)
                for (int64_t i = start; i < mine; i++)
                    before += scores[i] == scores[mine];
            ranks[j] = 1 + above + before;
        }
}

/* Whether a list stands best first, as most do. */
static int descends(const double *scores, size_t n)
{
    enum { STEP = 64 };
    for (size_t i = 1; i < n; i += STEP) {
        const size_t end = n - i < STEP ? n : i + STEP;
        int rises = 0;
        for (size_t k = i; k < end; k++)
            rises |= scores[k] > scores[k - 1];
        if (rises)
            return 0;
    }
    return 1;
}

/* The same for such a list, by bisection. */
static void count_descending(const double *scores, size_t n, const double *judged, size_t count, int64_t *above,
                             int64_t *tied)
{
    for (size_t j = 0; j < count; j++) {
        size_t low = 0, end, rest = n; /* the first place whose score is not above the judged one */
        while (rest) {
            const size_t half = rest / 2;
            if (scores[low + half] > judged[j]) {
                low += half + 1;
                rest -= half + 1;
            } else
                rest = half;
        }
        for (end = low; end < n && scores[end] == judged[j]; end++)
            ;
        above[j] = (int64_t)low;
        tied[j] = (int64_t)(end - low);
    }
}

void rp_rank_judged(const double *scores, size_t n, size_t count, rp_judged_t *judged)
{
    if (count && descends(scores, n))
        count_descending(scores, n, judged->scores, count, judged->above, judged->tied);
    else if (count <= FEW)
        rp_count(scores, n, judged->scores, count, judged->above, judged->tied);
    else
        count_many(scores, n, judged->scores, count, judged->above, judged->tied, judged->pairs, judged->room);
    for (size_t j = 0; j < count; j++)
        judged->rank[j] = judged->above[j] + 1;
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

/* Judged documents of one query among the documents `start` to `stop` of a run: which, and where. A byte for each
 * value of a hash, nearly all of them 0, turns nearly every document away. */
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

/* How many documents with the score of entry i stand before it. */
static int64_t before(const rp_ids_t *ids, const double *scores, int64_t start, int64_t stop, int64_t i, double score,
                      int ties)
{
    int64_t found = 0;
    for (int64_t k = start; k < (ties == RP_TIES_INPUT ? i : stop); k++)
        if (scores[k - start] == score && k != i) {
            const int order = ties == RP_TIES_INPUT ? 1 : rp_compare_ids(ids, k, i);
            found += ties == RP_TIES_ID_ASC ? order < 0 : order > 0;
        }
    return found;
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
        if (!same_texts(&listed, &wanted, count, &judged))
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
        for (size_t j = 0; j < count; j++)
            if (judged.tied[j] > 1)
                judged.rank[j] += before(&listed, scores, start, stop, judged.at[j], judged.scores[j], ties);
        rp_write_judged(count, &judged, offsets[q], found);
        found->counts[q] = (int64_t)count;
    }
}
