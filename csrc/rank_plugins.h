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

/* Columns of ids (columns.c). A text id is lengths[i] bytes at text + starts[i]; a whole number is its own key, and
 * text is NULL. Keys of text are these hashes: equal where ids are equal, and checked against the text where not. */
void rp_hash(const uint8_t *text, const int64_t *starts, const int64_t *lengths, size_t count, uint64_t *keys);

/* differs[i - 1] = id i is another than id i - 1, for i in 1 ... count - 1. */
void rp_differs(const uint8_t *text, const int64_t *starts, const int64_t *lengths, size_t count, uint8_t *differs);

/* The first entry whose id came before in the same query, or -1; those of query i are offsets[i] to offsets[i + 1].
 * `table` is int64 [entries], four times the longest list rounded up to a power of two, at least 16. */
int64_t rp_first_duplicate(const int64_t *offsets, size_t queries, const uint64_t *keys, const uint8_t *text,
                           const int64_t *starts, const int64_t *lengths, int64_t *table);

/* Judged documents and their ranks (ranks.c): a run or judgments in columns, the numbers being scores or grades. */
typedef struct {
    const int64_t *offsets;
    const uint64_t *keys;
    const uint8_t *text;
    const int64_t *starts, *lengths;
    const double *values;
} rp_columns_t;

/* Retrieved judged documents by rank, those of query q from row offsets[q] on: their ranks and grades, how many scores
 * are above theirs, and how many equal theirs, the document itself included. */
typedef struct { int64_t *counts, *rank; double *grade; int64_t *above, *tied; } rp_found_t;

/* How equal scores stand: by id, the highest first or last, or by place in the list. */
enum { RP_TIES_ID_DESC, RP_TIES_ID_ASC, RP_TIES_INPUT };

/* Bytes of scratch memory for queries of up to `judgments` judgments and lists of up to `longest` documents. */
size_t rp_judged_bytes(size_t judgments, size_t longest);

/* For the queries `first` to `last`, of which q is row judged_rows[q] of qrels and row run_rows[q] of run (-1: not
 * there): n[q] the length of its list, grades from offsets[q] on all its grades, the highest first, and `found`.
 * `single` rounds scores to float. Nothing may stand twice in a query; scores and grades are no NaN. */
void rp_judged_columns(const rp_columns_t *run, const rp_columns_t *qrels, const int64_t *judged_rows,
                       const int64_t *run_rows, size_t first, size_t last, const int64_t *offsets, int ties, int single,
                       void *scratch, size_t judgments, int64_t *n, double *grades, const rp_found_t *found);

/* ranks[j] = the rank, from 1, of document codes[j] by the scores of its query, whose documents are unions[i] to
 * unions[i + 1]; of equal scores the first stands first. NaN is no score: 0 for such a document. codes ascend. */
void rp_ranks_at(const double *scores, const int64_t *unions, size_t queries, const int64_t *codes, size_t count,
                 int64_t *ranks);

/* Python objects (pyobjects.c), for CPython with its limited API; elsewhere nothing is walked. */
int rp_py_walks(void);

/* The same as rp_judged_columns for dicts of dicts, of which `queries` is the list of the keys to look up; the scratch
 * memory has 8 bytes more for each of `longest`. Returns -1, or the query at which something is not as it should be:
 * no dict, no number, NaN (unless `nan_last`), ids of another type, a dict that changes or outgrows its room. */
int64_t rp_py_judged(void *qrels, void *run, void *queries, const int64_t *offsets, int ties, int single, int nan_last,
                     void *scratch, size_t judgments, size_t longest, int64_t *n, double *grades,
                     const rp_found_t *found);

/* Lists side by side for fusion: entries best first, those of list j of query i being segments[i * m + j] to
 * segments[i * m + j + 1], each with the code of its document, its rank from 1 and its score; the documents of query i
 * are unions[i] to unions[i + 1], and best[code] is the best rank of one. */
