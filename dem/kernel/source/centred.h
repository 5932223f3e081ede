// Gaussians about their own means. So no digits cancel, however far apart the components are compared with their widths.
#pragma once
#include "linear.h"

namespace {

// log N(x) = constant - 0.5 |U' (x - m)|^2, U upper triangular (d, d).
template <class T> struct Whitened {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    static constexpr int rows = tile_rows<T>, size = Vs::size, across = 3, block_rows = across * size;
    static constexpr int group = many_registers ? 8 : 4;

    // Packs the columns of U: for each group of columns, first the rows above it, then its triangle.
    static void pack(int64_t d, const T *u, T *out) {
        for (int64_t a = 0; a < d; a += group) {
            int64_t n = smaller(d - a, group);
            for (int64_t b = 0; b < a + n; b++)
                for (int64_t l = b < a ? 0 : b - a; l < n; l++) *out++ = u[b * d + a + l];
        }
    }

    // Adds the squares of N coordinates, a to a + N, of U' (x - m); returns where the next group is packed.
    template <int N> static INLINE const T *squares(int64_t a, const T *u, const T *centred, V (&sum)[across]) {
        V y[N][across];
        UNROLL for (int k = 0; k < N; k++) UNROLL for (int r = 0; r < across; r++) y[k][r] = V{};
        for (int64_t b = 0; b < a; b++, u += N, centred += block_rows) {
            V x[across];
            UNROLL for (int r = 0; r < across; r++) x[r] = Vs::load(centred + r * size);
            UNROLL for (int k = 0; k < N; k++) {
                V f = Vs::all(u[k]);
                IN_LOOP(f);
                UNROLL for (int r = 0; r < across; r++) y[k][r] = Vs::fused(f, x[r], y[k][r]);
            }
        }
        UNROLL for (int b = 0; b < N; b++, centred += block_rows) {
            V x[across];
            UNROLL for (int r = 0; r < across; r++) x[r] = Vs::load(centred + r * size);
            UNROLL for (int k = b; k < N; k++) {
                V f = Vs::all(*u++);
                UNROLL for (int r = 0; r < across; r++) y[k][r] = Vs::fused(f, x[r], y[k][r]);
            }
        }
        UNROLL for (int k = 0; k < N; k++) UNROLL for (int r = 0; r < across; r++) sum[r] = Vs::fused(y[k][r], y[k][r], sum[r]);
        return u;
    }

    // Log-densities (rows) of columns (d, rows), by the packed U. `centred` is a workspace (d, block_rows).
    static NOINLINE void density(int64_t d, const T *columns, const T *m, const T *u, T constant, T *centred, T *out) {
        for (int i = 0; i < rows; i += block_rows) {
            for (int64_t j = 0; j < d; j++)
                UNROLL for (int r = 0; r < across; r++)
                    Vs::store(centred + j * block_rows + r * size, Vs::load(columns + j * rows + i + r * size) - m[j]);
            V sum[across];
            UNROLL for (int r = 0; r < across; r++) sum[r] = V{};
            const T *packed = u;
            int64_t a = 0;
            for (; a + group <= d; a += group) packed = squares<group>(a, packed, centred, sum);
            with_constant<group - 1>(d - a, [&](auto n) { squares<n.value>(a, packed, centred, sum); });
            UNROLL for (int r = 0; r < across; r++) Vs::store(out + i + r * size, Vs::fused(sum[r], Vs::all(T(-0.5)), Vs::all(constant)));
        }
    }
};

// log N(x) = constant - 0.5 sum of ((x - m) u)^2: independent columns.
template <class T> struct Independent {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    static constexpr int rows = tile_rows<T>, size = Vs::size, across = 3;
    static constexpr int group = many_registers ? 6 : 2;

    // Packs means and factors (K, d) so that the components of a register block are adjacent.
    static void pack(int64_t k_count, int64_t d, const T *m, const T *u, T *out) {
        for (int64_t k = 0; k < k_count; k += group) {
            int64_t n = smaller(k_count - k, group);
            for (int64_t j = 0; j < d; j++) {
                for (int64_t l = 0; l < n; l++) *out++ = m[(k + l) * d + j];
                for (int64_t l = 0; l < n; l++) *out++ = u[(k + l) * d + j];
            }
        }
    }

    template <int N>
    static NOINLINE void block(int64_t d, const T *packed, const T *constants, const T *columns, T *joint) {
        V sum[N][across];
        UNROLL for (int k = 0; k < N; k++) UNROLL for (int r = 0; r < across; r++) sum[k][r] = V{};
        for (int64_t j = 0; j < d; j++, packed += 2 * N, columns += rows) {
            V x[across];
            UNROLL for (int r = 0; r < across; r++) x[r] = Vs::load(columns + r * size);
            UNROLL for (int k = 0; k < N; k++) {
                V m = Vs::all(packed[k]), u = Vs::all(packed[N + k]);
                UNROLL for (int r = 0; r < across; r++) {
                    V y = (x[r] - m) * u;
                    sum[k][r] = Vs::fused(y, y, sum[k][r]);
                }
            }
        }
        UNROLL for (int k = 0; k < N; k++)
            UNROLL for (int r = 0; r < across; r++)
                Vs::store(joint + k * rows + r * size, Vs::fused(sum[k][r], Vs::all(T(-0.5)), Vs::all(constants[k])));
    }
    static void densities(int64_t k_count, int64_t d, const T *packed, const T *constants, const T *columns, T *joint) {
        for (int64_t k = 0; k < k_count; k += group, packed += 2 * group * d, joint += group * rows)
            with_constant<group>(smaller(k_count - k, group), [&](auto n) {
                for (int i = 0; i < rows; i += across * size)
                    block<n.value>(d, packed, constants + k, columns + i, joint + i);
            });
    }

    // Sums about the means of N columns for M vectors of components: r (x - m) to `first`, r (x - m)^2 to `second`.
    template <int N, int M>
    static NOINLINE void sums_block(const T *columns, const T *resp, const T *means, int64_t padded, double *first, double *second) {
        V one[N][M], two[N][M], m[N][M];
        UNROLL for (int f = 0; f < N; f++) UNROLL for (int k = 0; k < M; k++) {
            one[f][k] = two[f][k] = V{};
            m[f][k] = Vs::load(means + f * padded + k * size);
        }
        for (int i = 0; i < rows; i++, resp += padded) {
            V r[M];
            UNROLL for (int k = 0; k < M; k++) r[k] = Vs::load(resp + k * size);
            UNROLL for (int f = 0; f < N; f++) {
                V x = Vs::all(columns[f * rows + i]);
                UNROLL for (int k = 0; k < M; k++) {
                    V c = x - m[f][k], rc = c * r[k];
                    one[f][k] += rc;
                    two[f][k] = Vs::fused(rc, c, two[f][k]);
                }
            }
        }
        UNROLL for (int f = 0; f < N; f++) UNROLL for (int k = 0; k < M; k++) {
            Vs::add_to(first + f * padded + k * size, one[f][k]);
            Vs::add_to(second + f * padded + k * size, two[f][k]);
        }
    }
    // means (d, padded) of all components; sums (1 + 2 d, padded): counts, first, second.
    static void sums(int64_t d, const T *columns, const T *resp, const T *means, int64_t padded, double *out) {
        constexpr int n = many_registers ? 4 : 2;
        for (int i = 0; i < rows; i++)
            for (int64_t k = 0; k < padded; k += size) Vs::add_to(out + k, Vs::load(resp + i * padded + k));
        double *first = out + padded, *second = out + (1 + d) * padded;
        for (int64_t k = 0, left = padded / size, step; left; left -= step, k += step * size) {
            step = left >= 2 ? 2 : 1;
            int64_t j = 0;
            auto at = [&](int64_t j, auto &&block) {
                block(columns + j * rows, resp + k, means + j * padded + k, padded, first + j * padded + k, second + j * padded + k);
            };
            if (step == 2) {
                for (; j + n <= d; j += n) at(j, sums_block<n, 2>);
                for (; j < d; j++) at(j, sums_block<1, 2>);
            } else {
                for (; j + 2 * n <= d; j += 2 * n) at(j, sums_block<2 * n, 1>);
                for (; j < d; j++) at(j, sums_block<1, 1>);
            }
        }
    }
};

}  // namespace
