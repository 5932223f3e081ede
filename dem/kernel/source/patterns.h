// Gaussians of rows with missing values: see dem/families/gaussian/missing_rows.py. Components are along vectors, since all
// of them have the same pattern of missing values; each pattern is solved once for rows that are next to each other.
#pragma once
#include "sums.h"
#include "systems.h"

namespace {

constexpr double log_two_pi = 1.8378770664093453;

// Rows of a tile in which the same columns are missing.
struct Pattern {
    int first, stop;           // rows
    int64_t n_missing, n;      // missing columns; columns of the linear system
    const int32_t *at;         // (n): the missing columns or, if these are more than half, the observed ones
    bool by_observed;
};

// For each vector of components: its own part of all tables.
struct PatternDensities {
    typedef double Real;
    typedef Systems::Vs Vs;
    typedef Vs::V V;
    static constexpr int rows = tile_rows<double>, size = Vs::size;
    static constexpr int across = many_registers ? 8 : 4, group = many_registers ? 3 : 2;  // rows, columns in registers

    const PatternTask &task;
    const int64_t k_count, d, vectors, largest;  // largest: the columns of a linear system
    double *means, *factors, *precisions, *covariances, *constants, *log_dets;
    double *residuals;          // (vectors, rows, 1 + d): 1, x - m with conditional means for missing values
    double *whitened, *l, *g, *step;
    char *missing;              // (rows, d)
    int32_t *columns;           // (rows, d)
    Pattern *patterns;          // (rows)
    int pattern_count = 0;

    PatternDensities(const PatternTask &task, Workspace &w)
        : task(task), k_count(task.rows.k_count), d(task.rows.d), vectors((k_count + size - 1) / size), largest(d / 2) {
        const int64_t padded = round_up(k_count, Vs::cache_line);
        means = w.array<double>(padded * d), factors = w.array<double>(padded * d * d);
        precisions = w.array<double>(padded * d * d), covariances = w.array<double>(padded * d * d);
        constants = w.array<double>(padded), log_dets = w.array<double>(padded);
        residuals = w.array<double>(padded * rows * (1 + d));
        whitened = w.array<double>(Vs::cache_line * rows * d);
        l = w.array<double>(Vs::cache_line * Systems::entries(largest));
        g = w.array<double>(Vs::cache_line * largest), step = w.array<double>(Vs::cache_line * largest);
        missing = w.array<char>(rows * d), columns = w.array<int32_t>(rows * d), patterns = w.array<Pattern>(rows);
    }
    void begin() {
        pack(d, task.means, means), pack(d * d, task.factors, factors), pack(d * d, task.precisions, precisions);
        pack(d * d, task.covariances, covariances), pack(1, task.constants, constants), pack(1, task.log_dets, log_dets);
    }
    // From (K, n) to (vectors, n, size); beyond K the last component is repeated.
    void pack(int64_t n, const double *from, double *to) const {
        for (int64_t c = 0; c < vectors; c++)
            for (int64_t i = 0; i < n; i++)
                for (int l = 0; l < size; l++) *to++ = from[smaller(c * size + l, k_count - 1) * n + i];
    }
    double *residuals_of(int64_t c, int i) const { return residuals + (c * rows + i) * (1 + d) * size; }

    void operator()(const Tile<double> &tile, double *joint) {
        find_patterns(tile);
        for (int64_t c = 0; c < vectors; c++) {
            write_residuals(tile, c);
            for (const Pattern *p = patterns; p < patterns + pattern_count; p++) {
                V log_det = factorise(*p, c);
                V constant = Vs::load(constants + c * size) + 0.5 * (p->n_missing * log_two_pi - log_det);
                for (int i = p->first; i < p->stop; i++) {
                    V distance = p->by_observed ? from_observed(*p, c, i) : from_missing(*p, c, i);
                    put_joint(c, i, Vs::fused(distance, Vs::all(-0.5), constant), joint);
                }
            }
            for (int i = tile.n; i < rows; i++) put_joint(c, i, V{}, joint);
        }
    }
    void put_joint(int64_t c, int i, V v, double *joint) const {
        for (int64_t l = 0, k = c * size; l < size && k < k_count; l++, k++) joint[k * rows + i] = v[l];
    }

