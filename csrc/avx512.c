/* SPDX-License-Identifier: Apache-2.0
 * AVX-512. Sixteen query tokens lie in a register; a tile of document rows times one or two such registers is
 * kept in accumulators while k runs. Twelve rows times two registers leave room for two query vectors. The
 * foundation comes first; the rows at the end add what some CPUs have: 8-bit and bfloat16 dot products, and
 * counting bits. */
#include "kernels.h"

#ifdef RP_X86
#include <immintrin.h>

#define FOUNDATION "avx512f"
#define TARGET __attribute__((target(FOUNDATION)))
#define TARGET_VNNI __attribute__((target(FOUNDATION ",avx512vnni")))
#define TARGET_BF16 __attribute__((target(FOUNDATION ",avx512bf16")))
#define TARGET_VPOPCNTDQ __attribute__((target(FOUNDATION ",avx512vpopcntdq")))

enum { VECTOR = 16, ROWS = 12, VECTORS = RP_BLOCK / VECTOR, CHUNK = 128 };

/* sum[r][v] += the products of query vectors and `count` elements of document rows, `stride` elements apart.
 * `ahead` is what to fetch meanwhile, in elements behind each row; 0: nothing. */
TARGET RP_INLINE void multiply(__m512 sum[ROWS][VECTORS], const float *query, size_t vectors, const rp_f32_t *document,
                               size_t stride, size_t rows, size_t count, size_t ahead)
{
    for (size_t k = 0; k < count; k++, query += vectors * VECTOR) {
        __m512 q[VECTORS];
        RP_EACH(v, vectors) q[v] = _mm512_loadu_ps(query + v * VECTOR);
        if (ahead && k % (RP_LINE / sizeof(float)) == 0)
            RP_EACH(r, rows) rp_prefetch(document, (r * stride + ahead + k) * sizeof(float));
        RP_EACH(r, rows) {
            const __m512 d = _mm512_set1_ps(document[r * stride + k]);
            RP_EACH(v, vectors) sum[r][v] = _mm512_fmadd_ps(q[v], d, sum[r][v]);
        }
    }
}

TARGET RP_INLINE void raise(__m512 sum[ROWS][VECTORS], size_t vectors, size_t rows, float *best)
{
    RP_EACH(v, vectors) {
        __m512 most = _mm512_loadu_ps(best + v * VECTOR);
        RP_EACH(r, rows) most = _mm512_max_ps(most, sum[r][v]);
        _mm512_storeu_ps(best + v * VECTOR, most);
    }
}

TARGET RP_INLINE void tile_f32(const void *block, size_t lanes, size_t K, const char *document, const rp_f32_t *scales,
                               size_t rows, float *best)
{
    __m512 sum[ROWS][VECTORS];
    RP_EACH(r, rows) RP_EACH(v, lanes / VECTOR) sum[r][v] = _mm512_setzero_ps();
    multiply(sum, block, lanes / VECTOR, (const rp_f32_t *)document, K, rows, K, rows * K);
    raise(sum, lanes / VECTOR, rows, best);
}

/* Half-sized floats are widened a chunk of a tile at a time, into the first cache. */
typedef __m512 widen_fn(__m256i halves);
TARGET RP_INLINE __m512 widen_f16(__m256i halves) { return _mm512_cvtph_ps(halves); }
TARGET RP_INLINE __m512 widen_bf16(__m256i halves)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

TARGET RP_INLINE void widen(widen_fn *convert, const char *document, size_t count, float *wide)
{
    enum { BYTES = VECTOR * sizeof(uint16_t) };
    for (size_t k = 0; k < count; k += VECTOR) {
        char padded[BYTES] = {0};
        const char *at = document + k * sizeof(uint16_t);
        if (count - k < VECTOR) {
            memcpy(padded, at, (count - k) * sizeof(uint16_t));
            at = padded;
        }
        _mm512_storeu_ps(wide + k, convert(_mm256_loadu_si256((const __m256i *)at)));
    }
}

