// A tile of rows: those of positive weight, as columns of numbers in a frame.
#pragma once
#include "block.h"
#include "vectors.h"

namespace {

// The number of rows of a tile does not depend on the number of columns or components, nor on the width of vectors.
template <class T> constexpr int tile_rows = 768 / sizeof(T);

template <class T> struct Tile {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    static constexpr int rows = tile_rows<T>;

    int n;                  // the rows in the tile
    const T *row[rows];     // their places in the block
    T *weight;              // (rows), 0 beyond n

    // Moves to the next rows of positive weight, from row `at` on; returns the index of the row after them.
    int64_t next_rows(const Rows &of, int64_t at) {
        const T *x = (const T *)of.x;
        n = 0;
        if (!of.weight) {
            for (; n < rows && at < of.n; n++, at++) row[n] = x + at * of.row_step, weight[n] = 1;
        } else {
            for (; n < rows && at < of.n; at++) {
                row[n] = x + at * of.row_step;
                weight[n] = (T)of.weight[at];
                n += of.weight[at] > 0;
            }
        }
        for (int i = n; i < rows; i++) weight[i] = 0;
        return at;
    }

    // Writes columns (d, rows): (x - shift) * scale, and 0 beyond n.
    void columns(int64_t d, const T *shift, const T *scale, T *out) const {
        columns_by(d, shift, scale, [&](int64_t j, int i, auto v) { put(out + j * rows + i, v); });
    }
    // The same with 0 where a value is missing (NaN), and columns that are 1 where there is one and 0 where it is missing.
    void observed_columns(int64_t d, const T *shift, const T *scale, T *out, T *observed) const {
        columns_by(d, shift, scale, [&](int64_t j, int i, auto v) {
            const decltype(v) zero = {};
            put(out + j * rows + i, v == v ? v : zero);
            put(observed + j * rows + i, v == v ? zero + T(1) : zero);
        });
        for (int64_t j = 0; n < rows && j < d; j++)
            for (int i = n; i < rows; i++) observed[j * rows + i] = 0;
    }
    static INLINE void put(T *to, V v) { Vs::store(to, v); }
    static INLINE void put(T *to, T v) { *to = v; }

    // Gives (x - shift) * scale of column j and row i, or of a vector of rows.
    template <class F> NOINLINE void columns_by(int64_t d, const T *shift, const T *scale, F &&use) const {
        const int whole = d < Vs::size ? 0 : n / Vs::size * Vs::size;
        for (int i = 0; i < whole; i += Vs::size)
            for (int64_t j = 0; j < d; j += Vs::size) {
                if (j + Vs::size > d) j = d - Vs::size;  // the last columns, of which some are written twice
                V sh = Vs::load_unaligned(shift + j), sc = Vs::load_unaligned(scale + j), v[Vs::size];
                UNROLL for (int l = 0; l < Vs::size; l++) {
                    const T *p = row[i + l] + j;
                    __builtin_prefetch((const char *)p + rows * d * (int64_t)sizeof(T), 0, 2);  // the next tile
                    v[l] = (Vs::load_unaligned(p) - sh) * sc;
                }
                Vs::transpose(v);
                UNROLL for (int l = 0; l < Vs::size; l++) use(j + l, i, v[l]);
            }
        for (int64_t j = 0; j < d; j++) {
            for (int i = whole; i < n; i++) use(j, i, (row[i][j] - shift[j]) * scale[j]);
            for (int i = n; i < rows; i++) use(j, i, T(0));
        }
    }

    // Writes columns (d, rows) that are stored as such, `column_step` apart; rows are 1 apart. 0 beyond n.
    NOINLINE void stored_columns(int64_t d, int64_t column_step, T *out) const {
        const bool whole = n == rows && row[rows - 1] - row[0] == rows - 1;
        for (int64_t j = 0; j < d; j++, out += rows) {
            if (whole) {
                const T *from = row[0] + j * column_step;
                for (int i = 0; i < rows; i += Vs::size) Vs::store(out + i, Vs::load_unaligned(from + i));
            } else {
                for (int i = 0; i < n; i++) out[i] = row[i][j * column_step];
                for (int i = n; i < rows; i++) out[i] = 0;
            }
        }
    }

    // Repeats the first row beyond n: a function of 0 may be far larger than that of any row.
    void repeat_first(int64_t d, T *out) const {
        for (int64_t j = 0; n < rows && j < d; j++)
            for (int i = n; i < rows; i++) out[j * rows + i] = out[j * rows];
    }
};

}  // namespace
