/* SPDX-License-Identifier: Apache-2.0
 * Checks every level of this machine against the definition in double precision: all shapes around the
 * widths of tiles and vectors, unaligned documents, and buffers that end (or begin) at a page that may not
 * be touched. The bound is a priori: |error| <= gamma_n * sum |q_k d_k| per query token, n = K, plus the
 * rounding of the sum.
 *
 * usage: check_kernels [seed]     prints one line per level; a failure prints the parameters that made it
 *        check_kernels --bench    prints GFLOP/s per level (Q 32, K 128, 100 documents of 20 to 300 tokens) */
#define _GNU_SOURCE
#include "rank_plugins.h"

#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const char *const names[RP_LEVELS] = {"scalar", "avx2", "avx512", "amx", "neon"};
static struct { int level; size_t Q, K, D; int layout; } at; /* for the message of a crash */

static void report(const char *what)
{
    fprintf(stderr, "FAIL %s: level %s Q %zu K %zu D %zu layout %d\n", what, names[at.level], at.Q, at.K, at.D,
            at.layout);
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

/* Values of one kind per array: uniform, all negative, sparse, of very different size, all equal. */
static void fill(float *values, size_t count)
{
    const uint32_t kind = random_bits() % 5;
    for (size_t i = 0; i < count; i++) {
        const float u = (float)random_bits() / 2147483648.0f - 1.0f;
        values[i] = kind == 0   ? u
                    : kind == 1 ? -fabsf(u) - 0.1f
                    : kind == 2 ? (random_bits() % 8 ? 0.0f : u)
                    : kind == 3 ? ldexpf(u, (int)(random_bits() % 40) - 20)
                                : 0.25f;
    }
}

/* A buffer between two forbidden pages. */
typedef struct { char *base, *first, *end; size_t mapped; } guarded_t;

static guarded_t guarded(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (bytes + page) / page * page;
    guarded_t g = {.mapped = body + 2 * page};
    g.base = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.base == MAP_FAILED || mprotect(g.base, page, PROT_NONE)
        || mprotect(g.base + page + body, page, PROT_NONE)) {
        perror("guard pages");
        exit(2);
    }
    g.first = g.base + page;
    g.end = g.first + body;
    return g;
}

static void release(guarded_t g) { munmap(g.base, g.mapped); }

/* The definition, and the bound on any float32 evaluation of it. */
static double definition(const float *query, const float *document, size_t Q, size_t K, size_t D, double *bound)
{
    const double u = FLT_EPSILON / 2, gamma = (double)(K + 1) * u / (1 - (double)(K + 1) * u);
    double score = 0, error = 0;
    for (size_t i = 0; i < Q; i++) {
        double best = -INFINITY, largest = 0;
        for (size_t j = 0; j < D; j++) {
            double dot = 0, size = 0;
            for (size_t k = 0; k < K; k++) {
                const double term = (double)query[i * K + k] * (double)document[j * K + k];
                dot += term, size += fabs(term);
            }
            best = dot > best ? dot : best;
            largest = size > largest ? size : largest;
        }
        score += best, error += gamma * largest;
    }
    *bound = error + u * (fabs(score) + error) + (double)(Q * K) * FLT_MIN;
    return score;
}

/* layout 0: document ends at the guard; 1: one byte before it, so unaligned; 2: begins at the guard */
static int check(int level, size_t Q, size_t K, size_t D, int layout)
{
    at.level = level, at.Q = Q, at.K = K, at.D = D, at.layout = layout;
    const size_t size = rp_maxsim_packed_size(level, RP_F32, Q, K), bytes = D * K * sizeof(float);
    float *query = malloc(Q * K * sizeof *query), *values = malloc(bytes + 1);
    guarded_t q = guarded(Q * K * sizeof(float)), p = guarded(size), d = guarded(bytes + 1),
              s = guarded(sizeof(float));
    fill(query, Q * K), fill(values, D * K);
    char *query_at = q.end - Q * K * sizeof(float), *packed = p.end - size;
    char *document = layout == 2 ? d.first : d.end - bytes - (layout == 1);
    float *score = (float *)(s.end - sizeof(float));
    memcpy(query_at, query, Q * K * sizeof(float)), memcpy(document, values, bytes);

    const uintptr_t documents[1] = {(uintptr_t)document};
    const int64_t tokens[1] = {(int64_t)D};
    int ok = rp_maxsim_pack(level, RP_F32, query_at, Q, K, packed) == RP_OK
             && rp_maxsim(level, RP_F32, packed, Q, K, documents, tokens, 1, score) == RP_OK;
    double bound = 0, expected = definition(query, values, Q, K, D, &bound);
    ok = ok && (D ? fabs((double)*score - expected) <= bound : *score == -INFINITY);
    if (!ok) {
        report("score outside the bound");
        fprintf(stderr, "     expected %.9g +- %.3g, got %.9g\n", expected, bound, (double)*score);
    }
    release(q), release(p), release(d), release(s);
    free(query), free(values);
    return ok;
}

