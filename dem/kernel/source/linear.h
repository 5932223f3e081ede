// Exponential families: joint log-densities L = H T of a tile, and the sums S += T R'. A feature of T is the product of two
// columns. Rows are along vectors in L; components are along vectors in S.
#pragma once
#include "softmax.h"

namespace {

template <class T> struct Linear {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    static constexpr int rows = tile_rows<T>, size = Vs::size;
    static constexpr int across = 3;                        // vectors of rows in a register block
    static constexpr int group = many_registers ? 8 : 4;    // components in a register block

    // Writes features (n, rows).
    static NOINLINE void features(int64_t n, const int32_t *first, const int32_t *second, const T *columns, T *out) {
        for (int64_t f = 0; f < n; f++, out += rows) {
            const T *a = columns + first[f] * rows, *b = columns + second[f] * rows;
            UNROLL for (int i = 0; i < rows; i += size) Vs::store(out + i, Vs::load(a + i) * Vs::load(b + i));
        }
    }

    // Packs H (K, F) so that the components of a register block are adjacent.
    static void pack(int64_t k_count, int64_t f_count, const T *h, T *out) {
        for (int64_t k = 0; k < k_count; k += group) {
            int64_t n = smaller(k_count - k, group);
            for (int64_t f = 0; f < f_count; f++)
                for (int64_t l = 0; l < n; l++) *out++ = h[(k + l) * f_count + f];
        }
    }

    // N components of some rows: joint = or += H T over `n` features.
    template <int N> static NOINLINE void densities_block(int64_t n, const T *h, const T *t, T *joint, bool begin) {
        V sum[N][across];
        UNROLL for (int k = 0; k < N; k++)
            UNROLL for (int r = 0; r < across; r++) sum[k][r] = begin ? V{} : Vs::load(joint + k * rows + r * size);
        for (int64_t f = 0; f < n; f++, h += N, t += rows) {
            V x[across];
            UNROLL for (int r = 0; r < across; r++) x[r] = Vs::load(t + r * size);
            UNROLL for (int k = 0; k < N; k++) {
                V b = Vs::all(h[k]);
                IN_LOOP(b);
                UNROLL for (int r = 0; r < across; r++) sum[k][r] = Vs::fused(b, x[r], sum[k][r]);
            }
        }
        UNROLL for (int k = 0; k < N; k++)
            UNROLL for (int r = 0; r < across; r++) Vs::store(joint + k * rows + r * size, sum[k][r]);
    }
    // Features f to f + n of all F: joint (K, rows) = or += H T.
    static void densities(int64_t k_count, int64_t f_count, int64_t f, int64_t n, const T *packed, const T *t, T *joint) {
        for (int i = 0; i < rows; i += across * size)  // the features of these rows stay in the first-level cache
            for (int64_t k = 0; k < k_count; k += group)
                with_constant<group>(smaller(k_count - k, group), [&](auto count) {
                    constexpr int N = count.value;
                    densities_block<N>(n, packed + k * f_count + f * N, t + i, joint + k * rows + i, f == 0);
                });
    }

    // All products of d columns (a <= b): sum over a of z_a (h_a + sum over b >= a of h_ab z_b), without the features.
    // Packs H (K, F) for it: the constant; then for each a: h_a, h_aa, ..., h_ad.
    static void pack_triangle(int64_t k_count, int64_t d, const T *h, T *out) {
        const int64_t f_count = 1 + d + d * (d + 1) / 2;
        for (int64_t k = 0; k < k_count; k += group) {
            int64_t n = smaller(k_count - k, group);
            auto put = [&](int64_t f) {
                for (int64_t l = 0; l < n; l++) *out++ = h[(k + l) * f_count + f];
            };
            put(0);
            for (int64_t a = 0, product = 1 + d; a < d; a++) {
                put(1 + a);
                for (int64_t b = a; b < d; b++) put(product++);
            }
        }
    }
    template <int N> static NOINLINE void triangle_block(int64_t d, const T *h, const T *z, T *joint) {
        UNROLL for (int k = 0; k < N; k++)
            UNROLL for (int r = 0; r < across; r++) Vs::store(joint + k * rows + r * size, Vs::all(h[k]));
        h += N;
        for (int64_t a = 0; a < d; a++, z += rows) {
            V sum[N][across];
            UNROLL for (int k = 0; k < N; k++) {
                V b = Vs::all(h[k]);
                UNROLL for (int r = 0; r < across; r++) sum[k][r] = b;
            }
            h += N;
            const T *other = z;
            for (int64_t b = a; b < d; b++, h += N, other += rows) {
                V x[across];
                UNROLL for (int r = 0; r < across; r++) x[r] = Vs::load(other + r * size);
                UNROLL for (int k = 0; k < N; k++) {
                    V f = Vs::all(h[k]);
                    IN_LOOP(f);
                    UNROLL for (int r = 0; r < across; r++) sum[k][r] = Vs::fused(f, x[r], sum[k][r]);
                }
            }
            V x[across];
            UNROLL for (int r = 0; r < across; r++) x[r] = Vs::load(z + r * size);
            UNROLL for (int k = 0; k < N; k++)
                UNROLL for (int r = 0; r < across; r++) {
                    T *p = joint + k * rows + r * size;
                    Vs::store(p, Vs::fused(x[r], sum[k][r], Vs::load(p)));
                }
        }
    }
    static void triangle(int64_t k_count, int64_t d, const T *packed, const T *z, T *joint) {
        const int64_t f_count = 1 + d + d * (d + 1) / 2;
        for (int64_t k = 0; k < k_count; k += group, joint += group * rows, packed += group * f_count)
            with_constant<group>(smaller(k_count - k, group), [&](auto count) {
                for (int i = 0; i < rows; i += across * size)
                    triangle_block<count.value>(d, packed, z + i, joint + i);
            });
    }

    // Components along vectors: N features by M vectors of components, sums (N, padded) += T R'.
    template <int N, int M> static NOINLINE void sums_block(const T *t, const T *resp, int64_t padded, double *sums) {
        V sum[N][M];
        UNROLL for (int f = 0; f < N; f++) UNROLL for (int m = 0; m < M; m++) sum[f][m] = V{};
        for (int i = 0; i < rows; i++, resp += padded) {
            V r[M];
            UNROLL for (int m = 0; m < M; m++) r[m] = Vs::load(resp + m * size);
            UNROLL for (int f = 0; f < N; f++) {
                V b = Vs::all(t[f * rows + i]);
                IN_LOOP(b);
                UNROLL for (int m = 0; m < M; m++) sum[f][m] = Vs::fused(b, r[m], sum[f][m]);
            }
        }
        UNROLL for (int f = 0; f < N; f++)
            UNROLL for (int m = 0; m < M; m++) Vs::add_to(sums + f * padded + m * size, sum[f][m]);
    }
    template <int N, int M> static void sums_of(int64_t n, const T *t, const T *resp, int64_t padded, double *sums) {
        for (; n >= N; n -= N, t += N * rows, sums += N * padded) sums_block<N, M>(t, resp, padded, sums);
        if constexpr (N > 1) {
            if (n > 0) sums_of<(N % 2 ? 1 : N / 2), M>(n, t, resp, padded, sums);
        }
    }
    // sums (n, padded) += T R' for n features.
    static void sums(int64_t n, const T *t, const T *resp, int64_t padded, double *sums) {
        constexpr int w = many_registers;
        for (int64_t k = 0, left = padded / size, step; left; left -= step, k += step * size) {
            if (w && (left == 4 || left >= 6)) sums_of<6, 4>(n, t, resp + k, padded, sums + k), step = 4;
            else if (w ? left == 3 || left == 5 : left == 3 || left >= 5)
                sums_of<w ? 8 : 4, 3>(n, t, resp + k, padded, sums + k), step = 3;
            else if (left >= 2) sums_of<w ? 12 : 6, 2>(n, t, resp + k, padded, sums + k), step = 2;
            else sums_of<w ? 24 : 12, 1>(n, t, resp + k, padded, sums + k), step = 1;
        }
    }
};

}  // namespace
