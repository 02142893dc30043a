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
    // Sums over vectors FROM to TO of code * input for R inputs; a vector of codes is unpacked once for four of them.
    template <int FROM, int TO, int R> INLINE void dots(const int8_t* inputs, int64_t apart, const int32_t*, Ints* found) const {
        constexpr int TOGETHER = R < 4 ? R : 4;
        for (int r = 0; r < R; r += TOGETHER) few<FROM, TO, TOGETHER>(inputs + r * apart, apart, found + r);
    }
    template <int FROM, int TO, int R> INLINE void few(const int8_t* inputs, int64_t apart, Ints* found) const {
        const __m256i ones = _mm256_set1_epi16(1);
        __m256i low[R], high[R];  // of the tile's 16 rows
        EACH for (int r = 0; r < R; ++r) low[r] = high[r] = _mm256_setzero_si256();
        EACH for (int v = FROM; v < TO; ++v) {
            const __m256i first = vector(v, 0), second = vector(v, 1);
            EACH for (int r = 0; r < R; ++r) {
                const __m256i input = four_of(inputs + r * apart + 4 * v);
                if (KIND == PLAIN4) {  // eight times two products of 15 and 127 stay below 2^15
                    low[r] = _mm256_add_epi16(low[r], _mm256_maddubs_epi16(first, input));
                    high[r] = _mm256_add_epi16(high[r], _mm256_maddubs_epi16(second, input));
                } else {
                    low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(of_signed(first, input), ones));
                    high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(of_signed(second, input), ones));
                }
                asm("" : "+x"(low[r]), "+x"(high[r]));  // or all products come first, kept in memory, and then the sums
            }
        }
        EACH for (int r = 0; r < R; ++r) {
            __m256i sums[2] = {low[r], high[r]};
            if (KIND == PLAIN4)
                for (__m256i& sum : sums) sum = _mm256_madd_epi16(sum, ones);
            memcpy(found + r, sums, sizeof sums);
        }
    }
    // Four bytes in every place. As a float: compilers load and spread it at once.
    static INLINE __m256i four_of(const int8_t* from) {
        return _mm256_castps_si256(_mm256_broadcast_ss(reinterpret_cast<const float*>(from)));
    }
    // The first factor has to be unsigned: the sign of a code goes to its input.
    static INLINE __m256i of_signed(__m256i code, __m256i input) {
        return _mm256_maddubs_epi16(_mm256_abs_epi8(code), _mm256_sign_epi8(input, code));
    }
};
