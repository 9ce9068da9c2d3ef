/* SPDX-License-Identifier: Apache-2.0
 * Checks every row of the dispatch table that this machine can run, for every type it has a kernel for,
 * against the definition in double precision: all shapes around the widths of tiles and vectors, unaligned
 * documents, several queries in one block, and buffers that end (or begin) at a page that may not be touched.
 * Integers must agree bit for bit; the bound of floats is a priori: |error| <= gamma_n * sum |q_k d_k| per
 * query token, n = K, plus the rounding of the sum; of codes what is added up is a start and K values.
 *
 * usage: check_kernels [seed [row [n]]]  prints a line per row and type, and the parameters of a failure; of one
 *                                        row only, or "all"; of one shape in n, chosen by the seed
 *        check_kernels --bench           prints GFLOP/s per row and type (Q 32, K 128, 100 documents of 20 to 300 tokens;
 *                                        codes of two bits per dimension) */
#include "kernels.h"

#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MAX_Q = 65, MAX_K = 384, MAX_D = 70, MAX_CODES = 130, MAX_C = 300, LAYOUTS = 3 };
enum { MAX_QUERY = MAX_Q * (16 * MAX_CODES + MAX_C) * 4, MAX_DOCUMENT = MAX_D * MAX_K * 4 };
static const char *const types[RP_DTYPES] = {"f32", "f16", "bf16", "i8", "b1", "f32_b1", "codes"};
static struct { const char *row; int dtype; size_t Q, K, C, D; int layout; } at; /* for the message of a crash */

static void report(const char *what)
{
    fprintf(stderr, "FAIL %s: row %s type %s Q %zu K %zu C %zu D %zu layout %d\n", what, at.row, types[at.dtype], at.Q,
            at.K, at.C, at.D, at.layout);
}

static void crashed(int signal)
{
    report(strsignal(signal));
    _exit(2);
}

static uint64_t state;

static uint32_t random_bits(void) /* xorshift64* */
{
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return (uint32_t)((state * 0x2545F4914F6CDD1Dull) >> 32);
}

/* One value of a kind: uniform, all negative, sparse, of very different size, all equal. */
static float random_float(uint32_t kind)
{
    const float u = (float)random_bits() / 2147483648.0f - 1.0f;
    return kind == 0   ? u
           : kind == 1 ? -fabsf(u) - 0.1f
           : kind == 2 ? (random_bits() % 8 ? 0.0f : u)
           : kind == 3 ? ldexpf(u, (int)(random_bits() % 40) - 20)
                       : 0.25f;
}

/* `count` float32 of a kind. */
static void fill_floats(uint32_t kind, size_t count, char *out)
{
    for (size_t i = 0; i < count; i++) {
        const float value = random_float(kind);
        memcpy(out + i * 4, &value, 4);
    }
}

/* `count` rows of codes; one number of a start in four is beyond them, as in a damaged file. */
static void fill_codes(size_t count, size_t K, size_t C, char *out)
{
    const size_t bytes = rp_code_bytes(K, C);
    for (size_t i = 0; i < count; i++, out += bytes) {
        const uint32_t start = random_bits();
        for (size_t byte = 0; byte < bytes; byte++)
            out[byte] = (char)random_bits();
        if (C && start % 4)
            out[0] = (char)(start / 4 % C), out[1] = (char)(start / 4 % C >> 8);
    }
}

static int is_f32(int dtype, int query) { return dtype == RP_F32 || (dtype == RP_F32_B1 && query); }
static size_t token_bytes(int dtype, int query, size_t K)
{
    return query ? rp_query_bytes(dtype, K) : rp_document_bytes(dtype, K);
}

