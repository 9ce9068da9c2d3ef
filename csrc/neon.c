/* SPDX-License-Identifier: Apache-2.0
 * AArch64. A pass multiplies a tile of document rows and four registers of query lanes, and keeps the sums in
 * accumulators while k runs; a block of more lanes takes several passes over the tile, whose rows are in the
 * first cache by then. Four rows take 16 of the 32 registers: enough to keep four units busy, and with six
 * compilers begin to spill. The instructions multiply by one lane of a register, so rows are loaded sixteen
 * bytes at a time and nothing is broadcast. The baseline comes first; the rows at the end add what some CPUs
 * have: dot products of 8 bits and of bfloat16. */
#include "kernels.h"

#ifdef RP_ARM64
#include <arm_neon.h>

/* Older versions of Clang have these only for a whole file; without them the baseline answers. */
#if !defined(__clang__) || __clang_major__ >= 16
#define DOT_PRODUCTS 1
#define TARGET_DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#define TARGET_BF16 __attribute__((target("arch=armv8.2-a+bf16")))
#endif
#define TARGET
/* The number of a lane must be a literal. */
#define FOUR_LANES(STEP) STEP(0) STEP(1) STEP(2) STEP(3)

/* VECTOR is two registers of 32-bit lanes, so that a pass over what is left has enough accumulators to keep busy. */
enum { VECTOR = 8, FULL = 16, ROWS = 4, REGISTERS = 4 };

/* What a pass multiplies: `rows` document rows and `registers` of query lanes, from `query` on. */
typedef void pass_fn(const char *query, size_t lanes, size_t registers, size_t K, const char *document,
                     const rp_f32_t *scales, size_t rows, float *best);

/* A tile in passes over `full` lanes of `lane_bytes`, which fill the registers; the last one may be half full. */
RP_INLINE void each_pass(pass_fn *pass, size_t full, size_t lane_bytes, const void *block, size_t lanes, size_t K,
                         const char *document, const rp_f32_t *scales, size_t rows, float *best)
{
    const char *query = block;
    size_t lane = 0;
    for (; lane + full <= lanes; lane += full)
        pass(query + lane * lane_bytes, lanes, REGISTERS, K, document, scales, rows, best + lane);
    if (full > VECTOR && lane < lanes)
        pass(query + lane * lane_bytes, lanes, REGISTERS / 2, K, document, scales, rows, best + lane);
}

/* Once in a line of the rows, the same line of the rows that follow them. */
RP_INLINE void fetch_next(const char *document, size_t rows, size_t row_bytes, size_t at)
{
    if (at % RP_LINE == 0)
        RP_EACH(r, rows) rp_prefetch(document, (rows + r) * row_bytes + at);
}

RP_INLINE void raise(float32x4_t sum[ROWS][REGISTERS], size_t registers, size_t rows, float *best)
{
    RP_EACH(v, registers) {
        float32x4_t most = vld1q_f32(best + v * 4);
        RP_EACH(r, rows) most = vmaxq_f32(most, sum[r][v]);
        vst1q_f32(best + v * 4, most);
    }
}

/* Four elements of a document row as floats. */
typedef float32x4_t load_fn(const char *at);
RP_INLINE float32x4_t load_f32(const char *at) { return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)at)); }
RP_INLINE float32x4_t load_f16(const char *at)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8((const uint8_t *)at)));
}
RP_INLINE float32x4_t load_bf16(const char *at)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8((const uint8_t *)at)), 16));
}

RP_INLINE void pass_floats(load_fn *load, size_t size, const float *query, size_t lanes, size_t registers, size_t K,
                           const char *document, size_t rows, float *best)
{
    const size_t row_bytes = K * size, rest = K % 4;
    float32x4_t sum[ROWS][REGISTERS], d[ROWS];
    RP_EACH(r, rows) RP_EACH(v, registers) sum[r][v] = vdupq_n_f32(0);
    for (size_t at = 0; at + 4 * size <= row_bytes; at += 4 * size, query += 4 * lanes) {
        fetch_next(document, rows, row_bytes, at);
        RP_EACH(r, rows) d[r] = load(document + r * row_bytes + at);
#define STEP(lane)                                                                            \
    RP_EACH(v, registers) {                                                                      \
        const float32x4_t q = vld1q_f32(query + lane * lanes + v * 4);                        \
        RP_EACH(r, rows) sum[r][v] = vfmaq_laneq_f32(sum[r][v], q, d[r], lane);                  \
    }
        FOUR_LANES(STEP)
#undef STEP
    }
    if (rest) {
        float last[ROWS][4];
        RP_EACH(r, rows) {
            char padded[16] = {0};
            memcpy(padded, document + r * row_bytes + (K - rest) * size, rest * size);
            vst1q_f32(last[r], load(padded));
        }
        for (size_t k = 0; k < rest; k++, query += lanes)
            RP_EACH(v, registers) {
                const float32x4_t q = vld1q_f32(query + v * 4);
                RP_EACH(r, rows) sum[r][v] = vfmaq_n_f32(sum[r][v], q, last[r][k]);
            }
    }
    raise(sum, registers, rows, best);
}

