/* SPDX-License-Identifier: Apache-2.0
 * Tables in text, such as TREC runs and qrels: where the columns of each line lie, and their numbers, as the nearest
 * double in any locale. The few numbers that a sum of two doubles does not settle are left to the caller. */
#include "rank_plugins.h"

#include <math.h>
#include <string.h>

enum { BLANK = 1, TAB = 2, END = 4, COLUMNS = 16, SHORT_DIGITS = 19, LARGEST_POWER = 22 };

static const uint8_t classes[256] = {
    ['\t'] = BLANK | TAB, [' '] = BLANK, ['\v'] = BLANK, ['\f'] = BLANK, ['\n'] = END, ['\r'] = END
};

static const double powers[LARGEST_POWER + 1] = { /* every one is exact */
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
};

typedef struct { const uint8_t *start, *end; } span_t;

/* Splits the line at `p`, notes its first columns and how many there are; returns its end. Columns stand between
 * blanks, or (`tabs`) between tabs, where those may be empty and have blanks inside. */
static const uint8_t *split(const uint8_t *p, const uint8_t *end, int tabs, span_t *columns, size_t *count)
{
    const int stop = tabs ? TAB | END : BLANK | END;
    size_t n = 0;
    for (;; p++) {
        while (p < end && (classes[*p] & BLANK) && !(tabs && *p == '\t'))
            p++;
        const uint8_t *start = p;
        while (p < end && !(classes[*p] & stop))
            p++;
        const uint8_t *last = p;
        if (tabs)
            while (last > start && (classes[last[-1]] & BLANK))
                last--;
        if (last > start || tabs) {
            if (n < COLUMNS)
                columns[n] = (span_t){start, last};
            n++;
        }
        if (p == end || (classes[*p] & END))
            break;
    }
    *count = n;
    return p;
}

static int is_word(const uint8_t *p, const uint8_t *end, const char *word)
{
    for (; *word; word++, p++)
        if (p == end || (*p | 32) != *word)
            return 0;
    return p == end;
}

/* The product's rounding error: a * b is exactly product + this (Dekker 1971). */
static double product_error(double a, double b, double product)
{
    const double a_wide = a * 134217729.0, b_wide = b * 134217729.0; /* 2^27 + 1 */
    const double a_high = a_wide - (a_wide - a), b_high = b_wide - (b_wide - b), a_low = a - a_high, b_low = b - b_high;
    return a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low);
}

/* digits * 10^power to the nearest double; 0 where that cannot be told. The quotient or product of two doubles is
 * kept with its exact error, and where the sum's rounding does not depend on what is still unknown, it is right. */
static int nearest(uint64_t digits, int64_t power, double *number)
{
    if (power < -LARGEST_POWER || power > LARGEST_POWER)
        return digits ? 0 : (*number = 0, 1);
    const double high = (double)digits, low = (double)(int64_t)(digits - (uint64_t)high);
    const double scale = powers[power < 0 ? -power : power];
    double first, error, more;
    if (power < 0) {
        first = high / scale;
        const double product = first * scale;
        error = (high - product - product_error(first, scale, product)) / scale;
        more = low / scale;
    } else {
        first = high * scale;
        error = product_error(high, scale, first);
        more = low * scale;
    }
    if (low == 0) { /* one rounding of exact values */
        *number = first;
        return 1;
    }
    const double rest = error + more, unknown = (fabs(error) + fabs(more)) * 0x1p-49;
    *number = first + (rest - unknown);
    return *number == first + (rest + unknown);
}

typedef enum { NO_NUMBER, NUMBER, HARD_NUMBER } number_t;

/* Adds decimal digits to `digits`, modulo 2^64; returns where they end. */
static const uint8_t *add_digits(const uint8_t *p, const uint8_t *end, uint64_t *digits)
{
    for (; p < end && *p - (unsigned)'0' <= 9; p++)
        *digits = *digits * 10 + (*p - '0');
    return p;
}

/* The first 19 digits behind leading zeros of a number with more; returns what to add to the power of ten of the
 * last digit of all, and whether what is cut off is more than 0. */
static int64_t cut_digits(const uint8_t *p, const uint8_t *end, uint64_t *digits, int *cut)
{
    int64_t kept = 0, power = 0;
    *digits = 0;
    for (; p < end; p++) {
        if (*p == '.')
            continue;
        if (kept < SHORT_DIGITS) {
            *digits = *digits * 10 + (*p - '0');
            kept += *digits != 0;
        } else {
            power++;
            *cut |= *p != '0';
        }
    }
    return power;
}

