// The E-step of mixtures on a block of rows. Tile by tile: joint log-densities, responsibilities, sums.
//
// The functions at the end are called from Python (dem/kernel/estep.py) without the interpreter lock.
#include "centred.h"
#include "few.h"
#include "narrow.h"
#include "outer.h"
#include "workspace.h"

#ifndef DIGEST
#define DIGEST ""
#endif

// What all tasks have: rows, and where results are added. Sizes are numbers of elements unless they end in `bytes`.
struct Rows {
    const void *x;          // (n, d), contiguous
    const double *weight;   // (n), or null
    int64_t n, d, k_count;
    double *sums;           // (F, K)
    double *log_likelihood;
    void *workspace;        // aligned to 64 bytes
};

struct LinearTask {
    Rows rows;
    const void *shift, *scale;        // (d)
    int64_t square_column;            // 1: column d + 1 is the sum of squares of the others
    int64_t f_count;
    const int32_t *first, *second;    // (F): the columns of each feature; column 0 is the constant 1
    const void *eta;                  // (K, F)
    int64_t form;                     // a Form
};

// The features: 1, z, and all products z_a z_b with a <= b, row by row; or 1, z, and all z_a^2; or any others.
enum Form { general = 0, triangle = 1, squares = 2 };

struct CentredTask {
    Rows rows;
    const double *means;      // (K, d)
    const double *factors;    // (K, d, d), or (K, d) of independent columns
    const double *constants;  // (K)
};

