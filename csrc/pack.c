/* SPDX-License-Identifier: Apache-2.0
 * Rearranges query tokens for the kernels: once per call, so it is written to be read, not to be fast. */
#include "kernels.h"

size_t rp_query_bytes(int dtype, size_t K) { return dtype == RP_F32_B1 ? K * sizeof(float) : rp_document_bytes(dtype, K); }

size_t rp_document_bytes(int dtype, size_t K)
{
    switch (dtype) {
    case RP_F32: return K * sizeof(float);
    case RP_F16:
    case RP_BF16: return K * sizeof(uint16_t);
    case RP_I8: return K;
    default: return (K + 7) / 8;
    }
}

size_t rp_block_words(rp_layout_t layout, int dtype, size_t K)
{
    switch (layout) {
    case RP_PACK_FLOATS: return K;
    case RP_PACK_SHORTS: return (K + 1) / 2;
    case RP_PACK_WORDS: return rp_words(rp_query_bytes(dtype, K)) + (dtype == RP_I8);
    case RP_PACK_BITS: return (K + 63) / 64 * 2;
    default: return (K + 3) / 4 * 16;
    }
}

/* Element k of a query token as a float. */
static float element(int dtype, const char *token, size_t k)
{
    float value;
    uint16_t half;
    switch (dtype) {
    case RP_F16: memcpy(&half, token + k * sizeof half, sizeof half); return rp_f16(half);
    case RP_BF16: memcpy(&half, token + k * sizeof half, sizeof half); return rp_bf16(half);
    case RP_I8: return (float)((const int8_t *)token)[k];
    default: memcpy(&value, token + k * sizeof value, sizeof value); return value;
    }
}

/* Words of `size` bytes along the token, as they are; the last one filled up with zeros. */
static void pack_raw(const char *token, size_t bytes, size_t size, size_t lanes, size_t lane, char *out)
{
    for (size_t at = 0, word = 0; at < bytes; at += size, word++)
        memcpy(out + (word * lanes + lane) * size, token + at, bytes - at < size ? bytes - at : size);
}

/* out[g][bits][lane]: elements 4 g to 4 g + 3, each added where its bit is set and subtracted where not; the
 * highest bit belongs to the first element. Lanes are the inner loop: this layout is sixteen times the others'. */
static void pack_sums(const char *query, size_t tokens, size_t K, size_t lanes, float *out)
{
    for (size_t k = 0; k < K; k += 4, out += 16 * lanes) {
        float elements[4][RP_BLOCK] = {{0}};
        for (size_t b = 0; b < 4 && k + b < K; b++)
            for (size_t lane = 0; lane < tokens; lane++)
                elements[b][lane] = element(RP_F32, query + lane * K * sizeof(float), k + b);
        for (size_t bits = 0; bits < 16; bits++)
            for (size_t lane = 0; lane < lanes; lane++) {
                float sum = 0;
                for (size_t b = 0; b < 4; b++)
                    sum += bits >> (3 - b) & 1 ? elements[b][lane] : -elements[b][lane];
                out[bits * lanes + lane] = sum;
            }
    }
}

void rp_pack_block(rp_layout_t layout, int dtype, const char *query, size_t tokens, size_t K, size_t lanes, void *out)
{
    const size_t bytes = rp_query_bytes(dtype, K);
    memset(out, 0, rp_block_words(layout, dtype, K) * lanes * 4);
    if (layout == RP_PACK_SUMS) {
        pack_sums(query, tokens, K, lanes, out);
        return;
    }
    for (size_t lane = 0; lane < tokens; lane++, query += bytes)
        switch (layout) {
        case RP_PACK_FLOATS:
            for (size_t k = 0; k < K; k++)
                ((float *)out)[k * lanes + lane] = element(dtype, query, k);
            break;
        case RP_PACK_SHORTS:
            for (size_t k = 0; k < K; k++)
                ((int16_t *)out)[(k / 2 * lanes + lane) * 2 + k % 2] = ((const int8_t *)query)[k];
            break;
        case RP_PACK_WORDS:
            pack_raw(query, bytes, 4, lanes, lane, out);
            if (dtype == RP_I8) {
                int32_t sum = 0;
                for (size_t k = 0; k < K; k++)
                    sum += ((const int8_t *)query)[k];
                ((int32_t *)out)[rp_words(bytes) * lanes + lane] = -128 * sum;
            }
            break;
        default: pack_raw(query, bytes, 8, lanes, lane, out); break; /* RP_PACK_BITS */
        }
}