TARGET RP_INLINE void tile_half(widen_fn *convert, const void *block, size_t lanes, size_t K, const char *document,
                                size_t rows, float *best)
{
    const float *query = block;
    const size_t row_bytes = K * sizeof(uint16_t);
    float wide[ROWS * CHUNK];
    __m512 sum[ROWS][VECTORS];
    RP_EACH(r, rows) RP_EACH(v, lanes / VECTOR) sum[r][v] = _mm512_setzero_ps();
    for (size_t k = 0; k < K; k += CHUNK) {
        const size_t count = K - k < CHUNK ? K - k : CHUNK;
        for (size_t r = 0; r < rows; r++) {
            const char *row = document + r * row_bytes + k * sizeof(uint16_t);
            for (size_t at = 0; at < count * sizeof(uint16_t); at += RP_LINE)
                rp_prefetch(row, rows * row_bytes + at);
            widen(convert, row, count, wide + r * CHUNK);
        }
        multiply(sum, query + k * lanes, lanes / VECTOR, wide, CHUNK, rows, count, 0);
    }
    raise(sum, lanes / VECTOR, rows, best);
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

/* sum += the products of four unsigned bytes of d and four signed ones of q, per lane; and of two bfloat16.
 * In assembly because GCC 12 copies every accumulator of the intrinsics at each step (half the speed). */
TARGET_VNNI RP_INLINE void add_products_i8(__m512i *sum, __m512i d, __m512i q)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(d), "v"(q));
}

TARGET_BF16 RP_INLINE void add_products_bf16(__m512 *sum, __m512i d, __m512i q)
{
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(*sum) : "v"(d), "v"(q));
}

/* Words of four int8 along k. The instruction takes one side unsigned: 128 is added to the document's elements
 * (a flipped sign bit), and the accumulators begin at -128 times the sum of the query's. */
TARGET_VNNI RP_INLINE void tile_i8_vnni(const void *block, size_t lanes, size_t K, const char *document,
                                        const rp_f32_t *scales, size_t rows, float *best)
{
    const size_t vectors = lanes / VECTOR, words = K / 4;
    const int32_t *query = block, *correction = query + rp_words(K) * lanes;
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    __m512i sum[ROWS][VECTORS], q[VECTORS];
    RP_EACH(r, rows) RP_EACH(v, vectors) sum[r][v] = _mm512_loadu_si512(correction + v * VECTOR);
    for (size_t w = 0; w < words; w++, query += lanes) {
        RP_EACH(v, vectors) q[v] = _mm512_loadu_si512(query + v * VECTOR);
        if (w % (RP_LINE / 4) == 0)
            RP_EACH(r, rows) rp_prefetch(document, (rows + r) * K + w * 4);
        RP_EACH(r, rows) {
            const int word = (int)*(const rp_u32_t *)(document + r * K + w * 4);
            const __m512i d = _mm512_xor_si512(flip, _mm512_set1_epi32(word));
            RP_EACH(v, vectors) add_products_i8(&sum[r][v], d, q[v]);
        }
    }
    if (K % 4) {
        RP_EACH(v, vectors) q[v] = _mm512_loadu_si512(query + v * VECTOR);
        RP_EACH(r, rows) {
            const int word = (int)rp_tail(document + r * K + words * 4, K % 4);
            const __m512i d = _mm512_xor_si512(flip, _mm512_set1_epi32(word));
            RP_EACH(v, vectors) add_products_i8(&sum[r][v], d, q[v]);
        }
    }
    RP_EACH(v, vectors) {
        __m512 most = _mm512_loadu_ps(best + v * VECTOR);
        RP_EACH(r, rows)
            most = _mm512_max_ps(most, _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r][v]), _mm512_set1_ps(scales[r])));
        _mm512_storeu_ps(best + v * VECTOR, most);
    }
}

