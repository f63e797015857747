/* balance.h - weighted round robin, smooth and exact.
 *
 * Each target keeps its hits; the pick is the smallest hits/weight, ties go to the first listed
 * behind `start`; when the hits add up to the weights, all return to zero.  So a 90/10 split is
 * exact over every 100 picks, and equal weights take turns.  Weight 0 is never picked.  A pick
 * costs O(1) with equal weights, else O(log n) and one n-th of O(n). Pure but for the state given;
 * one thread per state.
 */
#ifndef FSM_PROXY_BALANCE_H
#define FSM_PROXY_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

/* one target; embed or keep an array of them */
struct wrr {
    uint32_t weight, hits;
    uint32_t heap; /* in the array's k-th: which target has place k of the heap */
};

struct wrr_state {
    uint32_t n;
    uint32_t start;  /* where ties begin: proxies that start together must not all begin alike */
    uint32_t next;   /* equal weights: whose turn it is */
    bool equal;      /* all weights are the same and not 0 */
    uint32_t heaped; /* targets with a weight */
    uint64_t hits;   /* of this round */
    uint64_t weights;
    struct wrr *t; /* borrowed: n targets */
};

/* sums up what t[].weight say, the rest of t is set; start is taken modulo n */
void wrr_init(struct wrr_state *s, struct wrr *t, uint32_t n, uint32_t start);
/* The index of the next target, or -1 if all weights are 0.  skip: bit i set = target i (i < 64)
 * is passed over; when nothing else is left, -1. */
int wrr_pick(struct wrr_state *s, uint64_t skip);
/* A rival for `first`, which wrr_pick() gave: any other target with a weight, as random as `dice`
 * is (not 0; a state that is moved on); -1 if the one that came up is skipped or has no weight. The
 * less busy of the two is as good as the least busy of all, for the price of one look ("the power
 * of two choices", Mitzenmacher 2001), and when both are idle it is first's turn. */
int wrr_rival(const struct wrr_state *s, uint32_t first, uint64_t skip, uint32_t *dice);
/* does the rival do less for its weight? busy: what is under way */
bool wrr_is_less_busy(const struct wrr_state *s, uint32_t rival, uint32_t rival_busy,
                      uint32_t first, uint32_t first_busy);

#endif
