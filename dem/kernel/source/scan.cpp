// The first pass on a block of rows: ranges, and sums of differences from a shift and of their squares or products.
//
// The functions at the end are called from Python (dem/kernel/runner.py) without the interpreter lock.
#include "cross_products.h"
#include "rows.h"
#include "totals.h"
#include "workspace.h"

// What Python gives to a function: see dem/kernel/tasks.py.
struct ScanTask {
    Rows rows;              // contiguous
    int64_t scatter;        // 1: products of all columns; 0: squares
    int64_t unit;           // rows that are left out together if any value is not finite; a call has whole units, but for the last
    const double *shift;    // (d)
    // Results, of the rows of positive weight in the units that are not left out.
    uint8_t *left_out;      // for each unit of the block: 1 where a value is not finite
    double *total;          // (1): the sum of the weights
    double *low, *high;     // (d): infinity and -infinity if there are no rows
    double *first;          // (d): weighted sums of x - shift
    double *second;         // (d, d) or (d): weighted sums of their products
};

namespace {

typedef Vectors<double> D;
typedef D::V V;

// Doubles of numbers at any address.
INLINE V doubles(const double *from) { return D::load_unaligned(from); }
INLINE V doubles(const float *from) {
    typedef float Half __attribute__((vector_size(VECTOR_BYTES / 2), aligned(sizeof(float)), may_alias));
    return __builtin_convertvector(*(const Half *)from, V);
}

// Whether n numbers are finite: x - x is 0 then, and NaN otherwise.
template <class T> NOINLINE bool all_finite(int64_t n, const T *x) {
    typedef Vectors<T> Vs;
    constexpr int across = 4;
    typename Vs::V sum[across] = {};
    int64_t i = 0;
    for (; i + across * Vs::size <= n; i += across * Vs::size)
        UNROLL for (int m = 0; m < across; m++) {
            const auto v = Vs::load_unaligned(x + i + m * Vs::size);
            sum[m] += v - v;
        }
    T rest = 0;
    for (; i < n; i++) rest += x[i] - x[i];
    sum[0] += (sum[1] + sum[2]) + sum[3];
    for (int l = 0; l < Vs::size; l++) rest += sum[0][l];
    return rest == 0;
}

// The sums of a task between its calls.
struct Sums {
    const ScanTask &task;
    const int64_t d, padded, rows;   // `padded`: d rounded up to 64 bytes
    double *x, *weighted, *weight;   // a tile (rows, padded): x - shift, and its product with the weights (rows)
    double *shift, *low, *high;      // (padded)
    double *first, *second;          // of some tiles: (padded), and (padded, padded) or (padded)
    double *all_first, *all_second;  // of the others
    double *total;
    int64_t *tiles;
    int n;                           // the rows in the tile

    Sums(const ScanTask &task, Workspace &w)
        : task(task), d(task.rows.d), padded(round_up(d, D::cache_line)), rows(smaller(tile_rows<double>, task.unit)) {
        x = w.zeros<double>(rows * padded);
        weighted = w.array<double>(task.scatter ? rows * padded : 0), weight = w.array<double>(rows);
        shift = w.zeros<double>(padded);
        low = w.filled<double>(padded, __builtin_inf()), high = w.filled<double>(padded, -__builtin_inf());
        first = w.zeros<double>(padded), second = w.zeros<double>(squares());
        all_first = w.zeros<double>(padded), all_second = w.zeros<double>(squares());
        total = w.zeros<double>(1), tiles = w.zeros<int64_t>(1);
        for (int64_t j = 0; w.begins && j < d; j++) shift[j] = task.shift[j];
    }
    int64_t squares() const { return task.scatter ? padded * padded : padded; }