/* [+-] digits [. digits] [e [+-] digits], inf, infinity or nan, as Python's float() reads them. */
static number_t number_of(span_t span, double *number)
{
    const uint8_t *p = span.start, *end = span.end;
    const int negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    const uint8_t *start = p;
    uint64_t digits = 0;
    int cut = 0;
    p = add_digits(p, end, &digits);
    int64_t seen = p - start, power = 0;
    if (p < end && *p == '.') {
        const uint8_t *point = p;
        p = add_digits(p + 1, end, &digits);
        power = point + 1 - p;
        seen -= power;
    }
    if (!seen) {
        const int word = is_word(p, end, "inf") || is_word(p, end, "infinity") || is_word(p, end, "nan");
        return word && p == start ? HARD_NUMBER : NO_NUMBER;
    }
    if (seen > SHORT_DIGITS)
        power += cut_digits(start, p, &digits, &cut);
    if (p < end && (*p | 32) == 'e') {
        p++;
        const int down = p < end && *p == '-';
        p += p < end && (*p == '-' || *p == '+');
        int64_t exponent = 0;
        start = p;
        for (; p < end && *p - (unsigned)'0' <= 9; p++)
            exponent = exponent < 1000000 ? exponent * 10 + (*p - '0') : exponent;
        if (p == start)
            return NO_NUMBER;
        power += down ? -exponent : exponent;
    }
    if (p != end)
        return NO_NUMBER;
    double above;
    if (!nearest(digits, power, number) || (cut && !(nearest(digits + 1, power, &above) && above == *number)))
        return HARD_NUMBER;
    *number = negative ? -*number : *number;
    return NUMBER;
}

size_t rp_text_lines(const uint8_t *text, size_t size)
{
    size_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += (text[i] == '\n') | (text[i] == '\r');
    return lines;
}

/* One line into row `row`; 1 where it holds one, 0 where it is to be skipped, or an error. */
static int read_row(const rp_table_t *table, const uint8_t *text, const span_t *columns, size_t count, int64_t row,
                    rp_rows_t *rows)
{
    double number;
    if (count < table->fewest || count > table->most)
        return RP_TEXT_COLUMNS;
    const number_t told = number_of(columns[table->number], &number);
    if (told == NO_NUMBER)
        return RP_TEXT_NUMBER;
    for (size_t i = 0; i < table->texts; i++) {
        const span_t span = columns[table->text[i]];
        if (span.end == span.start)
            return RP_TEXT_EMPTY;
        rows->starts[i * rows->stride + (size_t)row] = span.start - text;
        rows->lengths[i * rows->stride + (size_t)row] = span.end - span.start;
    }
    if (told == HARD_NUMBER) {
        rows->hard[2 * rows->hards] = row;
        rows->hard[2 * rows->hards++ + 1] = columns[table->number].start - text;
    } else {
        rows->numbers[row] = number;
    }
    if (table->rank >= 0)
        rows->ranks[row] = number_of(columns[table->rank], &number) == NUMBER ? number : NAN;
    return 1;
}

int64_t rp_text_rows(const rp_table_t *table, const uint8_t *text, size_t size, size_t *at, size_t room, rp_rows_t *rows)
{
    const uint8_t *p = text + *at, *end = text + size;
    int64_t row = 0;
    span_t columns[COLUMNS];
    if (table->fewest > COLUMNS)
        return RP_ERROR_SHAPE;
    while (p < end && (size_t)row < room) {
        size_t count, marks = 0;
        const uint8_t *next = split(p, end, table->tabs, columns, &count);
        int empty = 1;
        for (size_t i = 0; empty && i < count && i < COLUMNS; i++)
            empty = columns[i].end == columns[i].start;
        if (!empty) {
            const span_t first = columns[0];
            while (first.start + marks < first.end && first.start[marks] == '#')
                marks++;
            const int comment = marks && first.start + marks == first.end;
            const int result = comment ? 0 : read_row(table, text, columns, count, row, rows);
            if (result < 0) {
                *at = (size_t)(p - text);
                return result;
            }
            row += result > 0;
        }
        p = next + (next < end);
    }
    *at = (size_t)(p - text);
    return row;
}
