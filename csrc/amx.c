/* SPDX-License-Identifier: Apache-2.0
 * AMX: registers of 16 rows by 64 bytes, and one instruction that multiplies two of them. The packed query is
 * a series of such tiles already (16 words of 16 lanes); a tile of the document is 64 bytes of each of 16 rows,
 * as they lie in the caller's memory. Two of each give four products, 32 document rows by 32 query lanes, so
 * that a load serves two multiplications. The sums of a product lie a document row to a line: AVX-512 takes the
 * maximum down the lines. */
#include "kernels.h"

#ifdef RP_X86
#include <immintrin.h>

#define TARGET __attribute__((target("amx-tile,amx-int8,amx-bf16,avx512f")))

enum { LANES = 16, ROWS = 16, LINE = RP_LINE, HALVES = 2, VECTORS = RP_BLOCK / LANES };

/* Numbers of tiles must be literals: sums of the first and second half of the rows with the first and second
 * half of the lanes, halves of the rows, halves of the lanes. */
#define SUM_00 0
#define SUM_01 1
#define SUM_10 2
#define SUM_11 3
#define ROWS_0 4
#define ROWS_1 5
#define LANES_0 6
#define LANES_1 7

/* GCC does not know that loading a tile reads memory: nothing may be written late or too soon. */
#define BARRIER __asm__ volatile("" ::: "memory")

/* All eight tiles are full ones, in the only palette there is. */
static const struct { uint8_t palette, start, zero[14]; uint16_t bytes[16]; uint8_t rows[16]; } config = {
    .palette = 1,
    .bytes = {LINE, LINE, LINE, LINE, LINE, LINE, LINE, LINE},
    .rows = {ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS},
};

TARGET static void begin(void) { _tile_loadconfig(&config); }
TARGET static void end(void) { _tile_release(); }

/* A tile of `rows` rows of `bytes` bytes, `stride` apart, filled up with zeros: rows may end before the tile
 * does, and what lies behind them must not be read, nor multiplied, for zero times NaN is not zero. */
TARGET static void copy_tile(const char *from, size_t stride, size_t rows, size_t bytes, char *tile)
{
    const size_t words = bytes / 4;
    BARRIER;
    for (size_t r = 0; r < ROWS; r++, from += stride) {
        __m512i line = _mm512_setzero_si512();
        if (r < rows) {
            line = _mm512_maskz_loadu_epi32((__mmask16)((1u << words) - 1), from);
            if (bytes % 4)
                line = _mm512_mask_set1_epi32(line, (__mmask16)(1u << words),
                                              (int)rp_tail(from + words * 4, bytes % 4));
        }
        _mm512_storeu_si512(tile + r * LINE, line);
    }
    BARRIER;
}

/* sums[half][row][lane] = the products of 16 document rows at each of `halves` addresses, of which only the
 * first `rows` are there, and one block of the query. Meanwhile the 32 rows behind the first are fetched. */
TARGET RP_INLINE void multiply(int dtype, const char *query, size_t lanes, size_t row_bytes, const char *first,
                               const char *second, size_t halves, size_t rows, int32_t *sums)
{
    _Alignas(LINE) char copies[HALVES][ROWS * LINE];
    const size_t query_stride = lanes * 4;
    _tile_zero(SUM_00);
    _tile_zero(SUM_01);
    _tile_zero(SUM_10);
    _tile_zero(SUM_11);
    for (size_t at = 0; at < row_bytes; at += LINE, query += ROWS * query_stride) {
        const size_t bytes = row_bytes - at < LINE ? row_bytes - at : LINE;
        const char *rows_0 = first + at, *rows_1 = second + at;
        size_t stride = row_bytes;
        if (bytes < LINE || rows < ROWS) {
            copy_tile(rows_0, row_bytes, rows, bytes, copies[0]);
            if (halves == HALVES)
                copy_tile(rows_1, row_bytes, rows, bytes, copies[1]);
            rows_0 = copies[0], rows_1 = copies[1], stride = LINE;
        }
        for (size_t r = 0; r < HALVES * ROWS; r++)
            rp_prefetch(first, (HALVES * ROWS + r) * row_bytes + at);
#define MULTIPLY(sum, rows, lanes)                                       \
    do {                                                                 \
        if (dtype == RP_I8)                                              \
            _tile_dpbssd(sum, rows, lanes);                              \
        else                                                             \
            _tile_dpbf16ps(sum, rows, lanes);                            \
    } while (0)
        _tile_loadd(LANES_0, query, query_stride);
        _tile_loadd(ROWS_0, rows_0, stride);
        MULTIPLY(SUM_00, ROWS_0, LANES_0);
        if (lanes > LANES) {
            _tile_loadd(LANES_1, query + LINE, query_stride);
            MULTIPLY(SUM_01, ROWS_0, LANES_1);
        }
        if (halves == HALVES) {
            _tile_loadd(ROWS_1, rows_1, stride);
            MULTIPLY(SUM_10, ROWS_1, LANES_0);
            if (lanes > LANES)
                MULTIPLY(SUM_11, ROWS_1, LANES_1);
        }
#undef MULTIPLY
    }
    _tile_stored(SUM_00, sums, query_stride);
    if (lanes > LANES)
        _tile_stored(SUM_01, sums + LANES, query_stride);
    if (halves == HALVES) {
        _tile_stored(SUM_10, sums + ROWS * lanes, query_stride);
        if (lanes > LANES)
            _tile_stored(SUM_11, sums + ROWS * lanes + LANES, query_stride);
    }
}

