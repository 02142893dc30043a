// Keys and values in pages, and attention of one query of one head to them.

template <int NUMBER> struct Stored;  // one way of keeping keys and values: 16 numbers from memory and into it
template <> struct Stored<0> {
    typedef float Number;
    static INLINE Floats read(const Number* at) { return load<Floats>(at); }
    static INLINE void write(Number* at, Floats v, float) { store(at, v); }
};
template <> struct Stored<1> {
    typedef uint16_t Number;
    static INLINE Floats read(const Number* at) {
        return (Floats)(__builtin_convertvector(load<Halves>(at), Ints) << 16);
    }
    static INLINE void write(Number* at, Floats v, float) {  // to the nearest, halves to even
        const Ints bits = (Ints)v, odd = (bits >> 16) & 1;
        store(at, __builtin_convertvector((bits + 0x7fff + odd) >> 16, Halves));
    }
};
template <> struct Stored<2> {
    typedef int8_t Number;
    static INLINE Floats read(const Number* at) {
        return to_floats(__builtin_convertvector(load<Bytes>(at), Ints));
    }
    static INLINE void write(Number* at, Floats v, float scale) {
        store(at, __builtin_convertvector(__builtin_convertvector(rounded(v / scale), Ints), Bytes));
    }
};

template <int NUMBER> INLINE void keep_vector(void* all, float* scales, int64_t place, const float* x, int size) {
    typename Stored<NUMBER>::Number* to = static_cast<typename Stored<NUMBER>::Number*>(all) + place * size;
    float scale = 1.0f;
    if (NUMBER == 2) {
        Floats most = {};
        for (int i = 0; i < size; i += LANES) most = larger(most, magnitude(load<Floats>(x + i)));
        scale = largest(most) / 127.0f;
        scales[place] = scale = scale > 1e-12f ? scale : 1e-12f;
    }
    for (int i = 0; i < size; i += LANES) Stored<NUMBER>::write(to + i, load<Floats>(x + i), scale);
}

INLINE void keep(const Step& step, bool value, int64_t place, const float* x, int size) {
    void* all = value ? step.values : step.keys;
    float* scales = value ? step.value_scales : step.key_scales;
    if (step.number == 0) keep_vector<0>(all, scales, place, x, size);
    else if (step.number == 1) keep_vector<1>(all, scales, place, x, size);
    else keep_vector<2>(all, scales, place, x, size);
}

// Where the vectors of one head lie in a layer's pages.
struct Head {
    const Step* step;
    int64_t layer, groups, group;
    INLINE int64_t place(int row, int position) const {
        const int page = step->tables[int64_t(row) * step->width + position / step->page];
        return ((layer * step->pages + page) * groups + group) * step->page + position % step->page;
    }
};

// A sum of lanes for each of 16 vectors, as one vector: folded in pairs, so in the same order for every vector.
INLINE Floats totals(Floats* v) {
    for (int i = 0; i < 8; ++i) {
        const Floats a = v[i], b = v[i + 8];
        v[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    }
    for (int i = 0; i < 4; ++i) {
        const Floats a = v[i], b = v[i + 4];
        v[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
               __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
    }
    for (int i = 0; i < 2; ++i) {
        const Floats a = v[i], b = v[i + 2];
        v[i] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
               __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
    const Floats a = v[0], b = v[1];
    return __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
           __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}

// softmax(scale * query K^T) V over positions [from, to]; `scores` has room for all positions and 16 more.
template <int NUMBER, int PARTS>
INLINE void attend(
    const Model& model, const Head& head, int row, int from, int to, const float* query, float* scores, float* mixed) {
    typedef typename Stored<NUMBER>::Number Number;
    const Step& step = *head.step;
    constexpr int SIZE = PARTS * LANES;
    const Number* keys = static_cast<const Number*>(step.keys);
    const Number* values = static_cast<const Number*>(step.values);
    Floats asked[PARTS];
    for (int i = 0; i < PARTS; ++i) asked[i] = load<Floats>(query + i * LANES) * model.scale;
    const int first = from / LANES * LANES;
    Floats most = all(-1e30f);
    for (int at = first; at <= to; at += LANES) {  // a page has 16 tokens
        const int64_t place = head.place(row, at);
        Floats sums[LANES];
        for (int key = 0; key < LANES; ++key) {
            const Number* k = keys + (place + key) * SIZE;
            Floats sum = asked[0] * Stored<NUMBER>::read(k);
            for (int i = 1; i < PARTS; ++i) sum = mad(asked[i], Stored<NUMBER>::read(k + i * LANES), sum);
            sums[key] = sum;
        }
        Floats found = totals(sums);
        if (NUMBER == 2) found *= load<Floats>(step.key_scales + place);
        if (model.softcap > 0) found = hyperbolic_tangent(found / model.softcap) * model.softcap;
        const Ints position = COUNTED + at;
        found = (position < from) | (position > to) ? all(-1e30f) : found;
        store(scores + at - first, found);
        most = larger(most, found);
    }
    const Floats top = all(largest(most));
    Floats sum = {}, outputs[PARTS];
    for (int i = 0; i < PARTS; ++i) outputs[i] = Floats{};
    for (int at = first; at <= to; at += LANES) {
        const int64_t place = head.place(row, at);
        const Ints position = COUNTED + at;
        Floats weight = exponential(load<Floats>(scores + at - first) - top);
        weight = (position < from) | (position > to) ? Floats{} : weight;
        sum += weight;
        if (NUMBER == 2) weight *= load<Floats>(step.value_scales + place);
        float weights[LANES];
        store(weights, weight);
        const int count = to - at < LANES ? to - at + 1 : LANES;  // what lies behind may be anything
        for (int key = at < from ? from - at : 0; key < count; ++key) {
            const Number* v = values + (place + key) * SIZE;
            const Floats share = all(weights[key]);
            for (int i = 0; i < PARTS; ++i) outputs[i] = mad(share, Stored<NUMBER>::read(v + i * LANES), outputs[i]);
        }
    }
    const float inverse = 1.0f / total(sum);
    for (int i = 0; i < PARTS; ++i) store(mixed + i * LANES, outputs[i] * inverse);
}

template <int NUMBER>
INLINE void attend_sized(
    const Model& model, const Head& head, int row, int from, int to, const float* query, float* scores, float* mixed) {
    switch (model.head_size / LANES) {
        case 1: return attend<NUMBER, 1>(model, head, row, from, to, query, scores, mixed);
        case 2: return attend<NUMBER, 2>(model, head, row, from, to, query, scores, mixed);
        case 4: return attend<NUMBER, 4>(model, head, row, from, to, query, scores, mixed);
        case 5: return attend<NUMBER, 5>(model, head, row, from, to, query, scores, mixed);
        case 6: return attend<NUMBER, 6>(model, head, row, from, to, query, scores, mixed);
        case 8: return attend<NUMBER, 8>(model, head, row, from, to, query, scores, mixed);
        default: return attend<NUMBER, 16>(model, head, row, from, to, query, scores, mixed);
    }
}
