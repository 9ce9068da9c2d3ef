/* SPDX-License-Identifier: Apache-2.0
 * What an instruction-set file provides: rows of the dispatch table.
 *
 * A packed query is a series of blocks of up to RP_BLOCK query tokens, padded with zeros to a whole number
 * of vectors. The tokens lie side by side in the SIMD lanes, so a kernel multiplies one broadcast document
 * element with all of them and never adds across lanes; a document streams through once, row-major, from the
 * caller's memory. */
#ifndef RANK_PLUGINS_KERNELS_H
#define RANK_PLUGINS_KERNELS_H

#include "rank_plugins.h"

#include <string.h>

enum { RP_BLOCK = 32 };

/* How a block lies in memory; words are 4 bytes. */
typedef enum {
    RP_PACK_FLOATS, /* float [K][lanes], whatever the type of the query */
    RP_PACK_SHORTS, /* int16 [K / 2][lanes][2], of int8 */
    RP_PACK_WORDS,  /* the query's own elements, [rp_words][lanes] words along K; then, for int8, int32 [lanes]:
                       -128 * sum of the token's elements, which undoes adding 128 to document elements */
    RP_PACK_BITS,   /* uint64 [K / 64][lanes] */
    RP_PACK_SUMS,   /* float [K / 4][16][lanes]: the dot product of four dimensions with each pattern of bits */
    RP_PACK_CODES   /* uint32 [lanes], each C; then the query's own rows: float [K][16][lanes] and [C][lanes] */
} rp_layout_t;

/* Words of a row of `bytes` in RP_PACK_WORDS, rounded up to a whole tile of AMX. */
static inline size_t rp_words(size_t bytes) { return (bytes + 63) / 64 * 16; }

/* best[lane] = max(best[lane], max over the document's tokens of scale * <query token in lane, token>), for
 * one query block of `lanes` lanes (a multiple of the row's vector) and one document of D >= 1 tokens.
 * `scales` (unaligned float32 [D]) belongs to int8 and codes alone. */
typedef void rp_maxsim_fn(const void *block, size_t lanes, size_t K, const void *document, const void *scales,
                          size_t D, float *best);

typedef struct {
    rp_maxsim_fn *maxsim; /* NULL: a row further up the table answers */
    rp_layout_t layout;
} rp_kernel_t;

typedef struct {
    const char *name;         /* for tests: several rows share a level */
    rp_level_t level;
    uint32_t needs;           /* RP_CPU_* without which the kernels must not run */
    size_t vector;            /* query lanes of one SIMD register */
    void (*begin)(void);      /* called on the thread before and after a series of kernels, or NULL */
    void (*end)(void);
    rp_kernel_t kernels[RP_DTYPES];
} rp_row_t;

/* Every row of this build, ascending: plain before special, low levels before high ones. */
extern const rp_row_t *const rp_rows[];
extern const size_t rp_rows_count;

/* The row that answers for (level, dtype) on this machine, or NULL. */
const rp_row_t *rp_row(int level, int dtype);

/* pack.c: words per lane of a block, and the block of `tokens` query tokens that begin at `query`; of codes, where
 * a token is a column, tokens `start` on of Q. */
size_t rp_block_words(rp_layout_t layout, int dtype, size_t K, size_t C);
void rp_pack_block(rp_layout_t layout, int dtype, const char *query, size_t tokens, size_t K, size_t lanes, void *out);
void rp_pack_codes(const char *query, size_t Q, size_t start, size_t tokens, size_t K, size_t C, size_t lanes,
                   char *out);

/* Bytes of one token as the caller passes it, for the query and for documents (of other types than codes), and of
 * one document token of codes. */
size_t rp_query_bytes(int dtype, size_t K);
size_t rp_document_bytes(int dtype, size_t K);
static inline size_t rp_code_bytes(size_t K, size_t C) { return (C ? sizeof(uint16_t) : 0) + (K + 1) / 2; }

/* maxsim.c for a row of one's choice; the public functions, and tests of every row, call these. */
size_t rp_row_packed_size(const rp_row_t *row, int dtype, size_t Q, size_t K, size_t C);
int rp_row_pack(const rp_row_t *row, int dtype, const void *query, size_t Q, size_t K, size_t C, void *packed);
int rp_row_maxsim(const rp_row_t *row, int dtype, const void *packed, size_t K, size_t C, const int64_t *queries,
                  size_t M, const float *query_scales, const uintptr_t *documents, const uintptr_t *scales,
                  const int64_t *tokens, size_t N, float *scores, size_t stride);

