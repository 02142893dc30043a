// AVX2 with FMA and half floats: sums of two 8-bit products in 16 bits, which codes and inputs never overflow.

union Both {  // a vector of 16 as two of 8
    Floats all;
    __m256 part[2];
};
INLINE Floats mad(Floats a, Floats b, Floats c) {
    const Both x{a}, y{b}, z{c};
    Both result;
    for (int i = 0; i < 2; ++i) result.part[i] = _mm256_fmadd_ps(x.part[i], y.part[i], z.part[i]);
    return result.all;
}
INLINE Floats widen_half(const uint16_t* from) {
    Both result;
    for (int i = 0; i < 2; ++i)
        result.part[i] = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 8 * i)));
    return result.all;
}

template <int KIND> struct Tile {
    const uint8_t* codes;
    __m256i table;

    INLINE Tile(const uint8_t* codes, const int8_t* levels) : codes(codes) {
        if (KIND == LEVELS4)
            table = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels)));
    }
    INLINE __m256i vector(int v, int part) const {
        const int at = KIND == SIGNED8 ? v : v % 4;
        __m256i found = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + 64 * at + 32 * part));
        if (KIND == SIGNED8) return found;
        if (v >= 4) found = _mm256_srli_epi16(found, 4);
        found = _mm256_and_si256(found, _mm256_set1_epi8(15));
        return KIND == LEVELS4 ? _mm256_shuffle_epi8(table, found) : found;
    }
    template <int FROM, int TO> INLINE Ints dot(const int8_t* inputs, int32_t) const {
        __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        const __m256i ones = _mm256_set1_epi16(1);
        for (int part = 0; part < 2; ++part) {
            for (int v = FROM; v < TO; ++v) {
                int32_t four;
                memcpy(&four, inputs + 4 * v, 4);
                __m256i code = vector(v, part), input = _mm256_set1_epi32(four);
                if (KIND != PLAIN4) {  // the first operand is unsigned: the sign of a code goes to its input
                    input = _mm256_sign_epi8(input, code);
                    code = _mm256_abs_epi8(code);
                }
                sums[part] = _mm256_add_epi32(sums[part], _mm256_madd_epi16(_mm256_maddubs_epi16(code, input), ones));
            }
        }
        Ints result;
        memcpy(&result, sums, sizeof result);
        return result;
    }
};