RP_INLINE void pass_f32(const char *query, size_t lanes, size_t registers, size_t K, const char *document,
                        const rp_f32_t *scales, size_t rows, float *best)
{
    pass_floats(load_f32, sizeof(float), (const float *)query, lanes, registers, K, document, rows, best);
}

RP_INLINE void pass_f16(const char *query, size_t lanes, size_t registers, size_t K, const char *document,
                        const rp_f32_t *scales, size_t rows, float *best)
{
    pass_floats(load_f16, sizeof(uint16_t), (const float *)query, lanes, registers, K, document, rows, best);
}

RP_INLINE void pass_bf16(const char *query, size_t lanes, size_t registers, size_t K, const char *document,
                         const rp_f32_t *scales, size_t rows, float *best)
{
    pass_floats(load_bf16, sizeof(uint16_t), (const float *)query, lanes, registers, K, document, rows, best);
}

/* The scaled sums of one register of query lanes. */
RP_INLINE void raise_i8(int32x4_t sum[ROWS], const rp_f32_t *scales, size_t rows, float *best)
{
    float32x4_t most = vld1q_f32(best);
    RP_EACH(r, rows) most = vmaxq_f32(most, vmulq_n_f32(vcvtq_f32_s32(sum[r]), scales[r]));
    vst1q_f32(best, most);
}

/* Words of four int8 along k. Two products fill 16 bits, so pairs are added into 32: two sums for each query
 * lane, two lanes to an accumulator. */
RP_INLINE void add_i8(int32x4_t sum[REGISTERS], const char *query, uint32_t word)
{
    const int8x16_t d = vreinterpretq_s8_u32(vdupq_n_u32(word));
    RP_EACH(v, REGISTERS / 2) {
        const int8x16_t q = vld1q_s8((const int8_t *)query + v * 16);
        sum[v * 2] = vpadalq_s16(sum[v * 2], vmull_s8(vget_low_s8(q), vget_low_s8(d)));
        sum[v * 2 + 1] = vpadalq_s16(sum[v * 2 + 1], vmull_high_s8(q, d));
    }
}

RP_INLINE void pass_i8(const char *query, size_t lanes, size_t registers, size_t K, const char *document,
                       const rp_f32_t *scales, size_t rows, float *best)
{
    int32x4_t sum[ROWS][REGISTERS], total[ROWS];
    size_t at = 0;
    RP_EACH(r, rows) RP_EACH(v, registers) sum[r][v] = vdupq_n_s32(0);
    for (; at + 4 <= K; at += 4, query += 4 * lanes) {
        fetch_next(document, rows, K, at);
        RP_EACH(r, rows) add_i8(sum[r], query, *(const rp_u32_t *)(document + r * K + at));
    }
    if (at < K)
        RP_EACH(r, rows) add_i8(sum[r], query, (uint32_t)rp_tail(document + r * K + at, K - at));
    RP_EACH(v, registers / 2) {
        RP_EACH(r, rows) total[r] = vpaddq_s32(sum[r][v * 2], sum[r][v * 2 + 1]);
        raise_i8(total, scales, rows, best + v * 4);
    }
}

/* Two query lanes of 64 dimensions to a register: the bits that differ are counted, in two sums for each lane. */
RP_INLINE void add_b1(uint32x4_t differ[REGISTERS], const char *query, uint64_t word)
{
    const uint8x16_t d = vreinterpretq_u8_u64(vdupq_n_u64(word));
    RP_EACH(v, REGISTERS) {
        const uint8x16_t bits = veorq_u8(vld1q_u8((const uint8_t *)query + v * 16), d);
        differ[v] = vpadalq_u16(differ[v], vpaddlq_u8(vcntq_u8(bits)));
    }
}

