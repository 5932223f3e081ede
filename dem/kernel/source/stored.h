// Arrays of results. The size of their numbers is known only when a function is called.
#pragma once
#include "vectors.h"

namespace {

// Calls f with the array as one of signed integers of so many bytes.
template <class F> void with_integers(int64_t bytes, void *array, F &&f) {
    switch (bytes) {
        case 1: return f((int8_t *)array);
        case 2: return f((int16_t *)array);
        case 4: return f((int32_t *)array);
        default: f((int64_t *)array);
    }
}

// Calls f with the array as one of float64 or float32.
template <class F> void with_reals(int64_t bytes, void *array, F &&f) {
    if (bytes == 8) f((double *)array);
    else f((float *)array);
}

}  // namespace
