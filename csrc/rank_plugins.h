/* SPDX-License-Identifier: Apache-2.0
 * The C interface of rank_plugins. The text between the two cdef marks is also what cffi reads
 * (ffi_build.py), so it holds declarations only.
 *
 * Shapes: Q query tokens, D tokens of one document, K dimension, N documents.
 * The library keeps no state, allocates nothing and starts no thread: the caller brings every buffer
 * and names the level in every call. */
#ifndef RANK_PLUGINS_H
#define RANK_PLUGINS_H

#include <stddef.h>
#include <stdint.h>

/* cdef begin */

/* Element types of token embeddings; the order is that of the slots in kernels.h. */
typedef enum { RP_F32, RP_F16, RP_BF16, RP_I8, RP_B1, RP_DTYPES } rp_dtype_t;

/* Instruction-set levels, each better than the one before. */
typedef enum { RP_SCALAR, RP_AVX2, RP_AVX512, RP_AMX, RP_NEON, RP_LEVELS } rp_level_t;

/* What the CPU has and the operating system supports (bits of rp_cpu_features). RP_CPU_VNNI: 8-bit dot
 * products that do not saturate, of AVX-512 or AVX. */
enum { RP_CPU_AVX2_FMA = 1, RP_CPU_AVX512F = 2, RP_CPU_VNNI = 4, RP_CPU_AMX_BF16 = 8 };

enum { RP_OK = 0, RP_ERROR_UNSUPPORTED = -1, RP_ERROR_SHAPE = -2 };

uint32_t rp_cpu_features(void);

/* Bit i is set when this CPU, its operating system and this build can run level i. */
uint32_t rp_levels_supported(void);

/* The level whose code answers for `dtype` when `level` is asked for: `level` itself, or the best one
 * below it that has a kernel for the type. RP_ERROR_UNSUPPORTED where there is none. */
int rp_maxsim_level(int level, int dtype);

/* Bytes that rp_maxsim_pack writes for a query of Q tokens; 0 where level and dtype are unsupported or
 * the size does not fit. */
size_t rp_maxsim_packed_size(int level, int dtype, size_t Q, size_t K);

/* Rearranges query[Q][K] (row-major) into the layout that the kernels of `level` read. */
int rp_maxsim_pack(int level, int dtype, const void *query, size_t Q, size_t K, void *packed);

/* scores[n] = sum over i of max over j of <q_i, d_nj>; document n is tokens[n] rows of K elements,
 * contiguous, at address documents[n] (any alignment). A document without tokens scores -inf.
 * `packed` was written by rp_maxsim_pack with the same level, dtype, Q and K. */
int rp_maxsim(int level, int dtype, const void *packed, size_t Q, size_t K,
              const uintptr_t *documents, const int64_t *tokens, size_t N, float *scores);

/* cdef end */

#endif
