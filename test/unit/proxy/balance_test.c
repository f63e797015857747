/* balance_test.c - weighted round robin: exact over a round, smooth inside it, never a zero weight.
 */
#include <string.h>
#include "common/proxy/balance.h"
#include "test/unit/unit.h"

static struct wrr t[64];
static struct wrr_state s;

static void weights(uint32_t n, const uint32_t *w, uint32_t start)
{
    for (uint32_t i = 0; i < n; i++)
        t[i].weight = w[i];
    wrr_init(&s, t, n, start);
}

static void picks(unsigned n, unsigned *count)
{
    memset(count, 0, 64 * sizeof *count);
    for (unsigned i = 0; i < n; i++) {
        int k = wrr_pick(&s, 0);
        ck_assert_int_ge(k, 0);
        count[k]++;
    }
}

START_TEST(ninety_ten_is_exact_over_each_hundred)
{
    unsigned count[64];

    weights(2, (uint32_t[]){90, 10}, 0);
    for (int round = 0; round < 5; round++) {
        picks(100, count);
        ck_assert_uint_eq(count[0], 90);
        ck_assert_uint_eq(count[1], 10);
    }
}
END_TEST

START_TEST(the_smaller_share_is_spread_over_the_round)
{
    unsigned run = 0, longest = 0;

    weights(2, (uint32_t[]){75, 25}, 0);
    for (int i = 0; i < 100; i++) {
        run = wrr_pick(&s, 0) == 0 ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    ck_assert_uint_le(longest, 4);
}
END_TEST

START_TEST(equal_weights_take_turns_from_the_start)
{
    weights(3, (uint32_t[]){100, 100, 100}, 1);
    for (int i = 0; i < 12; i++)
        ck_assert_int_eq(wrr_pick(&s, 0), (1 + i) % 3);
}
END_TEST

START_TEST(weight_zero_is_never_picked)
{
    unsigned count[64];

    weights(3, (uint32_t[]){0, 1, 3}, 0);
    picks(400, count);
    ck_assert_uint_eq(count[0], 0);
    ck_assert_uint_eq(count[1], 100);
    ck_assert_uint_eq(count[2], 300);
    weights(2, (uint32_t[]){0, 0}, 0);
    ck_assert_int_eq(wrr_pick(&s, 0), -1);
    weights(0, NULL, 7);
    ck_assert_int_eq(wrr_pick(&s, 0), -1);
}
END_TEST

START_TEST(skipped_targets_are_passed_over)
{
    weights(3, (uint32_t[]){1, 1, 1}, 0);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(wrr_pick(&s, 5), 1);
    ck_assert_int_eq(wrr_pick(&s, 7), -1);
    weights(3, (uint32_t[]){5, 1, 1}, 0);
    for (int i = 0; i < 6; i++)
        ck_assert_int_ne(wrr_pick(&s, 1), 0);
    ck_assert_int_eq(wrr_pick(&s, 7), -1);
}
END_TEST

/* what balance.h says, in the obvious way: every target is looked at for every pick */
static int obvious_pick(const uint32_t *w, uint32_t *hits, uint32_t n, uint32_t start,
                        uint64_t skip)
{
    uint32_t all = 0, sum = 0;
    int best = -1;

    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = (start + k) % n;
        all += hits[i];
        sum += w[i];
        if (w[i] && !(i < 64 && skip >> i & 1) &&
            (best < 0 || hits[i] * w[best] < hits[best] * w[i]))
            best = (int)i;
    }
    if (best >= 0 && (hits[best]++, all + 1 >= sum))
        memset(hits, 0, n * sizeof *hits);
    return best;
}

