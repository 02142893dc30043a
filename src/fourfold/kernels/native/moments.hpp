// A step of AdamW whose moments are bytes, block by block: read, moved, and written again as the nearest code values.
// A number's bits depend on its block alone, so on neither the order of blocks nor the number of threads.

constexpr int NUMBERS = 256;  // of a block, which share a scale

INLINE void unpack_moment(const Moment& moment, int64_t block, int count, float* values) {
    const uint8_t* codes = moment.codes + block * NUMBERS;
    const float scale = moment.scales[block];
    for (int i = 0; i < count; ++i) values[i] = moment.code[codes[i]] * scale;
}

INLINE void pack_moment(const Moment& moment, int64_t block, int count, float* values) {
    uint8_t* codes = moment.codes + block * NUMBERS;
    Floats most = {};
    for (int i = 0; i < NUMBERS; i += LANES) most = larger(most, larger(load<Floats>(values + i), -load<Floats>(values + i)));
    const float scale = largest(most);
    moment.scales[block] = scale;
    const float by = scale > 1e-30f ? scale : 1e-30f;
    for (int i = 0; i < count; ++i) values[i] /= by;
    for (int i = 0; i < count; ++i) {
        uint32_t bits;
        memcpy(&bits, values + i, 4);
        const int least = moment.starts[bits >> 16];  // code of the smallest number with these upper bits: at most one too low
        codes[i] = uint8_t(least + (moment.middles[least] < values[i]));
    }
}

static void step_block(const ByteStep& step, int64_t block) {
    const int64_t from = block * NUMBERS;
    const int count = step.count - from < NUMBERS ? int(step.count - from) : NUMBERS;
    float first[NUMBERS] = {}, second[NUMBERS] = {};
    unpack_moment(step.first, block, count, first);
    unpack_moment(step.second, block, count, second);
    float* weight = step.weight + from;
    const float* gradient = step.gradient + from;
    for (int i = 0; i < count; ++i) {
        const float g = gradient[i];
        first[i] += step.take_first * (g - first[i]);
        second[i] = second[i] * step.keep_second + step.take_second * g * g;
        const float size = std::sqrt(second[i] / step.correction) + step.epsilon;
        weight[i] = weight[i] * step.decay - step.rate * first[i] / size;
    }
    pack_moment(step.first, block, count, first);
    pack_moment(step.second, block, count, second);
}

static void step_in_bytes(const ByteStep& step, int threads) {
    constexpr int BLOCKS = 64;  // of a unit of work
    const int64_t blocks = (step.count + NUMBERS - 1) / NUMBERS;
    run_team(threads, [&](Team& team, int) {
        team.share(int((blocks + BLOCKS - 1) / BLOCKS), [&](int unit) {
            const int64_t end = (unit + 1) * int64_t(BLOCKS) < blocks ? (unit + 1) * int64_t(BLOCKS) : blocks;
            for (int64_t block = unit * int64_t(BLOCKS); block < end; ++block) step_block(step, block);
        });
    }, true);
}
