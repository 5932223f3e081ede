// Weighted sums of products of columns, sum of r (x - m)(x - m)', for one component at a time. Rows whose responsibility does
// not matter are left out. Columns are along vectors.
#pragma once
#include "softmax.h"

namespace {

template <class T> struct Outer {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    static constexpr int rows = tile_rows<T>, size = Vs::size;
    static constexpr int group = REGISTERS >= 32 ? 8 : 4;  // columns of the first factor in a register block
    static constexpr int batch = 64;                       // rows that are summed in the precision of T

    int64_t d, padded;      // columns, and a multiple of 64 bytes
    T *x, *weighted;        // (batch, padded): x - m, and its product with the responsibility
    const T **waiting;      // (K, batch): rows that are not yet added
    T *resp;                // (K, batch)
    int *count;             // (K)
    double *products;       // (K, padded, padded): the upper triangle counts
    double *first;          // (K, padded): sums of r (x - m)
    double *zeroth;         // (K): sums of r

    // Takes the rows of a tile that matter to component k; adds them whenever a batch is full.
    NOINLINE void take(int64_t k, const Tile<T> &tile, const T *e, const Softmax<T> &softmax, const T *m, const T *scale) {
        int c = count[k];
        const T **w = waiting + k * batch;
        T *r = resp + k * batch;
        for (int i = 0; i < tile.n; i += size) {
            auto matters = Vs::load(e + i) > Vs::load(softmax.negligible + i);
            typename Vs::Int any = 0;
            UNROLL for (int l = 0; l < size; l++) any |= matters[l];
            if (!any) continue;
            V share = Vs::load(e + i) * Vs::load(softmax.factor + i);
            for (int l = 0; l < size; l++)
                if (matters[l] && i + l < tile.n) {
                    w[c] = tile.row[i + l];
                    r[c] = share[l];
                    if (++c == batch) add(k, c, m, scale), c = 0;
                }
        }
        count[k] = c;
    }

    // Adds the waiting rows of component k: n rows, about m, in units of 1 / scale.
    NOINLINE void add(int64_t k, int n, const T *m, const T *scale) {
        const T **w = waiting + k * batch, *r = resp + k * batch;
        T sum = 0;
        for (int i = 0; i < n; i++) {
            V ri = Vs::all(r[i]);
            sum += r[i];
            T *xi = x + i * padded, *wi = weighted + i * padded;
            int64_t j = 0;
            for (; j + size <= d; j += size) {
                V v = (Vs::load_unaligned(w[i] + j) - Vs::load_unaligned(m + j)) * Vs::load_unaligned(scale + j);
                Vs::store(xi + j, v);
                Vs::store(wi + j, v * ri);
            }
            for (; j < d; j++) {
                T v = (w[i][j] - m[j]) * scale[j];
                xi[j] = v;
                wi[j] = v * r[i];
            }
        }
        zeroth[k] += sum;
        for (int64_t j = 0; j < padded; j += size) {
            V s = {};
            for (int i = 0; i < n; i++) s += Vs::load(weighted + i * padded + j);
            Vs::add_to(first + k * padded + j, s);
        }
        double *to = products + k * padded * padded;
        for (int64_t i = 0; i < d; i += group) {
            const T *factor = weighted + i;
            double *q = to + i * padded;
            int64_t j = i / size * size, left = (round_up(d, size) - j) / size, step;
            for (; left; left -= step, j += step * size) {
                step = left == 4 ? 2 : left < 3 ? left : 3;
                if (step == 3) block<group, 3>(n, factor, x + j, q + j);
                else if (step == 2) block<group, 2>(n, factor, x + j, q + j);
                else block<group, 1>(n, factor, x + j, q + j);
            }
        }
    }

    template <int N, int M> NOINLINE void block(int n, const T *factor, const T *from, double *to) {
        V sum[N][M];
        UNROLL for (int f = 0; f < N; f++) UNROLL for (int m = 0; m < M; m++) sum[f][m] = V{};
        for (int i = 0; i < n; i++, factor += padded, from += padded) {
            V v[M];
            UNROLL for (int m = 0; m < M; m++) v[m] = Vs::load(from + m * size);
            UNROLL for (int f = 0; f < N; f++) {
                V b = Vs::all(factor[f]);
                IN_LOOP(b);
                UNROLL for (int m = 0; m < M; m++) sum[f][m] = Vs::fused(b, v[m], sum[f][m]);
            }
        }
        UNROLL for (int f = 0; f < N; f++)
            UNROLL for (int m = 0; m < M; m++) Vs::add_to(to + f * padded + m * size, sum[f][m]);
    }
};

}  // namespace
