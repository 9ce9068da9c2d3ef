/* SPDX-License-Identifier: Apache-2.0
 * MaxSim of M queries against N ragged documents: the only loop over documents. Documents are the outer loop,
 * so that a document's bytes come from memory once for all queries. Kernels see one query block and one
 * document; a block may hold tokens of several queries. Sums over query tokens are taken here, in query order
 * and in double, so every level adds up alike. */
#include "kernels.h"

#include <math.h>

/* Lanes of the block that starts at query token `start`. */
static size_t block_lanes(const rp_row_t *row, size_t Q, size_t start)
{
    const size_t used = Q - start < RP_BLOCK ? Q - start : RP_BLOCK;
    return (used + row->vector - 1) / row->vector * row->vector;
}

/* Bytes of all blocks, 0 when they do not fit in a size_t or a kernel's sums in 32 bits. Only the last block
 * may be short. */
size_t rp_row_packed_size(const rp_row_t *row, int dtype, size_t Q, size_t K, size_t C)
{
    enum { LARGEST_I8 = 1 << 16, MOST_STARTS = 1 << 16 }; /* 2^16 products of at most 2^14; numbers of 16 bits */
    if (!row || Q == 0 || K == 0 || K > SIZE_MAX / 128 || (dtype == RP_I8 && K > LARGEST_I8)
        || C > (dtype == RP_CODES ? MOST_STARTS : 0))
        return 0;
    const size_t words = rp_block_words(row->kernels[dtype].layout, dtype, K, C);
    if (words > SIZE_MAX / 8 || Q > SIZE_MAX / 8 / words - RP_BLOCK)
        return 0;
    const size_t last = (Q - 1) / RP_BLOCK * RP_BLOCK;
    return (last + block_lanes(row, Q, last)) * words * 4;
}

int rp_row_pack(const rp_row_t *row, int dtype, const void *query, size_t Q, size_t K, size_t C, void *packed)
{
    if (!row)
        return RP_ERROR_UNSUPPORTED;
    if (!rp_row_packed_size(row, dtype, Q, K, C))
        return RP_ERROR_SHAPE;
    const rp_layout_t layout = row->kernels[dtype].layout;
    const size_t token = rp_query_bytes(dtype, K), words = rp_block_words(layout, dtype, K, C);
    char *out = packed;
    for (size_t start = 0; start < Q; start += RP_BLOCK) {
        const size_t lanes = block_lanes(row, Q, start), tokens = Q - start < lanes ? Q - start : lanes;
        if (dtype == RP_CODES)
            rp_pack_codes(query, Q, start, tokens, K, C, lanes, out);
        else
            rp_pack_block(layout, dtype, (const char *)query + start * token, tokens, K, lanes, out);
        out += lanes * words * 4;
    }
    return RP_OK;
}

/* Writes the scores of one document of D >= 1 tokens, one per query, `stride` apart. */
static void score(const rp_row_t *row, int dtype, const char *packed, size_t K, size_t C, const int64_t *queries,
                  size_t M, const float *query_scales, const void *document, const void *scales, size_t D,
                  float *scores, size_t stride)
{
    const rp_kernel_t kernel = row->kernels[dtype];
    const size_t words = rp_block_words(kernel.layout, dtype, K, C), Q = (size_t)queries[M];
    double sum = 0;
    for (size_t start = 0, m = 0; start < Q; start += RP_BLOCK) {
        float best[RP_BLOCK];
        const size_t lanes = block_lanes(row, Q, start);
        for (size_t lane = 0; lane < lanes; lane++)
            best[lane] = -INFINITY;
        kernel.maxsim(packed, lanes, K, document, scales, D, best);
        packed += lanes * words * 4;
        for (size_t lane = 0, i = start; lane < lanes && i < Q; lane++, i++) {
            sum += query_scales ? (double)query_scales[i] * (double)best[lane] : (double)best[lane];
            if ((int64_t)i + 1 == queries[m + 1]) {
                scores[m++ * stride] = (float)sum;
                sum = 0;
            }
        }
    }
}

/* Documents may lie scattered: the first lines of the next one are fetched while this one is scored. */
static void fetch(uintptr_t document, size_t bytes)
{
#if defined(__GNUC__)
    enum { FETCHED = 4096 };
    for (size_t at = 0; at < bytes && at < FETCHED; at += RP_LINE)
        rp_prefetch((const void *)document, at);
#endif
}

int rp_row_maxsim(const rp_row_t *row, int dtype, const void *packed, size_t K, size_t C, const int64_t *queries,
                  size_t M, const float *query_scales, const uintptr_t *documents, const uintptr_t *scales,
                  const int64_t *tokens, size_t N, float *scores, size_t stride)
{
    if (!row)
        return RP_ERROR_UNSUPPORTED;
    if (M == 0 || queries[0] != 0 || ((dtype == RP_I8 || dtype == RP_CODES) && N && !scales))
        return RP_ERROR_SHAPE;
    for (size_t m = 0; m < M; m++)
        if (queries[m + 1] <= queries[m])
            return RP_ERROR_SHAPE;
    if (!rp_row_packed_size(row, dtype, (size_t)queries[M], K, C))
        return RP_ERROR_SHAPE;
    for (size_t n = 0; n < N; n++)
        if (tokens[n] < 0)
            return RP_ERROR_SHAPE;
    const size_t bytes = dtype == RP_CODES ? rp_code_bytes(K, C) : rp_document_bytes(dtype, K);
    if (row->begin)
        row->begin();
    for (size_t n = 0; n < N; n++) {
        if (n + 1 < N)
            fetch(documents[n + 1], (size_t)tokens[n + 1] * bytes);
        if (tokens[n])
            score(row, dtype, packed, K, C, queries, M, query_scales, (const void *)documents[n],
                  scales ? (const void *)scales[n] : NULL, (size_t)tokens[n], scores + n, stride);
        else
            for (size_t m = 0; m < M; m++)
                scores[m * stride + n] = -INFINITY;
    }
    if (row->end)
        row->end();
    return RP_OK;
}

int rp_maxsim_level(int level, int dtype)
{
    const rp_row_t *row = rp_row(level, dtype);
    return row ? (int)row->level : RP_ERROR_UNSUPPORTED;
}

size_t rp_maxsim_packed_size(int level, int dtype, size_t Q, size_t K, size_t C)
{
    return rp_row_packed_size(rp_row(level, dtype), dtype, Q, K, C);
}

int rp_maxsim_pack(int level, int dtype, const void *query, size_t Q, size_t K, size_t C, void *packed)
{
    return rp_row_pack(rp_row(level, dtype), dtype, query, Q, K, C, packed);
}

int rp_maxsim(int level, int dtype, const void *packed, size_t K, size_t C, const int64_t *queries, size_t M,
              const float *query_scales, const uintptr_t *documents, const uintptr_t *scales,
              const int64_t *tokens, size_t N, float *scores, size_t stride)
{
    return rp_row_maxsim(rp_row(level, dtype), dtype, packed, K, C, queries, M, query_scales, documents, scales,
                         tokens, N, scores, stride);
}