    NOINLINE void find_patterns(const Tile<double> &tile) {
        pattern_count = 0;
        int32_t *to = columns;
        for (int i = 0; i < tile.n; i++) {
            char *here = missing + i * d;
            for (int64_t j = 0; j < d; j++) here[j] = tile.row[i][j] != tile.row[i][j];
            if (i && !memcmp(here, here - d, d)) {
                patterns[pattern_count - 1].stop = i + 1;
                continue;
            }
            int64_t m = 0, n = 0;
            for (int64_t j = 0; j < d; j++) m += here[j];
            const bool by_observed = 2 * m > d;
            for (int64_t j = 0; j < d; j++)
                if (here[j] != by_observed) to[n++] = (int32_t)j;
            patterns[pattern_count++] = {i, i + 1, m, n, to, by_observed};
            to += n;
        }
    }

    // Factorises the system of a pattern; returns log |P_mm|.
    V factorise(const Pattern &p, int64_t c) {
        const double *matrix = (p.by_observed ? covariances : precisions) + c * d * d * size;
        V log_det = Systems::factorise(p.n, p.at, d, matrix, l, g);
        return p.by_observed ? log_det + Vs::load(log_dets + c * size) : log_det;
    }

    // Writes x - m, 0 where a value is missing, and U' (x - m) for patterns with few missing columns.
    NOINLINE void write_residuals(const Tile<double> &tile, int64_t c) {
        const double *m = means + c * d * size;
        for (int i = 0; i < rows; i++) {
            double *e = residuals_of(c, i);
            Vs::store(e, Vs::all(1));
            for (int64_t j = 0; j < d; j++) {
                const bool known = i < tile.n && !missing[i * d + j];
                Vs::store(e + (1 + j) * size, known ? tile.row[i][j] - Vs::load(m + j * size) : V{});
            }
        }
        int stop = 0;
        for (const Pattern *p = patterns; p < patterns + pattern_count; p++)
            if (!p->by_observed) stop = p->stop;
        for (int i = 0; i < stop; i += across) {
            int64_t j = 0;
            for (; j + group <= d; j += group) whiten<group>(c, i, j);
            with_constant<group>(d - j, [&](auto n) { whiten<n.value>(c, i, j); });
        }
    }
    // Coordinates j to j + N of some rows.
    template <int N> NOINLINE void whiten(int64_t c, int i, int64_t j) {
        V y[N][across];
        UNROLL for (int n = 0; n < N; n++) UNROLL for (int r = 0; r < across; r++) y[n][r] = V{};
        const double *e = residuals_of(c, i) + size, *u = factors + (c * d * d + j) * size;
        const int64_t row = (1 + d) * size;
        for (int64_t b = 0; b < j + N; b++, e += size, u += d * size) {  // U is 0 below the diagonal
            UNROLL for (int n = 0; n < N; n++) {
                V f = Vs::load(u + n * size);
                UNROLL for (int r = 0; r < across; r++) y[n][r] = Vs::fused(f, Vs::load(e + r * row), y[n][r]);
            }
        }
        UNROLL for (int n = 0; n < N; n++)
            UNROLL for (int r = 0; r < across; r++) Vs::store(whitened + ((i + r) * d + j + n) * size, y[n][r]);
    }

