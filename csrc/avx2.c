/* SPDX-License-Identifier: Apache-2.0
 * AVX2 with FMA. As in avx512.c, with eight query tokens to a register and sixteen registers: tiles of
 * six document rows times two vectors, or twelve rows times one. */
#include "kernels.h"

#ifdef RP_X86
#include <immintrin.h>

#define NEEDS RP_CPU_AVX2_FMA
#define TARGET __attribute__((target("avx2,fma")))

enum { VECTOR = 8, ROWS = 12, VECTORS = 2 };

/* Raises best[VECTOR * vectors] by the dot products of `rows` document rows that follow one another;
 * `lanes` is the distance from one k to the next in the packed query. */
TARGET static inline __attribute__((always_inline)) void tile_f32(
    const float *query, size_t lanes, size_t vectors, size_t K, const rp_f32_t *document, size_t rows,
    float *best)
{
    __m256 sum[ROWS][VECTORS];
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = _mm256_setzero_ps();
    for (size_t k = 0; k < K; k++, query += lanes) {
        __m256 q[VECTORS];
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            q[v] = _mm256_loadu_ps(query + v * VECTOR);
#pragma GCC unroll 12
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
#pragma GCC unroll 12
        for (size_t r = 0; r < rows; r++)
            most = _mm256_max_ps(most, sum[r][v]);
        _mm256_storeu_ps(best + v * VECTOR, most);
    }
}

/* Whole tiles, the last one moved back over rows already seen: a maximum does not mind. */
TARGET static inline __attribute__((always_inline)) void document_f32(
    const float *query, size_t lanes, size_t vectors, size_t K, const rp_f32_t *document, size_t D,
    size_t rows, float *best)
{
    if (D < rows) {
        for (size_t j = 0; j < D; j++)
            tile_f32(query, lanes, vectors, K, document + j * K, 1, best);
        return;
    }
    for (size_t j = 0; j < D; j += rows)
        tile_f32(query, lanes, vectors, K, document + (j + rows <= D ? j : D - rows) * K, rows, best);
}

TARGET static void maxsim_f32(const void *block, size_t lanes, size_t K, const void *document, size_t D,
                              float *best)
{
    const float *query = block;
    size_t lane = 0;
    for (; lane + 2 * VECTOR <= lanes; lane += 2 * VECTOR)
        document_f32(query + lane, lanes, 2, K, document, D, 6, best + lane);
    if (lane < lanes)
        document_f32(query + lane, lanes, 1, K, document, D, 12, best + lane);
}

const rp_row_t rp_row_avx2 = {
    .level = RP_AVX2,
    .needs = NEEDS,
    .vector = VECTOR,
    .maxsim = {[RP_F32] = maxsim_f32},
};
#endif
