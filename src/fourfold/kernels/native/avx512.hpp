// AVX-512 with VNNI: 64 products of unsigned codes and signed inputs an instruction.

INLINE Floats mad(Floats a, Floats b, Floats c) { return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE Floats widen_half(const uint16_t* from) {
    return (Floats)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

// The codes of a tile's block, unpacked once for all inputs. Signed ones are kept 128 too large.
template <int KIND> struct Tile {
    __m512i vector[8];

    INLINE Tile(const uint8_t* codes, const int8_t* levels) {
        if (KIND == SIGNED8) {
            for (int v = 0; v < 8; ++v)
                vector[v] = _mm512_xor_si512(_mm512_loadu_si512(codes + 64 * v), _mm512_set1_epi8(-128));
            return;
        }
        const __m512i low = _mm512_set1_epi8(15);
        for (int v = 0; v < 4; ++v) {
            const __m512i both = _mm512_loadu_si512(codes + 64 * v);
            vector[v] = _mm512_and_si512(both, low);
            vector[4 + v] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        }
        if (KIND == LEVELS4) {
            const __m128i row = _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels));
            const __m512i table = _mm512_xor_si512(_mm512_broadcast_i32x4(row), _mm512_set1_epi8(-128));
            for (int v = 0; v < 8; ++v) vector[v] = _mm512_shuffle_epi8(table, vector[v]);
        }
    }
    // Sums over vectors FROM to TO of code * input; `sum` is that of the inputs.
    template <int FROM, int TO> INLINE Ints dot(const int8_t* inputs, int32_t sum) const {
        __m512i result = KIND == PLAIN4 ? _mm512_setzero_si512() : _mm512_set1_epi32(-128 * sum);
        for (int v = FROM; v < TO; ++v) {
            int32_t four;
            memcpy(&four, inputs + 4 * v, 4);
            result = _mm512_dpbusd_epi32(result, vector[v], _mm512_set1_epi32(four));
        }
        return (Ints)result;
    }
    template <int FROM, int TO, int R> INLINE void dots(const int8_t* inputs, int64_t apart, const int32_t* sums, Ints* found) const {
        EACH for (int r = 0; r < R; ++r) found[r] = dot<FROM, TO>(inputs + r * apart, sums[r]);
    }
};
