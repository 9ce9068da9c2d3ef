/* SPDX-License-Identifier: Apache-2.0
 * What an instruction-set file provides: one row of the dispatch table.
 *
 * A packed query is a series of blocks. A block holds up to RP_BLOCK query tokens, padded with zeros to
 * a whole number of vectors, as [K][lanes]: the query tokens lie side by side in the SIMD lanes, so a
 * kernel multiplies one broadcast document element with all of them and never adds across lanes. */
#ifndef RANK_PLUGINS_KERNELS_H
#define RANK_PLUGINS_KERNELS_H

#include "rank_plugins.h"

enum { RP_BLOCK = 32 };

/* best[lane] = max(best[lane], max over the document's tokens of <query token in lane, token>), for one
 * query block of `lanes` lanes (a multiple of the row's vector) and one document[D][K], D >= 1. */
typedef void rp_maxsim_fn(const void *block, size_t lanes, size_t K, const void *document, size_t D,
                          float *best);

typedef struct {
    rp_level_t level;
    uint32_t needs;             /* RP_CPU_* without which the kernels must not run */
    size_t vector;              /* query lanes of one SIMD register */
    rp_maxsim_fn *maxsim[RP_DTYPES]; /* NULL: the level below answers */
} rp_row_t;

extern const rp_row_t rp_row_scalar;
#if defined(__x86_64__) && defined(__GNUC__)
#define RP_X86 1
/* A document element: documents may lie at any address. */
typedef float rp_f32_t __attribute__((aligned(1), may_alias));

/* Fetches the cache line of an element that the next tile will read. Without it every tile waits for memory
 * that no hardware prefetcher expects. The address may lie behind the document: it is never read. */
enum { RP_LINE_F32 = 64 / sizeof(float) };
static inline void rp_prefetch_f32(const rp_f32_t *document, size_t element)
{
    __builtin_prefetch((const void *)((uintptr_t)document + element * sizeof(float)));
}
extern const rp_row_t rp_row_avx2, rp_row_avx512;
#endif

/* The row that answers for (level, dtype) on this machine, or NULL. */
const rp_row_t *rp_row(int level, int dtype);

#endif
