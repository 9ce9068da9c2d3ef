/* SPDX-License-Identifier: Apache-2.0
 * How many scores of a list are higher than a document's, and how many equal: its rank, without sorting the list. */
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
        end = low < n ? low + 1 : low; /* itself; and where others have its score, behind the last of them */
        rest = end < n && scores[end] == judged[j] ? n - end : 0;
        while (rest) {
            const size_t half = rest / 2;
            if (scores[end + half] == judged[j]) {
                end += half + 1;
                rest -= half + 1;
            } else
                rest = half;
        }
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

