/* SPDX-License-Identifier: Apache-2.0
 * Portable C: the reference for every other level, kept plain enough to be checked by eye. No intrinsics,
 * no unaligned loads (memcpy), no contraction of a*b + c (see the compiler flags in ffi_build.py). */
#include "kernels.h"

#include <string.h>

enum { VECTOR = 1 };

static void maxsim_f32(const void *block, size_t lanes, size_t K, const void *document, size_t D,
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
        for (size_t lane = 0; lane < lanes; lane++)
            best[lane] = dot[lane] > best[lane] ? dot[lane] : best[lane];
    }
}

const rp_row_t rp_row_scalar = {
    .level = RP_SCALAR,
    .needs = 0,
    .vector = VECTOR,
    .maxsim = {[RP_F32] = maxsim_f32},
};