/* `count` tokens of a type. Halves are any finite bits, subnormal ones too; int8 leans to its ends. */
static void fill(int dtype, int query, size_t count, size_t K, char *out)
{
    const uint32_t kind = random_bits() % 5;
    const size_t bytes = token_bytes(dtype, query, K);
    for (size_t i = 0; i < count; i++, out += bytes)
        for (size_t k = 0; k < K; k++) {
            const float value = random_float(kind);
            uint32_t word;
            memcpy(&word, &value, sizeof word);
            if (is_f32(dtype, query)) {
                memcpy(out + k * 4, &word, 4);
            } else if (dtype == RP_F16 || dtype == RP_BF16) {
                uint16_t half = dtype == RP_BF16 ? (uint16_t)(word >> 16) : (uint16_t)random_bits();
                if (dtype == RP_F16)
                    half = (uint16_t)(kind == 1 ? half | 0x8000 : kind == 2 ? half & 0x83ff : half) & ~0x4000;
                memcpy(out + k * 2, &half, 2);
            } else if (dtype == RP_I8) {
                out[k] = kind < 3 ? (char)random_bits() : random_bits() % 2 ? 127 : -128;
            } else {
                if (k % 8 == 0)
                    out[k / 8] = 0;
                out[k / 8] = (char)(out[k / 8] | (value > 0) << (7 - k % 8));
            }
        }
}

static size_t query_bytes(int dtype, size_t Q, size_t K, size_t C)
{
    return dtype == RP_CODES ? (16 * K + C) * Q * 4 : Q * rp_query_bytes(dtype, K);
}

static size_t row_bytes(int dtype, size_t K, size_t C)
{
    return dtype == RP_CODES ? rp_code_bytes(K, C) : rp_document_bytes(dtype, K);
}

static double element(int dtype, int query, const char *token, size_t k)
{
    float value;
    uint16_t half;
    if (is_f32(dtype, query))
        return memcpy(&value, token + k * 4, 4), (double)value;
    if (dtype == RP_F16 || dtype == RP_BF16)
        return memcpy(&half, token + k * 2, 2), (double)(dtype == RP_F16 ? rp_f16(half) : rp_bf16(half));
    if (dtype == RP_I8)
        return ((const signed char *)token)[k];
    return (token[k / 8] >> (7 - k % 8) & 1) ? 1 : -1;
}

/* Buffers between two forbidden pages, made once. */
typedef struct { char *first, *end; } guarded_t;

static guarded_t guarded(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (bytes + page) / page * page;
    char *base = mmap(NULL, body + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect(base, page, PROT_NONE) || mprotect(base + page + body, page, PROT_NONE)) {
        perror("guard pages");
        exit(2);
    }
    return (guarded_t){base + page, base + page + body};
}

static guarded_t query_page, packed_page, document_page, scale_page, score_page;
static char query[MAX_QUERY], document[MAX_DOCUMENT];
static float query_scales[MAX_Q], scales[MAX_D];

/* What code k of a row is worth to query token i of Q, and behind the last code what its start is. */
static double worth(const char *row, size_t i, size_t Q, size_t k, size_t K, size_t C)
{
    const unsigned char *bytes = (const unsigned char *)row, *codes = bytes + (C ? 2 : 0);
    size_t word = 16 * k + (k % 2 ? codes[k / 2] % 16u : codes[k / 2] / 16u);
    float value;
    if (k == K) {
        const size_t start = C ? bytes[0] + 256u * bytes[1] : 0;
        word = 16 * K + (start < C ? start : 0);
    }
    if (word == 16 * K + C) /* no starts */
        return 0;
    return memcpy(&value, query + (word * Q + i) * 4, 4), (double)value;
}

/* The definition for tokens first ... last - 1 of the query, and the bound on any float32 evaluation of it;
 * the bound of integers is zero. */
