// Outputs for each row: labels, responsibilities, log-likelihoods, entropies, the most probable components.
#pragma once
#include "stored.h"
#include "sums.h"

namespace {

template <class T> struct Outputs {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    typedef typename Vs::I I;
    static constexpr int rows = tile_rows<T>;

    const Output &output;
    const int64_t k_count, padded, most;  // most: the components of an output
    Softmax<T> softmax;
    T *values, *more;    // (rows)
    T *resp;             // (rows, padded)
    int32_t *best;       // (most): the components of one row
    int64_t at;          // the number of the next row in the block

    template <class Task, class Densities>
    Outputs(const Task &task, Densities &, Workspace &w)
        : output(*task.rows.output), k_count(task.rows.k_count), padded(round_up(k_count, Vs::size)),
          most(output.columns), softmax(softmax_in<T>(w)), at(task.rows.first) {
        values = w.array<T>(rows), more = w.array<T>(rows);
        resp = w.array<T>(output.kind == proba || is_top() ? rows * padded : 0);
        best = w.array<int32_t>(most);
    }
    bool is_top() const { return output.kind == top_index || output.kind == top_weight; }
    void leave() {}
    void finish() {}

    void operator()(const Tile<T> &tile, T *joint) {
        switch (output.kind) {
            case label: put_labels(tile.n, joint); break;
            case proba: put_responsibilities(tile, joint); break;
            case score:
                softmax.totals(k_count, joint);
                softmax.scores(values);
                put(tile.n, values);
                break;
            case entropy:
                softmax.entropies(k_count, joint, values);
                put(tile.n, values);
                break;
            case complete:
                softmax.entropies(k_count, joint, values);
                softmax.scores(more);
                for (int i = 0; i < rows; i++) values[i] = more[i] - values[i];
                put(tile.n, values);
                break;
            default: put_top(tile, joint);
        }
        at += tile.n;
    }

    void put(int n, const T *from) const {
        with_reals(output, at, [&](auto *to) { copy(n, from, to); });
    }
    template <class N> static INLINE void copy(int64_t n, const T *from, N *to) {
        for (int64_t i = 0; i < n; i++) to[i] = (N)from[i];
    }

    // The first of the largest log-densities.
    NOINLINE void put_labels(int n, const T *joint) {
        typename Vs::Int labels[rows] __attribute__((aligned(64)));
        for (int i = 0; i < rows; i += Vs::size) {
            V high = Vs::load(joint + i);
            I found = {};
            for (int64_t k = 1; k < k_count; k++) {
                V v = Vs::load(joint + k * rows + i);
                found = v > high ? (I{} + (typename Vs::Int)k) : found;
                high = Vs::larger(v, high);
            }
            *(I *)(labels + i) = found;
        }
        with_integers(output, at, [&](auto *to) {
            for (int i = 0; i < n; i++) to[i] = labels[i];
        });
    }

    void write_responsibilities(const Tile<T> &tile, T *joint) {
        softmax(k_count, joint, tile.weight);
        softmax.scale_to_rows(k_count, padded, joint, resp);
    }
    void put_responsibilities(const Tile<T> &tile, T *joint) {
        write_responsibilities(tile, joint);
        with_reals(output, at, [&](auto *to) {
            for (int i = 0; i < tile.n; i++) copy(k_count, resp + i * padded, to + i * k_count);
        });
    }

    // The most probable components come first; of equal ones, the lowest index.
    NOINLINE void put_top(const Tile<T> &tile, T *joint) {
        write_responsibilities(tile, joint);
        for (int i = 0; i < tile.n; i++) {
            const T *r = resp + i * padded;
            find_best(r);
            if (output.kind == top_index) {
                with_integers(output, at, [&](auto *to) {
                    for (int64_t m = 0; m < most; m++) to[i * most + m] = best[m];
                });
            } else {
                with_reals(output, at, [&](auto *to) {
                    for (int64_t m = 0; m < most; m++) copy(1, r + best[m], to + i * most + m);
                });
            }
        }
    }
    void find_best(const T *r) {
        int64_t found = 0;
        for (int64_t k = 0; k < k_count; k++) {
            if (found == most && !(r[k] > r[best[most - 1]])) continue;
            int64_t m = found < most ? found++ : most - 1;
            for (; m > 0 && r[k] > r[best[m - 1]]; m--) best[m] = best[m - 1];
            best[m] = (int32_t)k;
        }
    }
};

}  // namespace
