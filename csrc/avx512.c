/* SPDX-License-Identifier: Apache-2.0
 * AVX-512 (foundation only). Sixteen query tokens lie in a register; a tile of document rows times one or
 * two such registers is kept in accumulators while k runs, so a document streams through once, row-major
 * from the caller's memory. Twelve rows times two registers leave room for two query vectors. */
#include "kernels.h"

#ifdef RP_X86
#include <immintrin.h>

#define NEEDS RP_CPU_AVX512F
#define TARGET __attribute__((target("avx512f")))

enum { VECTOR = 16, ROWS = 12, VECTORS = RP_BLOCK / VECTOR };

/* Raises best[VECTOR * vectors] by the dot products of `rows` document rows that follow one another. */
TARGET static inline __attribute__((always_inline)) void tile_f32(
    const float *query, size_t vectors, size_t K, const rp_f32_t *document, size_t rows, float *best)
{
    __m512 sum[ROWS][VECTORS];
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = _mm512_setzero_ps();
    for (size_t k = 0; k < K; k++, query += vectors * VECTOR) {
        __m512 q[VECTORS];
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            q[v] = _mm512_loadu_ps(query + v * VECTOR);
        if (k % RP_LINE_F32 == 0)
#pragma GCC unroll 12
            for (size_t r = 0; r < rows; r++)
                rp_prefetch_f32(document, (rows + r) * K + k);
#pragma GCC unroll 12
        for (size_t r = 0; r < rows; r++) {
            const __m512 d = _mm512_set1_ps(document[r * K + k]);
#pragma GCC unroll 2
            for (size_t v = 0; v < vectors; v++)
                sum[r][v] = _mm512_fmadd_ps(q[v], d, sum[r][v]);
        }
    }
#pragma GCC unroll 2
    for (size_t v = 0; v < vectors; v++) {
        __m512 most = _mm512_loadu_ps(best + v * VECTOR);
#pragma GCC unroll 12
        for (size_t r = 0; r < rows; r++)
            most = _mm512_max_ps(most, sum[r][v]);
        _mm512_storeu_ps(best + v * VECTOR, most);
    }
}

/* Whole tiles, the last one moved back over rows already seen: a maximum does not mind. */
TARGET static inline __attribute__((always_inline)) void document_f32(
    const float *query, size_t vectors, size_t K, const rp_f32_t *document, size_t D, float *best)
{
    if (D < ROWS) {
        for (size_t j = 0; j < D; j++)
            tile_f32(query, vectors, K, document + j * K, 1, best);
        return;
    }
    for (size_t j = 0; j < D; j += ROWS)
        tile_f32(query, vectors, K, document + (j + ROWS <= D ? j : D - ROWS) * K, ROWS, best);
}

TARGET static void maxsim_f32(const void *block, size_t lanes, size_t K, const void *document, size_t D,
                              float *best)
{
    if (lanes == VECTOR)
        document_f32(block, 1, K, document, D, best);
    else
        document_f32(block, 2, K, document, D, best);
}

const rp_row_t rp_row_avx512 = {
    .level = RP_AVX512,
    .needs = NEEDS,
    .vector = VECTOR,
    .maxsim = {[RP_F32] = maxsim_f32},
};
#endif