static float definition(int dtype, size_t first, size_t last, size_t Q, size_t K, size_t C, size_t D, double *bound)
{
    const int exact = dtype == RP_I8 || dtype == RP_B1;
    const double u = FLT_EPSILON / 2, gamma = (double)(K + 1) * u / (1 - (double)(K + 1) * u);
    double score = 0, error = 0;
    for (size_t i = first; i < last; i++) {
        float best = -INFINITY;
        double most = -INFINITY, largest = 0;
        for (size_t j = 0; j < D; j++) {
            const char *row = document + j * row_bytes(dtype, K, C);
            double dot = 0, size = 0;
            for (size_t k = 0; k < K + (dtype == RP_CODES); k++) {
                const double term = dtype == RP_CODES
                                        ? worth(row, i, Q, k, K, C) * (double)scales[j]
                                        : element(dtype, 1, query + i * token_bytes(dtype, 1, K), k)
                                              * element(dtype, 0, row, k);
                dot += term, size += fabs(term);
            }
            const float scaled = (float)dot * (dtype == RP_I8 ? scales[j] : 1);
            best = scaled > best ? scaled : best;
            most = dot > most ? dot : most, largest = size > largest ? size : largest;
        }
        score += (double)query_scales[i] * (exact ? (double)best : most);
        error += fabs((double)query_scales[i]) * (gamma * largest + (double)K * FLT_MIN);
    }
    *bound = exact ? 0 : error + u * (fabs(score) + error) + FLT_MIN;
    return (float)score;
}

/* layout 0: buffers end at the guard; 1: documents one byte before it, so unaligned; 2: begin at the guard */
static int check(const rp_row_t *row, int dtype, size_t Q, size_t K, size_t C, size_t D, int layout,
                 const float *expected, const double *bound)
{
    at.row = row->name, at.dtype = dtype, at.Q = Q, at.K = K, at.C = C, at.D = D, at.layout = layout;
    const size_t size = rp_row_packed_size(row, dtype, Q, K, C), of_query = query_bytes(dtype, Q, K, C),
                 bytes = D * row_bytes(dtype, K, C);
    const int64_t queries[] = {0, (int64_t)(Q / 2 ? Q / 2 : Q), (int64_t)Q}, tokens[] = {(int64_t)D};
    const size_t M = Q > 1 ? 2 : 1;
    char *query_at = query_page.end - of_query, *packed = packed_page.end - size;
    char *document_at = layout == 2 ? document_page.first : document_page.end - bytes - (layout == 1);
    char *scales_at = layout == 2 ? scale_page.first : scale_page.end - D * 4 - (layout == 1);
    float *scores = (float *)(score_page.end - M * sizeof(float));
    memcpy(query_at, query, of_query), memcpy(document_at, document, bytes), memcpy(scales_at, scales, D * 4);
    const uintptr_t documents[] = {(uintptr_t)document_at}, document_scales[] = {(uintptr_t)scales_at};
    const int scaled = dtype == RP_I8 || dtype == RP_CODES;
    int ok = rp_row_pack(row, dtype, query_at, Q, K, C, packed) == RP_OK
             && rp_row_maxsim(row, dtype, packed, K, C, queries, M, query_scales, documents,
                              scaled ? document_scales : NULL, tokens, 1, scores, 1) == RP_OK;
    for (size_t m = 0; ok && m < M; m++) {
        ok = D ? fabs((double)scores[m] - (double)expected[m]) <= bound[m] : scores[m] == -INFINITY;
        if (!ok) {
            report("score outside the bound");
            fprintf(stderr, "     query %zu: expected %.9g +- %.3g, got %.9g\n", m, (double)expected[m], bound[m],
                    (double)scores[m]);
        }
    }
    return ok;
}

static int runs(size_t i) { return (rp_rows[i]->needs & ~rp_cpu_features()) == 0; }

