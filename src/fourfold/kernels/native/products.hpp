// Products of packed weights with quantized inputs. An input's arithmetic is the same however many are at hand.

struct Inputs {  // (count, blocks * 32) inputs as bytes, value = scale * code
    int8_t* codes;
    float* scales;    // (count, blocks)
    float* sums;      // (count, blocks) of the inputs
    int32_t* halves;  // (count, blocks, 2) of codes, over 16
    int blocks;

    static size_t bytes(int64_t count, int columns) {
        const int64_t blocks = (columns + BLOCK - 1) / BLOCK;
        return size_t(count * blocks * (BLOCK + 4 + 4 + 8) + 64);
    }
    static Inputs in(void* room, int64_t count, int columns) {
        const int blocks = (columns + BLOCK - 1) / BLOCK;
        int8_t* codes = static_cast<int8_t*>(room);
        float* scales = reinterpret_cast<float*>(codes + count * blocks * BLOCK);
        float* sums = scales + count * blocks;
        return {codes, scales, sums, reinterpret_cast<int32_t*>(sums + count * blocks), blocks};
    }
    INLINE void set_block(int64_t index, Floats first, Floats second) const {
        const float most = largest(larger(magnitude(first), magnitude(second)));
        const float inverse = most > 0 ? 127.0f / most : 0.0f;
        const Ints a = __builtin_convertvector(rounded(first * inverse), Ints);
        const Ints b = __builtin_convertvector(rounded(second * inverse), Ints);
        store(codes + index * BLOCK, __builtin_convertvector(a, Bytes));
        store(codes + index * BLOCK + 16, __builtin_convertvector(b, Bytes));
        const int32_t left = total(a), right = total(b);
        halves[2 * index] = left, halves[2 * index + 1] = right;
        scales[index] = most / 127.0f;
        sums[index] = scales[index] * float(left + right);
    }
    INLINE void set(int64_t row, const float* x, int columns) const {
        for (int block = 0; block < blocks; ++block) {
            const int from = block * BLOCK;
            if (from + BLOCK <= columns) {
                set_block(row * blocks + block, load<Floats>(x + from), load<Floats>(x + from + 16));
            } else {
                float rest[BLOCK] = {};
                for (int i = from; i < columns; ++i) rest[i - from] = x[i];
                set_block(row * blocks + block, load<Floats>(rest), load<Floats>(rest + 16));
            }
        }
    }
};

constexpr int AHEAD = 4096;  // bytes
constexpr int STACK = 64;  // inputs that stay in the nearest caches while the weights pass
INLINE int least_of(int a, int b) { return a < b ? a : b; }
INLINE int most_of(int a, int b) { return a > b ? a : b; }

INLINE int kind_of(const Weight& w) { return w.bits == 8 ? SIGNED8 : w.levels ? LEVELS4 : PLAIN4; }
INLINE int blocks_of(const Weight& w) { return (w.columns + BLOCK - 1) / BLOCK; }
INLINE int groups_of(const Weight& w) { return (blocks_of(w) * BLOCK + w.group - 1) / w.group; }
INLINE int tiles_of(const Weight& w) { return (w.rows + LANES - 1) / LANES; }
INLINE const uint8_t* block_codes(const Weight& w, int64_t tile, int block) {
    return w.codes + (tile * blocks_of(w) + block) * (LANES * BLOCK * w.bits / 8);
}

