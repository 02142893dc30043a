// Any processor the compiler knows (NEON on ARM): plain loops, which it turns into its vectors.

INLINE Floats mad(Floats a, Floats b, Floats c) { return a * b + c; }
INLINE Floats widen_half(const uint16_t* from) {
    const Ints half = __builtin_convertvector(load<Halves>(from), Ints);
    // The exponent is five bits around 15 where fp32 has eight around 127: one product moves it, for small ones too.
    const Floats size = (Floats)((half & 0x7fff) << 13) * 0x1p112f;
    const Ints special = (half & 0x7c00) == 0x7c00;  // infinite or not a number
    return (Floats)(((Ints)size | (special & 0x7f800000)) | (half & 0x8000) << 16);
}

template <int KIND> struct Tile {
    const uint8_t* codes;
    const int8_t* levels;

    INLINE Tile(const uint8_t* codes, const int8_t* levels) : codes(codes), levels(levels) {}
    INLINE int32_t code(int v, int at) const {
        if (KIND == SIGNED8) return static_cast<int8_t>(codes[64 * v + at]);
        const int found = v < 4 ? codes[64 * v + at] & 15 : codes[64 * (v - 4) + at] >> 4;
        return KIND == LEVELS4 ? levels[found] : found;
    }
    template <int FROM, int TO> INLINE Ints dot(const int8_t* inputs, int32_t) const {
        int32_t sums[LANES] = {};
        for (int v = FROM; v < TO; ++v)
            for (int lane = 0; lane < LANES; ++lane)
                for (int i = 0; i < 4; ++i) sums[lane] += code(v, 4 * lane + i) * inputs[4 * v + i];
        return load<Ints>(sums);
    }
    template <int FROM, int TO, int R> INLINE void dots(const int8_t* inputs, int64_t apart, const int32_t* sums, Ints* found) const {
        EACH for (int r = 0; r < R; ++r) found[r] = dot<FROM, TO>(inputs + r * apart, sums[r]);
    }
};
