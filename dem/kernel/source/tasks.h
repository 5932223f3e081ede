// What Python gives to a function of mixtures: see dem/kernel/tasks.py.
#pragma once
#include "columns.h"
#include "workspace.h"

struct LinearTask {
    Rows rows;                        // contiguous rows, or contiguous columns if they are `stored`
    int64_t source;                   // a Source
    const void *shift, *scale;        // (d); for by_items 0 and 1
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

// The constants are those of complete rows. Covariances are S = inv(P), P = U U'.
struct PatternTask : CentredTask {
    const double *precisions;   // P (K, d, d)
    const double *covariances;  // S (K, d, d)
    const double *log_dets;     // (K): log |P|
};

// The constants are those of Student's t.
struct StudentTask : CentredTask {
    const double *degrees_of_freedom;  // (K)
};
