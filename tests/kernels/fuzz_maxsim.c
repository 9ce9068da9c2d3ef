/* SPDX-License-Identifier: Apache-2.0
 * libFuzzer target: every level gets the same bytes and must agree with scalar within twice the a-priori
 * bound, and AddressSanitizer watches the exactly sized buffers. Shapes come from the first three bytes,
 * values from the rest, as halves in [-1, 1]. */
#include "rank_plugins.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static float *floats(const uint8_t *data, size_t size, size_t count, size_t skip)
{
    float *values = malloc(count * sizeof *values + (count == 0));
    for (size_t i = 0; i < count; i++)
        values[i] = size ? ((float)data[(i + skip) % size] - 127.5f) / 127.5f : 0.5f;
    return values;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    const size_t Q = 1 + data[0] % 70, K = 1 + data[1] % 140, D = data[2] % 80;
    float *query = floats(data + 3, size - 3, Q * K, 0), *document = floats(data + 3, size - 3, D * K, 7);
    const uintptr_t documents[2] = {(uintptr_t)document, (uintptr_t)document};
    const int64_t tokens[2] = {(int64_t)D, (int64_t)(D / 2)};
    const double bound = 2.0 * (double)(Q * K) * (double)(K + Q + 2) * FLT_EPSILON; /* |values| <= 1 */
    float reference[2] = {0};
    for (int level = 0; level < RP_LEVELS; level++) {
        if (!(rp_levels_supported() >> level & 1))
            continue;
        float scores[2];
        void *packed = malloc(rp_maxsim_packed_size(level, RP_F32, Q, K));
        if (rp_maxsim_pack(level, RP_F32, query, Q, K, packed)
            || rp_maxsim(level, RP_F32, packed, Q, K, documents, tokens, 2, scores))
            abort();
        free(packed);
        for (int n = 0; n < 2; n++) {
            if (level == RP_SCALAR)
                reference[n] = scores[n];
            else if (!(scores[n] == reference[n] || fabs((double)scores[n] - (double)reference[n]) <= bound)) {
                fprintf(stderr, "level %d Q %zu K %zu D %zu: %.9g, scalar %.9g\n", level, Q, K, D,
                        (double)scores[n], (double)reference[n]);
                abort();
            }
        }
    }
    free(query), free(document);
    return 0;
}