/* Words of two bfloat16 along k, multiplied in pairs. Subnormal numbers count as zero. */
TARGET_BF16 RP_INLINE void tile_bf16_pairs(const void *block, size_t lanes, size_t K, const char *document,
                                           const rp_f32_t *scales, size_t rows, float *best)
{
    const size_t vectors = lanes / VECTOR, words = K / 2, row_bytes = K * sizeof(uint16_t);
    const int32_t *query = block;
    __m512 sum[ROWS][VECTORS];
    __m512i q[VECTORS];
    RP_EACH(r, rows) RP_EACH(v, vectors) sum[r][v] = _mm512_setzero_ps();
    for (size_t w = 0; w < words; w++, query += lanes) {
        RP_EACH(v, vectors) q[v] = _mm512_loadu_si512(query + v * VECTOR);
        if (w % (RP_LINE / 4) == 0)
            RP_EACH(r, rows) rp_prefetch(document, (rows + r) * row_bytes + w * 4);
        RP_EACH(r, rows) {
            const __m512i d = _mm512_set1_epi32((int)*(const rp_u32_t *)(document + r * row_bytes + w * 4));
            RP_EACH(v, vectors) add_products_bf16(&sum[r][v], d, q[v]);
        }
    }
    if (K % 2) {
        RP_EACH(v, vectors) q[v] = _mm512_loadu_si512(query + v * VECTOR);
        RP_EACH(r, rows) {
            const __m512i d = _mm512_set1_epi32((int)rp_tail(document + r * row_bytes + words * 4, 2));
            RP_EACH(v, vectors) add_products_bf16(&sum[r][v], d, q[v]);
        }
    }
    raise(sum, vectors, rows, best);
}

/* Eight query tokens of 64 dimensions to a register: the bits that differ are counted. */
enum { ROWS_B1 = 6, VECTOR_B1 = VECTOR / 2, VECTORS_B1 = RP_BLOCK / VECTOR_B1 };
TARGET_VPOPCNTDQ RP_INLINE void tile_b1(const void *block, size_t lanes, size_t K, const char *document,
                                        const rp_f32_t *scales, size_t rows, float *best)
{
    const size_t vectors = lanes / VECTOR_B1, bytes = rp_document_bytes(RP_B1, K);
    const uint64_t *query = block;
    __m512i differ[ROWS_B1][VECTORS_B1];
    RP_EACH(r, rows) RP_EACH(v, vectors) differ[r][v] = _mm512_setzero_si512();
    for (size_t at = 0; at < bytes; at += 8, query += lanes)
        RP_EACH(r, rows) {
            const char *row = document + r * bytes + at;
            const uint64_t word = bytes - at < 8 ? rp_tail(row, bytes - at) : *(const rp_u64_t *)row;
            const __m512i d = _mm512_set1_epi64((long long)word);
            RP_EACH(v, vectors) {
                const __m512i q = _mm512_loadu_si512(query + v * VECTOR_B1);
                differ[r][v] = _mm512_add_epi64(differ[r][v], _mm512_popcnt_epi64(_mm512_xor_si512(q, d)));
            }
        }
    RP_EACH(v, vectors) {
        __m512i least = differ[0][v];
        RP_EACH(r, rows) least = _mm512_min_epu64(least, differ[r][v]);
        const __m256i dot = _mm256_sub_epi32(_mm256_set1_epi32((int)K),
                                             _mm256_slli_epi32(_mm512_cvtepi64_epi32(least), 1));
        const __m256 most = _mm256_loadu_ps(best + v * VECTOR_B1);
        _mm256_storeu_ps(best + v * VECTOR_B1, _mm256_max_ps(most, _mm256_cvtepi32_ps(dot)));
    }
}

/* Each code of a document, four bits, chooses one of sixteen sums; one of C starts, where there are any, comes
 * before them. */
