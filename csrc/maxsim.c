/* SPDX-License-Identifier: Apache-2.0
 * MaxSim of one query against N ragged documents: the only loop over documents. Kernels see one query
 * block and one document; sums over query tokens are taken here, in query order and in double, so every
 * level adds up alike. */
#include "kernels.h"

#include <math.h>
#include <string.h>

static size_t element_size(int dtype) { return dtype == RP_F32 ? sizeof(float) : 0; }

/* Lanes of the block that starts at query token `start`. */
static size_t block_lanes(const rp_row_t *row, size_t Q, size_t start)
{
    const size_t used = Q - start < RP_BLOCK ? Q - start : RP_BLOCK;
    return (used + row->vector - 1) / row->vector * row->vector;
}

/* Bytes of all blocks, 0 when they do not fit in a size_t. Only the last block may be short. */
static size_t packed_size(const rp_row_t *row, int dtype, size_t Q, size_t K)
{
    const size_t element = element_size(dtype);
    if (!row || !element || Q == 0 || K == 0 || Q > SIZE_MAX / 2 / element / K - RP_BLOCK)
        return 0;
    const size_t last = (Q - 1) / RP_BLOCK * RP_BLOCK;
    return (last + block_lanes(row, Q, last)) * K * element;
}

int rp_maxsim_level(int level, int dtype)
{
    const rp_row_t *row = rp_row(level, dtype);
    return row ? (int)row->level : RP_ERROR_UNSUPPORTED;
}

size_t rp_maxsim_packed_size(int level, int dtype, size_t Q, size_t K)
{
    return packed_size(rp_row(level, dtype), dtype, Q, K);
}

int rp_maxsim_pack(int level, int dtype, const void *query, size_t Q, size_t K, void *packed)
{
    const rp_row_t *row = rp_row(level, dtype);
    if (!row)
        return RP_ERROR_UNSUPPORTED;
    if (!packed_size(row, dtype, Q, K))
        return RP_ERROR_SHAPE;
    const char *source = query;
    float *out = packed;
    for (size_t start = 0; start < Q; start += RP_BLOCK) {
        const size_t lanes = block_lanes(row, Q, start);
        for (size_t lane = 0; lane < lanes; lane++)
            for (size_t k = 0; k < K; k++) {
                float value = 0;
                if (start + lane < Q)
                    memcpy(&value, source + ((start + lane) * K + k) * sizeof value, sizeof value);
                out[k * lanes + lane] = value;
            }
        out += lanes * K;
    }
    return RP_OK;
}

static float score(const rp_row_t *row, int dtype, const char *packed, size_t Q, size_t K,
                   const void *document, size_t D)
{
    const size_t element = element_size(dtype);
    double sum = 0;
    for (size_t start = 0; start < Q; start += RP_BLOCK) {
        float best[RP_BLOCK];
        const size_t lanes = block_lanes(row, Q, start);
        for (size_t lane = 0; lane < lanes; lane++)
            best[lane] = -INFINITY;
        row->maxsim[dtype](packed, lanes, K, document, D, best);
        for (size_t lane = 0; lane < lanes && start + lane < Q; lane++)
            sum += best[lane];
        packed += lanes * K * element;
    }
    return (float)sum;
}

int rp_maxsim(int level, int dtype, const void *packed, size_t Q, size_t K,
              const uintptr_t *documents, const int64_t *tokens, size_t N, float *scores)
{
    const rp_row_t *row = rp_row(level, dtype);
    if (!row)
        return RP_ERROR_UNSUPPORTED;
    if (!packed_size(row, dtype, Q, K))
        return RP_ERROR_SHAPE;
    for (size_t n = 0; n < N; n++) {
        if (tokens[n] < 0)
            return RP_ERROR_SHAPE;
        scores[n] = tokens[n] == 0 ? -INFINITY
                                   : score(row, dtype, packed, Q, K, (const void *)documents[n],
                                           (size_t)tokens[n]);
    }
    return RP_OK;
}
