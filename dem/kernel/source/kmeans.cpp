// K-means on a block of rows: the E-step, and results for rows. Tile by tile: the nearest centres, sums about them.
//
// The functions at the end are called from Python (dem/kernel/kmeans.py) without the interpreter lock.
#include "nearest.h"
#include "stored.h"
#include "workspace.h"

struct KMeansTask {
    const void *x;            // (n, d), contiguous
    const double *weight;     // (n), or null
    int64_t n, d, k_count;
    void *workspace;          // aligned to 64 bytes
    const void *shift, *scale;  // (d): columns are (x - shift) * scale
    const void *eta;          // (K, 1 + d): see Products and Differences; its first column is where the sums begin
    const double *centers;    // (K, d)
    // The sums of the E-step.
    double *counts, *sums, *inertia;  // (K), (K, d), (K): added
    int64_t first;            // the number of row 0 of x
    int64_t *far_count;       // the farthest rows: how many there are
    double *far_square;       // (K): their squared distances, the order that of a heap
    int64_t *far_row, *far_label;  // (K): their numbers and their centres
    // Results for rows.
    void *labels;             // (n), or null: integers of `label_bytes`
    int64_t label_bytes;
    double *scores;           // (n), or null: -|x - c|^2
    double *distances;        // (n, K)
};

namespace {

constexpr int flush_tiles = 64;  // sums over so many tiles are added to the totals: long sums would round more

// The rows farthest from their centres, at most K. Rows come in the order of their numbers. A heap: entry 0 is the least far;
// of equally far rows, the one with the highest number.
struct Farthest {
    const KMeansTask &task;

    bool nearer(int64_t a, int64_t b) const {
        const double *square = task.far_square;
        return square[a] < square[b] || (square[a] == square[b] && task.far_row[a] > task.far_row[b]);
    }
    void put(int64_t at, double square, int64_t row, int64_t label) {
        task.far_square[at] = square, task.far_row[at] = row, task.far_label[at] = label;
    }
    void swap(int64_t a, int64_t b) {
        double square = task.far_square[a];
        int64_t row = task.far_row[a], label = task.far_label[a];
        put(a, task.far_square[b], task.far_row[b], task.far_label[b]);
        put(b, square, row, label);
    }
    // A square that a row must exceed.
    double least() const { return *task.far_count < task.k_count ? 0 : task.far_square[0]; }

