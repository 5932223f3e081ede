// Sums over rows of the products of two columns. Columns are along vectors.
#pragma once
#include "vectors.h"

namespace {

template <class T> struct CrossProducts {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    static constexpr int size = Vs::size;
    static constexpr int group = many_registers ? 8 : 4;  // columns of the first factor in a register block

    // Adds the sums over n rows to the upper triangle of `sums` (padded, padded). Both factors are (n, padded): `padded` is d
    // rounded up to a multiple of 64 bytes.
    static void add(int64_t d, int64_t padded, int n, const T *first, const T *second, double *sums) {
        for (int64_t i = 0; i < d; i += group) {
            const T *factor = first + i;
            double *to = sums + i * padded;
            int64_t j = i / size * size, left = (round_up(d, size) - j) / size, step;
            for (; left; left -= step, j += step * size) {
                step = left == 4 ? 2 : left < 3 ? left : 3;
                if (step == 3) block<3>(padded, n, factor, second + j, to + j);
                else if (step == 2) block<2>(padded, n, factor, second + j, to + j);
                else block<1>(padded, n, factor, second + j, to + j);
            }
        }
    }

    template <int M> static NOINLINE void block(int64_t padded, int n, const T *factor, const T *from, double *to) {
        V sum[group][M];
        UNROLL for (int f = 0; f < group; f++) UNROLL for (int m = 0; m < M; m++) sum[f][m] = V{};
        for (int i = 0; i < n; i++, factor += padded, from += padded) {
            V v[M];
            UNROLL for (int m = 0; m < M; m++) v[m] = Vs::load(from + m * size);
            UNROLL for (int f = 0; f < group; f++) {
                V b = Vs::all(factor[f]);
                IN_LOOP(b);
                UNROLL for (int m = 0; m < M; m++) sum[f][m] = Vs::fused(b, v[m], sum[f][m]);
            }
        }
        UNROLL for (int f = 0; f < group; f++)
            UNROLL for (int m = 0; m < M; m++) Vs::add_to(to + f * padded + m * size, sum[f][m]);
    }
};

}  // namespace
