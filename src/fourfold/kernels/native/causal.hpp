// Causal attention for training, in bf16: every product is of two bf16 numbers at once, summed in fp32.
// A unit of work is one row and one head of keys. Nothing is kept between forward and backward but what came in.
//
// Letters: T tokens, padded to a multiple of 32; P head size, a multiple of 32; E keys up to the end of a block.

typedef uint16_t Number;  // the bits of a bf16
constexpr int QUERIES = 32;  // of a block

INLINE __m512bh numbers(const void* from) { return (__m512bh)_mm512_loadu_si512(from); }
INLINE __m256i narrowed(__m512 v) { return (__m256i)_mm512_cvtneps_pbh(v); }
INLINE Floats exp_below(Floats v, float most) { return exponential(v - most); }

// 8 rows and 32 columns of A B, on top of C where ADD: A row by row; B with each pair of its rows side by side.
template <bool ADD>
static void tile(const Number* a, int wide_a, const Number* b, int wide_b, float* c, int wide_c, int depth) {
    __m512 sums[8][2];
    for (int r = 0; r < 8; ++r)
        for (int v = 0; v < 2; ++v) sums[r][v] = ADD ? _mm512_loadu_ps(c + r * wide_c + 16 * v) : _mm512_setzero_ps();
    for (int k = 0; k < depth; k += 2, b += 2 * wide_b) {
        const __m512bh left = numbers(b), right = numbers(b + 32);
        for (int r = 0; r < 8; ++r) {
            int32_t two;
            memcpy(&two, a + r * wide_a + k, 4);
            const __m512bh pair = (__m512bh)_mm512_set1_epi32(two);
            sums[r][0] = _mm512_dpbf16_ps(sums[r][0], pair, left);
            sums[r][1] = _mm512_dpbf16_ps(sums[r][1], pair, right);
        }
    }
    for (int r = 0; r < 8; ++r)
        for (int v = 0; v < 2; ++v) _mm512_storeu_ps(c + r * wide_c + 16 * v, sums[r][v]);
}

// C (rows, columns) = A (rows, depth) B (depth, columns), on top of C where ADD.
template <bool ADD>
static void multiply(const Number* a, int wide_a, const Number* b, int wide_b, float* c, int wide_c, int rows,
                     int columns, int depth) {
    for (int j = 0; j < columns; j += 32)
        for (int r = 0; r < rows; r += 8)
            tile<ADD>(a + int64_t(r) * wide_a, wide_a, b + 2 * j, wide_b, c + int64_t(r) * wide_c + j, wide_c, depth);
}