/* Adds to *total the checks made; returns the failures. */
static int check_type(int dtype, const char *only, uint32_t one_in, int *total)
{
    static const size_t Qs[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 25, 31, 32, 33, 65};
    static const size_t Ks[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 96, 127, 128, 130, 384};
    static const size_t Ds[] = {0, 1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 24, 25, 31, 32, 33, 61, 65};
    static const size_t Cs[] = {0, 1, 2, 17, MAX_C};
    int checks[32] = {0}, failures[32] = {0}, failed = 0;
    for (size_t i = 0; i < sizeof Qs / sizeof *Qs; i++)
        for (size_t j = 0; j < sizeof Ks / sizeof *Ks; j++)
            for (size_t k = 0; k < sizeof Ds / sizeof *Ds; k++) {
                const size_t Q = Qs[i], K = Ks[j], D = Ds[k];
                const size_t cut = Q > 1 ? Q / 2 : Q, C = dtype == RP_CODES ? Cs[random_bits() % 5] : 0;
                if (random_bits() % one_in || (dtype == RP_CODES && K > MAX_CODES))
                    continue;
                if (dtype == RP_CODES)
                    fill_floats(random_bits() % 5, (16 * K + C) * Q, query), fill_codes(D, K, C, document);
                else
                    fill(dtype, 1, Q, K, query), fill(dtype, 0, D, K, document);
                for (size_t t = 0; t < Q; t++)
                    query_scales[t] = dtype == RP_F32 ? 1.0f : (float)(random_bits() % 100) / 64.0f;
                for (size_t t = 0; t < D; t++)
                    scales[t] = (float)(random_bits() % 100) / 127.0f;
                double bound[2];
                const float expected[2] = {definition(dtype, 0, cut, Q, K, C, D, bound),
                                           definition(dtype, cut, Q, Q, K, C, D, bound + 1)};
                for (size_t r = 0; r < rp_rows_count; r++)
                    if (runs(r) && rp_rows[r]->kernels[dtype].maxsim && (!strcmp(only, "all") || !strcmp(only, rp_rows[r]->name)))
                        for (int layout = 0; layout < LAYOUTS; layout++, checks[r]++)
                            failures[r] += !check(rp_rows[r], dtype, Q, K, C, D, layout, expected, bound);
            }
    for (size_t r = 0; r < rp_rows_count; r++)
        if (checks[r]) {
            printf("%-18s %-6s %d checks, %d failures\n", rp_rows[r]->name, types[dtype], checks[r], failures[r]);
            failed += failures[r], *total += checks[r];
        }
    return failed;
}

