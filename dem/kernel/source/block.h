// A block of rows as Python gives it, and where results go: what all tasks have. See dem/kernel/tasks.py. Sizes are numbers of
// elements unless they end in `bytes`.
#pragma once
#include <stdint.h>

namespace {

// What is computed for each row: by mixtures, and by K-means labels, scores (minus the squared distance) and distances.
enum OutputKind {
    label = 0, proba = 1, score = 2, entropy = 3, complete = 4, top_index = 5, top_weight = 6, distance = 7,
};

}  // namespace

// What is computed for each row instead of sums.
struct Output {
    int64_t kind;        // an OutputKind
    int64_t columns;     // of `to` (rows of the block, columns)
    int64_t item_bytes;  // of a number in `to`: a signed integer for labels, otherwise float or double
    void *to;
};

struct Rows {
    const void *x;                  // n rows of d numbers
    const double *weight;           // (n), or null
    int64_t n, d, k_count;
    int64_t row_step, column_step;  // the distance in x from one row to the next, and from one column to the next
    int64_t first;                  // how many rows of the block came before x
    double *sums;                   // (F, K), of K-means (K, d): sums are added
    double *log_likelihood;         // of mixtures: added
    const Output *output;           // null for sums; without weights
    void *workspace;                // aligned to 64 bytes
};