    // Fills in e_m = -inv(P_mm) g_m in two steps, the second with the gradient after the first; returns the squared distance.
    NOINLINE V from_missing(const Pattern &p, int64_t c, int i) {
        double *w = whitened + i * d * size, *e = residuals_of(c, i) + size;
        V sum = {};
        for (int again = 0; p.n && again < 2; again++) {
            each_few(p, [&](auto n, int64_t a) { gradient<n.value>(p, a, c, w); });
            for (int64_t a = 0; a < p.n; a++) Systems::put(step, a, Systems::get(g, a));
            Systems::solve(p.n, l, step);
            for (int64_t a = 0; a < p.n; a++) Systems::put(e, p.at[a], Systems::get(e, p.at[a]) - Systems::get(step, a));
            if (!again) each_few(p, [&](auto n, int64_t a) { descend<n.value>(p, a, c, w); });
        }
        for (int64_t j = 0; j < d; j++) sum = Vs::fused(Systems::get(w, j), Systems::get(w, j), sum);
        for (int64_t a = 0; a < p.n; a++) sum = Vs::fused(-Systems::get(g, a), Systems::get(step, a), sum);
        return sum;
    }
    // Calls f for at most four columns of the system at a time.
    template <class F> static INLINE void each_few(const Pattern &p, F &&f) {
        int64_t a = 0;
        for (; a + 4 <= p.n; a += 4) f(Constant<4>(), a);
        with_constant<3>(p.n - a, [&](auto n) { f(n, a); });
    }
    // g = U w for columns a to a + N of the system.
    template <int N> INLINE void gradient(const Pattern &p, int64_t a, int64_t c, const double *w) {
        V sum[N];
        UNROLL for (int n = 0; n < N; n++) sum[n] = V{};
        const double *u = factors + c * d * d * size;
        for (int64_t j = p.at[a]; j < d; j++) {
            V v = Systems::get(w, j);
            UNROLL for (int n = 0; n < N; n++) sum[n] = Vs::fused(Systems::get(u, p.at[a + n] * d + j), v, sum[n]);
        }
        UNROLL for (int n = 0; n < N; n++) Systems::put(g, a + n, sum[n]);
    }
    // w -= U' step for columns a to a + N of the system.
    template <int N> INLINE void descend(const Pattern &p, int64_t a, int64_t c, double *w) {
        V by[N];
        UNROLL for (int n = 0; n < N; n++) by[n] = -Systems::get(step, a + n);
        const double *u = factors + c * d * d * size;
        for (int64_t j = p.at[a]; j < d; j++) {
            V v = Systems::get(w, j);
            UNROLL for (int n = 0; n < N; n++) v = Vs::fused(Systems::get(u, p.at[a + n] * d + j), by[n], v);
            Systems::put(w, j, v);
        }
    }

    // Fills in e_m = S_mo inv(S_oo) e_o; returns the squared distance.
    NOINLINE V from_observed(const Pattern &p, int64_t c, int i) {
        double *e = residuals_of(c, i) + size;
        const double *s = covariances + c * d * d * size;
        for (int64_t a = 0; a < p.n; a++) Systems::put(g, a, Systems::get(e, p.at[a]));
        Systems::solve(p.n, l, g);
        V sum = {};
        for (int64_t a = 0; a < p.n; a++) sum = Vs::fused(Systems::get(g, a), Systems::get(e, p.at[a]), sum);
        for (int64_t j = 0; j < d; j++) {
            if (!missing[i * d + j]) continue;
            V filled = {};
            for (int64_t a = 0; a < p.n; a++) filled = Vs::fused(Systems::get(s, j * d + p.at[a]), Systems::get(g, a), filled);
            Systems::put(e, j, filled);
        }
        return sum;
    }
};

// Sums (F, K) about the means: of completed rows; the entropies of the missing values; and for patterns with few observed
// columns, whose conditional covariances are S - S_.o inv(S_oo) S_o., the sums of r and r inv(S_oo).
struct PatternSums {
    typedef PatternDensities Densities;
    typedef Systems::Vs Vs;
    typedef Vs::V V;
    static constexpr int rows = tile_rows<double>, size = Vs::size;
    static constexpr int group = many_registers ? 5 : 3, batch = rows / 4;  // columns in registers; rows in the nearest cache

    const Rows &of;
    Densities &densities;
    const int64_t d, side, padded;
    Softmax<double> softmax;
    double *resp;                        // (rows, padded)
    double *products, *inverses;         // (vectors, side, side), (vectors, d, d): upper triangles
    double *entropies, *totals;          // (vectors)

