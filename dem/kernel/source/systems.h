// Small symmetric positive definite systems, each made of the same rows and columns of a matrix of each component. Components
// are along vectors, so all of them are solved at once, and no sum depends on the width of the vectors.
#pragma once
#include "vectors.h"

namespace {

// Blocks of M = A[at, at] by M = L D L', L unit lower triangular. `l` has its lower triangle row by row, 1 / D on the diagonal.
struct Systems {
    typedef Vectors<double> Vs;
    typedef Vs::V V;
    static constexpr int size = Vs::size;

    static INLINE V get(const double *from, int64_t i) { return Vs::load(from + i * size); }
    static INLINE void put(double *to, int64_t i, V v) { Vs::store(to + i * size, v); }
    static constexpr int64_t entries(int64_t n) { return n * (n + 1) / 2; }

    // Factorises the rows and columns `at` of a matrix (d, d); returns log |M|. `row` is a workspace (n).
    static NOINLINE V factorise(int64_t n, const int32_t *at, int64_t d, const double *matrix, double *l, double *row) {
        V log_det = {};
        for (int64_t a = 0; a < n; a++) {
            double *la = l + entries(a) * size, *lb = l;
            V pivot = get(matrix, at[a] * d + at[a]);
            for (int64_t b = 0; b < a; b++, lb += b * size) {
                V sum = get(matrix, at[a] * d + at[b]);
                for (int64_t c = 0; c < b; c++) sum = Vs::fused(-get(row, c), get(lb, c), sum);
                put(row, b, sum);
                V v = sum * get(lb, b);
                put(la, b, v);
                pivot = Vs::fused(-sum, v, pivot);
            }
            put(la, a, 1.0 / pivot);
            log_det += Vs::log(pivot);
        }
        return log_det;
    }

    // Solves M x = x in place.
    static INLINE void solve(int64_t n, const double *l, double *x) {
        const double *la = l;
        for (int64_t a = 0; a < n; a++, la += a * size) {
            V sum = get(x, a);
            for (int64_t b = 0; b < a; b++) sum = Vs::fused(-get(la, b), get(x, b), sum);
            put(x, a, sum);
        }
        for (int64_t a = n - 1; a >= 0; a--) {
            const double *lb = l + entries(a) * size;
            V sum = get(x, a) * get(lb, a);
            for (int64_t b = a + 1; b < n; b++) sum = Vs::fused(-get(l + entries(b) * size, a), get(x, b), sum);
            put(x, a, sum);
        }
    }

    // Replaces L by its inverse; the diagonal stays.
    static NOINLINE void invert(int64_t n, double *l) {
        for (int64_t a = 1; a < n; a++) {
            double *la = l + entries(a) * size;
            for (int64_t b = 0; b < a; b++) {
                V sum = get(la, b);
                for (int64_t c = b + 1; c < a; c++) sum = Vs::fused(get(la, c), get(l + entries(c) * size, b), sum);
                put(la, b, -sum);
            }
        }
    }

    // Adds `weight` times inv(M) to the rows and columns `at` of a matrix (d, d), in its upper triangle. `l` is inverted.
    static NOINLINE void add_inverse(int64_t n, const int32_t *at, int64_t d, const double *l, V weight, double *to) {
        for (int64_t a = 0; a < n; a++) {
            const double *la = l + entries(a) * size;
            for (int64_t b = 0; b <= a; b++) {
                V sum = b < a ? get(la, a) * get(la, b) : get(la, a);
                for (int64_t c = a + 1; c < n; c++) {
                    const double *lc = l + entries(c) * size;
                    sum = Vs::fused(get(lc, a) * get(lc, c), get(lc, b), sum);
                }
                double *entry = to + (at[b] * d + at[a]) * size;
                Vs::store(entry, Vs::fused(weight, sum, Vs::load(entry)));
            }
        }
    }
};

}  // namespace