// One tile times R inputs: sums over blocks of scale * (sum of codes) + least * (sum of inputs). `fresh`: the tile is
// read for the first time in a while.
template <int KIND, bool FINE, int R>
NOINLINE void tile_product(const Weight& w, int tile, const Inputs& x, int64_t first, bool fresh, Floats* sums) {
    const int blocks = x.blocks, groups = groups_of(w);
    const uint16_t* scales = w.scales + int64_t(tile) * groups * LANES;
    const uint16_t* leasts = w.leasts ? w.leasts + int64_t(tile) * groups * LANES : nullptr;
    const uint8_t* codes = block_codes(w, tile, 0);
    constexpr int SIZE = LANES * BLOCK / (KIND == SIGNED8 ? 1 : 2);
    const int wide = FINE ? 1 : w.group / BLOCK;
    int until = wide;  // blocks left in the group, counted: a division a block would cost more than the block
    Floats sum[R];
    EACH for (int r = 0; r < R; ++r) sum[r] = Floats{};
    for (int block = 0; block < blocks; ++block, codes += SIZE) {
        if (R == 1 || fresh) {  // from memory, which few inputs are bound by: ask for what comes
            for (int line = 0; line < SIZE; line += 64) __builtin_prefetch(codes + AHEAD + line);
            __builtin_prefetch(reinterpret_cast<const char*>(scales) + AHEAD / 4);
            if (leasts) __builtin_prefetch(reinterpret_cast<const char*>(leasts) + AHEAD / 4);
        }
        const Tile<KIND> values(codes, w.levels);
        const Floats scale = widen_half(scales);
        const Floats other = FINE ? widen_half(scales + LANES) : scale;
        const Floats least = leasts ? widen_half(leasts) : Floats{};
        const int64_t place = first * blocks + block, apart = int64_t(blocks) * BLOCK;
        const int8_t* inputs = x.codes + place * BLOCK;
        const float* input_scales = x.scales + place;
        const int32_t* halves = x.halves + 2 * place;
        int32_t input_sums[R];
        Ints found[R];
        if (FINE) {
            EACH for (int r = 0; r < R; ++r) input_sums[r] = halves[2 * blocks * r];
            values.template dots<0, 4, R>(inputs, apart, input_sums, found);
            EACH for (int r = 0; r < R; ++r) sum[r] = mad(scale * input_scales[blocks * r], to_floats(found[r]), sum[r]);
            EACH for (int r = 0; r < R; ++r) input_sums[r] = halves[2 * blocks * r + 1];
            values.template dots<4, 8, R>(inputs, apart, input_sums, found);
            EACH for (int r = 0; r < R; ++r) sum[r] = mad(other * input_scales[blocks * r], to_floats(found[r]), sum[r]);
        } else {
            EACH for (int r = 0; r < R; ++r)
                input_sums[r] = KIND == PLAIN4 ? 0 : halves[2 * blocks * r] + halves[2 * blocks * r + 1];
            values.template dots<0, 8, R>(inputs, apart, input_sums, found);
            EACH for (int r = 0; r < R; ++r) {
                sum[r] = mad(scale * input_scales[blocks * r], to_floats(found[r]), sum[r]);
                if (leasts) sum[r] = mad(least, all(x.sums[place + blocks * r]), sum[r]);
            }
        }
        if (--until == 0) {
            until = wide;
            scales += FINE ? 2 * LANES : LANES;
            if (leasts) leasts += LANES;
        }
    }
    EACH for (int r = 0; r < R; ++r) sums[r] = sum[r];
}

// Tiles [from, to) times inputs [begin, end); `put(input, tile, values)` takes the 16 outputs, bias added.
template <int KIND, bool FINE, class Put>
INLINE void tiles_product(const Weight& w, int from, int to, const Inputs& x, int64_t begin, int64_t end, const Put& put) {
    for (int64_t first = begin; first < end;) {
        const int count = end - first >= 8 ? 8 : end - first >= 4 ? 4 : 1;
        for (int tile = from; tile < to; ++tile) {
            Floats sums[8];
            if (count == 8) tile_product<KIND, FINE, 8>(w, tile, x, first, first == begin, sums);
            else if (count == 4) tile_product<KIND, FINE, 4>(w, tile, x, first, first == begin, sums);
            else tile_product<KIND, FINE, 1>(w, tile, x, first, first == begin, sums);
            Floats bias = {};
            if (w.bias)
                for (int i = 0; i < LANES && tile * LANES + i < w.rows; ++i) bias[i] = w.bias[tile * LANES + i];
            for (int r = 0; r < count; ++r) put(first + r, tile, w.bias ? sums[r] + bias : sums[r]);
        }
        first += count;
    }
}