    // Adds some rows; those of weight 0 are left out.
    template <class T> void add(int64_t count, const T *from, const double *weights) {
        for (int64_t at = 0; at < count;) {
            at = take(at, count, from, weights);
            if (n) add_tile();
        }
    }
    // Takes the next rows of positive weight, and returns the index of the row after them.
    template <class T> NOINLINE int64_t take(int64_t at, int64_t count, const T *from, const double *weights) {
        const int64_t width = d, distance = padded, most = rows;
        double *to = x, *const share = weight;
        int taken = 0;
        for (; at < count && taken < most; at++) {
            const double w = weights ? weights[at] : 1;
            if (!(w > 0)) continue;
            const T *row = from + at * width;
            int64_t j = 0;
            for (; j + D::size <= width; j += D::size) D::store(to + j, doubles(row + j));
            for (; j < width; j++) to[j] = row[j];
            share[taken++] = w;
            to += distance;
        }
        n = taken;
        return at;
    }

    void add_tile() {
        double sum = 0;
        for (int i = 0; i < n; i++) sum += weight[i];
        *total += sum;
        for (int64_t j = 0, left = padded / D::size, step; left; left -= step, j += step * D::size) {
            step = left >= 2 ? 2 : 1;
            if (task.scatter) step == 2 ? columns<2, true>(j) : columns<1, true>(j);
            else step == 2 ? columns<2, false>(j) : columns<1, false>(j);
        }
        if (task.scatter) CrossProducts<double>::add(d, padded, n, weighted, x, second);
        if (++*tiles == flush_tiles) flush();
    }

    // Ranges and sums of M vectors of columns; squares, or the factors of products.
    template <int M, bool SCATTER> NOINLINE void columns(int64_t j) {
        V least[M], most[M], one[M], two[M], about[M];
        UNROLL for (int m = 0; m < M; m++) {
            const int64_t at = j + m * D::size;
            least[m] = D::load(low + at), most[m] = D::load(high + at), about[m] = D::load(shift + at);
            one[m] = two[m] = V{};
        }
        for (int i = 0; i < n; i++) {
            const V w = D::all(weight[i]);
            UNROLL for (int m = 0; m < M; m++) {
                const int64_t at = i * padded + j + m * D::size;
                const V v = D::load(x + at), c = v - about[m], wc = c * w;
                least[m] = v < least[m] ? v : least[m];
                most[m] = D::larger(v, most[m]);
                one[m] += wc;
                if (SCATTER) D::store(x + at, c), D::store(weighted + at, wc);
                else two[m] = D::fused(wc, c, two[m]);
            }
        }
        UNROLL for (int m = 0; m < M; m++) {
            const int64_t at = j + m * D::size;
            D::store(low + at, least[m]), D::store(high + at, most[m]);
            D::add_to(first + at, one[m]);
            if (!SCATTER) D::add_to(second + at, two[m]);
        }
    }

    void flush() {
        move_to_totals(padded, first, all_first);
        move_to_totals(squares(), second, all_second);
        *tiles = 0;
    }

    void finish() {
        flush();
        *task.total = *total;
        memcpy(task.low, low, d * sizeof(double));
        memcpy(task.high, high, d * sizeof(double));
        memcpy(task.first, all_first, d * sizeof(double));
        if (!task.scatter) memcpy(task.second, all_second, d * sizeof(double));
        for (int64_t i = 0; task.scatter && i < d; i++)
            for (int64_t j = i; j < d; j++) task.second[i * d + j] = task.second[j * d + i] = all_second[i * padded + j];
    }
};

template <class T> int64_t scan(const ScanTask &task, int phases) {
    const Rows &of = task.rows;
    Workspace w(of.workspace, phases);
    Sums sums(task, w);
    for (int64_t at = 0, count; phases & add && at < of.n; at += count) {
        count = smaller(task.unit, of.n - at);
        const T *x = (const T *)of.x + at * of.d;
        const bool finite = all_finite(count * of.d, x);
        task.left_out[(of.first + at) / task.unit] = !finite;
        if (finite) sums.add(count, x, of.weight ? of.weight + at : nullptr);
    }
    if (phases & end) sums.finish();
    return w.bytes;
}

}  // namespace

// Each function works on a block, in one call or in several (`Phase`), and returns the bytes of its workspace.
extern "C" {
int64_t dem_scan_float64(const ScanTask *task, int phases) { return scan<double>(*task, phases); }
int64_t dem_scan_float32(const ScanTask *task, int phases) { return scan<float>(*task, phases); }
}