// 16 rows of 16 numbers of 32 bits become columns.
INLINE void turn(__m512i (&v)[16]) {
    __m512i w[16];
    for (int i = 0; i < 16; i += 2) {
        w[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        w[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int h = 0; h < 2; ++h) {
            v[i + 2 * h] = _mm512_unpacklo_epi64(w[i + h], w[i + h + 2]);
            v[i + 2 * h + 1] = _mm512_unpackhi_epi64(w[i + h], w[i + h + 2]);
        }
    for (int half = 0; half < 16; half += 8)
        for (int i = half; i < half + 4; ++i) {
            w[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
            w[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
        }
    for (int i = 0; i < 8; ++i) {
        v[i] = _mm512_shuffle_i32x4(w[i], w[i + 8], 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(w[i], w[i + 8], 0xdd);
    }
}

// (rows, columns) of 32 bits to (columns, rows); both are multiples of 16.
static void transpose(const int32_t* from, int64_t wide_from, int32_t* to, int64_t wide_to, int rows, int columns) {
    __m512i v[16];
    for (int r = 0; r < rows; r += 16)
        for (int c = 0; c < columns; c += 16) {
            for (int i = 0; i < 16; ++i) v[i] = _mm512_loadu_si512(from + (r + i) * wide_from + c);
            turn(v);
            for (int i = 0; i < 16; ++i) _mm512_storeu_si512(to + (c + i) * wide_to + r, v[i]);
        }
}

INLINE __m512i side_by_side(__m256i first, __m256i second) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(first), _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
}

// (rows, P) with each pair of rows side by side: (rows / 2, P) pairs.
static void interleave(const Number* from, Number* to, int rows, int size) {
    for (int r = 0; r < rows; r += 2)
        for (int p = 0; p < size; p += 16) {
            const Number* at = from + int64_t(r) * size + p;
            const __m256i first = _mm256_loadu_si256((const __m256i*)at);
            const __m256i second = _mm256_loadu_si256((const __m256i*)(at + size));
            _mm512_storeu_si512(to + int64_t(r) * size + 2 * p, side_by_side(first, second));
        }
}

// Tokens `start` on of a head, densely, and zeros after the last.
static void fetch(const Heads& heads, int row, int head, int start, int rows, int length, int size, Number* to) {
    const Number* from = heads.at + row * heads.row + head * heads.head;
    const int there = length - start < rows ? length - start : rows;
    for (int t = 0; t < there; ++t) memcpy(to + int64_t(t) * size, from + (start + t) * heads.token, 2 * size);
    memset(to + int64_t(there) * size, 0, 2 * int64_t(rows - there) * size);
}

static void put(const Heads& heads, int row, int head, int start, int rows, int length, int size, const float* from) {
    Number* to = heads.at + row * heads.row + head * heads.head;
    for (int t = 0; t < rows && start + t < length; ++t)
        for (int p = 0; p < size; p += 16)
            _mm256_storeu_si256((__m256i*)(to + (start + t) * heads.token + p),
                                narrowed(_mm512_loadu_ps(from + int64_t(t) * size + p)));
}

// Softmax of the first `seen` scores, in place; zeros after them.
static void softmax(float* scores, int seen, int columns) {
    const int whole = seen & ~15;
    const __mmask16 rest = __mmask16((1u << (seen & 15)) - 1);
    const __m512 least = _mm512_set1_ps(-3e38f);
    __m512 most = rest ? _mm512_mask_loadu_ps(least, rest, scores + whole) : least;
    for (int i = 0; i < whole; i += 16) most = _mm512_max_ps(most, _mm512_loadu_ps(scores + i));
    const float top = _mm512_reduce_max_ps(most);
    Floats sum = {};
    for (int i = 0; i < whole; i += 16) {
        const Floats e = exp_below(load<Floats>(scores + i), top);
        store(scores + i, e);
        sum += e;
    }
    if (rest) {
        const __m512 e = _mm512_maskz_mov_ps(rest, (__m512)exp_below(load<Floats>(scores + whole), top));
        _mm512_storeu_ps(scores + whole, e);
        sum += (Floats)e;
    }
    const float part = 1.0f / total(sum);
    const int end = whole + (rest ? 16 : 0);
    for (int i = 0; i < end; i += 16) store(scores + i, load<Floats>(scores + i) * part);
    memset(scores + end, 0, 4 * (columns - end));
}

struct Room {  // of one thread
    std::vector<float> floats;
    std::vector<Number> halves;
    float *scores, *errors, *out, *to_key, *to_value;
    Number *query, *given, *turned_query, *turned_given, *paired, *wide, *weights, *scored;
    Number *keys_turned, *values, *keys_paired, *fetched;

    Room(int padded, int size) {
        const int64_t square = int64_t(QUERIES) * padded, block = int64_t(QUERIES) * size, all = int64_t(padded) * size;
        floats.resize(2 * square + block + 2 * all);
        halves.resize(3 * square + 5 * block + 4 * all);
        float* f = floats.data();
        scores = f, errors = scores + square, out = errors + square, to_key = out + block, to_value = to_key + all;
        Number* h = halves.data();
        wide = h, weights = wide + square, scored = weights + square, query = scored + square, given = query + block;
        turned_query = given + block, turned_given = turned_query + block, paired = turned_given + block;
        keys_turned = paired + block, values = keys_turned + all, keys_paired = values + all, fetched = keys_paired + all;
    }
};

// Keys or values as a product with each query needs them: (P / 2, T) pairs.
static void turned(const Attention& call, const Heads& heads, int row, int group, int padded, Number* room, Number* to) {
    fetch(heads, row, group, 0, padded, call.length, call.size, room);
    transpose((const int32_t*)room, call.size / 2, (int32_t*)to, padded, padded, call.size / 2);
}

// (rows, P) to (P, rows), rows of bf16.
static void turn_block(const Number* from, Number* paired, Number* to, int size) {
    interleave(from, paired, QUERIES, size);
    transpose((const int32_t*)paired, size, (int32_t*)to, QUERIES / 2, QUERIES / 2, size);
}

static void attend(const Attention& call, int row, int group, int padded, Room& room) {
    turned(call, call.key, row, group, padded, room.fetched, room.keys_turned);
    fetch(call.value, row, group, 0, padded, call.length, call.size, room.fetched);
    interleave(room.fetched, room.values, padded, call.size);
    for (int head = group * call.shared; head < (group + 1) * call.shared; ++head)
        for (int start = 0; start < call.length; start += QUERIES) {
            const int end = start + QUERIES;
            fetch(call.query, row, head, start, QUERIES, call.length, call.size, room.query);
            multiply<false>(room.query, call.size, room.keys_turned, padded, room.scores, padded, QUERIES, end, call.size);
            for (int r = 0; r < QUERIES; ++r) {
                float* scores = room.scores + int64_t(r) * padded;
                softmax(scores, start + r + 1, end);
                for (int i = 0; i < end; i += 16)
                    _mm256_storeu_si256((__m256i*)(room.wide + int64_t(r) * padded + i), narrowed(_mm512_loadu_ps(scores + i)));
            }
            multiply<false>(room.wide, padded, room.values, call.size, room.out, call.size, QUERIES, call.size, end);
            put(call.mixed, row, head, start, QUERIES, call.length, call.size, room.out);
        }
}

// Gradients of a pair of rows of scores from the weights and the gradients of weights, written as they are needed.
static void score_gradients(Room& room, int r, int padded, int end) {
    const int64_t at = int64_t(r) * padded;
    float along[2];
    for (int i = 0; i < 2; ++i) {
        Floats sum = {};
        for (int k = 0; k < end; k += 16)
            sum = mad(load<Floats>(room.scores + at + i * padded + k), load<Floats>(room.errors + at + i * padded + k), sum);
        along[i] = total(sum);
    }
    for (int k = 0; k < end; k += 16) {
        __m256i weight[2], error[2];
        for (int i = 0; i < 2; ++i) {
            const Floats w = load<Floats>(room.scores + at + i * padded + k);
            const Floats e = w * (load<Floats>(room.errors + at + i * padded + k) - along[i]);
            weight[i] = narrowed((__m512)w), error[i] = narrowed((__m512)e);
            _mm256_storeu_si256((__m256i*)(room.wide + at + i * padded + k), error[i]);
        }
        _mm512_storeu_si512(room.weights + at + 2 * k, side_by_side(weight[0], weight[1]));
        _mm512_storeu_si512(room.scored + at + 2 * k, side_by_side(error[0], error[1]));
    }
}

static void attend_backward(const Attention& call, int row, int group, int padded, Room& room) {
    const int size = call.size;
    turned(call, call.value, row, group, padded, room.fetched, room.values);
    turned(call, call.key, row, group, padded, room.fetched, room.keys_turned);
    interleave(room.fetched, room.keys_paired, padded, size);
    memset(room.to_key, 0, 4 * int64_t(padded) * size);
    memset(room.to_value, 0, 4 * int64_t(padded) * size);
    for (int head = group * call.shared; head < (group + 1) * call.shared; ++head)
        for (int start = 0; start < call.length; start += QUERIES) {
            const int end = start + QUERIES;
            fetch(call.query, row, head, start, QUERIES, call.length, size, room.query);
            fetch(call.to_mixed, row, head, start, QUERIES, call.length, size, room.given);
            multiply<false>(room.query, size, room.keys_turned, padded, room.scores, padded, QUERIES, end, size);
            multiply<false>(room.given, size, room.values, padded, room.errors, padded, QUERIES, end, size);
            for (int r = 0; r < QUERIES; r += 2) {
                for (int i = 0; i < 2; ++i) softmax(room.scores + int64_t(r + i) * padded, start + r + i + 1, end);
                score_gradients(room, r, padded, end);
            }
            multiply<false>(room.wide, padded, room.keys_paired, size, room.out, size, QUERIES, size, end);
            put(call.to_query, row, head, start, QUERIES, call.length, size, room.out);
            turn_block(room.query, room.paired, room.turned_query, size);
            turn_block(room.given, room.paired, room.turned_given, size);
            multiply<true>(room.turned_given, QUERIES, room.weights, padded, room.to_value, padded, size, end, QUERIES);
            multiply<true>(room.turned_query, QUERIES, room.scored, padded, room.to_key, padded, size, end, QUERIES);
        }
    float* across = room.floats.data();  // scores and their gradients are done with: (T, P) has room there
    for (int start = 0; start < call.length; start += QUERIES) {
        transpose((const int32_t*)room.to_key + start, padded, (int32_t*)across, size, size, QUERIES);
        put(call.to_key, row, group, start, QUERIES, call.length, size, across);
        transpose((const int32_t*)room.to_value + start, padded, (int32_t*)across, size, size, QUERIES);
        put(call.to_value, row, group, start, QUERIES, call.length, size, across);
    }
}

void causal_attention(const Attention& call, bool backward, int threads) {
    const int padded = (call.length + 31) / 32 * 32;
    run_team(threads, [&](Team& team, int) {
        Room room(padded, call.size);
        team.share(call.rows * call.groups, [&](int unit) {
            (backward ? attend_backward : attend)(call, unit / call.groups, unit % call.groups, padded, room);
        });
    }, true);
}