/* Which of C > 0 starts a row of codes names; one beyond them, in a damaged file, counts as 0. */
static inline size_t rp_start(const char *row, size_t C)
{
    const size_t start = (size_t)(uint8_t)row[0] | (size_t)(uint8_t)row[1] << 8;
    return start < C ? start : 0;
}

/* The value of a bfloat16, and of a finite IEEE half; without branches, so that compilers vectorise it. */
static inline float rp_bf16(uint16_t bits)
{
    const uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static inline float rp_f16(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float subnormal = (float)(int32_t)fraction * 0x1p-24f; /* exponent 0: a multiple of 2^-24 */
    const uint32_t normal = (exponent + 112) << 23 | fraction << 13, use_normal = 0u - (exponent != 0);
    uint32_t word;
    float value;
    memcpy(&word, &subnormal, sizeof word);
    word = sign | (normal & use_normal) | (word & ~use_normal);
    memcpy(&value, &word, sizeof value);
    return value;
}

#if defined(__GNUC__)
#define RP_INLINE static inline __attribute__((always_inline))
/* A loop over the rows or vectors of a tile, of at most 12 steps, whose arrays then live in registers. */
#ifdef __clang__
#define RP_EACH(i, count) _Pragma("clang loop unroll(full)") for (size_t i = 0; i < (count); i++)
#else
#define RP_EACH(i, count) _Pragma("GCC unroll 12") for (size_t i = 0; i < (count); i++)
#endif
/* Elements of documents, which may lie at any address. */
typedef float rp_f32_t __attribute__((aligned(1), may_alias));
typedef uint32_t rp_u32_t __attribute__((aligned(1), may_alias));
typedef uint64_t rp_u64_t __attribute__((aligned(1), may_alias));

/* The last bytes of a row, fewer than 8, as a word filled up with zeros. */
RP_INLINE uint64_t rp_tail(const char *at, size_t bytes)
{
    uint64_t word = 0;
    memcpy(&word, at, bytes);
    return word;
}

/* Fetches the line `offset` bytes behind `at`, which the next tile will read: without it every tile waits for
 * memory that no hardware prefetcher expects. The address may lie behind the document: it is never read. */
enum { RP_LINE = 64 };
RP_INLINE void rp_prefetch(const void *at, size_t offset)
{
    __builtin_prefetch((const void *)((uintptr_t)at + offset));
}

/* Bytes of one document token, by a packed block of its type. */
RP_INLINE size_t rp_row_bytes(int dtype, const void *block, size_t K)
{
    return dtype == RP_CODES ? rp_code_bytes(K, *(const uint32_t *)block) : rp_document_bytes(dtype, K);
}

/* Raises best by `rows` document rows that follow one another. `lanes` is the distance, in lanes, from one
 * word of the packed query to the next. */
typedef void rp_tile_fn(const void *block, size_t lanes, size_t K, const char *document, const rp_f32_t *scales,
                        size_t rows, float *best);

/* A document in tiles of `rows`, the rest in tiles of a third of that, the last of which is moved back over rows
 * already seen: a maximum does not mind. What is shorter still goes row by row. Inlined with a constant tile and
 * constant rows; loops of their own, because Clang 16 merges two calls in one loop, and `rows` is no constant any
 * more. */
RP_INLINE void rp_each_tile(rp_tile_fn *tile, size_t rows, size_t row_bytes, const void *block, size_t lanes,
                            size_t K, const void *document, const void *scales, size_t D, float *best)
{
    const rp_f32_t *scale = scales;
    const char *row = document;
    const size_t few = (rows + 2) / 3;
    size_t j = 0;
    for (; j + rows <= D; j += rows)
        tile(block, lanes, K, row + j * row_bytes, scale ? scale + j : NULL, rows, best);
    if (D < few)
        for (; j < D; j++)
            tile(block, lanes, K, row + j * row_bytes, scale ? scale + j : NULL, 1, best);
    for (; j < D; j += few) {
        const size_t at = j + few <= D ? j : D - few;
        tile(block, lanes, K, row + at * row_bytes, scale ? scale + at : NULL, few, best);
    }
}
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#define RP_X86 1
#endif
#if defined(__aarch64__) && defined(__GNUC__) && !defined(__AARCH64EB__)
#define RP_ARM64 1
#endif

#endif
