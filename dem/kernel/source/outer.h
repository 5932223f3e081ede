// Weighted sums of products of columns, sum of r (x - m)(x - m)', for one component at a time. Rows whose responsibility does
// not matter are left out. Columns are along vectors.
#pragma once
#include "cross_products.h"
#include "softmax.h"

namespace {

template <class T> struct Outer {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    static constexpr int rows = tile_rows<T>, size = Vs::size;
    static constexpr int batch = rows / 2;  // rows that are summed in the precision of T

    int64_t d, padded;      // columns, and a multiple of 64 bytes
    T *x, *weighted;        // (batch, padded): x - m, and its product with the responsibility
    const T **waiting;      // (K, batch): rows that are not yet added
    T *resp;                // (K, batch)
    int *count;             // (K)
    double *products;       // (K, padded, padded): the upper triangle counts
    double *first;          // (K, padded): sums of r (x - m)
    double *zeroth;         // (K): sums of r

    // Adds the rows of a tile that matter to component k; they wait until a batch is full.
    NOINLINE void add_tile(int64_t k, const Tile<T> &tile, const T *e, const Softmax<T> &softmax, const T *m, const T *scale) {
        T share[rows] __attribute__((aligned(64)));
        typename Vs::I matters = {};
        for (int i = 0; i < rows; i += size) {
            Vs::store(share + i, Vs::load(e + i) * Vs::load(softmax.factor + i));
            matters += 1 + softmax.matters_not(e, i);
        }
        int64_t found = 0;
        for (int l = 0; l < size; l++) found += matters[l];
        if (found == rows && tile.n == rows) {
            for (int i = 0; i < rows; i += batch) add(k, batch, tile.row + i, share + i, m, scale);
            return;
        }
        int c = count[k];
        const T **w = waiting + k * batch;
        T *r = resp + k * batch;
        for (int i = 0; found && i < tile.n; i++)
            if (!(e[i] <= softmax.negligible[i])) {
                w[c] = tile.row[i];
                r[c] = share[i];
                if (++c == batch) add(k, c, w, r, m, scale), c = 0;
            }
        count[k] = c;
    }

    // Adds the rows that are still waiting.
    void finish(int64_t k, const T *m, const T *scale) {
        add(k, count[k], waiting + k * batch, resp + k * batch, m, scale);
        count[k] = 0;
    }

    // Adds n rows to the sums of component k, about m, in units of 1 / scale.
    NOINLINE void add(int64_t k, int n, const T *const *w, const T *r, const T *m, const T *scale) {
        T sum = 0;
        for (int i = 0; i < n; i++) {
            V ri = Vs::all(r[i]);
            sum += r[i];
            T *xi = x + i * padded, *wi = weighted + i * padded;
            for (int64_t j = 0; j < d; j += size) {
                if (j + size > d) j = d - size;  // the last columns, of which some are written twice
                V v = (Vs::load_unaligned(w[i] + j) - Vs::load_unaligned(m + j)) * Vs::load_unaligned(scale + j);
                Vs::store_unaligned(xi + j, v);
                Vs::store_unaligned(wi + j, v * ri);
            }
        }
        zeroth[k] += sum;
        for (int64_t j = 0; j < padded; j += size) {
            V s = {};
            for (int i = 0; i < n; i++) s += Vs::load(weighted + i * padded + j);
            Vs::add_to(first + k * padded + j, s);
        }
        CrossProducts<T>::add(d, padded, n, weighted, x, products + k * padded * padded);
    }
};

}  // namespace
