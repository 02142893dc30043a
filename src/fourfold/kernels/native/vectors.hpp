// Arithmetic on sixteen numbers at once, on top of `mad`: a product and a sum, in one rounding where there is FMA.

INLINE Floats all(float x) { return x - Floats{}; }
const Ints COUNTED = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
INLINE Floats to_floats(Ints v) { return __builtin_convertvector(v, Floats); }
INLINE Floats larger(Floats a, Floats b) { return a > b ? a : b; }
INLINE Floats smaller(Floats a, Floats b) { return a < b ? a : b; }
INLINE Floats magnitude(Floats v) { return (Floats)((Ints)v & 0x7fffffff); }

#define SWAPPED(v, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p) \
    __builtin_shufflevector(v, v, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
#define FOLD(v, with)                                                              \
    v = with(v, SWAPPED(v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)); \
    v = with(v, SWAPPED(v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)); \
    v = with(v, SWAPPED(v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)); \
    v = with(v, SWAPPED(v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
#define PLUS(a, b) ((a) + (b))

INLINE float total(Floats v) { FOLD(v, PLUS) return v[0]; }
INLINE int32_t total(Ints v) { FOLD(v, PLUS) return v[0]; }
INLINE float largest(Floats v) { FOLD(v, larger) return v[0]; }

INLINE Floats rounded(Floats v) {  // to the nearest whole number, halves to the even one; |v| < 2^22
    const Floats shift = all(12582912.0f);
    return (v + shift) - shift;
}

// e^v with a relative error below 2e-7: v = n ln 2 + r, a polynomial for e^r, n put into the exponent.
INLINE Floats exponential(Floats v) {
    v = smaller(larger(v, all(-87.0f)), all(88.0f));
    const Floats n = rounded(v * 1.44269504f);
    Floats r = mad(n, all(-0.693359375f), v);
    r = mad(n, all(2.12194440e-4f), r);
    Floats p = all(1.9875691500e-4f);
    p = mad(p, r, all(1.3981999507e-3f));
    p = mad(p, r, all(8.3334519073e-3f));
    p = mad(p, r, all(4.1665795894e-2f));
    p = mad(p, r, all(1.6666665459e-1f));
    p = mad(p, r, all(5.0000001201e-1f));
    p = mad(p, r * r, r) + 1.0f;
    const Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
    return p * (Floats)power;
}

INLINE Floats hyperbolic_tangent(Floats v) { return 1.0f - 2.0f / (exponential(v * 2.0f) + 1.0f); }
