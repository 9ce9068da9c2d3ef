/* SPDX-License-Identifier: Apache-2.0
 * AVX2 with FMA and F16C. As in avx512.c, with eight query tokens to a register and sixteen registers: tiles of
 * six document rows times two vectors, a block's 32 lanes in two passes over the tile while it is in the first
 * cache. The second row adds the 8-bit dot product of newer CPUs without AVX-512. */
#include "kernels.h"

#ifdef RP_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define TARGET_VNNI __attribute__((target("avx2,fma,f16c,avxvnni")))

enum { VECTOR = 8, ROWS = 6, VECTORS = 2, CHUNK = 128 };

/* The dot products of a tile, kept in memory between passes over lanes and chunks of k. */
typedef union { float f[ROWS * RP_BLOCK]; int32_t i[ROWS * RP_BLOCK]; } sums_t;

/* sum[row][lane] += the products of a query and `count` elements of document rows, `stride` elements apart, for
 * the lanes of `vectors` registers. `ahead` is what to fetch meanwhile, in elements behind each row; 0: nothing. */
TARGET RP_INLINE void multiply(float *sum, const float *query, size_t lanes, size_t vectors, const rp_f32_t *document,
                               size_t stride, size_t rows, size_t count, size_t ahead)
{
    __m256 s[ROWS][VECTORS];
    RP_EACH(r, rows) RP_EACH(v, vectors) s[r][v] = _mm256_loadu_ps(sum + r * RP_BLOCK + v * VECTOR);
    for (size_t k = 0; k < count; k++, query += lanes) {
        __m256 q[VECTORS];
        RP_EACH(v, vectors) q[v] = _mm256_loadu_ps(query + v * VECTOR);
        if (ahead && k % (RP_LINE / sizeof(float)) == 0)
            RP_EACH(r, rows) rp_prefetch(document, (r * stride + ahead + k) * sizeof(float));
        RP_EACH(r, rows) {
            const __m256 d = _mm256_set1_ps(document[r * stride + k]);
            RP_EACH(v, vectors) s[r][v] = _mm256_fmadd_ps(q[v], d, s[r][v]);
        }
    }
    RP_EACH(r, rows) RP_EACH(v, vectors) _mm256_storeu_ps(sum + r * RP_BLOCK + v * VECTOR, s[r][v]);
}

/* All lanes, two registers at a time. */
TARGET RP_INLINE void multiply_lanes(float *sum, const float *query, size_t lanes, const rp_f32_t *document,
                                     size_t stride, size_t rows, size_t count, size_t ahead)
{
    size_t lane = 0;
    for (; lane + 2 * VECTOR <= lanes; lane += 2 * VECTOR)
        multiply(sum + lane, query + lane, lanes, 2, document, stride, rows, count, lane ? 0 : ahead);
    if (lane < lanes)
        multiply(sum + lane, query + lane, lanes, 1, document, stride, rows, count, lane ? 0 : ahead);
}

TARGET RP_INLINE void raise(const float *sum, size_t lanes, size_t rows, float *best)
{
    for (size_t lane = 0; lane < lanes; lane += VECTOR) {
        __m256 most = _mm256_loadu_ps(best + lane);
        RP_EACH(r, rows) most = _mm256_max_ps(most, _mm256_loadu_ps(sum + r * RP_BLOCK + lane));
        _mm256_storeu_ps(best + lane, most);
    }
}

TARGET RP_INLINE void tile_f32(const void *block, size_t lanes, size_t K, const char *document, const rp_f32_t *scales,
                               size_t rows, float *best)
{
    sums_t sum = {{0}};
    multiply_lanes(sum.f, block, lanes, (const rp_f32_t *)document, K, rows, K, rows * K);
    raise(sum.f, lanes, rows, best);
}

/* Half-sized floats are widened a chunk of a tile at a time, into the first cache. */
typedef __m256 widen_fn(__m128i halves);
TARGET RP_INLINE __m256 widen_f16(__m128i halves) { return _mm256_cvtph_ps(halves); }
TARGET RP_INLINE __m256 widen_bf16(__m128i halves)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/* Sixteen bytes at `at`, of which `bytes` exist. */
TARGET RP_INLINE __m128i load_16(const char *at, size_t bytes)
{
    char padded[16] = {0};
    if (bytes < sizeof padded)
        at = memcpy(padded, at, bytes);
    return _mm_loadu_si128((const __m128i *)at);
}

