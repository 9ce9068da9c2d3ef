/* SPDX-License-Identifier: Apache-2.0
 * Columns of ids: hashes, duplicates, groups; and the one way to sort. */
#include "columns.h"

/* Eight bytes at a time, each mixed by a multiplication; the tail is padded with zeros, the length is mixed in. */
static uint64_t hash(const uint8_t *text, size_t length)
{
    const uint64_t odd = UINT64_C(0x9fb21c651e98df25);
    uint64_t sum = length * UINT64_C(0xd6e8feb86659fd93), word;
    for (; length >= sizeof word; text += sizeof word, length -= sizeof word) {
        memcpy(&word, text, sizeof word);
        sum = (sum ^ word) * odd;
        sum ^= sum >> 35;
    }
    word = 0;
    if (length)
        memcpy(&word, text, length);
    sum = (sum ^ word) * odd;
    sum ^= sum >> 35;
    sum *= UINT64_C(0xd6e8feb86659fd93);
    return sum ^ sum >> 32;
}

void rp_hash(const uint8_t *text, const int64_t *starts, const int64_t *lengths, size_t count, uint64_t *keys)
{
    for (size_t i = 0; i < count; i++)
        keys[i] = hash(text + starts[i], (size_t)lengths[i]);
}

void rp_differs(const uint8_t *text, const int64_t *starts, const int64_t *lengths, size_t count, uint8_t *differs)
{
    for (size_t i = 1; i < count; i++)
        differs[i - 1] = lengths[i] != lengths[i - 1] ||
                         memcmp(text + starts[i], text + starts[i - 1], (size_t)lengths[i]) != 0;
}

int64_t rp_first_duplicate(const int64_t *offsets, size_t queries, const uint64_t *keys, const uint8_t *text,
                           const int64_t *starts, const int64_t *lengths, int64_t *table)
{
    const rp_ids_t ids = {keys, text, starts, lengths};
    for (size_t q = 0; q < queries; q++) {
        const size_t size = rp_table_size((size_t)(offsets[q + 1] - offsets[q]));
        memset(table, 0xff, size * sizeof *table); /* -1: free */
        for (int64_t i = offsets[q]; i < offsets[q + 1]; i++) {
            size_t slot = rp_slot(keys[i], size);
            for (; table[slot] >= 0; slot = (slot + 1) & (size - 1))
                if (rp_same_id(&ids, i, &ids, table[slot]))
                    return i;
            table[slot] = i;
        }
    }
    return -1;
}

enum { BLOCK = 12 };

static void insertion_sort(rp_pair_t *pairs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const rp_pair_t moved = pairs[i];
        size_t j = i;
        for (; j > 0 && pairs[j - 1].key < moved.key; j--)
            pairs[j] = pairs[j - 1];
        pairs[j] = moved;
    }
}

/* Merges the sorted halves of `from` into `to`; without a branch on the keys, which nothing could predict. */
static void merge(const rp_pair_t *from, size_t half, size_t count, rp_pair_t *to)
{
    size_t a = 0, b = half, i = 0;
    while (a < half && b < count) {
        const size_t second = from[a].key < from[b].key;
        to[i++] = from[a + (b - a) * second];
        a += 1 - second;
        b += second;
    }
    memcpy(to + i, from + a, (half - a) * sizeof *to);
    memcpy(to + i + (half - a), from + b, (count - b) * sizeof *to);
}

void rp_sort(rp_pair_t *pairs, rp_pair_t *room, size_t count)
{
    size_t sorted = 1;
    while (sorted < count && pairs[sorted - 1].key >= pairs[sorted].key)
        sorted++;
    if (sorted >= count)
        return; /* as most lists come */
    for (size_t i = 0; i < count; i += BLOCK)
        insertion_sort(pairs + i, count - i < BLOCK ? count - i : BLOCK);
    rp_pair_t *from = pairs, *to = room;
    for (size_t width = BLOCK; width < count; width *= 2) {
        for (size_t i = 0; i < count; i += 2 * width) {
            const size_t rest = count - i;
            merge(from + i, rest < width ? rest : width, rest < 2 * width ? rest : 2 * width, to + i);
        }
        rp_pair_t *other = from;
        from = to;
        to = other;
    }
    if (from != pairs)
        memcpy(pairs, from, count * sizeof *pairs);
}