typedef struct { int64_t *segments, *code, *rank; double *score; int64_t *unions, *best; } rp_lists_t;

/* `runs` is a list of dicts of dicts, and `queries` the list of the keys to read; or a list of lists of pairs
 * (id, score) or of ids (scored[j] = 0), and `queries` is NULL. How many entries there are, and the most of a query;
 * -1 where C cannot read it. */
int64_t rp_py_entries(void *runs, void *queries, int64_t *most);
size_t rp_gather_bytes(size_t most);

/* Reads them into columns for `entries`; the ids of documents, by code, are appended to the list `names`. Scores are negated where !higher[j], and
 * -inf is no entry. Returns -1, or the query at which something is not as it should be: no number, NaN, a document
 * twice in a list, ids of several types. `scratch` is rp_gather_bytes(most) long. */
int64_t rp_py_gather(void *runs, void *queries, const uint8_t *higher, const uint8_t *scored, void *scratch,
                     size_t most, size_t entries, void *names, const rp_lists_t *lists);

/* The codes of each query's documents, best first, at most `top`: by score, then the smaller tiebreak, then the larger
 * id; NaN drops a document. Those of query i are order[begins[i]] to order[begins[i + 1]]. They are put into `out`
 * unless that is NULL: a dict {id: score} of each query into a dict, by the ids of the list `queries`; or, where that
 * is NULL, pairs (id, score) into a list. `scratch` has 40 bytes for each of `most` documents of a query. Not 0: no
 * memory. */
int rp_py_finish(void *names, const int64_t *unions, size_t count, const double *scores, const int64_t *tiebreak,
                 size_t top, void *scratch, size_t most, int64_t *order, int64_t *begins, void *queries, void *out);

/* Both at once for methods that give the document at rank r of list j points[j * depth + r - 1] and add them up: reads
 * the lists as rp_py_gather does, and puts what is fused into `out` as rp_py_finish does. Equal sums stand by their
 * best rank, then by id. Returns -1, or the query at which something is not as it should be, or a list longer than
 * depth; `out` then holds a part. */
int64_t rp_py_fuse(void *runs, void *queries, const uint8_t *higher, const uint8_t *scored, const double *points,
                   size_t depth, size_t top, void *scratch, size_t most, void *out);

/* Text tables (text.c): a line holds `fewest` to `most` columns (at most 16 are looked at, `most` may be more),
 * between blanks or, where `tabs` is set, between tabs. Wanted are `texts` columns as they stand, one as a number,
 * and one (`rank`, -1: none) as a number where it is one and NaN elsewhere. Columns are counted from 0 and lie below
 * `fewest`. Lines end in LF, CR or both; empty ones count for nothing, and neither do those that start with '#' and
 * have nothing but '#' in their first column or are no row. */
typedef struct { int tabs, text[4], number, rank; size_t texts, fewest, most; } rp_table_t;

/* Where row i of text column t lies: starts[t * stride + i], lengths[t * stride + i]; its number: numbers[i]. Numbers
 * whose nearest double is not settled by a sum of two doubles, inf and nan are left out: their rows and where they
 * start are the `hards` pairs of `hard` (int64 [2 * room]). */
typedef struct { int64_t *starts, *lengths; double *numbers, *ranks; int64_t *hard; size_t hards, stride; } rp_rows_t;

enum { RP_TEXT_COLUMNS = -11, RP_TEXT_NUMBER = -12, RP_TEXT_EMPTY = -13 };

/* The most rows that a text can have. */
size_t rp_text_lines(const uint8_t *text, size_t size);

/* Reads rows from byte *at on, until the end or until there are `room`; returns how many, and in *at where it
 * stopped. Negative: what is wrong with the line that starts at *at (its columns, its number, an empty column of
 * text). `rows->hards` is added to. */
int64_t rp_text_rows(const rp_table_t *table, const uint8_t *text, size_t size, size_t *at, size_t room,
                     rp_rows_t *rows);

/* cdef end */

#endif
