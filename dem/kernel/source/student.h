// Student's t from the Gaussians of its means and scale matrices, which give the squared distances D:
//   log t(x) = constant - (nu + d) / 2 log(1 + D / nu),   E u = (nu + d) / (nu + D).
#pragma once
#include "sums.h"

namespace {

// `Gaussian` are the densities of Gaussians about their own means.
template <class Gaussian> struct StudentDensities {
    typedef double Real;
    typedef Vectors<double> Vs;
    typedef Vs::V V;
    static constexpr int rows = tile_rows<double>;

    const StudentTask &task;
    const int64_t k_count, d;
    const CentredTask distances;  // without constants: the log-densities are -D / 2
    Gaussian gaussian;
    double *ratios, *logs;  // (K, rows): D / nu, log(1 + D / nu)

    StudentDensities(const StudentTask &task, Workspace &w)
        : task(task), k_count(task.rows.k_count), d(task.rows.d),
          distances{task.rows, task.means, task.factors, w.zeros<double>(k_count)}, gaussian(distances, w),
          ratios(w.array<double>(k_count * rows)), logs(w.array<double>(k_count * rows)) {}
    void begin() { gaussian.begin(); }
    void operator()(const Tile<double> &tile, double *joint) {
        gaussian(tile, joint);
        for (int64_t k = 0; k < k_count; k++)
            density(task.degrees_of_freedom[k], task.constants[k], joint + k * rows, ratios + k * rows, logs + k * rows);
    }

    // Turns -D / 2 (rows) of one component into log-densities.
    NOINLINE void density(double nu, double constant, double *joint, double *ratio, double *log) const {
        const V per_half = Vs::all(-2 / nu), power = Vs::all(-0.5 * (nu + (double)d)), at_mean = Vs::all(constant);
        for (int i = 0; i < rows; i += Vs::size) {
            V y = Vs::load(joint + i) * per_half, l = Vs::log1p(y);
            Vs::store(ratio + i, y);
            Vs::store(log + i, l);
            Vs::store(joint + i, Vs::fused(power, l, at_mean));
        }
    }
};

// The Gaussian sums of rows weighted by r E u, then the sums of r and of r log(1 + D / nu).
template <class GaussianSums> struct StudentSums {
    typedef StudentDensities<typename GaussianSums::Densities> Densities;
    typedef Vectors<double> Vs;
    typedef Vs::V V;
    static constexpr int rows = tile_rows<double>, lanes = Vs::cache_line;

    const StudentTask &task;
    const Rows &of;
    const Densities &densities;
    GaussianSums gaussian;
    double *sums;   // (K, 2, lanes)
    double *least;  // (rows): the smallest E u, at most 1

    StudentSums(const StudentTask &task, Densities &densities, Workspace &w)
        : task(task), of(task.rows), densities(densities), gaussian(densities.distances, densities.gaussian, w),
          sums(w.zeros<double>(of.k_count * 2 * lanes)), least(w.array<double>(rows)) {}
    void operator()(const Tile<double> &tile, double *joint) {
        *of.log_likelihood += gaussian.softmax(of.k_count, joint, tile.weight);
        for (int i = 0; i < rows; i++) least[i] = 1;
        for (int64_t k = 0; k < of.k_count; k++) weigh(k, joint + k * rows);
        // Whether a row matters is decided by r, not by r E u: far rows have a small E u, and large squares.
        for (int i = 0; i < rows; i++) gaussian.softmax.negligible[i] *= least[i];
        gaussian.moments(tile, joint);
    }
    void leave() { gaussian.leave(); }
    void finish() {
        gaussian.finish();
        double *counts = of.sums + gaussian.f_count * of.k_count, *logs = counts + of.k_count;
        for (int64_t k = 0; k < of.k_count; k++)
            for (int l = 0; l < lanes; l++) {
                counts[k] += sums[2 * k * lanes + l];
                logs[k] += sums[(2 * k + 1) * lanes + l];
            }
    }

    // Adds the sums of r and r log(1 + D / nu) of component k; multiplies its exponentials e (rows) by E u.
    NOINLINE void weigh(int64_t k, double *e) const {
        const double *ratio = densities.ratios + k * rows, *log = densities.logs + k * rows;
        const V largest = Vs::all(1 + (double)of.d / task.degrees_of_freedom[k]);
        for (int p = 0; p < lanes; p += Vs::size) {
            V count = {}, logs = {};
            for (int i = p; i < rows; i += lanes) {
                V v = Vs::load(e + i), r = v * Vs::load(gaussian.softmax.factor + i), before = Vs::load(least + i);
                V u = largest / (Vs::load(ratio + i) + 1.0);
                count += r;
                logs = Vs::fused(r, Vs::load(log + i), logs);
                Vs::store(e + i, v * u);
                Vs::store(least + i, u < before ? u : before);
            }
            Vs::add_to(sums + 2 * k * lanes + p, count);
            Vs::add_to(sums + (2 * k + 1) * lanes + p, logs);
        }
    }
};

}  // namespace
