// Long sums in two steps: sums over some tiles are added to totals. One long sum would round more.
#pragma once
#include <stdint.h>

namespace {

constexpr int flush_tiles = 64;  // tiles of one step

// Adds n sums to their totals, and sets them to zero.
inline void move_to_totals(int64_t n, double *sums, double *totals) {
    for (int64_t i = 0; i < n; i++) totals[i] += sums[i], sums[i] = 0;
}

}  // namespace
