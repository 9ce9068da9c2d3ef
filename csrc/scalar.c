/* SPDX-License-Identifier: Apache-2.0
 * Portable C: the reference for every other level, kept plain enough to be checked by eye. No intrinsics,
 * no unaligned loads (memcpy), no contraction of a*b + c (see the compiler flags in ffi_build.py). */
#include "kernels.h"

enum { VECTOR = 1 };

/* best[lane] against the dot products of one document token. */
static void raise(const float *dot, size_t lanes, float *best)
{
    for (size_t lane = 0; lane < lanes; lane++)
        best[lane] = dot[lane] > best[lane] ? dot[lane] : best[lane];
}

static void maxsim_f32(const void *block, size_t lanes, size_t K, const void *document, const void *scales, size_t D,
                       float *best)
{
    const float *query = block;
    const char *row = document;
    for (size_t j = 0; j < D; j++, row += K * sizeof(float)) {
        float dot[RP_BLOCK] = {0};
        for (size_t k = 0; k < K; k++) {
            float d;
            memcpy(&d, row + k * sizeof d, sizeof d);
            for (size_t lane = 0; lane < lanes; lane++)
                dot[lane] += query[k * lanes + lane] * d;
        }
        raise(dot, lanes, best);
    }
}

static inline void maxsim_half(float (*value)(uint16_t), const float *query, size_t lanes, size_t K, const char *row,
                               size_t D, float *best)
{
    for (size_t j = 0; j < D; j++, row += K * sizeof(uint16_t)) {
        float dot[RP_BLOCK] = {0};
        for (size_t k = 0; k < K; k++) {
            uint16_t bits;
            memcpy(&bits, row + k * sizeof bits, sizeof bits);
            const float d = value(bits);
            for (size_t lane = 0; lane < lanes; lane++)
                dot[lane] += query[k * lanes + lane] * d;
        }
        raise(dot, lanes, best);
    }
}

static void maxsim_f16(const void *block, size_t lanes, size_t K, const void *document, const void *scales, size_t D,
                       float *best)
{
    maxsim_half(rp_f16, block, lanes, K, document, D, best);
}

static void maxsim_bf16(const void *block, size_t lanes, size_t K, const void *document, const void *scales, size_t D,
                        float *best)
{
    maxsim_half(rp_bf16, block, lanes, K, document, D, best);
}

static void maxsim_i8(const void *block, size_t lanes, size_t K, const void *document, const void *scales, size_t D,
                      float *best)
{
    const int16_t *query = block;
    const int8_t *row = document;
    for (size_t j = 0; j < D; j++, row += K) {
        int32_t sum[RP_BLOCK] = {0};
        for (size_t k = 0; k < K; k++)
            for (size_t lane = 0; lane < lanes; lane++)
                sum[lane] += query[(k / 2 * lanes + lane) * 2 + k % 2] * row[k];
        float scale, dot[RP_BLOCK];
        memcpy(&scale, (const char *)scales + j * sizeof scale, sizeof scale);
        for (size_t lane = 0; lane < lanes; lane++)
            dot[lane] = (float)sum[lane] * scale;
        raise(dot, lanes, best);
    }
}

static int bits_set(uint64_t word)
{
    int count = 0;
    for (; word; word &= word - 1)
        count++;
    return count;
}

/* <+-1, +-1> is K less twice the number of bits that differ. */
static void maxsim_b1(const void *block, size_t lanes, size_t K, const void *document, const void *scales, size_t D,
                      float *best)
{
    const uint64_t *query = block;
    const size_t bytes = rp_document_bytes(RP_B1, K);
    const char *row = document;
    for (size_t j = 0; j < D; j++, row += bytes) {
        float dot[RP_BLOCK];
        for (size_t lane = 0; lane < lanes; lane++) {
            int differ = 0;
            for (size_t at = 0; at < bytes; at += 8) {
                uint64_t word = 0;
                memcpy(&word, row + at, bytes - at < 8 ? bytes - at : 8);
                differ += bits_set(word ^ query[at / 8 * lanes + lane]);
            }
            dot[lane] = (float)((int64_t)K - 2 * differ);
        }
        raise(dot, lanes, best);
    }
}

static void maxsim_f32_b1(const void *block, size_t lanes, size_t K, const void *document, const void *scales,
                          size_t D, float *best)
{
    const float *query = block;
    const size_t bytes = rp_document_bytes(RP_F32_B1, K);
    const uint8_t *row = document;
    for (size_t j = 0; j < D; j++, row += bytes) {
        float dot[RP_BLOCK] = {0};
        for (size_t k = 0; k < K; k++)
            for (size_t lane = 0; lane < lanes; lane++)
                dot[lane] += row[k / 8] >> (7 - k % 8) & 1 ? query[k * lanes + lane] : -query[k * lanes + lane];
        raise(dot, lanes, best);
    }
}

/* The sixteen values of a code lie one after another, and the starts behind those of the last code. */
static void maxsim_codes(const void *block, size_t lanes, size_t K, const void *document, const void *scales,
                         size_t D, float *best)
{
    uint32_t C;
    memcpy(&C, block, sizeof C);
    const float *sums = (const float *)block + lanes, *starts = sums + 16 * K * lanes;
    const size_t bytes = rp_code_bytes(K, C), first = bytes - rp_code_bytes(K, 0);
    const char *row = document;
    for (size_t j = 0; j < D; j++, row += bytes) {
        float scale, dot[RP_BLOCK] = {0};
        memcpy(&scale, (const char *)scales + j * sizeof scale, sizeof scale);
        if (C)
            memcpy(dot, starts + rp_start(row, C) * lanes, lanes * sizeof *dot);
        for (size_t k = 0; k < K; k++) {
            const uint8_t byte = (uint8_t)row[first + k / 2];
            const size_t code = k % 2 ? byte & 15u : byte >> 4;
            for (size_t lane = 0; lane < lanes; lane++)
                dot[lane] += sums[(16 * k + code) * lanes + lane];
        }
        for (size_t lane = 0; lane < lanes; lane++)
            dot[lane] *= scale;
        raise(dot, lanes, best);
    }
}

const rp_row_t rp_row_scalar = {
    .name = "scalar",
    .level = RP_SCALAR,
    .vector = VECTOR,
    .kernels = {
        [RP_F32] = {maxsim_f32, RP_PACK_FLOATS},
        [RP_F16] = {maxsim_f16, RP_PACK_FLOATS},
        [RP_BF16] = {maxsim_bf16, RP_PACK_FLOATS},
        [RP_I8] = {maxsim_i8, RP_PACK_SHORTS},
        [RP_B1] = {maxsim_b1, RP_PACK_BITS},
        [RP_F32_B1] = {maxsim_f32_b1, RP_PACK_FLOATS},
        [RP_CODES] = {maxsim_codes, RP_PACK_CODES},
    },
};