    NOINLINE void add(double square, int64_t row, int64_t label) {
        int64_t n = *task.far_count, at = 0;
        if (n < task.k_count) {
            put(at = n, square, row, label);
            *task.far_count = n + 1;
            for (; at && nearer(at, (at - 1) / 2); at = (at - 1) / 2) swap(at, (at - 1) / 2);
            return;
        }
        put(0, square, row, label);
        for (int64_t child; (child = 2 * at + 1) < n; at = child) {
            if (child + 1 < n && nearer(child + 1, child)) child++;
            if (!nearer(child, at)) return;
            swap(at, child);
        }
    }
};

// What all functions do with a tile of rows: columns and labels.
template <class T, template <class> class Arithmetic> struct Labelled {
    typedef typename Bits<T>::Int Int;
    static constexpr int rows = tile_rows<T>;

    const KMeansTask &task;
    Tile<T> tile;
    T *columns, *packed;  // (d, rows), (K, 1 + d)
    Int *label;           // (rows)

    Labelled(const KMeansTask &task, Workspace &w) : task(task) {
        tile.weight = w.take<T>(rows);
        columns = w.take<T>(task.d * rows), packed = w.take<T>(task.k_count * (1 + task.d)), label = w.take<Int>(rows);
    }
    Nearest<T, Arithmetic> nearest() const { return {task.d, task.k_count, packed}; }
    void begin() { Linear<T>::pack(task.k_count, 1 + task.d, (const T *)task.eta, packed); }

    // Takes the next rows of positive weight, and returns the index of the row after them.
    int64_t take(int64_t at) {
        at = tile.take((const T *)task.x, task.weight, at, task.n, task.d);
        if (tile.n) tile.columns(task.d, (const T *)task.shift, (const T *)task.scale, columns);
        return at;
    }
    void find() {
        const auto of = nearest();
        for (int i = 0; i < tile.n; i += of.block_rows) of.labels(columns + i, label + i);
    }
    int64_t index(int i) const { return (tile.row[i] - (const T *)task.x) / task.d; }
};

// The E-step: adds to the sums of each row's cluster.
template <class T, template <class> class Arithmetic> int64_t add_sums(const KMeansTask &task, int phases) {
    typedef Vectors<double> D;
    const int64_t d = task.d, k_count = task.k_count, padded = round_up(d, lanes);
    Workspace w(task, phases);
    Labelled<T, Arithmetic> rows(task, w);
    double *centers = w.take<double>(k_count * padded), *sums = w.zeros<double>(k_count * padded);
    double *counts = w.zeros<double>(k_count), *inertia = w.zeros<double>(k_count);
    if (!phases) return w.bytes;

    if (phases & begin) {
        rows.begin();
        for (int64_t k = 0; k < k_count; k++) memcpy(centers + k * padded, task.centers + k * d, d * sizeof(double));
    }
    if (!(phases & add)) return w.bytes;
    auto flush = [&] {
        auto move = [](int64_t n, double *from, double *to) {
            for (int64_t i = 0; i < n; i++) to[i] += from[i], from[i] = 0;
        };
        move(k_count, counts, task.counts);
        move(k_count, inertia, task.inertia);
        for (int64_t k = 0; k < k_count; k++) move(d, sums + k * padded, task.sums + k * d);
    };
    Farthest farthest{task};
    double least = farthest.least();
    int tiles = 0;
    for (int64_t at = 0; at < task.n;) {
        at = rows.take(at);
        rows.find();
        for (int i = 0; i < rows.tile.n; i++) {
            const int64_t k = rows.label[i];
            const double weight = task.weight ? task.weight[rows.index(i)] : 1;
            double *sum = sums + k * padded;
            const double square = residuals(d, rows.tile.row[i], centers + k * padded, [&](int64_t j, auto y) {
                if constexpr (sizeof(y) == sizeof(double)) sum[j] = fused(weight, y, sum[j]);
                else D::store(sum + j, fused(weight, y, D::load(sum + j)));
            });
            counts[k] += weight;
            inertia[k] = fused(weight, square, inertia[k]);
            if (square > least) farthest.add(square, task.first + rows.index(i), k), least = farthest.least();
        }
        if (++tiles % flush_tiles == 0 || at == task.n) flush();
    }
    return w.bytes;
}

// Labels and scores. The rows have no weights.
template <template <class> class Arithmetic> int64_t label_rows(const KMeansTask &task, int phases) {
    Workspace w(task, phases);
    Labelled<double, Arithmetic> rows(task, w);
    if (phases & begin) rows.begin();
    for (int64_t at = 0, first; phases & add && at < task.n;) {
        first = at;
        at = rows.take(at);
        rows.find();
        const int n = rows.tile.n;
        if (task.labels)
            with_integers(task.label_bytes, task.labels, [&](auto *to) {
                for (int i = 0; i < n; i++) to[first + i] = rows.label[i];
            });
        for (int i = 0; task.scores && i < n; i++) {
            const double *center = task.centers + rows.label[i] * task.d;
            task.scores[first + i] = -residuals(task.d, rows.tile.row[i], center, [](int64_t, auto) {});
        }
    }
    return w.bytes;
}

// The distances from all centres. The rows have no weights.
int64_t distances(const KMeansTask &task, int phases) {
    typedef Nearest<double, Differences> N;
    Workspace w(task, phases);
    Labelled<double, Differences> rows(task, w);
    double *part = w.take<double>(8 * rows.rows);  // a register block of any width
    if (phases & begin) rows.begin();
    for (int64_t at = 0, first; phases & add && at < task.n;) {
        first = at;
        at = rows.take(at);
        for (int i = 0; i < rows.tile.n; i += N::block_rows) {
            const int n = (int)smaller(rows.tile.n - i, N::block_rows);
            double *out = task.distances + (first + i) * task.k_count;
            rows.nearest().each_block(rows.columns + i, [&](int64_t k, auto &sum) {
                constexpr int count = sizeof(sum) / sizeof(sum[0]);
                memcpy(part, sum, sizeof(sum));
                for (int j = 0; j < count * N::block_rows; j++) part[j] = __builtin_sqrt(part[j]);
                for (int r = 0; r < n; r++)
                    UNROLL for (int l = 0; l < count; l++) out[r * task.k_count + k + l] = part[l * N::block_rows + r];
            });
        }
    }
    return w.bytes;
}

}  // namespace

// Each function works on a block, in one call or in several (`Phase`), and returns the bytes of its workspace.
extern "C" {
int64_t dem_kmeans_float64(const KMeansTask *task, int phases) { return add_sums<double, Products>(*task, phases); }
int64_t dem_kmeans_float32(const KMeansTask *task, int phases) { return add_sums<float, Products>(*task, phases); }
int64_t dem_kmeans_differences(const KMeansTask *task, int phases) { return add_sums<double, Differences>(*task, phases); }
int64_t dem_kmeans_rows_float64(const KMeansTask *task, int phases) { return label_rows<Products>(*task, phases); }
int64_t dem_kmeans_rows_differences(const KMeansTask *task, int phases) { return label_rows<Differences>(*task, phases); }
int64_t dem_kmeans_distances(const KMeansTask *task, int phases) { return distances(*task, phases); }
}
