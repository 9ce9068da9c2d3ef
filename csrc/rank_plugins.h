/* SPDX-License-Identifier: Apache-2.0
 * The C interface of rank_plugins. The text between the two cdef marks is also what cffi reads
 * (ffi_build.py), so it holds declarations only.
 *
 * Shapes: Q query tokens, D tokens of one document, K dimension, M queries, N documents, C starts of codes.
 * The library keeps no state, allocates nothing and starts no thread: the caller brings every buffer
 * and names the level in every call. */
#ifndef RANK_PLUGINS_H
#define RANK_PLUGINS_H

#include <stddef.h>
#include <stdint.h>

/* cdef begin */

/* Element types of a query and its documents; the order is that of the slots in kernels.h. Binary vectors
 * hold one bit per dimension, (K + 7) / 8 bytes, the first dimension in the highest bit, unused bits zero;
 * a set bit is +1, another is -1. RP_F32_B1: a float32 query, binary documents.
 *
 * RP_CODES: documents of K codes of four bits, the first in the highest bits, behind the number of one of C
 * starts (uint16, little-endian; a number beyond them counts as 0), which is left out where C is 0. The query
 * is float32 [16 K + C][Q], a token to a column: what each of the 16 values of each code is worth, then what
 * each start is. A start and the codes behind it, added up, are a token's dot product. Other types have C = 0. */
typedef enum { RP_F32, RP_F16, RP_BF16, RP_I8, RP_B1, RP_F32_B1, RP_CODES, RP_DTYPES } rp_dtype_t;

/* Instruction-set levels, each better than the one before. */
typedef enum { RP_SCALAR, RP_AVX2, RP_AVX512, RP_AMX, RP_NEON, RP_LEVELS } rp_level_t;

/* What the CPU has and the operating system supports (bits of rp_cpu_features), named after the CPU's own
 * terms. AVX2: with FMA and F16C. AVX512: the foundation. VNNI: the 8-bit dot products of AVX-512. AMX: tiles
 * with bfloat16 and int8, and the system's permission to use them. NEON_*: of AArch64, which always has NEON itself. */
enum {
    RP_CPU_AVX2 = 1, RP_CPU_AVXVNNI = 2, RP_CPU_AVX512 = 4, RP_CPU_AVX512_VNNI = 8, RP_CPU_AVX512_BF16 = 16,
    RP_CPU_AVX512_VPOPCNTDQ = 32, RP_CPU_AMX = 64, RP_CPU_NEON_DOTPROD = 128, RP_CPU_NEON_BF16 = 256
};

enum { RP_OK = 0, RP_ERROR_UNSUPPORTED = -1, RP_ERROR_SHAPE = -2 };

uint32_t rp_cpu_features(void);

/* Bit i is set when this CPU, its operating system and this build can run level i. */
uint32_t rp_levels_supported(void);

/* The level whose code answers for `dtype` when `level` is asked for: `level` itself, or the best one
 * below it that has a kernel for the type. RP_ERROR_UNSUPPORTED where there is none. */
int rp_maxsim_level(int level, int dtype);

/* Bytes that rp_maxsim_pack writes for a query of Q tokens; 0 where level and dtype are unsupported or
 * the size does not fit. */
size_t rp_maxsim_packed_size(int level, int dtype, size_t Q, size_t K, size_t C);

/* Rearranges query[Q][K] (row-major; of several queries one after another) into the layout that the kernels
 * of `level` read, for `packed` best aligned to 64 bytes. */
int rp_maxsim_pack(int level, int dtype, const void *query, size_t Q, size_t K, size_t C, void *packed);

/* scores[m * stride + n] = sum over the tokens i of query m of query_scales[i] * max over j of
 * scales_n[j] * <q_i, d_nj>, for M queries and N documents. Query m is tokens queries[m] ... queries[m + 1] - 1
 * of the packed ones, at least one; queries[0] is 0. Document n is tokens[n] contiguous rows at address
 * documents[n], and for RP_I8 and RP_CODES its tokens' float32 scales begin at scales[n] (any alignment); other
 * types have none, and `scales` may be NULL. query_scales NULL: all 1. A document without tokens scores -inf.
 * `packed` was written by rp_maxsim_pack with the same level, dtype, Q = queries[M], K and C. */
int rp_maxsim(int level, int dtype, const void *packed, size_t K, size_t C, const int64_t *queries, size_t M,
              const float *query_scales, const uintptr_t *documents, const uintptr_t *scales,
              const int64_t *tokens, size_t N, float *scores, size_t stride);

/* out[i] = values[i] as the nearest IEEE half, ties to even; values are finite and below 65520 in magnitude. */
void rp_to_f16(const float *values, size_t count, uint16_t *out);

/* cdef end */

#endif