START_TEST(picks_are_those_of_the_obvious_way)
{
    static struct wrr many[200];
    uint64_t seed = 7;

    for (int run = 0; run < 50; run++) {
        uint32_t w[200], hits[200] = {0},
                         n = 1 + (uint32_t)(unit_random(&seed) % (run % 2 ? 200 : 9));
        uint32_t start = (uint32_t)(unit_random(&seed) % n);
        for (uint32_t i = 0; i < n; i++)
            many[i].weight = w[i] =
                (uint32_t)(unit_random(&seed) % 30 * (unit_random(&seed) % 4 > 0));
        w[0] = many[0].weight =
            1 + (n > 1 && w[1] == 1); /* one of another weight, and one at all */
        wrr_init(&s, many, n, start);
        for (int k = 0; k < 500 && !s.equal; k++) {
            uint64_t skip = k % 3 ? 0 : unit_random(&seed) & (k % 2 ? unit_random(&seed) : ~0ull);
            ck_assert_int_eq(wrr_pick(&s, skip), obvious_pick(w, hits, n, start, skip));
        }
    }
}
END_TEST

START_TEST(any_weights_are_exact_over_a_round)
{
    uint64_t seed = 42;
    unsigned count[64];

    for (int run = 0; run < 50; run++) {
        uint32_t w[64], n = 1 + (uint32_t)(unit_random(&seed) % 20), sum = 0;
        for (uint32_t i = 0; i < n; i++)
            sum += w[i] = (uint32_t)(unit_random(&seed) % 50);
        weights(n, w, (uint32_t)unit_random(&seed));
        if (!sum)
            continue;
        for (int round = 0; round < 3; round++) {
            if (s.equal)
                sum = n;
            picks(sum, count);
            for (uint32_t i = 0; i < n; i++)
                ck_assert_uint_eq(count[i], s.equal ? 1 : w[i]);
        }
    }
}
END_TEST

/* how often the less busy of two was taken, each pick being under way for ever */
static void fill(uint32_t n, unsigned rounds, uint32_t *busy)
{
    uint32_t dice = 7;

    for (unsigned k = 0; k < rounds; k++) {
        int i = wrr_pick(&s, 0), r = wrr_rival(&s, (uint32_t)i, 0, &dice);
        ck_assert_int_ne(i, r);
        ck_assert_int_lt(r, (int)n);
        if (r >= 0 && wrr_is_less_busy(&s, (uint32_t)r, busy[r], (uint32_t)i, busy[i]))
            i = r;
        busy[i]++;
    }
}

START_TEST(the_less_busy_of_two_evens_out)
{
    uint32_t equal[5] = {40, 0, 0, 0, 0}, weighted[3] = {0, 0, 90};
    uint32_t dice = 1;

    weights(5, (uint32_t[]){100, 100, 100, 100, 100}, 0);
    fill(5, 360, equal); /* 80 each, what stood before included */
    for (int i = 0; i < 5; i++)
        ck_assert_msg(equal[i] >= 78 && equal[i] <= 82, "%d has %u", i, equal[i]);
    weights(3, (uint32_t[]){100, 300, 0}, 0);
    fill(3, 400, weighted);
    ck_assert_msg(weighted[0] >= 98 && weighted[0] <= 102, "%u", weighted[0]);
    ck_assert_uint_eq(weighted[2], 90); /* weight 0 */
    weights(2, (uint32_t[]){1, 1}, 0);
    ck_assert_int_eq(wrr_rival(&s, 0, 0, &dice), 1);
    ck_assert_int_eq(wrr_rival(&s, 1, 0, &dice), 0);
    ck_assert_int_eq(wrr_rival(&s, 0, 2, &dice), -1); /* tried already */
    weights(1, (uint32_t[]){1}, 0);
    ck_assert_int_eq(wrr_rival(&s, 0, 0, &dice), -1);
}
END_TEST

UNIT_MAIN("balance", ninety_ten_is_exact_over_each_hundred,
          the_smaller_share_is_spread_over_the_round, equal_weights_take_turns_from_the_start,
          weight_zero_is_never_picked, skipped_targets_are_passed_over,
          picks_are_those_of_the_obvious_way, any_weights_are_exact_over_a_round,
          the_less_busy_of_two_evens_out)