RP_INLINE void pass_b1(const char *query, size_t lanes, size_t registers, size_t K, const char *document,
                       const rp_f32_t *scales, size_t rows, float *best)
{
    const size_t bytes = rp_document_bytes(RP_B1, K);
    uint32x4_t differ[ROWS][REGISTERS];
    size_t at = 0;
    RP_EACH(r, rows) RP_EACH(v, registers) differ[r][v] = vdupq_n_u32(0);
    for (; at + 8 <= bytes; at += 8, query += 8 * lanes) {
        fetch_next(document, rows, bytes, at);
        RP_EACH(r, rows) add_b1(differ[r], query, *(const rp_u64_t *)(document + r * bytes + at));
    }
    if (at < bytes)
        RP_EACH(r, rows) add_b1(differ[r], query, rp_tail(document + r * bytes + at, bytes - at));
    RP_EACH(v, registers / 2) {
        uint32x4_t least = vpaddq_u32(differ[0][v * 2], differ[0][v * 2 + 1]);
        RP_EACH(r, rows) least = vminq_u32(least, vpaddq_u32(differ[r][v * 2], differ[r][v * 2 + 1]));
        const int32x4_t dot = vsubq_s32(vdupq_n_s32((int32_t)K), vreinterpretq_s32_u32(vshlq_n_u32(least, 1)));
        vst1q_f32(best + v * 4, vmaxq_f32(vld1q_f32(best + v * 4), vcvtq_f32_s32(dot)));
    }
}

/* Each code of a document, four bits, chooses one of sixteen sums; one of C starts, where there are any, comes
 * before them. */
RP_INLINE void pass_sums(const float *sums, size_t lanes, size_t registers, size_t codes, size_t C,
                         const char *document, const rp_f32_t *scales, size_t rows, float *best)
{
    const size_t bytes = rp_code_bytes(codes, C), first = bytes - rp_code_bytes(codes, 0);
    float32x4_t sum[ROWS][REGISTERS];
    RP_EACH(r, rows) {
        const float *start = C ? sums + (16 * codes + rp_start(document + r * bytes, C)) * lanes : NULL;
        RP_EACH(v, registers) sum[r][v] = C ? vld1q_f32(start + v * 4) : vdupq_n_f32(0);
    }
    for (size_t g = 0; g < codes; g++, sums += 16 * lanes)
        RP_EACH(r, rows) {
            const uint8_t byte = (uint8_t)document[r * bytes + first + g / 2];
            const float *chosen = sums + (g % 2 ? byte & 15u : byte >> 4) * lanes;
            RP_EACH(v, registers) sum[r][v] = vaddq_f32(sum[r][v], vld1q_f32(chosen + v * 4));
        }
    if (scales)
        RP_EACH(r, rows) RP_EACH(v, registers) sum[r][v] = vmulq_n_f32(sum[r][v], scales[r]);
    raise(sum, registers, rows, best);
}

RP_INLINE void pass_f32_b1(const char *query, size_t lanes, size_t registers, size_t K, const char *document,
                           const rp_f32_t *scales, size_t rows, float *best)
{
    pass_sums((const float *)query, lanes, registers, (K + 3) / 4, 0, document, NULL, rows, best);
}

/* The number of starts stands in every lane. */
RP_INLINE void pass_codes(const char *query, size_t lanes, size_t registers, size_t K, const char *document,
                          const rp_f32_t *scales, size_t rows, float *best)
{
    const size_t C = *(const uint32_t *)query;
    pass_sums((const float *)query + lanes, lanes, registers, K, C, document, scales, rows, best);
}

#ifdef DOT_PRODUCTS
/* sum += the products of the words of query lanes and of one word of each document row: four int8, signed by
 * signed, or two bfloat16. */
#define STEP_I8(lane)                                                                         \
    RP_EACH(v, registers) {                                                                      \
        const int8x16_t q = vld1q_s8((const int8_t *)query + (lane * lanes + v * 4) * 4);     \
        RP_EACH(r, rows) sum[v][r] = vdotq_laneq_s32(sum[v][r], q, d[r], lane);                  \
    }
#define STEP_BF16(lane)                                                                       \
    RP_EACH(v, registers) {                                                                      \
        const bfloat16x8_t q = load_pairs(query + (lane * lanes + v * 4) * 4);                \
        RP_EACH(r, rows) sum[r][v] = vbfdotq_laneq_f32(sum[r][v], q, d[r], lane);                \
    }

TARGET_DOTPROD RP_INLINE void pass_i8_dot(const char *query, size_t lanes, size_t registers, size_t K,
                                          const char *document, const rp_f32_t *scales, size_t rows, float *best)
{
    int32x4_t sum[REGISTERS][ROWS];
    int8x16_t d[ROWS];
    size_t at = 0;
    RP_EACH(v, registers) RP_EACH(r, rows) sum[v][r] = vdupq_n_s32(0);
    for (; at + 16 <= K; at += 16, query += 16 * lanes) {
        fetch_next(document, rows, K, at);
        RP_EACH(r, rows) d[r] = vld1q_s8((const int8_t *)document + r * K + at);
        FOUR_LANES(STEP_I8)
    }
    for (; at < K; at += 4, query += 4 * lanes) {
        RP_EACH(r, rows) {
            const uint64_t word = rp_tail(document + r * K + at, K - at < 4 ? K - at : 4);
            d[r] = vreinterpretq_s8_u64(vdupq_n_u64(word));
        }
        STEP_I8(0)
    }
    RP_EACH(v, registers) raise_i8(sum[v], scales, rows, best + v * 4);
}

