// Few components: features would cost more to write than to use. So products of columns are computed where they are needed.
// Rows are along vectors; one sum is kept for each place in 64 bytes.
#pragma once
#include "linear.h"

namespace {

template <class T> struct Few {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    static constexpr int rows = tile_rows<T>, size = Vs::size, lanes = Vs::cache_line, parts = lanes / size;
    static constexpr int high = 4, across = many_registers ? 4 : 2;  // a register block of products: columns by columns
    static constexpr int columns = many_registers ? 4 : 2;           // columns in a register block of squares
    static constexpr int most_tiles = 16;                            // tiles that are summed in the precision of T

    int64_t d, k_count, f_count;
    bool triangle;  // features: 1, z, and all products z_a z_b with a <= b; otherwise 1, z, and z_a^2
    T *part;        // (F, K, lanes): sums of some tiles
    int *tiles;     // how many

    T *place(int64_t f, int64_t k) const { return part + (f * k_count + k) * lanes; }
    static INLINE void add(T *to, V v) { Vs::store(to, Vs::load(to) + v); }

    // Adds the sums of a tile: z (d, rows), responsibilities (K, rows).
    void add_tile(const T *z, const T *resp, double *sums) {
        for (int64_t k = 0; k < k_count; k++) counts(k, resp + k * rows);
        if (triangle) {
            for (int64_t k = 0; k < k_count; k++)
                for (int64_t a = 0; a < d; a += high)
                    with_constant<high>(smaller(d - a, high), [&](auto n) { products<n.value>(k, a, z, resp + k * rows); });
        } else {
            for (int64_t a = 0; a < d; a += columns)
                with_constant<columns>(smaller(d - a, columns), [&](auto n) { squares<n.value>(a, z, resp); });
        }
        if (++*tiles == most_tiles) finish(sums);
    }

    // Adds the sums of the tiles so far to (F, K).
    void finish(double *sums) {
        for (int64_t i = 0; i < f_count * k_count; i++) {
            double sum = 0;
            for (int l = 0; l < lanes; l++) sum += part[i * lanes + l];
            sums[i] += sum;
        }
        memset(part, 0, f_count * k_count * lanes * sizeof(T));
        *tiles = 0;
    }

    NOINLINE void counts(int64_t k, const T *r) {
        for (int p = 0; p < parts; p++) {
            V sum = {};
            for (int i = p * size; i < rows; i += lanes) sum += Vs::load(r + i);
            add(place(0, k) + p * size, sum);
        }
    }

    // N rows of the triangle, from row a on, for component k.
    template <int N> void products(int64_t k, int64_t a, const T *z, const T *r) {
        block<N, N, true>(k, a, a, z, r);
        if constexpr (N == high) {  // fewer rows are the last ones, which end at the diagonal
            int64_t b = a + N;
            for (; b + across <= d; b += across) block<N, across, false>(k, a, b, z, r);
            for (; b < d; b++) block<N, 1, false>(k, a, b, z, r);
        }
    }
    // Products of columns a to a + N with b to b + M. On the diagonal a = b: those of the triangle, and first moments.
    template <int N, int M, bool DIAGONAL> NOINLINE void block(int64_t k, int64_t a, int64_t b, const T *z, const T *r) {
        for (int p = 0; p < parts; p++) {
            V sum[N][M], first[N];
            UNROLL for (int i = 0; i < N; i++) {
                first[i] = V{};
                UNROLL for (int j = 0; j < M; j++) sum[i][j] = V{};
            }
            for (int row = p * size; row < rows; row += lanes) {
                V share = Vs::load(r + row), x[M];
                UNROLL for (int j = 0; j < M; j++) x[j] = Vs::load(z + (b + j) * rows + row);
                UNROLL for (int i = 0; i < N; i++) {
                    V weighted = (DIAGONAL ? x[i] : Vs::load(z + (a + i) * rows + row)) * share;
                    if (DIAGONAL) first[i] += weighted;
                    UNROLL for (int j = DIAGONAL ? i : 0; j < M; j++) sum[i][j] = Vs::fused(weighted, x[j], sum[i][j]);
                }
            }
            UNROLL for (int i = 0; i < N; i++) {
                if (DIAGONAL) add(place(1 + a + i, k) + p * size, first[i]);
                int64_t product = 1 + d + (a + i) * d - (a + i) * (a + i - 1) / 2 + b - a - i;
                UNROLL for (int j = DIAGONAL ? i : 0; j < M; j++) add(place(product + j, k) + p * size, sum[i][j]);
            }
        }
    }

    // First moments and squares of N columns from a on, for all components.
    template <int N> void squares(int64_t a, const T *z, const T *resp) {
        int64_t k = 0;
        for (; k + 2 <= k_count; k += 2) squares_block<N, 2>(k, a, z, resp + k * rows);
        if (k < k_count) squares_block<N, 1>(k, a, z, resp + k * rows);
    }
    template <int N, int M> NOINLINE void squares_block(int64_t k, int64_t a, const T *z, const T *resp) {
        for (int p = 0; p < parts; p++) {
            V one[N][M], two[N][M];
            UNROLL for (int i = 0; i < N; i++) UNROLL for (int m = 0; m < M; m++) one[i][m] = two[i][m] = V{};
            for (int row = p * size; row < rows; row += lanes) {
                V r[M];
                UNROLL for (int m = 0; m < M; m++) r[m] = Vs::load(resp + m * rows + row);
                UNROLL for (int i = 0; i < N; i++) {
                    V x = Vs::load(z + (a + i) * rows + row), square = x * x;
                    UNROLL for (int m = 0; m < M; m++) {
                        one[i][m] = Vs::fused(x, r[m], one[i][m]);
                        two[i][m] = Vs::fused(square, r[m], two[i][m]);
                    }
                }
            }
            UNROLL for (int i = 0; i < N; i++) UNROLL for (int m = 0; m < M; m++) {
                add(place(1 + a + i, k + m) + p * size, one[i][m]);
                add(place(1 + d + a + i, k + m) + p * size, two[i][m]);
            }
        }
    }

    // Joint log-densities (K, rows) of independent columns: h_0 + sum over a of z_a (h_a + h_aa z_a); H (K, F).
    static constexpr int group = many_registers ? 6 : 3;
    static void densities(int64_t k_count, int64_t d, const T *h, const T *z, T *joint) {
        for (int64_t k = 0; k < k_count; k += group, h += group * (1 + 2 * d), joint += group * rows)
            with_constant<group>(smaller(k_count - k, group), [&](auto n) {
                for (int i = 0; i < rows; i += 3 * size) densities_block<n.value>(d, h, z + i, joint + i);
            });
    }
    template <int N> static NOINLINE void densities_block(int64_t d, const T *h, const T *z, T *joint) {
        const int64_t f_count = 1 + 2 * d;
        V sum[N][3];
        UNROLL for (int k = 0; k < N; k++) UNROLL for (int r = 0; r < 3; r++) sum[k][r] = Vs::all(h[k * f_count]);
        for (int64_t a = 0; a < d; a++, z += rows) {
            V x[3];
            UNROLL for (int r = 0; r < 3; r++) x[r] = Vs::load(z + r * size);
            UNROLL for (int k = 0; k < N; k++) {
                V one = Vs::all(h[k * f_count + 1 + a]), two = Vs::all(h[k * f_count + 1 + d + a]);
                UNROLL for (int r = 0; r < 3; r++) sum[k][r] = Vs::fused(x[r], Vs::fused(two, x[r], one), sum[k][r]);
            }
        }
        UNROLL for (int k = 0; k < N; k++) UNROLL for (int r = 0; r < 3; r++) Vs::store(joint + k * rows + r * size, sum[k][r]);
    }
};

}  // namespace
