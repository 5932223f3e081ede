// K-means on a block of rows: the E-step, and results for rows. Tile by tile: the nearest centres, sums about them.
//
// The functions at the end are called from Python (dem/kernel/runner.py) without the interpreter lock.
#include "nearest.h"
#include "stored.h"
#include "totals.h"
#include "workspace.h"

// What Python gives to a function: see dem/kernel/tasks.py.
struct KMeansTask {
    Rows rows;
    const void *shift, *scale;      // (d): columns are (x - shift) * scale
    const void *eta;                // (K, 1 + d): see Products and Differences; its first column is where the sums begin
    const double *centers;          // (K, d)
    // Of the E-step, beside `rows.sums`.
    double *counts, *inertia;       // (K): added
    int64_t *far_count;             // the farthest rows: how many there are
    double *far_square;             // (K): their squared distances, the order that of a heap
    int64_t *far_row, *far_label;   // (K): their numbers in the block and their centres
};

namespace {

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
    double least() const { return *task.far_count < task.rows.k_count ? 0 : task.far_square[0]; }

    NOINLINE void add(double square, int64_t row, int64_t label) {
        int64_t n = *task.far_count, at = 0;
        if (n < task.rows.k_count) {
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
    const Rows &of;
    Tile<T> tile;
    T *columns, *packed;  // (d, rows), (K, 1 + d)
    Int *label;           // (rows)

    Labelled(const KMeansTask &task, Workspace &w) : task(task), of(task.rows) {
        tile.weight = w.array<T>(rows);
        columns = w.array<T>(of.d * rows), packed = w.array<T>(of.k_count * (1 + of.d)), label = w.array<Int>(rows);
    }
    Nearest<T, Arithmetic> nearest() const { return {of.d, of.k_count, packed}; }
    void begin() { Linear<T>::pack(of.k_count, 1 + of.d, (const T *)task.eta, packed); }

    // Writes the columns of the next rows of positive weight; returns the index of the row after them.
    int64_t next_columns(int64_t at) {
        at = tile.next_rows(of, at);
        if (tile.n) tile.columns(of.d, (const T *)task.shift, (const T *)task.scale, columns);
        return at;
    }
    void find() {
        const auto of = nearest();
        for (int i = 0; i < tile.n; i += of.block_rows) of.labels(columns + i, label + i);
    }
    // The index in x of a row of the tile.
    int64_t index(int i) const { return (tile.row[i] - (const T *)of.x) / of.d; }
};

// The E-step: adds to the sums of each row's cluster.
template <class T, template <class> class Arithmetic> int64_t add_sums(const KMeansTask &task, int phases) {
    typedef Vectors<double> D;
    const Rows &of = task.rows;
    const int64_t d = of.d, k_count = of.k_count, padded = round_up(d, lanes);
    Workspace w(of.workspace, phases);
    Labelled<T, Arithmetic> rows(task, w);
    double *centers = w.array<double>(k_count * padded), *sums = w.zeros<double>(k_count * padded);
    double *counts = w.zeros<double>(k_count), *inertia = w.zeros<double>(k_count);
    if (!phases) return w.bytes;

    if (phases & begin) {
        rows.begin();
        for (int64_t k = 0; k < k_count; k++) memcpy(centers + k * padded, task.centers + k * d, d * sizeof(double));
    }
    if (!(phases & add)) return w.bytes;
    auto flush = [&] {
        move_to_totals(k_count, counts, task.counts);
        move_to_totals(k_count, inertia, task.inertia);
        for (int64_t k = 0; k < k_count; k++) move_to_totals(d, sums + k * padded, of.sums + k * d);
    };
    Farthest farthest{task};
    double least = farthest.least();
    int tiles = 0;
    for (int64_t at = 0; at < of.n;) {
        at = rows.next_columns(at);
        rows.find();
        for (int i = 0; i < rows.tile.n; i++) {
            const int64_t k = rows.label[i];
            const double weight = of.weight ? of.weight[rows.index(i)] : 1;
            double *sum = sums + k * padded;
            const double square = residuals(d, rows.tile.row[i], centers + k * padded, [&](int64_t j, auto y) {
                if constexpr (sizeof(y) == sizeof(double)) sum[j] = fused(weight, y, sum[j]);
                else D::store(sum + j, fused(weight, y, D::load(sum + j)));
            });
            counts[k] += weight;
            inertia[k] = fused(weight, square, inertia[k]);
            if (square > least) farthest.add(square, of.first + rows.index(i), k), least = farthest.least();
        }
        if (++tiles % flush_tiles == 0 || at == of.n) flush();
    }
    return w.bytes;
}

// Labels or scores. The rows have no weights.
template <template <class> class Arithmetic> int64_t labels_or_scores(const KMeansTask &task, int phases) {
    const Rows &of = task.rows;
    const Output &output = *of.output;
    Workspace w(of.workspace, phases);
    Labelled<double, Arithmetic> rows(task, w);
    if (phases & begin) rows.begin();
    for (int64_t at = 0, first; phases & add && at < of.n;) {
        first = at;
        at = rows.next_columns(at);
        rows.find();
        const int n = rows.tile.n;
        if (output.kind == label)
            with_integers(output, of.first + first, [&](auto *to) {
                for (int i = 0; i < n; i++) to[i] = rows.label[i];
            });
        else
            with_reals(output, of.first + first, [&](auto *to) {
                for (int i = 0; i < n; i++) {
                    const double *center = task.centers + rows.label[i] * of.d;
                    to[i] = -residuals(of.d, rows.tile.row[i], center, [](int64_t, auto) {});
                }
            });
    }
    return w.bytes;
}

// The distances from all centres. The rows have no weights.
int64_t distances(const KMeansTask &task, int phases) {
    typedef Nearest<double, Differences> N;
    const Rows &of = task.rows;
    Workspace w(of.workspace, phases);
    Labelled<double, Differences> rows(task, w);
    double *part = w.array<double>(8 * rows.rows);  // a register block of any width
    if (phases & begin) rows.begin();
    for (int64_t at = 0, first; phases & add && at < of.n;) {
        first = at;
        at = rows.next_columns(at);
        for (int i = 0; i < rows.tile.n; i += N::block_rows) {
            const int n = (int)smaller(rows.tile.n - i, N::block_rows);
            with_reals(*of.output, of.first + first + i, [&](auto *to) {
                rows.nearest().each_block(rows.columns + i, [&](int64_t k, auto &sum) {
                    constexpr int count = sizeof(sum) / sizeof(sum[0]);
                    memcpy(part, sum, sizeof(sum));
                    for (int j = 0; j < count * N::block_rows; j++) part[j] = __builtin_sqrt(part[j]);
                    for (int r = 0; r < n; r++)
                        UNROLL for (int l = 0; l < count; l++) to[r * of.k_count + k + l] = part[l * N::block_rows + r];
                });
            });
        }
    }
    return w.bytes;
}

template <template <class> class Arithmetic> int64_t sums_or_outputs(const KMeansTask &task, int phases) {
    if (task.rows.output) return labels_or_scores<Arithmetic>(task, phases);
    return add_sums<double, Arithmetic>(task, phases);
}

}  // namespace

// Each function works on a block, in one call or in several (`Phase`), and returns the bytes of its workspace.
extern "C" {
int64_t dem_kmeans_float64(const KMeansTask *task, int phases) { return sums_or_outputs<Products>(*task, phases); }
int64_t dem_kmeans_float32(const KMeansTask *task, int phases) { return add_sums<float, Products>(*task, phases); }
int64_t dem_kmeans_differences(const KMeansTask *task, int phases) {
    if (task->rows.output && task->rows.output->kind == distance) return distances(*task, phases);
    return sums_or_outputs<Differences>(*task, phases);
}
}
