/* SPDX-License-Identifier: Apache-2.0
 * libFuzzer target: every row of the table gets the same bytes and must agree with the scalar one, integers
 * bit for bit and floats within twice the a-priori bound, while AddressSanitizer watches the exactly sized
 * buffers. Type and shapes come from the first four bytes, values from the rest, floats in [-1, 1]. Rows of codes
 * are any bytes, as a damaged file may hold them. */
#include "kernels.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct { const uint8_t *data; size_t size, at; } source_t;

static uint8_t next_byte(source_t *source) { return source->size ? source->data[source->at++ % source->size] : 64; }

static float next_float(source_t *source) { return ((float)next_byte(source) - 127.5f) / 127.5f; }

/* The query's floats, and documents' rows, of codes. */
static char *floats_of(source_t *source, size_t count)
{
    char *values = malloc(count * 4);
    for (size_t i = 0; i < count; i++)
        memcpy(values + i * 4, (const float[]){next_float(source)}, 4);
    return values;
}

static char *bytes_of(source_t *source, size_t count)
{
    char *values = malloc(count + (count == 0));
    for (size_t i = 0; i < count; i++)
        values[i] = (char)next_byte(source);
    return values;
}

/* `count` tokens of a type; binary ones with zeros behind dimension K. */
static char *tokens_of(source_t *source, int dtype, int query, size_t count, size_t K)
{
    const size_t bytes = query ? rp_query_bytes(dtype, K) : rp_document_bytes(dtype, K);
    char *values = malloc(count * bytes + (count == 0)), *out = values;
    for (size_t i = 0; i < count; i++, out += bytes)
        for (size_t k = 0; k < K; k++) {
            const float value = next_float(source);
            uint32_t word;
            memcpy(&word, &value, sizeof word);
            if (dtype == RP_F32 || (dtype == RP_F32_B1 && query))
                memcpy(out + k * 4, &word, 4);
            else if (dtype == RP_BF16)
                memcpy(out + k * 2, (const uint16_t[]){(uint16_t)(word >> 16)}, 2);
            else if (dtype == RP_F16) /* sign, an exponent of at most 0, and six bits of the fraction */
                memcpy(out + k * 2, (const uint16_t[]){(uint16_t)((word >> 16 & 0x8000) | (word >> 13 & 0x3bff))}, 2);
            else if (dtype == RP_I8)
                out[k] = (char)next_byte(source);
            else
                out[k / 8] = (char)((k % 8 ? out[k / 8] : 0) | (value > 0) << (7 - k % 8));
        }
    return values;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    const int dtype = data[3] % RP_DTYPES, exact = dtype == RP_I8 || dtype == RP_B1, coded = dtype == RP_CODES;
    const size_t Q = 1 + data[0] % 70, K = 1 + data[1] % 140, D = data[2] % 80, M = Q > 2 ? 2 : 1;
    const size_t C = coded ? data[3] / RP_DTYPES : 0;
    source_t source = {data + 4, size - 4, 0};
    char *query = coded ? floats_of(&source, (16 * K + C) * Q) : tokens_of(&source, dtype, 1, Q, K);
    char *document = coded ? bytes_of(&source, D * rp_code_bytes(K, C)) : tokens_of(&source, dtype, 0, D, K);
    float *scale = malloc(D * sizeof *scale + (D == 0));
    for (size_t j = 0; j < D; j++)
        scale[j] = (float)next_byte(&source) / 255.0f;
    const uintptr_t documents[2] = {(uintptr_t)document, (uintptr_t)document}, scales[2] = {(uintptr_t)scale, (uintptr_t)scale};
    const int64_t tokens[2] = {(int64_t)D, (int64_t)(D / 2)}, queries[] = {0, M == 2 ? 2 : (int64_t)Q, (int64_t)Q};
    const double bound = exact ? 0 : 2.0 * (double)(Q * K) * (double)(K + Q + 2) * FLT_EPSILON * 4; /* |values| <= 2 */
    float reference[4] = {0};
    for (size_t r = 0; r < rp_rows_count; r++) {
        const rp_row_t *row = rp_rows[r];
        if ((row->needs & ~rp_cpu_features()) || !row->kernels[dtype].maxsim)
            continue;
        float scores[4];
        void *packed = malloc(rp_row_packed_size(row, dtype, Q, K, C));
        if (rp_row_pack(row, dtype, query, Q, K, C, packed)
            || rp_row_maxsim(row, dtype, packed, K, C, queries, M, NULL, documents,
                             dtype == RP_I8 || coded ? scales : NULL, tokens, 2, scores, 2))
            abort();
        free(packed);
        for (size_t n = 0; n < 2 * M; n++) {
            if (r == 0)
                reference[n] = scores[n];
            else if (!(scores[n] == reference[n] || fabs((double)scores[n] - (double)reference[n]) <= bound)) {
                fprintf(stderr, "row %s dtype %d Q %zu K %zu C %zu D %zu: %.9g, scalar %.9g\n", row->name, dtype, Q, K,
                        C, D, (double)scores[n], (double)reference[n]);
                abort();
            }
        }
    }
    free(query), free(document), free(scale);
    return 0;
}
