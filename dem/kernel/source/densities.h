// Joint log-densities (K, rows) of a tile: objects with one contract. They keep what sums of the same tile need.
#pragma once
#include "centred.h"
#include "few.h"
#include "tasks.h"

namespace {

// Features are kept between both products if they fit into the second-level cache of a core (measured); otherwise `chunk` of
// them are computed at a time, twice.
constexpr int64_t kept_bytes = 200000, chunk = 48;
// Largest sums of few components, with one for each place in 64 bytes: they should stay in that cache, too.
constexpr int64_t few_bytes = 1 << 18;

// Whether components are so few that padding them to 64 bytes would cost more than a quarter.
template <class T> bool few(const LinearTask &task) {
    constexpr int line = Vectors<T>::cache_line;
    const int64_t k_count = task.rows.k_count;
    return task.form != general && 4 * round_up(k_count, line) > 5 * k_count &&
           task.f_count * k_count * 64 <= few_bytes;
}

template <class T> Columns<T> columns_in(Workspace &w, const LinearTask &task) {
    constexpr int rows = tile_rows<T>;
    T *angles = w.array<T>(task.source == by_items ? rows : 0);
    return {task.source, task.rows.d, task.column_count, (const T *)task.shift, (const T *)task.scale, task.rows.column_step,
            task.items, task.item_count, angles};
}

// L = H T, for features that are products of two columns, of any kind.
template <class T> struct LinearDensities {
    typedef T Real;
    typedef Linear<T> L;
    static constexpr int rows = tile_rows<T>;

    const LinearTask &task;
    const int64_t k_count, f_count;
    const bool keep, by_triangle;
    const int64_t step;  // features that are computed at a time
    const int64_t leading;  // features that are kept and need not be written: all columns, in their order
    Columns<T> columns;
    T *z, *t, *packed;

    LinearDensities(const LinearTask &task, Workspace &w)
        : task(task), k_count(task.rows.k_count), f_count(task.f_count),
          keep(f_count * rows * (int64_t)sizeof(T) <= kept_bytes), by_triangle(task.form == triangle && !keep),
          step(keep ? f_count : chunk), leading(keep && begins_with_columns(task) ? 1 + task.column_count : 0),
          columns(columns_in<T>(w, task)) {
        z = w.array<T>(larger(2 + task.column_count, keep ? f_count : 0) * rows);  // 1, columns, values that are not wanted
        t = leading ? z : w.array<T>(step * rows);
        packed = w.array<T>(k_count * f_count);
    }
    void begin() {
        const T *eta = (const T *)task.eta;
        if (by_triangle) L::pack_triangle(k_count, task.column_count, eta, packed);
        else L::pack(k_count, f_count, eta, packed);
        for (int i = 0; i < rows; i++) z[i] = 1;
    }
    void operator()(const Tile<T> &tile, T *joint) {
        columns(tile, joint, z + rows);  // the joint log-densities come later
        if (by_triangle) return L::triangle(k_count, task.column_count, packed, z + rows, joint);
        for (int64_t f = 0; f < f_count; f += step) {
            int64_t n = smaller(f_count - f, step);
            write_features(f, n);
            L::densities(k_count, f_count, f, n, packed, t, joint);
        }
    }
    // Features f to f + n of the last tile.
    const T *features(int64_t f, int64_t n) {
        if (!keep) write_features(f, n);
        return t;
    }
    void write_features(int64_t f, int64_t n) {
        L::features(n - leading, task.first + f + leading, task.second + f + leading, z, t + leading * rows);
    }
    static bool begins_with_columns(const LinearTask &task) {
        if (!task.first || task.f_count <= task.column_count) return false;
        for (int64_t f = 0; f <= task.column_count; f++)
            if (task.first[f] != 0 || task.second[f] != f) return false;
        return true;
    }
};

// The same for few components, and columns with all their products or squares.
template <class T> struct FewDensities {
    typedef T Real;
    typedef Linear<T> L;

    const LinearTask &task;
    const int64_t k_count, c_count;
    Columns<T> columns;
    T *z, *packed;

    FewDensities(const LinearTask &task, Workspace &w)
        : task(task), k_count(task.rows.k_count), c_count(task.column_count), columns(columns_in<T>(w, task)) {
        z = w.array<T>((1 + c_count) * tile_rows<T>);  // the columns, and values that are not wanted
        packed = w.array<T>(k_count * task.f_count);
    }
    void begin() {
        if (task.form == triangle) L::pack_triangle(k_count, c_count, (const T *)task.eta, packed);
    }
    void operator()(const Tile<T> &tile, T *joint) {
        columns(tile, joint, z);  // the joint log-densities come later
        if (task.form == triangle) L::triangle(k_count, c_count, packed, z, joint);
        else Few<T>::densities(k_count, c_count, (const T *)task.eta, z, joint);
    }
};

// Gaussians about their own means, with a matrix each.
struct WhitenedDensities {
    typedef double Real;
    typedef Whitened<double> W;
    static constexpr int rows = tile_rows<double>;

    const CentredTask &task;
    const int64_t k_count, d, matrix;
    double *zeros, *ones, *z, *centred, *packed;

    WhitenedDensities(const CentredTask &task, Workspace &w)
        : task(task), k_count(task.rows.k_count), d(task.rows.d), matrix(d * (d + 1) / 2) {
        zeros = w.zeros<double>(d), ones = w.filled<double>(d, 1), z = w.array<double>(d * rows);
        centred = w.array<double>(d * W::block_rows), packed = w.array<double>(k_count * matrix);
    }
    void begin() {
        for (int64_t k = 0; k < k_count; k++) W::pack(d, task.factors + k * d * d, packed + k * matrix);
    }
    void operator()(const Tile<double> &tile, double *joint) {
        tile.columns(d, zeros, ones, z);
        for (int64_t k = 0; k < k_count; k++)
            W::density(d, z, task.means + k * d, packed + k * matrix, task.constants[k], centred, joint + k * rows);
    }
};

// Gaussians about their own means, of independent columns.
struct IndependentDensities {
    typedef double Real;
    typedef Independent<double> I;

    const CentredTask &task;
    const int64_t k_count, d;
    double *zeros, *ones, *z, *packed;

    IndependentDensities(const CentredTask &task, Workspace &w) : task(task), k_count(task.rows.k_count), d(task.rows.d) {
        zeros = w.zeros<double>(d), ones = w.filled<double>(d, 1), z = w.array<double>(d * tile_rows<double>);
        packed = w.array<double>(2 * k_count * d);
    }
    void begin() { I::pack(k_count, d, task.means, task.factors, packed); }
    void operator()(const Tile<double> &tile, double *joint) {
        tile.columns(d, zeros, ones, z);
        I::densities(k_count, d, packed, task.constants, z, joint);
    }
};

}  // namespace
