// Arrays of results. The size of their numbers is known only when a function is called.
#pragma once
#include "block.h"

namespace {

// Calls f with where the results of a row of the block go, as signed integers.
template <class F> void with_integers(const Output &output, int64_t row, F &&f) {
    const int64_t at = row * output.columns;
    switch (output.item_bytes) {
        case 1: return f((int8_t *)output.to + at);
        case 2: return f((int16_t *)output.to + at);
        case 4: return f((int32_t *)output.to + at);
        default: f((int64_t *)output.to + at);
    }
}

// Calls f with where the results of a row of the block go, as float64 or float32.
template <class F> void with_reals(const Output &output, int64_t row, F &&f) {
    const int64_t at = row * output.columns;
    if (output.item_bytes == 8) f((double *)output.to + at);
    else f((float *)output.to + at);
}

}  // namespace