enum { ROWS_CODES = 8 };
TARGET RP_INLINE void tile_sums(const float *sums, size_t lanes, size_t codes, size_t C, const char *document,
                                const rp_f32_t *scales, size_t rows, float *best)
{
    const size_t vectors = lanes / VECTOR, bytes = rp_code_bytes(codes, C), first = bytes - rp_code_bytes(codes, 0);
    __m512 sum[ROWS][VECTORS];
    RP_EACH(r, rows) {
        const float *start = C ? sums + (16 * codes + rp_start(document + r * bytes, C)) * lanes : NULL;
        RP_EACH(v, vectors) sum[r][v] = C ? _mm512_loadu_ps(start + v * VECTOR) : _mm512_setzero_ps();
    }
    for (size_t g = 0; g < codes; g++, sums += 16 * lanes)
        RP_EACH(r, rows) {
            const uint8_t byte = (uint8_t)document[r * bytes + first + g / 2];
            const float *chosen = sums + (g % 2 ? byte & 15u : byte >> 4) * lanes;
            RP_EACH(v, vectors) sum[r][v] = _mm512_add_ps(sum[r][v], _mm512_loadu_ps(chosen + v * VECTOR));
        }
    if (scales)
        RP_EACH(r, rows) RP_EACH(v, vectors) sum[r][v] = _mm512_mul_ps(sum[r][v], _mm512_set1_ps(scales[r]));
    raise(sum, vectors, rows, best);
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

/* A kernel: its tile, over the document, with the number of vectors made a constant. */
#define KERNEL(target, name, tile, rows, dtype)                                                                    \
    target static void name(const void *block, size_t lanes, size_t K, const void *document, const void *scales,    \
                            size_t D, float *best)                                                                  \
    {                                                                                                               \
        if (lanes == VECTOR)                                                                                        \
            rp_each_tile(tile, rows, rp_row_bytes(dtype, block, K), block, VECTOR, K, document, scales, D, best);   \
        else                                                                                                        \
            rp_each_tile(tile, rows, rp_row_bytes(dtype, block, K), block, RP_BLOCK, K, document, scales, D, best); \
    }

KERNEL(TARGET, maxsim_f32, tile_f32, ROWS, RP_F32)
KERNEL(TARGET, maxsim_f16, tile_f16, ROWS, RP_F16)
KERNEL(TARGET, maxsim_bf16, tile_bf16, ROWS, RP_BF16)
KERNEL(TARGET, maxsim_f32_b1, tile_f32_b1, ROWS_CODES, RP_F32_B1)
KERNEL(TARGET, maxsim_codes, tile_codes, ROWS_CODES, RP_CODES)
KERNEL(TARGET_VNNI, maxsim_i8_vnni, tile_i8_vnni, ROWS, RP_I8)
KERNEL(TARGET_BF16, maxsim_bf16_pairs, tile_bf16_pairs, ROWS, RP_BF16)
KERNEL(TARGET_VPOPCNTDQ, maxsim_b1, tile_b1, ROWS_B1, RP_B1)

const rp_row_t rp_row_avx512 = {
    .name = "avx512",
    .level = RP_AVX512,
    .needs = RP_CPU_AVX512,
    .vector = VECTOR,
    .kernels = {
        [RP_F32] = {maxsim_f32, RP_PACK_FLOATS},
        [RP_F16] = {maxsim_f16, RP_PACK_FLOATS},
        [RP_BF16] = {maxsim_bf16, RP_PACK_FLOATS},
        [RP_F32_B1] = {maxsim_f32_b1, RP_PACK_SUMS},
        [RP_CODES] = {maxsim_codes, RP_PACK_CODES},
    },
};

const rp_row_t rp_row_avx512_vnni = {
    .name = "avx512 vnni",
    .level = RP_AVX512,
    .needs = RP_CPU_AVX512 | RP_CPU_AVX512_VNNI,
    .vector = VECTOR,
    .kernels = {[RP_I8] = {maxsim_i8_vnni, RP_PACK_WORDS}},
};

const rp_row_t rp_row_avx512_bf16 = {
    .name = "avx512 bf16",
    .level = RP_AVX512,
    .needs = RP_CPU_AVX512 | RP_CPU_AVX512_BF16,
    .vector = VECTOR,
    .kernels = {[RP_BF16] = {maxsim_bf16_pairs, RP_PACK_WORDS}},
};

const rp_row_t rp_row_avx512_vpopcntdq = {
    .name = "avx512 vpopcntdq",
    .level = RP_AVX512,
    .needs = RP_CPU_AVX512 | RP_CPU_AVX512_VPOPCNTDQ,
    .vector = VECTOR,
    .kernels = {[RP_B1] = {maxsim_b1, RP_PACK_BITS}},
};
#endif
