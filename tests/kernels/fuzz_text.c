/* SPDX-License-Identifier: Apache-2.0
 * libFuzzer target: any bytes as a table in text, while AddressSanitizer watches buffers of exactly the size that they
 * must have. Numbers are those of strtod; what is found lies in the text, in order; and reading row by row finds the
 * same as reading all at once. The first two bytes choose the layout. */
#include "rank_plugins.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

static void *room_for(size_t count, size_t size) { return malloc(count * size + (count == 0)); }

static rp_rows_t rows_for(size_t room)
{
    return (rp_rows_t){
        .starts = room_for(3 * room, 8), .lengths = room_for(3 * room, 8), .numbers = room_for(room, 8),
        .ranks = room_for(room, 8), .hard = room_for(2 * room, 8), .stride = room
    };
}

static void free_rows(rp_rows_t rows)
{
    free(rows.starts);
    free(rows.lengths);
    free(rows.numbers);
    free(rows.ranks);
    free(rows.hard);
}

/* The number of a row is what strtod reads in its column, the last text of the layout. */
static void check_number(const uint8_t *text, int64_t start, int64_t length, double number)
{
    char *copy = malloc((size_t)length + 1), *end;
    memcpy(copy, text + start, (size_t)length);
    copy[length] = 0;
    const double expected = strtod(copy, &end);
    if (end != copy + length || memcmp(&expected, &number, sizeof number))
        fail("another number than strtod's");
    free(copy);
}

static void check_rows(const uint8_t *text, size_t size, const rp_table_t *table, int64_t count, size_t room, rp_rows_t rows)
{
    size_t hard = 0;
    for (int64_t row = 0; row < count; row++) {
        for (size_t i = 0; i < table->texts; i++) {
            const int64_t start = rows.starts[i * room + (size_t)row], length = rows.lengths[i * room + (size_t)row];
            if (start < 0 || length < 1 || (uint64_t)(start + length) > size)
                fail("a column outside of the text");
            if (row && start <= rows.starts[i * room + (size_t)row - 1])
                fail("rows out of order");
        }
        const int64_t start = rows.starts[2 * room + (size_t)row], length = rows.lengths[2 * room + (size_t)row];
        if (hard < rows.hards && rows.hard[2 * hard] == row) {
            if (rows.hard[2 * hard++ + 1] != start)
                fail("a number left out elsewhere");
        } else {
            check_number(text, start, length, rows.numbers[row]);
        }
    }
    if (hard != rows.hards)
        fail("numbers left out that are no rows");
}

/* Reads row by row; returns what the reading of all returned. */
static int64_t read_by_one(const uint8_t *text, size_t size, const rp_table_t *table, size_t room, rp_rows_t all, size_t *at)
{
    int64_t total = 0, found;
    rp_rows_t one = rows_for(1);
    while (one.hards = 0, (found = rp_text_rows(table, text, size, at, 1, &one)) == 1) {
        for (size_t i = 0; i < table->texts; i++)
            if (one.starts[i] != all.starts[i * room + (size_t)total] || one.lengths[i] != all.lengths[i * room + (size_t)total])
                fail("another row when read alone");
        total++;
    }
    free_rows(one);
    return found < 0 ? found : total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const int number = 2 + data[0] % 3;
    const rp_table_t table = {
        .tabs = data[0] >> 7, .text = {0, 1, number}, .number = number, .rank = data[1] % 4 - 1, .texts = 3,
        .fewest = (size_t)number + 1, .most = (size_t)number + 1 + data[1] / 4 % 16
    };
    const size_t bytes = size - 2;
    uint8_t *text = room_for(bytes, 1);
    memcpy(text, data + 2, bytes);
    const size_t room = rp_text_lines(text, bytes);
    rp_rows_t rows = rows_for(room);
    size_t at = 0, other = 0;
    const int64_t count = rp_text_rows(&table, text, bytes, &at, room, &rows);
    if (count < RP_TEXT_EMPTY || count > (int64_t)room || at > bytes || (count >= 0 && at != bytes))
        fail("a reading that stopped in between");
    if (count >= 0)
        check_rows(text, bytes, &table, count, room, rows);
    if (read_by_one(text, bytes, &table, room, rows, &other) != count || other != at)
        fail("another end when read row by row");
    free_rows(rows);
    free(text);
    return 0;
}
