// The columns that features are products of, computed from a tile of rows.
#pragma once
#include "angles.h"
#include "rows.h"

// What an item computes from x: one value, or two.
enum Kind {
    number = 0,       // x / argument; 1 if x is not NaN, otherwise 0
    logarithm = 1,    // log(x / argument); x / argument
    angle = 2,        // cos x; sin x
    equals = 3,       // 1 if x == argument, otherwise 0
    observed = 4,     // 1 if x is not NaN, otherwise 0
    squares_sum = 5,  // the sum of the squares of columns that were written before
};

// One or two columns computed from the same numbers: (value - shift) * scale.
struct Item {
    int64_t kind;
    int64_t source;     // the column of the data; of squares_sum the first column that it adds
    int64_t masked;     // 1: 0 where x is NaN
    int64_t both;       // 0: the second value is not wanted
    int64_t to[2];      // the columns that are written; values that nobody reads go to the column after the last one
    double argument;    // a divisor, a code, or the number of columns to add
    double shift[2], scale[2];
};

namespace {

// From where columns come: from the data in one frame; from the data by items; computed before, and stored by columns; from the
// data in one frame with 0 for missing values, and the last d columns say where there is a value.
enum Source { in_frame = 0, by_items = 1, stored = 2, observed_in_frame = 3 };

template <class T> struct Columns {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    static constexpr int rows = tile_rows<T>, size = Vs::size;

    int64_t source, d, count;   // columns of the data; columns of features
    const T *shift, *scale;     // (d); for by_items 0 and 1
    int64_t column_step;        // of stored: the distance from one column to the next
    const Item *items;
    int64_t item_count;
    T *angles;                  // a workspace (rows)

    // Writes columns z (C, rows), without the constant before them. `x` is a workspace of as many columns as the data have.
    void operator()(const Tile<T> &tile, T *x, T *z) const {
        switch (source) {
            case in_frame: tile.columns(d, shift, scale, z); break;
            case by_items:
                tile.columns(d, shift, scale, x);
                tile.repeat_first(d, x);
                break;
            case stored: tile.stored_columns(d, column_step, z); break;
            case observed_in_frame: tile.observed_columns(d, shift, scale, z, z + (count - d) * rows); break;
        }
        for (int64_t i = 0; i < item_count; i++) write(items[i], x, z);
    }

    void write(const Item &item, const T *x, T *z) const {
        const T *from = x + item.source * rows;
        const V argument = Vs::all((T)item.argument);
        switch (item.kind) {
            case number:
                return each_quotient(item, from, z, [](V q, V &one, V &two) { one = q, two = is_there(q); });
            case logarithm:
                return each_quotient(item, from, z, [](V q, V &one, V &two) { one = log(two = q); });
            case angle:
                if (Angles<T>::any_huge(rows, from)) {
                    Angles<T>::reduce(rows, from, angles);
                    from = angles;
                }
                return each(item, from, z, [&](V v, V &one, V &two) { Angles<T>::cosine_and_sine(v, one, two); });
            case equals:
                return each(item, from, z, [&](V v, V &one, V &) { one = v == argument ? Vs::all(1) : V{}; });
            case observed:
                return each(item, from, z, [&](V v, V &one, V &) { one = is_there(v); });
            case squares_sum:
                return sum_of_squares(item, z);
        }
    }
    static INLINE V is_there(V v) { return v == v ? Vs::all(1) : V{}; }
    static INLINE V log(V v) { return Vs::log(Vs::larger(Vs::all(Bits<T>::least_normal), v)); }

    // Writes the one or two values f of each number divided by the argument.
    template <class F> static void each_quotient(const Item &item, const T *from, T *z, F &&f) {
        const T argument = (T)item.argument, inverse = 1 / argument;
        const V divisor = Vs::all(argument), factor = Vs::all(inverse);
        if (argument == 1) return each(item, from, z, f);
        // A product is several times as fast as a division, but 1 / argument may be infinite or have few digits.
        if (__builtin_isnormal(inverse))
            return each(item, from, z, [&](V v, V &one, V &two) { f(v * factor, one, two); });
        return each(item, from, z, [&](V v, V &one, V &two) { f(v / divisor, one, two); });
    }
    // Writes the one or two values f of each number.
    template <class F> static void each(const Item &item, const T *from, T *z, F &&f) {
        if (item.both && item.masked) each_of<true, true>(item, from, z, f);
        else if (item.both) each_of<true, false>(item, from, z, f);
        else if (item.masked) each_of<false, true>(item, from, z, f);
        else each_of<false, false>(item, from, z, f);
    }
    template <bool BOTH, bool MASKED, class F> static NOINLINE void each_of(const Item &item, const T *from, T *z, F &f) {
        const V shift[2] = {Vs::all((T)item.shift[0]), Vs::all((T)item.shift[1])};
        const V scale[2] = {Vs::all((T)item.scale[0]), Vs::all((T)item.scale[1])};
        T *const to[2] = {z + item.to[0] * rows, z + item.to[1] * rows};
        for (int i = 0; i < rows; i += size) {
            V v = Vs::load(from + i), value[2];
            f(v, value[0], value[1]);
            UNROLL for (int l = 0; l < 1 + BOTH; l++) {
                V in_units = (value[l] - shift[l]) * scale[l];
                Vs::store(to[l] + i, MASKED ? (v == v ? in_units : V{}) : in_units);
            }
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