static int check_level(int level)
{
    static const size_t Qs[] = {1, 2, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 48, 65};
    static const size_t Ks[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 96, 127, 128, 384};
    static const size_t Ds[] = {0, 1, 2, 5, 6, 7, 11, 12, 13, 18, 23, 24, 25, 61};
    int checks = 0, failures = 0;
    for (size_t i = 0; i < sizeof Qs / sizeof *Qs; i++)
        for (size_t j = 0; j < sizeof Ks / sizeof *Ks; j++)
            for (size_t k = 0; k < sizeof Ds / sizeof *Ds; k++)
                for (int layout = 0; layout < 3; layout++, checks++)
                    failures += !check(level, Qs[i], Ks[j], Ds[k], layout);
    printf("%-8s %d checks, %d failures\n", names[level], checks, failures);
    return failures;
}

/* Arguments that the library must refuse, whatever the machine. */
static int check_refusals(void)
{
    const int64_t negative = -1;
    const uintptr_t nowhere = 0;
    float score, packed[64] = {0};
    int failures = 0;
    failures += rp_maxsim_packed_size(RP_SCALAR, RP_F32, 0, 4) != 0;
    failures += rp_maxsim_packed_size(RP_SCALAR, RP_F32, 4, 0) != 0;
    failures += rp_maxsim_packed_size(RP_SCALAR, RP_F32, SIZE_MAX / 2, 8) != 0;
    failures += rp_maxsim_packed_size(RP_LEVELS, RP_F32, 1, 1) != 0;
    failures += rp_maxsim_packed_size(-1, RP_F32, 1, 1) != 0;
    failures += rp_maxsim_level(RP_SCALAR, RP_DTYPES) != RP_ERROR_UNSUPPORTED;
    failures += rp_maxsim(RP_SCALAR, RP_F32, packed, 1, 1, &nowhere, &negative, 1, &score) != RP_ERROR_SHAPE;
    printf("refusals %d failures\n", failures);
    return failures;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void bench(int level)
{
    enum { Q = 32, K = 128, N = 100, RUNS = 30 };
    uintptr_t documents[N];
    int64_t tokens[N];
    size_t T = 0;
    for (size_t n = 0; n < N; n++)
        T += (size_t)(tokens[n] = 20 + random_bits() % 281);
    float *values = malloc(T * K * sizeof *values), *query = malloc(Q * K * sizeof *query), scores[N];
    void *packed = malloc(rp_maxsim_packed_size(level, RP_F32, Q, K));
    fill(values, T * K), fill(query, Q * K);
    for (size_t n = 0, row = 0; n < N; row += (size_t)tokens[n++])
        documents[n] = (uintptr_t)(values + row * K);
    double best = INFINITY;
    for (int run = 0; run < RUNS; run++) {
        const double start = seconds();
        rp_maxsim_pack(level, RP_F32, query, Q, K, packed);
        rp_maxsim(level, RP_F32, packed, Q, K, documents, tokens, N, scores);
        best = fmin(best, seconds() - start);
    }
    printf("%-8s %.1f GFLOP/s\n", names[level], 2.0 * Q * K * (double)T / best * 1e-9);
    free(values), free(query), free(packed);
}

int main(int argc, char **argv)
{
    const int benching = argc > 1 && !strcmp(argv[1], "--bench");
    const uint64_t seed = argc > 1 && !benching ? strtoull(argv[1], NULL, 10) : 1;
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], crashed);
    int failures = benching ? 0 : check_refusals();
    for (int level = 0; level < RP_LEVELS; level++)
        if (rp_levels_supported() >> level & 1) {
            state = seed * 0x9E3779B97F4A7C15ull + 1; /* every level sees the same bytes */
            if (benching)
                bench(level);
            else
                failures += check_level(level);
        }
    if (!benching)
        printf("seed %llu: %s\n", (unsigned long long)seed, failures ? "FAILED" : "all levels agree with the definition");
    return failures != 0;
}
