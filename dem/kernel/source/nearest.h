// The centres nearest to the rows of a tile, and the differences from them.
#pragma once
#include "linear.h"

namespace {

// Two ways to compare the distances of a row x from the centres c: each adds a term to a sum for one column.
// Products: |c|^2 / 2 - c'x, which is (|x - c|^2 - |x|^2) / 2. Here b = -c.
template <class T> struct Products {
    typedef Vectors<T> Vs;
    static INLINE typename Vs::V add(typename Vs::V b, typename Vs::V x, typename Vs::V sum) { return Vs::fused(b, x, sum); }
};
// Differences: |x - c|^2. Here b = c.
template <class T> struct Differences {
    typedef Vectors<T> Vs;
    static INLINE typename Vs::V add(typename Vs::V b, typename Vs::V x, typename Vs::V sum) {
        typename Vs::V y = x - b;
        return Vs::fused(y, y, sum);
    }
};

template <class T, template <class> class Arithmetic> struct Nearest {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    typedef typename Vs::I I;
    typedef typename Vs::Int Int;
    static constexpr int rows = tile_rows<T>, size = Vs::size;
    static constexpr int across = 3, block_rows = across * size;  // vectors of rows in a register block
    static constexpr int group = many_registers ? 8 : 4;          // centres in a register block
    static_assert(group == Linear<T>::group, "packed by Linear");

    int64_t d, k_count;
    const T *packed;  // (K, 1 + d), the centres of a register block adjacent: where a sum begins, and b for each column

    // The sums of N centres for `block_rows` rows. They go to `use` while they are in registers.
    template <int N, class Use> static NOINLINE void block(int64_t d, const T *h, const T *columns, const Use &use) {
        V sum[N][across];
        UNROLL for (int k = 0; k < N; k++) UNROLL for (int r = 0; r < across; r++) sum[k][r] = Vs::all(h[k]);
        for (int64_t j = 0; j < d; j++, columns += rows) {
            h += N;
            V x[across];
            UNROLL for (int r = 0; r < across; r++) x[r] = Vs::load(columns + r * size);
            UNROLL for (int k = 0; k < N; k++) {
                V b = Vs::all(h[k]);
                IN_LOOP(b);
                UNROLL for (int r = 0; r < across; r++) sum[k][r] = Arithmetic<T>::add(b, x[r], sum[k][r]);
            }
        }
        use(sum);
    }

    // Calls use(k, sum) for each register block, k being its first centre.
    template <class Use> void each_block(const T *columns, const Use &use) const {
        const T *h = packed;
        for (int64_t k = 0; k < k_count; k += group, h += group * (1 + d))
            with_constant<group>(smaller(k_count - k, group), [&](auto n) {
                block<n.value>(d, h, columns, [&](auto &sum) { use(k, sum); });
            });
    }

    // Writes the number of the nearest centre of each of `block_rows` rows; of equally near ones the lowest.
    void labels(const T *columns, Int *out) const {
        V least[across];
        I label[across];
        UNROLL for (int r = 0; r < across; r++) least[r] = Vs::all(T(__builtin_inf())), label[r] = I{};
        each_block(columns, [&](int64_t first, auto &sum) {
            constexpr int N = sizeof(sum) / sizeof(sum[0]);
            UNROLL for (int k = 0; k < N; k++) UNROLL for (int r = 0; r < across; r++) {
                I nearer = sum[k][r] < least[r];
                least[r] = nearer ? sum[k][r] : least[r];
                label[r] = nearer ? I{} + Int(first + k) : label[r];
            }
        });
        UNROLL for (int r = 0; r < across; r++) *(I *)(out + r * size) = label[r];
    }
};

constexpr int lanes = 8;  // partial sums of a row

INLINE Vectors<double>::V doubles(const double *from) { return Vectors<double>::load_unaligned(from); }
INLINE Vectors<double>::V doubles(const float *from) {
    typedef float Half __attribute__((vector_size(VECTOR_BYTES / 2), aligned(4), may_alias));
    return __builtin_convertvector(*(const Half *)from, Vectors<double>::V);
}
INLINE double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }
INLINE Vectors<double>::V fused(double a, Vectors<double>::V b, Vectors<double>::V c) {
    return Vectors<double>::fused(Vectors<double>::all(a), b, c);
}

// Returns |x - c|^2 of a row; calls use(j, y) with x - c of column j, or of the columns of a vector from j on.
template <class T, class Use> INLINE double residuals(int64_t d, const T *row, const double *center, const Use &use) {
    typedef Vectors<double> D;
    constexpr int parts = lanes / D::size;
    D::V sum[parts];
    double lane[lanes] __attribute__((aligned(64)));
    int64_t j = 0;
    UNROLL for (int p = 0; p < parts; p++) sum[p] = D::V{};
    for (; j + lanes <= d; j += lanes) UNROLL for (int p = 0; p < parts; p++) {
        const int64_t at = j + p * D::size;
        D::V y = doubles(row + at) - D::load_unaligned(center + at);
        use(at, y);
        sum[p] = D::fused(y, y, sum[p]);
    }
    UNROLL for (int p = 0; p < parts; p++) D::store(lane + p * D::size, sum[p]);
    for (int l = 0; j < d; j++, l++) {
        double y = row[j] - center[j];
        use(j, y);
        lane[l] = fused(y, y, lane[l]);
    }
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

}  // namespace
