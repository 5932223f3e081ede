// Sums of features weighted by responsibilities: objects with one contract. Each takes the joint log-densities of a tile, and
// what the object of the densities has kept.
#pragma once
#include "densities.h"
#include "narrow.h"
#include "outer.h"

namespace {

// Outer is faster from so many columns on, in tiles where at most one in `sparse_share` responsibilities matters (measured).
constexpr int64_t sparse_columns = 24, sparse_share = 2;

template <class T> Softmax<T> softmax_in(Workspace &w) {
    constexpr int n = tile_rows<T>;
    T *largest = w.array<T>(n), *total = w.array<T>(n), *factor = w.array<T>(n);
    return {largest, total, factor, w.array<T>(n)};
}

template <class T> Outer<T> outer_in(Workspace &w, int64_t d, int64_t k_count) {
    typedef Outer<T> O;
    int64_t padded = round_up(d, Vectors<T>::cache_line);
    T *x = w.zeros<T>(O::batch * padded), *weighted = w.zeros<T>(O::batch * padded);
    const T **waiting = w.array<const T *>(k_count * O::batch);
    T *resp = w.array<T>(k_count * O::batch);
    int *count = w.zeros<int>(k_count);
    double *products = w.zeros<double>(k_count * padded * padded), *first = w.zeros<double>(k_count * padded);
    return {d, padded, x, weighted, waiting, resp, count, products, first, w.zeros<double>(k_count)};
}

// Adds the sums of an Outer to (F, K): counts, first moments, and the triangle of the second.
template <class T> void add_outer(const Outer<T> &outer, int64_t k_count, double *sums) {
    for (int64_t k = 0; k < k_count; k++) {
        double *to = sums + k;
        *to += outer.zeroth[k];
        for (int64_t j = 0; j < outer.d; j++) *(to += k_count) += outer.first[k * outer.padded + j];
        for (int64_t i = 0; i < outer.d; i++)
            for (int64_t j = i; j < outer.d; j++)
                *(to += k_count) += outer.products[(k * outer.padded + i) * outer.padded + j];
    }
}

// Adds sums (F, padded) to (F, K).
inline void add_padded(int64_t f_count, int64_t k_count, int64_t padded, const double *sums, double *to) {
    for (int64_t f = 0; f < f_count; f++)
        for (int64_t k = 0; k < k_count; k++) to[f * k_count + k] += sums[f * padded + k];
}

template <class T> struct LinearSums {
    typedef Linear<T> L;
    typedef LinearDensities<T> Densities;
    static constexpr int rows = tile_rows<T>;

    const LinearTask &task;
    const Rows &of;
    Densities &densities;
    const int64_t k_count, f_count, padded;
    const bool may_be_sparse;
    T *resp;
    Softmax<T> softmax;
    double *sums;
    Outer<T> outer;

    LinearSums(const LinearTask &task, Densities &densities, Workspace &w)
        : task(task), of(task.rows), densities(densities), k_count(of.k_count), f_count(task.f_count),
          padded(round_up(k_count, Vectors<T>::size)),
          may_be_sparse(task.form == triangle && task.source == in_frame && !task.item_count && of.d >= sparse_columns),
          resp(w.array<T>(padded * rows)), softmax(softmax_in<T>(w)), sums(w.zeros<double>(f_count * padded)),
          outer(outer_in<T>(w, of.d, may_be_sparse ? k_count : 0)) {}

    void operator()(const Tile<T> &tile, T *joint) {
        *of.log_likelihood += softmax(k_count, joint, tile.weight);
        if (may_be_sparse && sparse_share * softmax.count(k_count, joint) <= k_count * rows) {
            for (int64_t k = 0; k < k_count; k++) outer.add_tile(k, tile, joint + k * rows, softmax, shift(), scale());
            return;
        }
        softmax.scale_to_rows(k_count, padded, joint, resp);
        for (int64_t f = 0; f < f_count; f += densities.step) {
            int64_t n = smaller(f_count - f, densities.step);
            L::sums(n, densities.features(f, n), resp, padded, sums + f * padded);
        }
    }
    // Rows are gone after a call.
    void leave() {
        for (int64_t k = 0; may_be_sparse && k < k_count; k++) outer.finish(k, shift(), scale());
    }
    void finish() {
        if (may_be_sparse) add_outer(outer, k_count, of.sums);
        add_padded(f_count, k_count, padded, sums, of.sums);
    }
    const T *shift() const { return (const T *)task.shift; }
    const T *scale() const { return (const T *)task.scale; }
};

template <class T> struct FewSums {
    typedef FewDensities<T> Densities;

    const Rows &of;
    const Densities &densities;
    Softmax<T> softmax;
    Few<T> sums;

    FewSums(const LinearTask &task, Densities &densities, Workspace &w)
        : of(task.rows), densities(densities), softmax(softmax_in<T>(w)), sums(few_in(w, task)) {}
    static Few<T> few_in(Workspace &w, const LinearTask &task) {
        const int64_t k_count = task.rows.k_count;
        T *part = w.zeros<T>(task.f_count * k_count * Few<T>::lanes);
        return {task.column_count, k_count, task.f_count, task.form == triangle, part, w.zeros<int>(1)};
    }
    void operator()(const Tile<T> &tile, T *joint) {
        *of.log_likelihood += softmax(of.k_count, joint, tile.weight);
        softmax.scale(of.k_count, joint);
        sums.add_tile(densities.z, joint, of.sums);
    }
    void leave() {}
    void finish() { sums.finish(of.sums); }
};

// Sums about the means, of few columns. `moments` takes exponentials, as `softmax` leaves them.
struct NarrowSums {
    typedef WhitenedDensities Densities;
    typedef Narrow<double> N;
    static constexpr int rows = tile_rows<double>;