/* Raises best by `rows` lines of each half of the sums; those of int8 are scaled first, by the scales of their
 * rows of the document, of which the halves begin with the first and the second. */
TARGET RP_INLINE void raise(int dtype, const int32_t *sums, const rp_f32_t *scales, size_t first, size_t second,
                            size_t halves, size_t rows, size_t lanes, float *best)
{
    const size_t begins[HALVES] = {first, second};
    __m512 most[HALVES][VECTORS];
    RP_EACH(h, halves) RP_EACH(v, lanes / LANES) most[h][v] = _mm512_loadu_ps(best + v * LANES);
    for (size_t r = 0; r < rows; r++)
        RP_EACH(h, halves) RP_EACH(v, lanes / LANES) {
            const __m512i sum = _mm512_loadu_si512(sums + (h * ROWS + r) * lanes + v * LANES);
            __m512 value = _mm512_castsi512_ps(sum);
            if (dtype == RP_I8)
                value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(scales[begins[h] + r]));
            most[h][v] = _mm512_max_ps(most[h][v], value);
        }
    RP_EACH(v, lanes / LANES) _mm512_storeu_ps(best + v * LANES, _mm512_max_ps(most[0][v], most[halves - 1][v]));
}

/* 32 rows at a time. What is left is moved back over rows already seen, to end with the document: its second
 * half, or, of up to 16 rows, the only one. A document of fewer than 16 rows is copied. */
TARGET RP_INLINE void each_tile(int dtype, const void *block, size_t lanes, size_t K, const char *document,
                                const rp_f32_t *scales, size_t D, float *best)
{
    const size_t row_bytes = rp_document_bytes(dtype, K), last = D < ROWS ? 0 : D - ROWS;
    _Alignas(LINE) int32_t sums[HALVES * ROWS * RP_BLOCK];
    size_t at = 0;
    for (; at + ROWS < D; at += HALVES * ROWS) {
        const size_t second = at + ROWS < last ? at + ROWS : last;
        multiply(dtype, block, lanes, row_bytes, document + at * row_bytes, document + second * row_bytes, HALVES,
                 ROWS, sums);
        raise(dtype, sums, scales, at, second, HALVES, ROWS, lanes, best);
    }
    if (at < D) {
        const size_t rows = D < ROWS ? D : ROWS;
        const char *row = document + last * row_bytes;
        multiply(dtype, block, lanes, row_bytes, row, row, 1, rows, sums);
        raise(dtype, sums, scales, last, last, 1, rows, lanes, best);
    }
}

TARGET static void maxsim_i8(const void *block, size_t lanes, size_t K, const void *document, const void *scales,
                             size_t D, float *best)
{
    if (lanes == LANES)
        each_tile(RP_I8, block, LANES, K, document, scales, D, best);
    else
        each_tile(RP_I8, block, RP_BLOCK, K, document, scales, D, best);
}

TARGET static void maxsim_bf16(const void *block, size_t lanes, size_t K, const void *document, const void *scales,
                               size_t D, float *best)
{
    if (lanes == LANES)
        each_tile(RP_BF16, block, LANES, K, document, scales, D, best);
    else
        each_tile(RP_BF16, block, RP_BLOCK, K, document, scales, D, best);
}

const rp_row_t rp_row_amx = {
    .name = "amx",
    .level = RP_AMX,
    .needs = RP_CPU_AMX | RP_CPU_AVX512,
    .vector = LANES,
    .begin = begin,
    .end = end,
    .kernels = {[RP_BF16] = {maxsim_bf16, RP_PACK_WORDS}, [RP_I8] = {maxsim_i8, RP_PACK_WORDS}},
};
#endif
