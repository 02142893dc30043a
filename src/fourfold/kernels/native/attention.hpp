// Keys and values in pages, and attention of queries of one row to them.

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

struct Query {  // one head of one token: where it comes from, where its result goes, which positions it sees
    const float* asked;
    float* mixed;
    int from, to;
};
constexpr int QUERIES = 4;  // that read keys and values together; each has the same bits as alone

INLINE Floats seen(const Query& query, int at, Floats v, Floats other) {  // 16 positions from `at`
    const Ints position = COUNTED + at;
    return (position < query.from) | (position > query.to) ? other : v;
}

// scale * query K^T of M queries for the positions [from, to], 16 at a time, into `scores` (M, longest); the largest.
template <int NUMBER, int PARTS, int M>
INLINE void score(const Model& model, const Head& head, int row, int from, int to, const Query* queries, float* scores,
                  int64_t longest, Floats* most) {
    typedef typename Stored<NUMBER>::Number Number;
    const Step& step = *head.step;
    const Number* keys = static_cast<const Number*>(step.keys);
    Floats asked[M][PARTS];
    for (int m = 0; m < M; ++m) {
        most[m] = all(-1e30f);
        for (int i = 0; i < PARTS; ++i) asked[m][i] = load<Floats>(queries[m].asked + i * LANES) * model.scale;
    }
    for (int at = from; at <= to; at += LANES) {  // a page has 16 tokens
        const int64_t place = head.place(row, at);
        Floats sums[M][LANES];
        for (int key = 0; key < LANES; ++key) {
            const Number* k = keys + (place + key) * PARTS * LANES;
            Floats values[PARTS];
            for (int i = 0; i < PARTS; ++i) values[i] = Stored<NUMBER>::read(k + i * LANES);
            for (int m = 0; m < M; ++m) {
                Floats sum = asked[m][0] * values[0];
                for (int i = 1; i < PARTS; ++i) sum = mad(asked[m][i], values[i], sum);
                sums[m][key] = sum;
            }
        }
        for (int m = 0; m < M; ++m) {
            Floats found = totals(sums[m]);
            if (NUMBER == 2) found *= load<Floats>(step.key_scales + place);
            if (model.softcap > 0) found = hyperbolic_tangent(found / model.softcap) * model.softcap;
            found = seen(queries[m], at, found, all(-1e30f));
            store(scores + m * longest + at - from, found);
            most[m] = larger(most[m], found);
        }
    }
}

// softmax(scale * query K^T) V of M queries of one row, of heads that share keys and values.
template <int NUMBER, int PARTS, int M>
NOINLINE void attend(const Model& model, const Head& head, int row, const Query* queries, float* scores, int64_t longest) {
    typedef typename Stored<NUMBER>::Number Number;
    const Step& step = *head.step;
    const Number* values = static_cast<const Number*>(step.values);
    int from = queries[0].from, to = queries[0].to;
    for (int m = 1; m < M; ++m) from = least_of(from, queries[m].from), to = most_of(to, queries[m].to);
    from = from / LANES * LANES;
    Floats most[M], sum[M], outputs[M][PARTS];
    score<NUMBER, PARTS, M>(model, head, row, from, to, queries, scores, longest, most);
    for (int m = 0; m < M; ++m) {
        most[m] = all(largest(most[m])), sum[m] = Floats{};
        for (int i = 0; i < PARTS; ++i) outputs[m][i] = Floats{};
    }
    for (int at = from; at <= to; at += LANES) {
        const int64_t place = head.place(row, at);
        float weights[M][LANES];
        for (int m = 0; m < M; ++m) {
            Floats weight = seen(queries[m], at, exponential(load<Floats>(scores + m * longest + at - from) - most[m]), Floats{});
            sum[m] += weight;
            if (NUMBER == 2) weight *= load<Floats>(step.value_scales + place);
            store(weights[m], weight);
        }
        const int count = least_of(to - at + 1, LANES);  // what lies behind may be anything
        for (int key = 0; key < count; ++key) {
            const Number* v = values + (place + key) * PARTS * LANES;
            Floats value[PARTS];
            for (int i = 0; i < PARTS; ++i) value[i] = Stored<NUMBER>::read(v + i * LANES);
            for (int m = 0; m < M; ++m) {
                const Floats share = all(weights[m][key]);
                for (int i = 0; i < PARTS; ++i) outputs[m][i] = mad(share, value[i], outputs[m][i]);
            }
        }
    }
    for (int m = 0; m < M; ++m) {
        const float inverse = 1.0f / total(sum[m]);
        for (int i = 0; i < PARTS; ++i) store(queries[m].mixed + i * LANES, outputs[m][i] * inverse);
    }
}

// Any number of queries of one row; a call of four is filled up with the last one.
template <int NUMBER, int PARTS>
INLINE void attend_all(
    const Model& model, const Head& head, int row, const Query* queries, int count, float* scores, int64_t longest) {
    constexpr bool FEW = PARTS == 4 || PARTS == 8;  // sizes worth a kernel for four
    for (int at = 0; at < count;) {
        if (!FEW || count - at == 1) {
            attend<NUMBER, PARTS, 1>(model, head, row, queries + at++, scores, longest);
        } else {
            Query four[QUERIES];
            for (int m = 0; m < QUERIES; ++m) four[m] = queries[least_of(at + m, count - 1)];
            attend<NUMBER, PARTS, FEW ? QUERIES : 1>(model, head, row, four, scores, longest);
            at += QUERIES;
        }
    }
}

template <int NUMBER>
INLINE void attend_sized(
    const Model& model, const Head& head, int row, const Query* queries, int count, float* scores, int64_t longest) {
    switch (model.head_size / LANES) {
        case 1: return attend_all<NUMBER, 1>(model, head, row, queries, count, scores, longest);
        case 2: return attend_all<NUMBER, 2>(model, head, row, queries, count, scores, longest);
        case 4: return attend_all<NUMBER, 4>(model, head, row, queries, count, scores, longest);
        case 5: return attend_all<NUMBER, 5>(model, head, row, queries, count, scores, longest);
        case 6: return attend_all<NUMBER, 6>(model, head, row, queries, count, scores, longest);
        case 8: return attend_all<NUMBER, 8>(model, head, row, queries, count, scores, longest);
        default: return attend_all<NUMBER, 16>(model, head, row, queries, count, scores, longest);
    }
}