    const CentredTask &task;
    const Rows &of;
    const Densities &densities;
    const int64_t f_count;
    Softmax<double> softmax;
    double *sums;

    NarrowSums(const CentredTask &task, Densities &densities, Workspace &w)
        : task(task), of(task.rows), densities(densities), f_count(1 + of.d + of.d * (of.d + 1) / 2),
          softmax(softmax_in<double>(w)), sums(w.zeros<double>(f_count * of.k_count * N::lanes)) {}
    void operator()(const Tile<double> &tile, double *joint) {
        *of.log_likelihood += softmax(of.k_count, joint, tile.weight);
        moments(tile, joint);
    }
    void moments(const Tile<double> &, double *joint) {
        softmax.scale(of.k_count, joint);
        for (int64_t k = 0; k < of.k_count; k++)
            N::add(of.d, densities.z, joint + k * rows, task.means + k * of.d, sums + k * f_count * N::lanes);
    }
    void leave() {}
    void finish() { N::finish(of.d, of.k_count, sums, of.sums); }
};

// Sums about the means, of many columns.
struct OuterSums {
    typedef WhitenedDensities Densities;

    const CentredTask &task;
    const Rows &of;
    const int64_t f_count;
    const double *ones;
    Softmax<double> softmax;
    Outer<double> outer;

    OuterSums(const CentredTask &task, Densities &densities, Workspace &w)
        : task(task), of(task.rows), f_count(1 + of.d + of.d * (of.d + 1) / 2), ones(densities.ones),
          softmax(softmax_in<double>(w)), outer(outer_in<double>(w, of.d, of.k_count)) {}
    void operator()(const Tile<double> &tile, double *joint) {
        *of.log_likelihood += softmax(of.k_count, joint, tile.weight);
        moments(tile, joint);
    }
    void moments(const Tile<double> &tile, const double *joint) {
        for (int64_t k = 0; k < of.k_count; k++)
            outer.add_tile(k, tile, joint + k * tile_rows<double>, softmax, task.means + k * of.d, ones);
    }
    void leave() {
        for (int64_t k = 0; k < of.k_count; k++) outer.finish(k, task.means + k * of.d, ones);
    }
    void finish() { add_outer(outer, of.k_count, of.sums); }
};

// Sums about the means, of independent columns.
struct IndependentSums {
    typedef IndependentDensities Densities;
    static constexpr int rows = tile_rows<double>;

    const Rows &of;
    const Densities &densities;
    const int64_t f_count, padded;
    double *resp, *means;
    Softmax<double> softmax;
    double *sums;

    IndependentSums(const CentredTask &task, Densities &densities, Workspace &w)
        : of(task.rows), densities(densities), f_count(1 + 2 * of.d), padded(round_up(of.k_count, Vectors<double>::size)),
          resp(w.array<double>(padded * rows)), means(w.zeros<double>(of.d * padded)), softmax(softmax_in<double>(w)),
          sums(w.zeros<double>(f_count * padded)) {
        for (int64_t k = 0; w.begins && k < of.k_count; k++)
            for (int64_t j = 0; j < of.d; j++) means[j * padded + k] = task.means[k * of.d + j];
    }
    void operator()(const Tile<double> &tile, double *joint) {
        *of.log_likelihood += softmax(of.k_count, joint, tile.weight);
        moments(tile, joint);
    }
    void moments(const Tile<double> &, const double *joint) {
        softmax.scale_to_rows(of.k_count, padded, joint, resp);
        Independent<double>::sums(of.d, densities.z, resp, means, padded, sums);
    }
    void leave() {}
    void finish() { add_padded(f_count, of.k_count, padded, sums, of.sums); }
};

}  // namespace