TARGET RP_INLINE void tile_half(widen_fn *convert, const void *block, size_t lanes, size_t K, const char *document,
                                size_t rows, float *best)
{
    const size_t row_bytes = K * sizeof(uint16_t);
    float wide[ROWS * CHUNK];
    sums_t sum = {{0}};
    for (size_t k = 0; k < K; k += CHUNK) {
        const size_t count = K - k < CHUNK ? K - k : CHUNK;
        for (size_t r = 0; r < rows; r++) {
            const char *row = document + r * row_bytes + k * sizeof(uint16_t);
            for (size_t at = 0; at < count * sizeof(uint16_t); at += RP_LINE)
                rp_prefetch(row, rows * row_bytes + at);
            for (size_t i = 0; i < count; i += VECTOR)
                _mm256_storeu_ps(wide + r * CHUNK + i, convert(load_16(row + i * 2, (count - i) * 2)));
        }
        multiply_lanes(sum.f, (const float *)block + k * lanes, lanes, wide, CHUNK, rows, count, 0);
    }
    raise(sum.f, lanes, rows, best);
}

TARGET RP_INLINE void tile_f16(const void *block, size_t lanes, size_t K, const char *document, const rp_f32_t *scales,
                               size_t rows, float *best)
{
    tile_half(widen_f16, block, lanes, K, document, rows, best);
}

TARGET RP_INLINE void tile_bf16(const void *block, size_t lanes, size_t K, const char *document, const rp_f32_t *scales,
                                size_t rows, float *best)
{
    tile_half(widen_bf16, block, lanes, K, document, rows, best);
}

/* best against scaled integer sums. */
TARGET RP_INLINE void raise_i8(const int32_t *sum, size_t lanes, size_t rows, const rp_f32_t *scales, float *best)
{
    for (size_t lane = 0; lane < lanes; lane += VECTOR) {
        __m256 most = _mm256_loadu_ps(best + lane);
        RP_EACH(r, rows) {
            const __m256i dot = _mm256_loadu_si256((const __m256i *)(sum + r * RP_BLOCK + lane));
            most = _mm256_max_ps(most, _mm256_mul_ps(_mm256_cvtepi32_ps(dot), _mm256_set1_ps(scales[r])));
        }
        _mm256_storeu_ps(best + lane, most);
    }
}

/* Four rows: GCC 12 spills the accumulators of six, at half the speed. */
enum { ROWS_I8 = 4 };

/* sum[row][lane] += pairs of int16, `count` of them. The instruction that multiplies bytes would saturate. */
TARGET RP_INLINE void multiply_pairs(int32_t *sum, const int32_t *query, size_t lanes, size_t vectors,
                                     const int16_t *wide, size_t rows, size_t count)
{
    __m256i s[ROWS_I8][VECTORS];
    RP_EACH(r, rows) RP_EACH(v, vectors)
        s[r][v] = _mm256_loadu_si256((const __m256i *)(sum + r * RP_BLOCK + v * VECTOR));
    for (size_t k = 0; k < count; k++, query += lanes) {
        __m256i q[VECTORS];
        RP_EACH(v, vectors) q[v] = _mm256_loadu_si256((const __m256i *)(query + v * VECTOR));
        RP_EACH(r, rows) {
            const __m256i d = _mm256_set1_epi32((int)*(const rp_u32_t *)(wide + r * CHUNK + 2 * k));
            RP_EACH(v, vectors) s[r][v] = _mm256_add_epi32(s[r][v], _mm256_madd_epi16(q[v], d));
        }
    }
    RP_EACH(r, rows) RP_EACH(v, vectors)
        _mm256_storeu_si256((__m256i *)(sum + r * RP_BLOCK + v * VECTOR), s[r][v]);
}

TARGET RP_INLINE void tile_i8(const void *block, size_t lanes, size_t K, const char *document, const rp_f32_t *scales,
                              size_t rows, float *best)
{
    int16_t wide[ROWS_I8 * CHUNK];
    sums_t sum = {{0}};
    for (size_t k = 0; k < K; k += CHUNK) {
        const size_t count = K - k < CHUNK ? K - k : CHUNK;
        const int32_t *query = (const int32_t *)block + k / 2 * lanes;
        size_t lane = 0;
        for (size_t r = 0; r < rows; r++) {
            const char *row = document + r * K + k;
            for (size_t at = 0; at < count; at += RP_LINE)
                rp_prefetch(row, rows * K + at);
            for (size_t i = 0; i < count; i += 16)
                _mm256_storeu_si256((__m256i *)(wide + r * CHUNK + i),
                                    _mm256_cvtepi8_epi16(load_16(row + i, count - i)));
        }
        for (; lane + 2 * VECTOR <= lanes; lane += 2 * VECTOR)
            multiply_pairs(sum.i + lane, query + lane, lanes, 2, wide, rows, (count + 1) / 2);
        if (lane < lanes)
            multiply_pairs(sum.i + lane, query + lane, lanes, 1, wide, rows, (count + 1) / 2);
    }
    raise_i8(sum.i, lanes, rows, scales, best);
}