TARGET_BF16 RP_INLINE bfloat16x8_t load_pairs(const char *at)
{
    return vreinterpretq_bf16_u8(vld1q_u8((const uint8_t *)at));
}

/* Words of two bfloat16 along k, multiplied in pairs. Subnormal numbers count as zero. */
TARGET_BF16 RP_INLINE void pass_bf16_dot(const char *query, size_t lanes, size_t registers, size_t K,
                                         const char *document, const rp_f32_t *scales, size_t rows, float *best)
{
    const size_t row_bytes = K * sizeof(uint16_t);
    float32x4_t sum[ROWS][REGISTERS];
    bfloat16x8_t d[ROWS];
    size_t at = 0;
    RP_EACH(r, rows) RP_EACH(v, registers) sum[r][v] = vdupq_n_f32(0);
    for (; at + 16 <= row_bytes; at += 16, query += 16 * lanes) {
        fetch_next(document, rows, row_bytes, at);
        RP_EACH(r, rows) d[r] = load_pairs(document + r * row_bytes + at);
        FOUR_LANES(STEP_BF16)
    }
    for (; at < row_bytes; at += 4, query += 4 * lanes) {
        RP_EACH(r, rows) {
            const uint64_t word = rp_tail(document + r * row_bytes + at, row_bytes - at < 4 ? row_bytes - at : 4);
            d[r] = vreinterpretq_bf16_u64(vdupq_n_u64(word));
        }
        STEP_BF16(0)
    }
    raise(sum, registers, rows, best);
}
#endif

/* A kernel: its passes over a tile, and its tiles over the document. */
#define KERNEL(target, name, full, lane_bytes, dtype)                                                              \
    target RP_INLINE void tile_##name(const void *block, size_t lanes, size_t K, const char *document,              \
                                      const rp_f32_t *scales, size_t rows, float *best)                             \
    {                                                                                                               \
        each_pass(pass_##name, full, lane_bytes, block, lanes, K, document, scales, rows, best);                    \
    }                                                                                                               \
    target static void maxsim_##name(const void *block, size_t lanes, size_t K, const void *document,               \
                                     const void *scales, size_t D, float *best)                                     \
    {                                                                                                               \
        rp_each_tile(tile_##name, ROWS, rp_row_bytes(dtype, block, K), block, lanes, K, document, scales, D, best); \
    }

KERNEL(TARGET, f32, FULL, 4, RP_F32)
KERNEL(TARGET, f16, FULL, 4, RP_F16)
KERNEL(TARGET, bf16, FULL, 4, RP_BF16)
KERNEL(TARGET, i8, VECTOR, 4, RP_I8)
KERNEL(TARGET, b1, VECTOR, 8, RP_B1)
KERNEL(TARGET, f32_b1, FULL, 4, RP_F32_B1)
KERNEL(TARGET, codes, FULL, 4, RP_CODES)

const rp_row_t rp_row_neon = {
    .name = "neon",
    .level = RP_NEON,
    .vector = VECTOR,
    .kernels = {
        [RP_F32] = {maxsim_f32, RP_PACK_FLOATS},
        [RP_F16] = {maxsim_f16, RP_PACK_FLOATS},
        [RP_BF16] = {maxsim_bf16, RP_PACK_FLOATS},
        [RP_I8] = {maxsim_i8, RP_PACK_WORDS},
        [RP_B1] = {maxsim_b1, RP_PACK_BITS},
        [RP_F32_B1] = {maxsim_f32_b1, RP_PACK_SUMS},
        [RP_CODES] = {maxsim_codes, RP_PACK_CODES},
    },
};

#ifdef DOT_PRODUCTS
KERNEL(TARGET_DOTPROD, i8_dot, FULL, 4, RP_I8)
KERNEL(TARGET_BF16, bf16_dot, FULL, 4, RP_BF16)
#endif

const rp_row_t rp_row_neon_dotprod = {
    .name = "neon dotprod",
    .level = RP_NEON,
    .needs = RP_CPU_NEON_DOTPROD,
    .vector = VECTOR,
#ifdef DOT_PRODUCTS
    .kernels = {[RP_I8] = {maxsim_i8_dot, RP_PACK_WORDS}},
#endif
};

const rp_row_t rp_row_neon_bf16 = {
    .name = "neon bf16",
    .level = RP_NEON,
    .needs = RP_CPU_NEON_BF16,
    .vector = VECTOR,
#ifdef DOT_PRODUCTS
    .kernels = {[RP_BF16] = {maxsim_bf16_dot, RP_PACK_WORDS}},
#endif
};
#endif
