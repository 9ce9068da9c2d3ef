/* SPDX-License-Identifier: Apache-2.0
 * The instructions of AMX and AVX-VNNI that csrc/ uses, in plain C, for CPUs without them. Included ahead of
 * everything else, with the guards of the compiler's own headers defined (see the Makefile). */
#ifndef EMULATED_H
#define EMULATED_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

void _tile_loadconfig(const void *config);
void _tile_release(void);
void _tile_zero(int tile);
void _tile_loadd(int tile, const void *base, size_t stride);
void _tile_stored(int tile, void *base, size_t stride);
void _tile_dpbssd(int sum, int a, int b);
void _tile_dpbf16ps(int sum, int a, int b);

/* sum[i] += the products of four unsigned bytes of a and four signed ones of b. */
__attribute__((target("avx2"))) static inline __m256i _mm256_dpbusd_avx_epi32(__m256i sum, __m256i a, __m256i b)
{
    union { __m256i all; int32_t i32[8]; uint8_t u8[32]; int8_t i8[32]; } s = {sum}, x = {a}, y = {b};
    for (int i = 0; i < 32; i++)
        s.i32[i / 4] += x.u8[i] * y.i8[i];
    return s.all;
}

#endif
