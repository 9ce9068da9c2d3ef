/* SPDX-License-Identifier: Apache-2.0
 * Tiles as Intel's manual describes them. What a CPU would refuse, and what would go unnoticed on one (tiles
 * left behind, shapes that do not fit), ends the run. Memory is touched byte for byte as the instructions do,
 * so that sanitizers and guard pages see it. Built only where AVX-512 is there; it makes this bearably fast. */
#include "emulated.h"

#include "kernels.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TILES = 8, ROWS = 16, LINE = 64, WORDS = LINE / 4 };
#define FAST __attribute__((target("avx512f")))

typedef union {
    char bytes[LINE];
    int8_t i8[LINE];
    uint16_t bf16[LINE / 2];
    int32_t i32[WORDS];
    float f32[WORDS];
} row_t;
static struct { size_t rows, bytes; row_t row[ROWS]; } tiles[TILES];
static int configured;

static void demand(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "AMX: %s\n", what);
        abort();
    }
}

static void demand_released(void) { demand(!configured, "the tiles were never released"); }

void _tile_loadconfig(const void *config)
{
    static int registered;
    struct { uint8_t palette, start, zero[14]; uint16_t bytes[16]; uint8_t rows[16]; } given;
    _Static_assert(sizeof given == 64, "as the CPU reads it");
    memcpy(&given, config, sizeof given);
    demand(!configured, "configured again without a release");
    demand(given.palette == 1 && given.start == 0, "unknown palette or start row");
    for (size_t i = 0; i < sizeof given.zero; i++)
        demand(given.zero[i] == 0, "reserved byte of the configuration is set");
    for (size_t i = 0; i < 16; i++) {
        demand(i < TILES ? given.rows[i] <= ROWS && given.bytes[i] <= LINE && !given.rows[i] == !given.bytes[i]
                         : !given.rows[i] && !given.bytes[i], "configuration of a tile that does not exist");
        if (i < TILES)
            tiles[i].rows = given.rows[i], tiles[i].bytes = given.bytes[i];
    }
    for (int i = 0; i < TILES; i++)
        memset(tiles[i].row, 0, sizeof tiles[i].row);
    configured = 1;
    if (!registered)
        atexit(demand_released);
    registered = 1;
}

void _tile_release(void)
{
    demand(configured, "released without a configuration");
    configured = 0;
}

static void demand_tile(int tile)
{
    demand(configured, "used without a configuration");
    demand(tile >= 0 && tile < TILES && tiles[tile].rows, "a tile that was not configured");
}

void _tile_zero(int tile)
{
    demand_tile(tile);
    memset(tiles[tile].row, 0, sizeof tiles[tile].row);
}

void _tile_loadd(int tile, const void *base, size_t stride)
{
    _tile_zero(tile);
    for (size_t r = 0; r < tiles[tile].rows; r++)
        memcpy(tiles[tile].row[r].bytes, (const char *)base + r * stride, tiles[tile].bytes);
}

void _tile_stored(int tile, void *base, size_t stride)
{
    demand_tile(tile);
    for (size_t r = 0; r < tiles[tile].rows; r++)
        memcpy((char *)base + r * stride, tiles[tile].row[r].bytes, tiles[tile].bytes);
}

static void demand_product(int sum, int a, int b)
{
    demand_tile(sum), demand_tile(a), demand_tile(b);
    demand(sum != a && sum != b && a != b, "one tile in two roles");
    demand(tiles[sum].rows == tiles[a].rows && tiles[sum].bytes == tiles[b].bytes
           && tiles[a].bytes == tiles[b].rows * 4, "shapes that do not fit");
}

FAST void _tile_dpbssd(int sum, int a, int b)
{
    demand_product(sum, a, b);
    for (size_t m = 0; m < tiles[sum].rows; m++)
        for (size_t k = 0; k < tiles[b].rows; k++)
            for (size_t n = 0; n < WORDS; n++)
                for (size_t i = 0; i < 4; i++)
                    tiles[sum].row[m].i32[n] += tiles[a].row[m].i8[k * 4 + i] * tiles[b].row[k].i8[n * 4 + i];
}

/* Subnormal numbers are zero, going in and coming out. */
FAST static inline float flush(float x) { return fabsf(x) < FLT_MIN ? copysignf(0, x) : x; }

/* The even and the odd elements of a row are summed apart, each step rounded once. */
FAST void _tile_dpbf16ps(int sum, int a, int b)
{
    demand_product(sum, a, b);
    for (size_t m = 0; m < tiles[sum].rows; m++) {
        float part[2][WORDS] = {{0}};
        for (size_t k = 0; k < tiles[b].rows; k++)
            for (size_t i = 0; i < 2; i++) {
                const float d = flush(rp_bf16(tiles[a].row[m].bf16[k * 2 + i]));
                for (size_t n = 0; n < WORDS; n++) {
                    const float q = flush(rp_bf16(tiles[b].row[k].bf16[n * 2 + i]));
                    part[i][n] = flush(__builtin_fmaf(d, q, part[i][n]));
                }
            }
        for (size_t n = 0; n < WORDS; n++) {
            const float total = flush(flush(tiles[sum].row[m].f32[n]) + flush(part[0][n] + part[1][n]));
            tiles[sum].row[m].f32[n] = total;
        }
    }
}

/* cpu.c is compiled with its function renamed. */
uint32_t real_cpu_features(void);
uint32_t rp_cpu_features(void)
{
    const uint32_t features = real_cpu_features();
    return features & RP_CPU_AVX512 ? features | RP_CPU_AMX | RP_CPU_AVXVNNI : features;
}
