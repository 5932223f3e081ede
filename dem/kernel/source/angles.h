// Cosines and sines of angles of any size.
#pragma once
#include "vectors.h"

namespace {

template <class T> struct Turn;  // pi / 2 in two parts; polynomials for angles up to pi / 4
template <> struct Turn<double> {
    static constexpr double quarter = 1.5707963267948966, rest = 6.123233995736766e-17, huge = 1099511627776.0;
};
template <> struct Turn<float> {
    static constexpr float quarter = 1.5707964f, rest = -4.371139e-08f, huge = 32768.0f;
};

// 1 / (2 pi) in binary: the digits after the point, behind 64 zeros.
constexpr uint64_t turns[] = {
    0,
    0x28be60db9391054a, 0x7f09d5f47d4d3770, 0x36d8a5664f10e410, 0x7f9458eaf7aef158, 0x6dc91b8e909374b8,
    0x01924bba82746487, 0x3f877ac72c4a69cf, 0xba208d7d4baed121, 0x3a671c09ad17df90, 0x4e64758e60d4ce7d,
    0x272117e2ef7e4a0e, 0xc7fe25fff7816603, 0xfbcbc462d6829b47, 0xdb4d9fb3c9f2c26d, 0xd3d18fd9a797fa8b,
    0x5d49eeb1faf97c5e, 0xcf41ce7de294a4ba, 0x9afed7ec47e35742, 0x1580cc11bf1edaea};

// The angle within a half turn that differs from a huge one by whole turns (Payne and Hanek 1983). NaN of infinity.
inline double within_half_turn(double x) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    const int exponent = bits >> 52 & 0x7ff;
    if (exponent == 0x7ff) return x - x;
    // |x| is m 2^e; the digits of 2^e / (2 pi) before the point and m times those are whole turns.
    const uint64_t m = (bits & 0xfffffffffffff) | 0x10000000000000;
    const int from = exponent - 1075 + 64, word = from / 64, shift = from % 64;
    uint64_t digits[3];
    for (int i = 0; i < 3; i++)
        digits[i] = turns[word + i] << shift | (shift ? turns[word + i + 1] >> (64 - shift) : 0);
    typedef unsigned __int128 Product;
    const Product low = (Product)m * digits[2], middle = (Product)m * digits[1] + (uint64_t)(low >> 64);
    const uint64_t turn = m * digits[0] + (uint64_t)(middle >> 64);
    const double angle = (double)(int64_t)turn * (4 * Turn<double>::quarter / 18446744073709551616.0);
    return x < 0 ? -angle : angle;
}

template <class T> struct Angles {
    typedef Vectors<T> Vs;
    typedef typename Vs::V V;
    typedef typename Vs::I I;
    typedef typename Vs::U U;

    // Whether there are angles that are too large for `cosine_and_sine`.
    static INLINE bool any_huge(int n, const T *x) {
        V most = {};
        for (int i = 0; i < n; i += Vs::size) most = Vs::larger(Vs::magnitude(Vs::load(x + i)), most);
        T largest = 0;
        for (int l = 0; l < Vs::size; l++) largest = most[l] > largest ? most[l] : largest;
        return largest >= Turn<T>::huge;
    }
    // Writes the angles with smaller ones instead of those that are too large.
    static NOINLINE void reduce(int n, const T *x, T *out) {
        for (int i = 0; i < n; i++)
            out[i] = x[i] >= Turn<T>::huge || x[i] <= -Turn<T>::huge ? (T)within_half_turn(x[i]) : x[i];
    }

    // Of angles below `huge`: x = k pi / 2 + r, |r| <= pi / 4, and polynomials in r.
    static INLINE void cosine_and_sine(V x, V &cosine, V &sine) {
        const V k_bits = Vs::fused(x, Vs::all(T(0.6366197723675814)), Vs::all(Bits<T>::to_integer));
        const V k = k_bits - Bits<T>::to_integer;
        V r = Vs::fused(k, Vs::all(-Turn<T>::quarter), x);
        r = Vs::fused(k, Vs::all(-Turn<T>::rest), r);
        const V z = r * r;
        V s, c;
        if constexpr (sizeof(T) == 4) {
            s = Vs::polynomial(z, -1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1);
            c = Vs::polynomial(z, 2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2);
        } else {
            s = Vs::polynomial(z, 1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
                               -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01);
            c = Vs::polynomial(z, -1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
                               2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02);
        }
        s = Vs::fused(z * r, s, r);
        c = Vs::fused(z * z, c, Vs::fused(z, Vs::all(T(-0.5)), Vs::all(T(1))));
        const U quarter = (U)k_bits;
        const I even = (I)(quarter & 1) == 0;
        constexpr int to_sign = 8 * sizeof(T) - 2;
        const V one = even ? c : s, other = even ? s : c;
        cosine = (V)((U)one ^ (((quarter + 1) & 2) << to_sign));
        sine = (V)((U)other ^ ((quarter & 2) << to_sign));
    }
};

}  // namespace
