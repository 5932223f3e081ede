// Vectors of floating-point numbers by the compiler's vector extensions (GCC and clang): one source for AVX-512, AVX2 and
// NEON. The build defines VECTOR_BYTES, the size of a register in bytes, and REGISTERS, their number.
//
// Results have the same bits for every width and compiler: each sum adds its terms in one order, and `fused` alone multiplies
// and adds with one rounding. (The build forbids the compiler to do so elsewhere.)
#pragma once
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define UNROLL _Pragma("GCC unroll 64")
#define INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#if defined(__clang__) && defined(__x86_64__)
#define IN_LOOP(vector) __asm__("" : "+v"(vector))  // clang would move all broadcasts out of the loop and spill them
#else
#define IN_LOOP(vector)
#endif

namespace {

template <int...> struct Numbers {};
template <int N, int... I> struct CountTo : CountTo<N - 1, N - 1, I...> {};
template <int... I> struct CountTo<0, I...> { typedef Numbers<I...> type; };

// Calls f with a number that is known when this is compiled: n, from 1 to MOST.
template <int N> struct Constant {
    static constexpr int value = N;
};
template <int MOST, class F> INLINE void with_constant(int64_t n, F &&f) {
    if (n == MOST) f(Constant<MOST>());
    else if constexpr (MOST > 1) with_constant<MOST - 1>(n, f);
}

constexpr bool many_registers = REGISTERS >= 32;  // then register blocks are larger

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

template <class T> struct Bits;
template <> struct Bits<double> {
    typedef int64_t Int;
    typedef uint64_t Unsigned;
    static constexpr int mantissa = 52;
    static constexpr Int bias = 1023, no_sign = 0x7fffffffffffffff;
    static constexpr Int root_half = 0x3fe6a09e667f3bcd;     // sqrt(1/2)
    static constexpr double to_integer = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
    static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    static constexpr double least_log = -600;  // see Softmax in dem/models/mixture/kernel.py
    static constexpr double least_normal = 2.2250738585072014e-308;
};
template <> struct Bits<float> {
    typedef int32_t Int;
    typedef uint32_t Unsigned;
    static constexpr int mantissa = 23;
    static constexpr Int bias = 127, no_sign = 0x7fffffff;
    static constexpr Int root_half = 0x3f3504f3;
    static constexpr float to_integer = 12582912.0f;
    static constexpr float ln2_high = 0.693145751953125f, ln2_low = 1.42860682030941723212e-6f;
    static constexpr float least_log = -60;
    static constexpr float least_normal = 1.17549435e-38f;
};

#if VECTOR_BYTES == 64
typedef __m512d DoubleRegister;
typedef __m512 FloatRegister;
INLINE __m512d fused_multiply_add(__m512d a, __m512d b, __m512d c) { return _mm512_fmadd_pd(a, b, c); }
INLINE __m512 fused_multiply_add(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
#elif VECTOR_BYTES == 32
typedef __m256d DoubleRegister;
typedef __m256 FloatRegister;
INLINE __m256d fused_multiply_add(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }
INLINE __m256 fused_multiply_add(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
#else
typedef float64x2_t DoubleRegister;
typedef float32x4_t FloatRegister;
INLINE float64x2_t fused_multiply_add(float64x2_t a, float64x2_t b, float64x2_t c) { return vfmaq_f64(c, a, b); }
INLINE float32x4_t fused_multiply_add(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmaq_f32(c, a, b); }
#endif

template <class T> struct Vectors {
    static constexpr int size = VECTOR_BYTES / sizeof(T);
    static constexpr int cache_line = 64 / sizeof(T);  // the numbers in 64 bytes: the widest vector
    typedef typename Bits<T>::Int Int;
    typedef typename Bits<T>::Unsigned Unsigned;
    typedef T V __attribute__((vector_size(VECTOR_BYTES), may_alias));
    typedef T Unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));
    typedef Int I __attribute__((vector_size(VECTOR_BYTES), may_alias));
    typedef Unsigned U __attribute__((vector_size(VECTOR_BYTES), may_alias));
    typedef double Doubles __attribute__((vector_size(VECTOR_BYTES), may_alias));

    static INLINE V all(T value) { return value - V{}; }
    static INLINE V load(const T *from) { return *(const V *)from; }
    static INLINE V load_unaligned(const T *from) { return *(const Unaligned *)from; }
    static INLINE void store(T *to, V v) { *(V *)to = v; }
    static INLINE void store_unaligned(T *to, V v) { *(Unaligned *)to = v; }
    static INLINE V fused(V a, V b, V c) {  // a b + c
        if constexpr (sizeof(T) == 8) return (V)fused_multiply_add((DoubleRegister)a, (DoubleRegister)b, (DoubleRegister)c);
        else return (V)fused_multiply_add((FloatRegister)a, (FloatRegister)b, (FloatRegister)c);
    }
    static INLINE V larger(V a, V b) { return a > b ? a : b; }  // b if either is NaN
    static INLINE V magnitude(V a) { return (V)((I)a & Bits<T>::no_sign); }

    // e^x for least_log <= x <= 0: 2^k times the series of e^r, |r| <= log(2) / 2
    static INLINE V exp(V x) {
        V k = fused(x, all(T(1.4426950408889634)), all(Bits<T>::to_integer));
        I exponent = (I)k;
        k -= Bits<T>::to_integer;
        V r = fused(k, all(-Bits<T>::ln2_high), x), series;
        r = fused(k, all(-Bits<T>::ln2_low), r);
        if constexpr (sizeof(T) == 4) {
            series = polynomial(r, 1 / 5040., 1 / 720., 1 / 120., 1 / 24., 1 / 6., 1 / 2.);
        } else {
            series = polynomial(r, 1 / 479001600., 1 / 39916800., 1 / 3628800., 1 / 362880., 1 / 40320., 1 / 5040., 1 / 720.,
                                1 / 120., 1 / 24., 1 / 6., 1 / 2.);
        }
        series = fused(series, r * r, r) + T(1);
        return (V)((I)series + (exponent << Bits<T>::mantissa));
    }

    // log(x) for normal x > 0: k log(2) + 2 atanh(s), s = (m - 1) / (m + 1), sqrt(1/2) <= m < sqrt(2). NaN of infinity and NaN.
    static INLINE V log(V x) {
        U biased;
        V m = mantissa_of(x, biased);
        return log_of_parts(m - T(1), biased) + (x - x);
    }

    // log(1 + x) for x >= 0, with few roundings where x is small, too. Infinity of infinity, NaN of NaN.
    static INLINE V log1p(V x) {
        V w = x + T(1), part = w - T(1), rest = (T(1) - (w - part)) + (x - part);  // 1 + x = w + rest, exactly
        U biased;
        V m = mantissa_of(w, biased);
        V power = (V)((2 * (Unsigned)Bits<T>::bias - biased) << Bits<T>::mantissa);  // 2^-k
        V f = fused(rest, w < T(1ll << 60) ? power : V{}, m - T(1));  // m 2^k + rest = (1 + f) 2^k
        V found = log_of_parts(f, biased);
        return x - x == V{} ? found : x;
    }

    // m of x = m 2^k, and k + bias.
    static INLINE V mantissa_of(V x, U &biased) {
        constexpr Unsigned one = (Unsigned)Bits<T>::bias << Bits<T>::mantissa;
        U bits = (U)x;
        biased = (bits - (Unsigned)Bits<T>::root_half + one) >> Bits<T>::mantissa;
        return (V)(bits - (biased << Bits<T>::mantissa) + one);
    }
    // k log(2) + log(1 + f).
    static INLINE V log_of_parts(V f, U biased) {
        V k = (V)(biased + (U)all(Bits<T>::to_integer)) - (Bits<T>::to_integer + T(Bits<T>::bias));
        V s = f / (f + T(2)), z = s * s, series;
        if constexpr (sizeof(T) == 4) {
            series = polynomial(z, 2 / 9., 2 / 7., 2 / 5., 2 / 3.);
        } else {
            series = polynomial(z, 2 / 21., 2 / 19., 2 / 17., 2 / 15., 2 / 13., 2 / 11., 2 / 9., 2 / 7., 2 / 5., 2 / 3.);
        }
        series = fused(k, all(Bits<T>::ln2_low), fused(s, z * series, s + s));
        return fused(k, all(Bits<T>::ln2_high), series);
    }

    // ((a x + b) x + c) ...
    template <class... C> static INLINE V polynomial(V x, double a, C... more) {
        V sum = all(T(a));
        ((sum = fused(sum, x, all(T(more)))), ...);
        return sum;
    }

    // Adds a vector to as many doubles.
    template <int... L> static INLINE void add_part(double *to, V v, Numbers<L...>) {
        ((Doubles *)to)[0] += __builtin_convertvector(__builtin_shufflevector(v, v, L...), Doubles);
        ((Doubles *)to)[1] += __builtin_convertvector(__builtin_shufflevector(v, v, (L + size / 2)...), Doubles);
    }
    static INLINE void add_to(double *to, V v) {
        if constexpr (sizeof(T) == 4) add_part(to, v, typename CountTo<size / 2>::type());
        else *(Doubles *)to += v;
    }

    // Transposes `size` vectors in place.
    template <int STEP, int... L> static INLINE void exchange(V &a, V &b, Numbers<L...>) {
        V low = __builtin_shufflevector(a, b, (L & STEP ? size + L - STEP : L)...);
        V high = __builtin_shufflevector(a, b, (L & STEP ? size + L : L + STEP)...);
        a = low;
        b = high;
    }
    template <int STEP = 1> static INLINE void transpose(V *v) {
        UNROLL for (int i = 0; i < size; i++)
            if (!(i & STEP)) exchange<STEP>(v[i], v[i + STEP], typename CountTo<size>::type());
        if constexpr (2 * STEP < size) transpose<2 * STEP>(v);
    }
};

}  // namespace
