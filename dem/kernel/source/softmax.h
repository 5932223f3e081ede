// Responsibilities of a tile.
#pragma once
#include "rows.h"

namespace {

template <class T> struct Softmax {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    static constexpr int rows = tile_rows<T>, lanes = 16;

    T *largest, *total, *factor;  // (rows): the largest log-density, the sum of exponentials, weight / sum
    T *negligible;                // (rows): exponentials up to this do not matter to any sum
    static constexpr T drop = 1e-18;

    // Gives `use` the index k, l = log-density - largest, and e^l of some rows, for each component; keeps largest and total.
    template <class F> INLINE void exponentials(int64_t k_count, const T *joint, int i, F &&use) {
        const T *p = joint + i;
        const V least = Vs::all(Bits<T>::least_log);
        V high = Vs::load(p), check = high, sum = {};
        for (int64_t k = 1; k < k_count; k++) {
            V v = Vs::load(p + k * rows);
            high = Vs::larger(v, high);
            check += v;
        }
        for (int64_t k = 0; k < k_count; k++) {
            V l = Vs::larger(Vs::load(p + k * rows) - high, least), e = Vs::exp(l);
            sum += e;
            use(k, l, e);
        }
        check += high - high;  // NaN if infinite
        Vs::store(largest + i, check == check ? high : check);
        Vs::store(total + i, check == check ? sum : check);
    }

    // Keeps largest and total of log-densities (K, rows).
    NOINLINE void totals(int64_t k_count, const T *joint) {
        for (int i = 0; i < rows; i += Vs::size) exponentials(k_count, joint, i, [](int64_t, V, V) {});
    }

    // Writes the log-likelihoods (rows) of the last tile.
    void scores(T *out) const {
        for (int i = 0; i < rows; i += Vs::size) Vs::store(out + i, Vs::load(largest + i) + Vs::log(Vs::load(total + i)));
    }

    // Writes the entropies (rows) of the responsibilities: log(total) - sum of e^l l / total.
    NOINLINE void entropies(int64_t k_count, const T *joint, T *out) {
        for (int i = 0; i < rows; i += Vs::size) {
            V sum = {};
            exponentials(k_count, joint, i, [&](int64_t, V l, V e) { sum = Vs::fused(l, e, sum); });
            V all = Vs::load(total + i), entropy = Vs::log(all) - sum / all;
            Vs::store(out + i, entropy < V{} ? V{} : entropy);
        }
    }

    // Turns joint log-densities (K, rows) into exponentials; returns the weighted sum of log p(x). The sum is NaN, and all
    // responsibilities of a row are, where a log-density is NaN or all are -infinity.
    NOINLINE double operator()(int64_t k_count, T *joint, const T *weight) {
        for (int i = 0; i < rows; i += Vs::size)
            exponentials(k_count, joint, i, [&](int64_t k, V, V e) { Vs::store(joint + k * rows + i, e); });
        double sums[lanes] __attribute__((aligned(64))) = {};
        for (int i = 0; i < rows; i += Vs::size) {
            V sum = Vs::load(total + i), w = Vs::load(weight + i), log_p = Vs::load(largest + i) + Vs::log(sum);
            log_p = w > V{} ? log_p : V{};
            V size = log_p < V{} ? -log_p : log_p;
            Vs::add_to(sums + i % lanes, w * log_p);
            Vs::store(factor + i, w / sum);
            Vs::store(negligible + i, drop * sum / (size + T(1)));
        }
        double log_likelihood = 0;
        for (int l = 0; l < lanes; l++) log_likelihood += sums[l];
        return log_likelihood;
    }

    // -1 where an exponential does not matter, else 0. NaN matters.
    INLINE typename Vs::I matters_not(const T *e, int i) const { return Vs::load(e + i) <= Vs::load(negligible + i); }

    // The number of exponentials (K, rows) that matter.
    NOINLINE int64_t count(int64_t k_count, const T *e) const {
        typename Vs::I sum = {};
        for (int64_t k = 0; k < k_count; k++)
            for (int i = 0; i < rows; i += Vs::size) sum += 1 + matters_not(e + k * rows, i);
        int64_t total = 0;
        for (int l = 0; l < Vs::size; l++) total += sum[l];
        return total;
    }

    // Multiplies exponentials (K, rows) by `factor`: responsibilities times the weight.
    NOINLINE void scale(int64_t k_count, T *joint) const {
        for (int64_t k = 0; k < k_count; k++)
            for (int i = 0; i < rows; i += Vs::size)
                Vs::store(joint + k * rows + i, Vs::load(joint + k * rows + i) * Vs::load(factor + i));
    }

    // Writes the same as rows: (rows, padded), 0 beyond K.
    NOINLINE void scale_to_rows(int64_t k_count, int64_t padded, const T *joint, T *out) const {
        for (int i = 0; i < rows; i += Vs::size) {
            V f = Vs::load(factor + i);
            for (int64_t k = 0; k < padded; k += Vs::size) {
                const T *p = joint + k * rows + i;
                V v[Vs::size];
                if (k + Vs::size <= k_count) {
                    UNROLL for (int l = 0; l < Vs::size; l++) v[l] = Vs::load(p + l * rows) * f;
                } else {
                    UNROLL for (int l = 0; l < Vs::size; l++) v[l] = k + l < k_count ? Vs::load(p + l * rows) * f : V{};
                }
                Vs::transpose(v);
                UNROLL for (int l = 0; l < Vs::size; l++) Vs::store(out + (i + l) * padded + k, v[l]);
            }
        }
    }
};

}  // namespace