namespace {

// Features are kept between both products if they fit into the second-level cache of a core (measured); otherwise `chunk` of
// them are computed at a time, twice.
constexpr int64_t kept_bytes = 200000, chunk = 48;
// Largest sums of few components, with one for each place in 64 bytes: they should stay in that cache, too.
constexpr int64_t few_bytes = 1 << 18;
// Outer is faster from so many columns on, in tiles where at most one in `sparse_share` responsibilities matters (measured).
constexpr int64_t sparse_columns = 24, sparse_share = 2;

template <class T> Softmax<T> softmax_in(Workspace &w) {
    constexpr int n = tile_rows<T>;
    T *largest = w.take<T>(n), *total = w.take<T>(n), *factor = w.take<T>(n);
    return {largest, total, factor, w.take<T>(n)};
}

template <class T> Outer<T> outer_in(Workspace &w, int64_t d, int64_t k_count) {
    typedef Outer<T> O;
    int64_t padded = round_up(d, Vectors<T>::cache_line);
    T *x = w.zeros<T>(O::batch * padded), *weighted = w.zeros<T>(O::batch * padded);
    const T **waiting = w.take<const T *>(k_count * O::batch);
    T *resp = w.take<T>(k_count * O::batch);
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

// Whether components are so few that padding them to 64 bytes would cost more than a quarter.
template <class T> bool few(const LinearTask &task) {
    constexpr int line = Vectors<T>::cache_line;
    const int64_t k_count = task.rows.k_count;
    return task.form != general && 4 * round_up(k_count, line) > 5 * k_count &&
           task.f_count * k_count * 64 <= few_bytes;
}

// Writes the sum of squares of columns (d, rows) after them.
template <class T> void sum_of_squares(int64_t d, T *columns) {
    typedef Vectors<T> Vs;
    for (int i = 0; i < tile_rows<T>; i += Vs::size) {
        typename Vs::V sum = {};
        for (int64_t j = 0; j < d; j++) {
            typename Vs::V x = Vs::load(columns + j * tile_rows<T> + i);
            sum = Vs::fused(x, x, sum);
        }
        Vs::store(columns + d * tile_rows<T> + i, sum);
    }
}

// Features that are products of two columns, of any kind.
template <class T> int64_t linear(const LinearTask &task, int phases) {
    typedef Linear<T> L;
    constexpr int rows = tile_rows<T>;
    const Rows &of = task.rows;
    const int64_t d = of.d, k_count = of.k_count, f_count = task.f_count, columns = 1 + d + task.square_column;
    const bool keep = f_count * rows * (int64_t)sizeof(T) <= kept_bytes;
    const bool may_be_sparse = task.form == triangle && d >= sparse_columns;
    const int64_t step = keep ? f_count : chunk, padded = round_up(k_count, Vectors<T>::size);
    const T *shift = (const T *)task.shift, *scale = (const T *)task.scale;

    Workspace w(of, phases);
    Tile<T> tile;
    tile.weight = w.take<T>(rows);
    T *z = w.take<T>(columns * rows), *t = w.take<T>(step * rows), *joint = w.take<T>(k_count * rows);
    T *resp = w.take<T>(padded * rows), *packed = w.take<T>(k_count * f_count);
    Softmax<T> softmax = softmax_in<T>(w);
    double *sums = w.zeros<double>(f_count * padded);
    Outer<T> outer = outer_in<T>(w, d, may_be_sparse ? k_count : 0);
    if (!phases) return w.bytes;

    if (phases & begin) {
        const T *eta = (const T *)task.eta;
        if (task.form == triangle && !keep) L::pack_triangle(k_count, d, eta, packed);
        else L::pack(k_count, f_count, eta, packed);
        for (int i = 0; i < rows; i++) z[i] = 1;
    }
    for (int64_t at = 0; phases & add && at < of.n;) {
        at = tile.take((const T *)of.x, of.weight, at, of.n, d);
        if (!tile.n) break;
        tile.columns(d, shift, scale, z + rows);
        if (task.square_column) sum_of_squares(d, z + rows);
        if (task.form == triangle && !keep) {
            L::triangle(k_count, d, packed, z + rows, joint);
        } else {
            for (int64_t f = 0; f < f_count; f += step) {
                int64_t n = smaller(f_count - f, step);
                L::features(n, task.first + f, task.second + f, z, t);
                L::densities(k_count, f_count, f, n, packed, t, joint);
            }
        }
        *of.log_likelihood += softmax(k_count, joint, tile.weight);
        if (may_be_sparse && sparse_share * softmax.count(k_count, joint) <= k_count * rows) {
            for (int64_t k = 0; k < k_count; k++) outer.take(k, tile, joint + k * rows, softmax, shift, scale);
            continue;
        }
        softmax.scale_to_rows(k_count, padded, joint, resp);
        for (int64_t f = 0; f < f_count; f += step) {
            int64_t n = smaller(f_count - f, step);
            if (!keep) L::features(n, task.first + f, task.second + f, z, t);
            L::sums(n, t, resp, padded, sums + f * padded);
        }
    }
    if (may_be_sparse && phases & add)
        for (int64_t k = 0; k < k_count; k++) outer.finish(k, shift, scale);
    if (phases & end) {
        if (may_be_sparse) add_outer(outer, k_count, of.sums);
        for (int64_t f = 0; f < f_count; f++)
            for (int64_t k = 0; k < k_count; k++) of.sums[f * k_count + k] += sums[f * padded + k];
    }
    return w.bytes;
}

// Few components of full or diagonal Gaussians.
template <class T> int64_t linear_of_few(const LinearTask &task, int phases) {
    typedef Linear<T> L;
    constexpr int rows = tile_rows<T>, lanes = Vectors<T>::cache_line;
    const Rows &of = task.rows;
    const int64_t d = of.d, k_count = of.k_count, f_count = task.f_count;
    Workspace w(of, phases);
    Tile<T> tile;
    tile.weight = w.take<T>(rows);
    T *z = w.take<T>(d * rows), *joint = w.take<T>(k_count * rows), *packed = w.take<T>(k_count * f_count);
    Softmax<T> softmax = softmax_in<T>(w);
    T *part = w.zeros<T>(f_count * k_count * lanes);
    Few<T> sums{d, k_count, f_count, task.form == triangle, part, w.zeros<int>(1)};
    if (!phases) return w.bytes;

    const T *eta = (const T *)task.eta;
    if (phases & begin && task.form == triangle) L::pack_triangle(k_count, d, eta, packed);
    for (int64_t at = 0; phases & add && at < of.n;) {
        at = tile.take((const T *)of.x, of.weight, at, of.n, d);
        if (!tile.n) break;
        tile.columns(d, (const T *)task.shift, (const T *)task.scale, z);
        if (task.form == triangle) L::triangle(k_count, d, packed, z, joint);
        else Few<T>::densities(k_count, d, eta, z, joint);
        *of.log_likelihood += softmax(k_count, joint, tile.weight);
        softmax.scale(k_count, joint);
        sums.add_tile(z, joint, of.sums);
    }
    if (phases & end) sums.finish(of.sums);
    return w.bytes;
}

template <class T> int64_t linear_or_few(const LinearTask &task, int phases) {
    return few<T>(task) ? linear_of_few<T>(task, phases) : linear<T>(task, phases);
}

int64_t whitened(const CentredTask &task, int phases) {
    typedef Whitened<double> W;
    typedef Narrow<double> N;
    constexpr int rows = tile_rows<double>;
    const Rows &of = task.rows;
    const int64_t d = of.d, k_count = of.k_count, matrix = d * (d + 1) / 2, f_count = 1 + d + matrix;
    const bool narrow = d <= N::most_columns;
    Workspace w(of, phases);
    Tile<double> tile;
    tile.weight = w.take<double>(rows);
    double *zeros = w.zeros<double>(d), *ones = w.take<double>(d), *z = w.take<double>(d * rows);
    double *joint = w.take<double>(k_count * rows), *centred = w.take<double>(d * W::block_rows);
    double *packed = w.take<double>(k_count * matrix);
    Softmax<double> softmax = softmax_in<double>(w);
    double *sums = w.zeros<double>(narrow ? f_count * k_count * N::lanes : 0);
    Outer<double> outer = outer_in<double>(w, d, narrow ? 0 : k_count);
    if (!phases) return w.bytes;

    if (phases & begin) {
        for (int64_t j = 0; j < d; j++) ones[j] = 1;
        for (int64_t k = 0; k < k_count; k++) W::pack(d, task.factors + k * d * d, packed + k * matrix);
    }
    for (int64_t at = 0; phases & add && at < of.n;) {
        at = tile.take((const double *)of.x, of.weight, at, of.n, d);
        if (!tile.n) break;
        tile.columns(d, zeros, ones, z);
        for (int64_t k = 0; k < k_count; k++)
            W::density(d, z, task.means + k * d, packed + k * matrix, task.constants[k], centred, joint + k * rows);
        *of.log_likelihood += softmax(k_count, joint, tile.weight);
        if (narrow) softmax.scale(k_count, joint);
        for (int64_t k = 0; k < k_count; k++) {
            const double *mean = task.means + k * d;
            if (narrow) N::add(d, z, joint + k * rows, mean, sums + k * f_count * N::lanes);
            else outer.take(k, tile, joint + k * rows, softmax, mean, ones);
        }
    }
    if (!narrow && phases & add)
        for (int64_t k = 0; k < k_count; k++) outer.finish(k, task.means + k * d, ones);
    if (phases & end) {
        if (narrow) N::finish(d, k_count, sums, of.sums);
        else add_outer(outer, k_count, of.sums);
    }
    return w.bytes;
}

int64_t independent(const CentredTask &task, int phases) {
    typedef Independent<double> I;
    constexpr int rows = tile_rows<double>;
    const Rows &of = task.rows;
    const int64_t d = of.d, k_count = of.k_count, padded = round_up(k_count, Vectors<double>::size);
    Workspace w(of, phases);
    Tile<double> tile;
    tile.weight = w.take<double>(rows);
    double *zeros = w.zeros<double>(d), *ones = w.take<double>(d), *z = w.take<double>(d * rows);
    double *joint = w.take<double>(k_count * rows), *resp = w.take<double>(padded * rows);
    double *packed = w.take<double>(2 * k_count * d), *means = w.zeros<double>(d * padded);
    Softmax<double> softmax = softmax_in<double>(w);
    double *sums = w.zeros<double>((1 + 2 * d) * padded);
    if (!phases) return w.bytes;

    if (phases & begin) {
        for (int64_t j = 0; j < d; j++) ones[j] = 1;
        I::pack(k_count, d, task.means, task.factors, packed);
        for (int64_t k = 0; k < k_count; k++)
            for (int64_t j = 0; j < d; j++) means[j * padded + k] = task.means[k * d + j];
    }
    for (int64_t at = 0; phases & add && at < of.n;) {
        at = tile.take((const double *)of.x, of.weight, at, of.n, d);
        if (!tile.n) break;
        tile.columns(d, zeros, ones, z);
        I::densities(k_count, d, packed, task.constants, z, joint);
        *of.log_likelihood += softmax(k_count, joint, tile.weight);
        softmax.scale_to_rows(k_count, padded, joint, resp);
        I::sums(d, z, resp, means, padded, sums);
    }
    for (int64_t f = 0; phases & end && f < 1 + 2 * d; f++)
        for (int64_t k = 0; k < k_count; k++) of.sums[f * k_count + k] += sums[f * padded + k];
    return w.bytes;
}

}  // namespace

// Each function adds the sums of a block, in one call or in several (`Phase`), and returns the bytes of its workspace.
extern "C" {
const char *dem_digest(void) { return DIGEST; }
int64_t dem_linear_float64(const LinearTask *task, int phases) { return linear_or_few<double>(*task, phases); }
int64_t dem_linear_float32(const LinearTask *task, int phases) { return linear_or_few<float>(*task, phases); }
int64_t dem_whitened(const CentredTask *task, int phases) { return whitened(*task, phases); }
int64_t dem_independent(const CentredTask *task, int phases) { return independent(*task, phases); }
}
