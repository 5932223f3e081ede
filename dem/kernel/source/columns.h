// The columns that features are products of, computed from a tile of rows.
#pragma once
#include "angles.h"
#include "rows.h"

// What a column is. `logarithm` may also write its x / argument, and `angle` writes a cosine and a sine.
enum Kind { number = 0, logarithm = 1, angle = 2, equals = 3, observed = 4, squares_sum = 5 };

// One or two columns computed from the same numbers: (value - shift) * scale.
struct Item {
    int64_t kind;
    int64_t source;     // the column of the data; of squares_sum the first column that it adds
    int64_t masked;     // 1: 0 where the number is NaN
    int64_t to[2];      // the columns that are written; one past all others if a value is not wanted
    double argument;    // a divisor, a code, or the number of columns to add
    double shift[2], scale[2];
};

namespace {

// From where columns come: from the data in one frame; from the data by items; or computed before, and stored by columns.
enum Source { in_frame = 0, by_items = 1, stored = 2 };

template <class T> struct Columns {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    static constexpr int rows = tile_rows<T>, size = Vs::size;

    int64_t source, d;          // columns of the data
    const T *shift, *scale;     // (d); of by_items 0 and 1
    int64_t stride;             // of stored: the distance of columns
    const Item *items;
    int64_t item_count;
    T *x, *angles;              // workspaces (d, rows), (rows)

    // Writes columns z (C, rows), without the constant before them.
    void operator()(const Tile<T> &tile, T *z) const {
        if (source == stored) return tile.stored_columns(d, stride, z);
        tile.columns(d, shift, scale, source == in_frame ? z : x);
        if (source == by_items) tile.repeat_first(d, x);
        for (int64_t i = 0; i < item_count; i++) write(items[i], z);
    }

    void write(const Item &item, T *z) const {
        const T *from = x + item.source * rows;
        const V argument = Vs::all((T)item.argument);
        const bool divides = (T)item.argument != 1;
        auto divided = [&](V v) { return divides ? v / argument : v; };
        switch (item.kind) {
            case number:
                return each(item, from, z, [&](V v, V &one, V &) { one = divided(v); });
            case logarithm:
                return each(item, from, z, [&](V v, V &one, V &two) {
                    one = divided(v);
                    two = Vs::log(Vs::larger(Vs::all(Bits<T>::least_normal), one));
                });
            case angle:
                if (Angles<T>::reduce(rows, from, angles)) from = angles;
                return each(item, from, z, [&](V v, V &one, V &two) { Angles<T>::cosine_and_sine(v, one, two); });
            case equals:
                return each(item, from, z, [&](V v, V &one, V &) { one = v == argument ? Vs::all(1) : V{}; });
            case observed:
                return each(item, from, z, [&](V v, V &one, V &) { one = v == v ? Vs::all(1) : V{}; });
            case squares_sum:
                return sum_of_squares(item, z);
        }
    }

    // Writes the one or two values f of each number.
    template <class F> static INLINE void each(const Item &item, const T *from, T *z, F &&f) {
        const V shift[2] = {Vs::all((T)item.shift[0]), Vs::all((T)item.shift[1])};
        const V scale[2] = {Vs::all((T)item.scale[0]), Vs::all((T)item.scale[1])};
        T *one = z + item.to[0] * rows, *two = z + item.to[1] * rows;
        for (int i = 0; i < rows; i += size) {
            V v = Vs::load(from + i), first = {}, second = {};
            f(v, first, second);
            first = (first - shift[0]) * scale[0];
            second = (second - shift[1]) * scale[1];
            if (item.masked) {
                first = v == v ? first : V{};
                second = v == v ? second : V{};
            }
            Vs::store(one + i, first);
            Vs::store(two + i, second);
        }
    }

    static void sum_of_squares(const Item &item, T *z) {
        const T *from = z + item.source * rows;
        const V shift = Vs::all((T)item.shift[0]), scale = Vs::all((T)item.scale[0]);
        for (int i = 0; i < rows; i += size) {
            V sum = {};
            for (int64_t j = 0; j < (int64_t)item.argument; j++) {
                V x = Vs::load(from + j * rows + i);
                sum = Vs::fused(x, x, sum);
            }
            Vs::store(z + item.to[0] * rows + i, (sum - shift) * scale);
        }
    }
};

}  // namespace