/* As tile_i8_vnni in avx512.c. */
TARGET_VNNI RP_INLINE void multiply_words(int32_t *sum, const int32_t *query, size_t lanes, size_t vectors, size_t K,
                                          const char *document, size_t rows, const int32_t *correction)
{
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    __m256i s[ROWS_I8][VECTORS], q[VECTORS];
    RP_EACH(r, rows) RP_EACH(v, vectors) s[r][v] = _mm256_loadu_si256((const __m256i *)(correction + v * VECTOR));
    for (size_t k = 0; k < K; k += 4, query += lanes) {
        RP_EACH(v, vectors) q[v] = _mm256_loadu_si256((const __m256i *)(query + v * VECTOR));
        if (k % RP_LINE == 0)
            RP_EACH(r, rows) rp_prefetch(document, (rows + r) * K + k);
        RP_EACH(r, rows) {
            const char *at = document + r * K + k;
            const uint32_t word = K - k < 4 ? (uint32_t)rp_tail(at, K - k) : *(const rp_u32_t *)at;
            const __m256i d = _mm256_xor_si256(flip, _mm256_set1_epi32((int)word));
            RP_EACH(v, vectors) s[r][v] = _mm256_dpbusd_avx_epi32(s[r][v], d, q[v]);
        }
    }
    RP_EACH(r, rows) RP_EACH(v, vectors)
        _mm256_storeu_si256((__m256i *)(sum + r * RP_BLOCK + v * VECTOR), s[r][v]);
}

TARGET_VNNI RP_INLINE void tile_i8_vnni(const void *block, size_t lanes, size_t K, const char *document,
                                        const rp_f32_t *scales, size_t rows, float *best)
{
    const int32_t *query = block, *correction = query + rp_words(K) * lanes;
    sums_t sum;
    size_t lane = 0;
    for (; lane + 2 * VECTOR <= lanes; lane += 2 * VECTOR)
        multiply_words(sum.i + lane, query + lane, lanes, 2, K, document, rows, correction + lane);
    if (lane < lanes)
        multiply_words(sum.i + lane, query + lane, lanes, 1, K, document, rows, correction + lane);
    raise_i8(sum.i, lanes, rows, scales, best);
}

/* Bits set in each of four 64-bit lanes: a table of sixteen counts for either half of a byte, bytes added up. */
TARGET RP_INLINE __m256i count_bits(__m256i words)
{
    const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i bytes = _mm256_add_epi8(_mm256_shuffle_epi8(counts, _mm256_and_si256(words, low)),
                                          _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(words, 4), low)));
    return _mm256_sad_epu8(bytes, _mm256_setzero_si256());
}

enum { VECTOR_B1 = VECTOR / 2, ROWS_B1 = 4 };
TARGET RP_INLINE void tile_b1(const void *block, size_t lanes, size_t K, const char *document, const rp_f32_t *scales,
                              size_t rows, float *best)
{
    const size_t bytes = rp_document_bytes(RP_B1, K);
    for (size_t lane = 0; lane < lanes; lane += VECTOR_B1) {
        __m256i differ[ROWS_B1];
        const uint64_t *query = (const uint64_t *)block + lane;
        RP_EACH(r, rows) differ[r] = _mm256_setzero_si256();
        for (size_t at = 0; at < bytes; at += 8, query += lanes) {
            const __m256i q = _mm256_loadu_si256((const __m256i *)query);
            RP_EACH(r, rows) {
                const char *row = document + r * bytes + at;
                const uint64_t word = bytes - at < 8 ? rp_tail(row, bytes - at) : *(const rp_u64_t *)row;
                const __m256i d = _mm256_set1_epi64x((long long)word);
                differ[r] = _mm256_add_epi64(differ[r], count_bits(_mm256_xor_si256(q, d)));
            }
        }
        RP_EACH(r, rows) {
            const __m256i numbers = _mm256_permutevar8x32_epi32(differ[r], _mm256_setr_epi32(0, 2, 4, 6, 0, 0, 0, 0));
            const __m128i dot = _mm_sub_epi32(_mm_set1_epi32((int)K), _mm_slli_epi32(_mm256_castsi256_si128(numbers), 1));
            _mm_storeu_ps(best + lane, _mm_max_ps(_mm_loadu_ps(best + lane), _mm_cvtepi32_ps(dot)));
        }
    }
}