template <class Put> INLINE void multiply(const Weight& w, int from, int to, const Inputs& x, int64_t begin, int64_t end, const Put& put) {
    const bool fine = w.group < BLOCK;
    switch (kind_of(w)) {
        case SIGNED8:
            return fine ? tiles_product<SIGNED8, true>(w, from, to, x, begin, end, put)
                        : tiles_product<SIGNED8, false>(w, from, to, x, begin, end, put);
        case LEVELS4: return tiles_product<LEVELS4, false>(w, from, to, x, begin, end, put);
        default: return tiles_product<PLAIN4, false>(w, from, to, x, begin, end, put);
    }
}

INLINE void put_lanes(float* y, int tile, int rows, Floats values) {
    if ((tile + 1) * LANES <= rows) return store(y + tile * LANES, values);
    for (int i = 0; tile * LANES + i < rows; ++i) y[tile * LANES + i] = values[i];
}

// (count, rows) y = x W^T + bias for (count, columns) x; `room` holds the quantized inputs.
void product(const Weight& w, const float* x, int64_t count, float* y, void* room, int threads) {
    const Inputs inputs = Inputs::in(room, count, w.columns);
    const int step = count == 1 ? 16 : 4, parts = (tiles_of(w) + step - 1) / step;
    const int stacks = int((count + STACK - 1) / STACK);
    run_team(threads, [&](Team& team, int) {
        team.share(int(count), [&](int row) { inputs.set(row, x + int64_t(row) * w.columns, w.columns); });
        team.share(parts * stacks, [&](int unit) {
            const int from = unit % parts * step, to = least_of(from + step, tiles_of(w));
            const int64_t begin = int64_t(unit / parts) * STACK, end = begin + STACK < count ? begin + STACK : count;
            multiply(w, from, to, inputs, begin, end, [&](int64_t row, int tile, Floats values) {
                put_lanes(y + row * w.rows, tile, w.rows, values);
            });
        });
    });
}

// (count, columns) y: the rows of a table with these numbers; false where one is not in it.
bool look_up(const Weight& w, const int64_t* ids, int64_t count, float* y) {
    for (int64_t n = 0; n < count; ++n, y += w.columns) {
        if (ids[n] < 0 || ids[n] >= w.rows) return false;
        const int64_t tile = ids[n] / LANES, lane = ids[n] % LANES, from = tile * groups_of(w) * LANES;
        float scale = 0, least = 0;
        for (int column = 0; column < w.columns; ++column) {
            if (column % w.group == 0) {
                const int64_t group = from + column / w.group * LANES;
                scale = widen_half(w.scales + group)[lane];
                least = w.leasts ? widen_half(w.leasts + group)[lane] : 0;
            }
            const int i = column % BLOCK;
            const uint8_t* codes = block_codes(w, tile, column / BLOCK) + lane * 4 + i % 4;
            const uint8_t byte = codes[(w.bits == 8 ? i : i % 16) / 4 * 64];
            const int half = i < 16 ? byte & 15 : byte >> 4;
            y[column] = scale * float(w.bits == 8 ? int8_t(byte) : w.levels ? w.levels[half] : half) + least;
        }
    }
    return true;
}

// The integer part alone: (blocks, 2, 16) sums over halves of blocks, of one tile and given bytes.
void integers(const Weight& w, int tile, const int8_t* inputs, int32_t* sums) {
    for (int block = 0; block < blocks_of(w); ++block, inputs += BLOCK, sums += 2 * LANES) {
        int32_t half[2] = {};
        for (int i = 0; i < BLOCK; ++i) half[i / 16] += inputs[i];
        const uint8_t* codes = block_codes(w, tile, block);
        const auto write = [&](auto values) {
            Ints found[2];
            values.template dots<0, 4, 1>(inputs, 0, half, found);
            values.template dots<4, 8, 1>(inputs, 0, half + 1, found + 1);
            store(sums, found[0]);
            store(sums + LANES, found[1]);
        };
        if (kind_of(w) == SIGNED8) write(Tile<SIGNED8>(codes, nullptr));
        else if (kind_of(w) == LEVELS4) write(Tile<LEVELS4>(codes, w.levels));
        else write(Tile<PLAIN4>(codes, nullptr));
    }
}