/* Arguments that the library must refuse, whatever the machine. */
static int check_refusals(void)
{
    const int64_t one[] = {0, 1}, none[] = {0, 0}, late[] = {1, 2}, negative = -1, token = 1;
    const uintptr_t nowhere = 0;
    float score, packed[64] = {0};
    int failures = 0;
    const struct { int level, dtype; size_t Q, K, C; } sizes[] = {
        {RP_SCALAR, RP_F32, 0, 4, 0}, {RP_SCALAR, RP_F32, 4, 0, 0}, {RP_SCALAR, RP_F32, SIZE_MAX / 2, 8, 0},
        {RP_SCALAR, RP_F32, 8, SIZE_MAX / 2, 0}, {RP_SCALAR, RP_I8, 1, (1 << 16) + 1, 0}, {RP_LEVELS, RP_F32, 1, 1, 0},
        {-1, RP_F32, 1, 1, 0}, {RP_SCALAR, RP_F32, 1, 1, 1}, {RP_SCALAR, RP_CODES, 1, 1, (1 << 16) + 1},
        {RP_SCALAR, RP_CODES, 1, SIZE_MAX / 16, 1},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        failures += rp_maxsim_packed_size(sizes[i].level, sizes[i].dtype, sizes[i].Q, sizes[i].K, sizes[i].C) != 0;
    failures += rp_maxsim_level(RP_SCALAR, RP_DTYPES) != RP_ERROR_UNSUPPORTED;
    const struct { int dtype; const int64_t *queries; size_t M; int64_t tokens; } bad[] = {
        {RP_F32, one, 1, negative}, {RP_F32, none, 1, token}, {RP_F32, late, 1, token}, {RP_F32, one, 0, token},
        {RP_I8, one, 1, token}, {RP_CODES, one, 1, token}, /* without scales */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        failures += rp_maxsim(RP_SCALAR, bad[i].dtype, packed, 1, 0, bad[i].queries, bad[i].M, NULL, &nowhere, NULL,
                              &bad[i].tokens, 1, &score, 1) != RP_ERROR_SHAPE;
    printf("refusals           %d failures\n", failures);
    return failures;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void bench(const rp_row_t *row, int dtype)
{
    enum { Q = 32, DIM = 128, N = 100, RUNS = 60 };
    const size_t K = dtype == RP_CODES ? DIM / 2 : DIM, C = dtype == RP_CODES ? MAX_C : 0;
    uintptr_t documents[N], document_scales[N];
    int64_t tokens[N];
    size_t T = 0;
    for (size_t n = 0; n < N; n++)
        T += (size_t)(tokens[n] = 20 + random_bits() % 281);
    const size_t bytes = row_bytes(dtype, K, C);
    char *values = aligned_alloc(64, (T * bytes + 63) / 64 * 64);
    float *scale = calloc(T, sizeof *scale), scores[N];
    if (dtype == RP_CODES)
        fill_floats(0, (16 * K + C) * Q, query), fill_codes(T, K, C, values);
    else
        fill(dtype, 1, Q, K, query), fill(dtype, 0, T, K, values);
    void *packed = aligned_alloc(64, rp_row_packed_size(row, dtype, Q, K, C));
    for (size_t n = 0, t = 0; n < N; t += (size_t)tokens[n++])
        documents[n] = (uintptr_t)(values + t * bytes), document_scales[n] = (uintptr_t)(scale + t);
    double best = INFINITY;
    for (int run = 0; run < RUNS; run++) {
        const double start = seconds();
        rp_row_pack(row, dtype, query, Q, K, C, packed);
        rp_row_maxsim(row, dtype, packed, K, C, (const int64_t[]){0, Q}, 1, NULL, documents, document_scales, tokens, N,
                      scores, 1);
        best = fmin(best, seconds() - start);
    }
    printf("%-18s %-6s %7.1f GFLOP/s\n", row->name, types[dtype], 2.0 * Q * DIM * (double)T / best * 1e-9);
    free(values), free(scale), free(packed);
}

int main(int argc, char **argv)
{
    const int benching = argc > 1 && !strcmp(argv[1], "--bench");
    const uint64_t seed = argc > 1 && !benching ? strtoull(argv[1], NULL, 10) : 1;
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], crashed);
    query_page = guarded(sizeof query), document_page = guarded(sizeof document + 1);
    packed_page = guarded((size_t)(MAX_Q + RP_BLOCK) * (16 * MAX_CODES + MAX_C + 1) * 4);
    scale_page = guarded(sizeof scales + 1), score_page = guarded(64);
    const char *only = argc > 2 ? argv[2] : "all";
    const uint32_t one_in = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 1;
    int checks = 0, failures = benching ? 0 : check_refusals();
    for (int dtype = 0; dtype < RP_DTYPES; dtype++) {
        state = seed * 0x9E3779B97F4A7C15ull + 1; /* so that a type fails alone */
        if (!benching)
            failures += check_type(dtype, only, one_in ? one_in : 1, &checks);
        else
            for (size_t r = 0; r < rp_rows_count; r++)
                if (runs(r) && rp_rows[r]->kernels[dtype].maxsim)
                    bench(rp_rows[r], dtype);
    }
    if (!benching && !checks) {
        fprintf(stderr, "FAIL row %s did not run on this machine\n", only);
        failures++;
    }
    if (!benching)
        printf("seed %llu: %s\n", (unsigned long long)seed, failures ? "FAILED" : "all rows agree with the definition");
    return failures != 0;
}
