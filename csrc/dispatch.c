/* SPDX-License-Identifier: Apache-2.0
 * The one dispatch table, ascending: a slot that a row leaves empty is answered by the best row above it in
 * the list. A level may have several rows, plain first, then those that need more of the CPU. A new
 * instruction set is one file and its lines here. */
#include "kernels.h"

extern const rp_row_t rp_row_scalar, rp_row_avx2, rp_row_avx2_vnni, rp_row_avx512, rp_row_avx512_vnni,
    rp_row_avx512_bf16, rp_row_avx512_vpopcntdq, rp_row_amx, rp_row_neon, rp_row_neon_dotprod, rp_row_neon_bf16;

const rp_row_t *const rp_rows[] = {
    &rp_row_scalar,
#ifdef RP_X86
    &rp_row_avx2,
    &rp_row_avx2_vnni,
    &rp_row_avx512,
    &rp_row_avx512_vnni,
    &rp_row_avx512_bf16,
    &rp_row_avx512_vpopcntdq,
    &rp_row_amx,
#endif
#ifdef RP_ARM64
    &rp_row_neon,
    &rp_row_neon_dotprod,
    &rp_row_neon_bf16,
#endif
};
const size_t rp_rows_count = sizeof rp_rows / sizeof rp_rows[0];

uint32_t rp_levels_supported(void)
{
    const uint32_t features = rp_cpu_features();
    uint32_t levels = 0;
    for (size_t i = 0; i < rp_rows_count; i++)
        if ((rp_rows[i]->needs & ~features) == 0)
            levels |= 1u << rp_rows[i]->level;
    return levels;
}

const rp_row_t *rp_row(int level, int dtype)
{
    if (level < 0 || level >= RP_LEVELS || dtype < 0 || dtype >= RP_DTYPES || !(rp_levels_supported() >> level & 1))
        return NULL;
    const uint32_t features = rp_cpu_features();
    const rp_row_t *best = NULL;
    for (size_t i = 0; i < rp_rows_count; i++)
        if ((int)rp_rows[i]->level <= level && (rp_rows[i]->needs & ~features) == 0 && rp_rows[i]->kernels[dtype].maxsim)
            best = rp_rows[i];
    return best;
}
