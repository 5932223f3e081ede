// What Python gives to a function: see dem/kernel/tasks.py. Sizes are numbers of elements unless they end in `bytes`.
#pragma once
#include "columns.h"
#include "workspace.h"

// What is computed for each row instead of sums.
struct Output {
    int64_t kind;        // an OutputKind
    int64_t columns;     // of `to` (n, columns)
    int64_t item_bytes;  // of a number in `to`: a signed integer for labels, otherwise float or double
    void *to;
};

// What all tasks have: rows, and where results go.
struct Rows {
    const void *x;          // (n, d), contiguous
    const double *weight;   // (n), or null
    int64_t n, d, k_count;
    double *sums;           // (F, K): sums are added
    double *log_likelihood;
    const Output *output;   // null for sums; without weights
    void *workspace;        // aligned to 64 bytes
};

struct LinearTask {
    Rows rows;                        // x (d, n) if columns are `stored`
    int64_t source;                   // a Source
    const void *shift, *scale;        // (d); for by_items 0 and 1
    int64_t stride;                   // of stored columns
    const Item *items;
    int64_t item_count;
    int64_t column_count;             // without the constant 1, which is column 0
    int64_t f_count;
    const int32_t *first, *second;    // (F): the columns of each feature
    const void *eta;                  // (K, F)
    int64_t form;                     // a Form
};

// The features: 1, z, and all products z_a z_b with a <= b, row by row; or 1, z, and all z_a^2; or any others.
enum Form { general = 0, triangle = 1, squares = 2 };

struct CentredTask {
    Rows rows;
    const double *means;      // (K, d)
    const double *factors;    // (K, d, d), or (K, d) of independent columns
    const double *constants;  // (K)
};

// The constants are those of Student's t.
struct StudentTask : CentredTask {
    const double *degrees_of_freedom;  // (K)
};