/* As in avx512.c, a register of lanes at a time. */
TARGET RP_INLINE void tile_sums(const float *sums, size_t lanes, size_t codes, size_t C, const char *document,
                                const rp_f32_t *scales, size_t rows, float *best)
{
    const size_t bytes = rp_code_bytes(codes, C), first = bytes - rp_code_bytes(codes, 0);
    for (size_t lane = 0; lane < lanes; lane += VECTOR) {
        const float *at = sums + lane, *starts = at + 16 * codes * lanes;
        __m256 sum[ROWS], most = _mm256_loadu_ps(best + lane);
        RP_EACH(r, rows)
            sum[r] = C ? _mm256_loadu_ps(starts + rp_start(document + r * bytes, C) * lanes) : _mm256_setzero_ps();
        for (size_t g = 0; g < codes; g++, at += 16 * lanes)
            RP_EACH(r, rows) {
                const uint8_t byte = (uint8_t)document[r * bytes + first + g / 2];
                sum[r] = _mm256_add_ps(sum[r], _mm256_loadu_ps(at + (g % 2 ? byte & 15u : byte >> 4) * lanes));
            }
        if (scales)
            RP_EACH(r, rows) sum[r] = _mm256_mul_ps(sum[r], _mm256_set1_ps(scales[r]));
        RP_EACH(r, rows) most = _mm256_max_ps(most, sum[r]);
        _mm256_storeu_ps(best + lane, most);
    }
}

TARGET RP_INLINE void tile_f32_b1(const void *block, size_t lanes, size_t K, const char *document,
                                  const rp_f32_t *scales, size_t rows, float *best)
{
    tile_sums(block, lanes, (K + 3) / 4, 0, document, NULL, rows, best);
}

TARGET RP_INLINE void tile_codes(const void *block, size_t lanes, size_t K, const char *document,
                                 const rp_f32_t *scales, size_t rows, float *best)
{
    tile_sums((const float *)block + lanes, lanes, K, *(const uint32_t *)block, document, scales, rows, best);
}

#define KERNEL(target, name, tile, rows, dtype)                                                                    \
    target static void name(const void *block, size_t lanes, size_t K, const void *document, const void *scales,    \
                            size_t D, float *best)                                                                  \
    {                                                                                                               \
        rp_each_tile(tile, rows, rp_row_bytes(dtype, block, K), block, lanes, K, document, scales, D, best);        \
    }

KERNEL(TARGET, maxsim_f32, tile_f32, ROWS, RP_F32)
KERNEL(TARGET, maxsim_f16, tile_f16, ROWS, RP_F16)
KERNEL(TARGET, maxsim_bf16, tile_bf16, ROWS, RP_BF16)
KERNEL(TARGET, maxsim_i8, tile_i8, ROWS_I8, RP_I8)
KERNEL(TARGET, maxsim_b1, tile_b1, ROWS_B1, RP_B1)
KERNEL(TARGET, maxsim_f32_b1, tile_f32_b1, ROWS, RP_F32_B1)
KERNEL(TARGET, maxsim_codes, tile_codes, ROWS, RP_CODES)
KERNEL(TARGET_VNNI, maxsim_i8_vnni, tile_i8_vnni, ROWS_I8, RP_I8)

const rp_row_t rp_row_avx2 = {
    .name = "avx2",
    .level = RP_AVX2,
    .needs = RP_CPU_AVX2,
    .vector = VECTOR,
    .kernels = {
        [RP_F32] = {maxsim_f32, RP_PACK_FLOATS},
        [RP_F16] = {maxsim_f16, RP_PACK_FLOATS},
        [RP_BF16] = {maxsim_bf16, RP_PACK_FLOATS},
        [RP_I8] = {maxsim_i8, RP_PACK_SHORTS},
        [RP_B1] = {maxsim_b1, RP_PACK_BITS},
        [RP_F32_B1] = {maxsim_f32_b1, RP_PACK_SUMS},
        [RP_CODES] = {maxsim_codes, RP_PACK_CODES},
    },
};

const rp_row_t rp_row_avx2_vnni = {
    .name = "avx2 vnni",
    .level = RP_AVX2,
    .needs = RP_CPU_AVX2 | RP_CPU_AVXVNNI,
    .vector = VECTOR,
    .kernels = {[RP_I8] = {maxsim_i8_vnni, RP_PACK_WORDS}},
};
#endif
