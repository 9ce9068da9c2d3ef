/* SPDX-License-Identifier: Apache-2.0
 * AVX2 with FMA. As in avx512.c, with eight query tokens to a register and sixteen registers: tiles of six
 * document rows times two vectors, and times one where the query leaves one. */
#include "kernels.h"

#ifdef RP_X86
#include <immintrin.h>

#define NEEDS RP_CPU_AVX2_FMA
#define TARGET __attribute__((target("avx2,fma")))

enum { VECTOR = 8, ROWS = 6, VECTORS = 2 };

/* Raises best[VECTOR * vectors] by the dot products of `rows` document rows that follow one another;
 * `lanes` is the distance from one k to the next in the packed query. */
TARGET static inline __attribute__((always_inline)) void tile_f32(
    const float *query, size_t lanes, size_t vectors, size_t K, const rp_f32_t *document, size_t rows,
    float *best)
{
    __m256 sum[ROWS][VECTORS];
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = _mm256_setzero_ps();
    for (size_t k = 0; k < K; k++, query += lanes) {
        __m256 q[VECTORS];
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            q[v] = _mm256_loadu_ps(query + v * VECTOR);
        if (k % RP_LINE_F32 == 0)
#pragma GCC unroll 6
            for (size_t r = 0; r < rows; r++)
                rp_prefetch_f32(document, (rows + r) * K + k);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            const __m256 d = _mm256_set1_ps(document[r * K + k]);
#pragma GCC unroll 2
            for (size_t v = 0; v < vectors; v++)
                sum[r][v] = _mm256_fmadd_ps(q[v], d, sum[r][v]);
        }
    }
#pragma GCC unroll 2
    for (size_t v = 0; v < vectors; v++) {
        __m256 most = _mm256_loadu_ps(best + v * VECTOR);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++)
            most = _mm256_max_ps(most, sum[r][v]);
        _mm256_storeu_ps(best + v * VECTOR, most);
    }
}

/* Raises best[lanes] by `rows` document rows; two vectors at a time, while the rows are in the first cache. */
TARGET static inline __attribute__((always_inline)) void rows_f32(
    const float *query, size_t lanes, size_t K, const rp_f32_t *document, size_t rows, float *best)
{
    size_t lane = 0;
    for (; lane + 2 * VECTOR <= lanes; lane += 2 * VECTOR)
        tile_f32(query + lane, lanes, 2, K, document, rows, best + lane);
    if (lane < lanes)
        tile_f32(query + lane, lanes, 1, K, document, rows, best + lane);
}

/* Whole tiles, the last one moved back over rows already seen: a maximum does not mind. */
TARGET static void maxsim_f32(const void *block, size_t lanes, size_t K, const void *values, size_t D,
                              float *best)
{
    const rp_f32_t *document = values;
    if (D < ROWS) {
        for (size_t j = 0; j < D; j++)
            rows_f32(block, lanes, K, document + j * K, 1, best);
        return;
    }
    for (size_t j = 0; j < D; j += ROWS)
        rows_f32(block, lanes, K, document + (j + ROWS <= D ? j : D - ROWS) * K, ROWS, best);
}

const rp_row_t rp_row_avx2 = {
    .level = RP_AVX2,
    .needs = NEEDS,
    .vector = VECTOR,
    .maxsim = {[RP_F32] = maxsim_f32},
};
#endif