    PatternSums(const PatternTask &task, Densities &densities, Workspace &w)
        : of(task.rows), densities(densities), d(of.d), side(1 + d), padded(round_up(of.k_count, Vs::cache_line)),
          softmax(softmax_in<double>(w)) {
        resp = w.array<double>(rows * padded);
        products = w.zeros<double>(padded * side * side), inverses = w.zeros<double>(padded * d * d);
        entropies = w.zeros<double>(padded), totals = w.zeros<double>(padded);
    }
    void operator()(const Tile<double> &tile, double *joint) {
        *of.log_likelihood += softmax(of.k_count, joint, tile.weight);
        softmax.scale_to_rows(of.k_count, padded, joint, resp);
        for (int64_t c = 0; c < densities.vectors; c++) {
            for (int i = 0; i < tile.n; i += batch) add_products(c, i);
            for (const Pattern *p = densities.patterns; p < densities.patterns + densities.pattern_count; p++) add_spread(*p, c);
        }
    }
    void add_products(int64_t c, int i) {
        for (int64_t a = 0; a < side; a += group)
            with_constant<group>(smaller(side - a, group), [&](auto n) {
                constexpr int N = n.value;
                for (int64_t b = a; b < side; b += group)
                    with_constant<group>(smaller(side - b, group), [&](auto m) { block<N, m.value>(c, i, a, b); });
            });
    }
    // Products of columns a to a + N and b to b + M.
    template <int N, int M> NOINLINE void block(int64_t c, int i, int64_t a, int64_t b) {
        V sum[N][M];
        UNROLL for (int n = 0; n < N; n++) UNROLL for (int m = 0; m < M; m++) sum[n][m] = V{};
        const double *e = densities.residuals_of(c, i), *r = resp + i * padded + c * size;
        for (int l = 0; l < batch; l++, e += side * size, r += padded) {
            V v[M], share = Vs::load(r);
            UNROLL for (int m = 0; m < M; m++) v[m] = Systems::get(e, b + m);
            UNROLL for (int n = 0; n < N; n++) {
                V x = share * Systems::get(e, a + n);
                UNROLL for (int m = 0; m < M; m++) sum[n][m] = Vs::fused(x, v[m], sum[n][m]);
            }
        }
        double *to = products + c * side * side * size;
        UNROLL for (int n = 0; n < N; n++)
            UNROLL for (int m = 0; m < M; m++) Vs::add_to(to + ((a + n) * side + b + m) * size, sum[n][m]);
    }
    // The conditional covariances and entropies of a pattern.
    void add_spread(const Pattern &p, int64_t c) {
        V count = {};
        for (int i = p.first; i < p.stop; i++) count += Vs::load(resp + i * padded + c * size);
        if (p.by_observed) Vs::add_to(totals + c * size, count);
        if (!p.n_missing) return;
        V log_det = densities.factorise(p, c);
        Vs::add_to(entropies + c * size, 0.5 * count * (p.n_missing * (1 + log_two_pi) - log_det));
        Systems::invert(p.n, densities.l);
        if (p.by_observed) Systems::add_inverse(p.n, p.at, d, densities.l, count, inverses + c * d * d * size);
        else Systems::add_inverse(p.n, p.at, side, densities.l, count, products + (c * side * side + side + 1) * size);
    }
    void leave() {}
    void finish() {
        double *to = of.sums;
        auto put = [&](const double *from, int64_t entry, int64_t n) {  // entry of tables (vectors, n)
            for (int64_t k = 0; k < of.k_count; k++) *to++ += from[(k / size * n + entry) * size + k % size];
        };
        for (int64_t a = 0; a < side; a++)
            for (int64_t b = a; b < side; b++) put(products, a * side + b, side * side);
        put(entropies, 0, 1);
        for (int64_t a = 0; a < d; a++)
            for (int64_t b = a; b < d; b++) put(inverses, a * d + b, d * d);
        put(totals, 0, 1);
    }
};

}  // namespace
