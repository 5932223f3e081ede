// Weighted sums of 1, x - m and the products (x - m)(x - m)' of a few columns. Rows are along vectors.
#pragma once
#include "softmax.h"

namespace {

template <class T> struct Narrow {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    static constexpr int rows = tile_rows<T>, size = Vs::size, lanes = Vs::cache_line, parts = lanes / size;
    static constexpr int most_columns = 8;
    static constexpr int budget = many_registers ? 22 : 9;  // sums in registers

    // The sums of row a of the triangle: of r (x_a - m_a), and its products with x_b - m_b for b >= a.
    static constexpr int sums_of_row(int d, int a) { return 1 + d - a; }
    // The row after those that fit into registers together, from row a on.
    static constexpr int end(int d, int a) {
        int sums = 0, to = a;
        while (to < d && (to == a || sums + sums_of_row(d, to) <= budget)) sums += sums_of_row(d, to++);
        return to;
    }

    // Rows A to end(D, A) of the triangle, for one component. One sum is kept for each place in 64 bytes: `out` has
    // (F, lanes), F = 1 + D + D (D + 1) / 2, in the order of (first, product, product, ...) for each row; counts come last.
    template <int D, int A> static INLINE void some_rows(const T *z, const T *r, const T *m, double *out) {
        constexpr int to = end(D, A), width = D - A;
        for (int p = 0; p < parts; p++) {
            V sum[to - A][width + 1], mean[width];
            UNROLL for (int a = 0; a < to - A; a++) UNROLL for (int b = 0; b <= width; b++) sum[a][b] = V{};
            UNROLL for (int b = 0; b < width; b++) mean[b] = Vs::all(m[A + b]);
            for (int i = p * size; i < rows; i += lanes) {
                V share = Vs::load(r + i), c[width];
                UNROLL for (int b = 0; b < width; b++) c[b] = Vs::load(z + (A + b) * rows + i) - mean[b];
                UNROLL for (int a = 0; a < to - A; a++) {
                    V weighted = c[a] * share;
                    sum[a][width] += weighted;
                    UNROLL for (int b = a; b < width; b++) sum[a][b] = Vs::fused(weighted, c[b], sum[a][b]);
                }
            }
            double *to_sum = out + p * size;
            UNROLL for (int a = 0; a < to - A; a++) {
                Vs::add_to(to_sum, sum[a][width]), to_sum += lanes;
                UNROLL for (int b = a; b < width; b++) Vs::add_to(to_sum, sum[a][b]), to_sum += lanes;
            }
        }
        if constexpr (to < D) {
            int done = 0;
            for (int a = A; a < to; a++) done += sums_of_row(D, a);
            some_rows<D, to>(z, r, m, out + done * lanes);
        }
    }
    template <int D> static NOINLINE void all_rows(const T *z, const T *r, const T *m, double *out) {
        some_rows<D, 0>(z, r, m, out);
        double *counts = out + (D + D * (D + 1) / 2) * lanes;
        for (int p = 0; p < parts; p++) {
            V sum = {};
            for (int i = p * size; i < rows; i += lanes) sum += Vs::load(r + i);
            Vs::add_to(counts + p * size, sum);
        }
    }

    // Adds the sums of one component; z (d, rows), responsibilities r (rows).
    static void add(int64_t d, const T *z, const T *r, const T *m, double *out) {
        with_constant<most_columns>(d, [&](auto columns) { all_rows<columns.value>(z, r, m, out); });
    }

    // Adds the sums of all components to (F, K): counts, first moments, and the triangle of the second.
    static void finish(int64_t d, int64_t k_count, const double *in, double *out) {
        for (int64_t k = 0; k < k_count; k++) {
            auto total = [&]() {
                double sum = 0;
                for (int l = 0; l < lanes; l++) sum += in[l];
                in += lanes;
                return sum;
            };
            for (int64_t a = 0, product = 1 + d; a < d; a++) {
                out[(1 + a) * k_count + k] += total();
                for (int64_t b = a; b < d; b++, product++) out[product * k_count + k] += total();
            }
            out[k] += total();
        }
    }
};

}  // namespace
