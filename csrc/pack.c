/* SPDX-License-Identifier: Apache-2.0
 * Converts query tokens and rearranges them for the kernels: once per call, so it is written to be read. */
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

size_t rp_block_words(rp_layout_t layout, int dtype, size_t K, size_t C)
{
    switch (layout) {
    case RP_PACK_FLOATS: return K;
    case RP_PACK_SHORTS: return (K + 1) / 2;
    case RP_PACK_WORDS: return rp_words(rp_query_bytes(dtype, K)) + (dtype == RP_I8);
    case RP_PACK_BITS: return (K + 63) / 64 * 2;
    case RP_PACK_SUMS: return (K + 3) / 4 * 16;
    default: return 1 + 16 * K + C; /* RP_PACK_CODES */
    }
}

/* Elements `first` to `first + count` of a query token as floats; loops of their own, which compilers vectorise. */
enum { CHUNK = 64 };
static void widen(int dtype, const char *token, size_t first, size_t count, float *out)
{
    uint16_t halves[CHUNK];
    if (dtype == RP_F16 || dtype == RP_BF16)
        memcpy(halves, token + first * sizeof *halves, count * sizeof *halves);
    switch (dtype) {
    case RP_F16:
        for (size_t i = 0; i < count; i++)
            out[i] = rp_f16(halves[i]);
        break;
    case RP_BF16:
        for (size_t i = 0; i < count; i++)
            out[i] = rp_bf16(halves[i]);
        break;
    default: memcpy(out, token + first * sizeof *out, count * sizeof *out);
    }
}

/* float [K][lanes] */
static void pack_floats(int dtype, const char *token, size_t K, size_t lanes, size_t lane, float *out)
{
    float elements[CHUNK];
    for (size_t k = 0; k < K; k += CHUNK) {
        const size_t count = K - k < CHUNK ? K - k : CHUNK;
        widen(dtype, token, k, count, elements);
        for (size_t i = 0; i < count; i++)
            out[(k + i) * lanes + lane] = elements[i];
    }
}

/* Words of `size` bytes along the token, as they are; the last one filled up with zeros. */
static inline void pack_raw(const char *token, size_t bytes, size_t size, size_t lanes, size_t lane, char *out)
{
    size_t word = 0;
    for (; (word + 1) * size <= bytes; word++)
        memcpy(out + (word * lanes + lane) * size, token + word * size, size);
    memcpy(out + (word * lanes + lane) * size, token + word * size, bytes - word * size);
}

/* out[g][bits][lane]: elements 4 g to 4 g + 3, each added where its bit is set and subtracted where not; the
 * highest bit belongs to the first element. Lanes are the inner loop: this layout is sixteen times the others'. */
static void pack_sums(const char *query, size_t tokens, size_t K, size_t lanes, float *out)
{
    for (size_t k = 0; k < K; k += 4, out += 16 * lanes) {
        float elements[4][RP_BLOCK] = {{0}};
        for (size_t lane = 0; lane < tokens; lane++)
            for (size_t b = 0; b < 4 && k + b < K; b++)
                memcpy(&elements[b][lane], query + (lane * K + k + b) * sizeof(float), sizeof(float));
        for (size_t bits = 0; bits < 16; bits++)
            for (size_t lane = 0; lane < lanes; lane++) {
                float sum = 0;
                for (size_t b = 0; b < 4; b++)
                    sum += bits >> (3 - b) & 1 ? elements[b][lane] : -elements[b][lane];
                out[bits * lanes + lane] = sum;
            }
    }
}

void rp_pack_codes(const char *query, size_t Q, size_t start, size_t tokens, size_t K, size_t C, size_t lanes,
                   char *out)
{
    const size_t words = rp_block_words(RP_PACK_CODES, RP_CODES, K, C), used = tokens * 4, row = lanes * 4;
    const uint32_t starts = (uint32_t)C;
    for (size_t lane = 0; lane < lanes; lane++)
        memcpy(out + lane * 4, &starts, 4);
    for (size_t word = 1; word < words; word++) {
        out += row;
        memcpy(out, query + ((word - 1) * Q + start) * 4, used);
        memset(out + used, 0, row - used);
    }
}

void rp_pack_block(rp_layout_t layout, int dtype, const char *query, size_t tokens, size_t K, size_t lanes, void *out)
{
    const size_t bytes = rp_query_bytes(dtype, K);
    memset(out, 0, rp_block_words(layout, dtype, K, 0) * lanes * 4);
    if (layout == RP_PACK_SUMS) {
        pack_sums(query, tokens, K, lanes, out);
        return;
    }
    for (size_t lane = 0; lane < tokens; lane++, query += bytes)
        switch (layout) {
        case RP_PACK_FLOATS:
            pack_floats(dtype, query, K, lanes, lane, out);
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

/* Without branches, so that compilers vectorise it. */
void rp_to_f16(const float *values, size_t count, uint16_t *out)
{
    const uint32_t smallest_normal = 113u << 23, half_bits = 0x3f000000;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits, tiny;
        memcpy(&bits, values + i, sizeof bits);
        const uint32_t magnitude = bits & 0x7fffffff;
        /* The last place of 0.5 is that of the subnormal halves, 2^-24: the addition rounds. */
        float shifted;
        memcpy(&shifted, &magnitude, sizeof shifted);
        shifted += 0.5f;
        memcpy(&tiny, &shifted, sizeof tiny);
        tiny -= half_bits;
        const uint32_t normal = (magnitude - (112u << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
        const uint32_t use_tiny = 0u - (magnitude < smallest_normal);
        out[i] = (uint16_t)((bits >> 16 & 0x8000) | (tiny & use_tiny) | (normal & ~use_tiny));
    }
}
