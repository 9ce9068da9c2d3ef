/* SPDX-License-Identifier: Apache-2.0
 * The one dispatch table. Rows stand in ascending order; a slot that a row leaves empty is answered by
 * the best row below it. A new instruction set is one file and one line here. */
#include "kernels.h"

static const rp_row_t *const rows[] = {
    &rp_row_scalar,
#ifdef RP_X86
    &rp_row_avx2,
    &rp_row_avx512,
#endif
};

enum { ROWS = sizeof rows / sizeof rows[0] };

uint32_t rp_levels_supported(void)
{
    const uint32_t features = rp_cpu_features();
    uint32_t levels = 0;
    for (size_t i = 0; i < ROWS; i++)
        if ((rows[i]->needs & ~features) == 0)
            levels |= 1u << rows[i]->level;
    return levels;
}

const rp_row_t *rp_row(int level, int dtype)
{
    if (level < 0 || level >= RP_LEVELS || dtype < 0 || dtype >= RP_DTYPES)
        return NULL;
    const uint32_t supported = rp_levels_supported();
    if (!(supported & (1u << level)))
        return NULL;
    const rp_row_t *best = NULL;
    for (size_t i = 0; i < ROWS; i++)
        if ((int)rows[i]->level <= level && (supported & (1u << rows[i]->level)) && rows[i]->maxsim[dtype])
            best = rows[i];
    return best;
}
