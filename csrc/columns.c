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

/* Merges pairs[0 ... half - 1] with the others, both sorted. */
static void merge(rp_pair_t *pairs, size_t half, size_t count, rp_pair_t *room)
{
    memcpy(room, pairs, half * sizeof *pairs);
    size_t a = 0, b = half, i = 0;
    while (a < half && b < count) {
        const size_t second = room[a].key < pairs[b].key;
        pairs[i++] = *(second ? pairs + b : room + a);
        a += 1 - second;
        b += second;
    }
    memcpy(pairs + i, room + a, (half - a) * sizeof *pairs); /* what is left of the others is in place */
}

/* Where the sorted stretch at the beginning ends; short ones are made BLOCK long. */
static size_t stretch(rp_pair_t *pairs, size_t count)
{
    size_t sorted = count ? 1 : 0;
    while (sorted < count && pairs[sorted - 1].key >= pairs[sorted].key)
        sorted++;
    if (sorted >= BLOCK || sorted == count)
        return sorted;
    const size_t block = count < BLOCK ? count : BLOCK;
    insertion_sort(pairs, block);
    return block;
}

/* A merge sort of the stretches that are sorted as they come, of which lists and sums of ranks have few long ones. Of
 * those that wait each is more than twice as long as the next. */
void rp_sort(rp_pair_t *pairs, rp_pair_t *room, size_t count)
{
    size_t begins[8 * sizeof count + 1], waiting = 0;
    for (size_t at = 0; at < count || waiting > 1;) {
        const size_t last = waiting ? at - begins[waiting - 1] : 0;
        if (waiting > 1 && (at == count || begins[waiting - 1] - begins[waiting - 2] <= 2 * last)) {
            waiting--;
            const size_t begin = begins[waiting - 1];
            merge(pairs + begin, begins[waiting] - begin, at - begin, room);
        } else {
            begins[waiting++] = at;
            at += stretch(pairs + at, count - at);
        }
    }
}
