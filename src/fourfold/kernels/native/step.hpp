// A whole stack of layers for the tokens of one step: prompt chunks and single tokens of many rows together.
//
//   per layer:  norm, quantize | query, key, value by heads: product, norm, rotation, into pages | attention, quantize
//               | output product, added | norm, quantize | gate and up products, activation, quantize | down, added

constexpr int BUNCH = 64;  // tokens of one unit of work
constexpr int NEAR = 8;    // of one unit of attention

INLINE Floats activated(int activation, Floats v) {
    switch (activation) {
        case 0: return v / (exponential(-v) + 1.0f);
        case 1: {
            for (int i = 0; i < LANES; ++i) v[i] = 0.5f * v[i] * (1.0f + std::erf(v[i] * 0.70710678f));
            return v;
        }
        case 2: {
            const Floats inner = mad(v * v * v, all(0.044715f), v) * 0.79788456f;
            return 0.5f * v * (hyperbolic_tangent(inner) + 1.0f);
        }
        case 3: return larger(v, Floats{});
        default: return hyperbolic_tangent(v);
    }
}

// x / sqrt(mean(x^2) + epsilon) * gain; `to` may be `x`.
INLINE void norm(const float* x, const float* gain, float epsilon, int size, float* to) {
    Floats squares = {};
    for (int i = 0; i < size; i += LANES) squares = mad(load<Floats>(x + i), load<Floats>(x + i), squares);
    const float scale = 1.0f / std::sqrt(total(squares) / float(size) + epsilon);
    for (int i = 0; i < size; i += LANES) store(to + i, load<Floats>(x + i) * scale * load<Floats>(gain + i));
}

INLINE void turn(const Model& model, const float* cosine, const float* sine, float* x) {
    const int half = model.turned / 2;
    for (int i = 0; i < half; ++i) {
        float &a = model.interleaved ? x[2 * i] : x[i], &b = model.interleaved ? x[2 * i + 1] : x[half + i];
        const float first = a, second = b;
        a = first * cosine[i] - second * sine[i];
        b = second * cosine[i] + first * sine[i];
    }
}

struct Work {  // where intermediate results of a step lie
    Inputs stream, mixed, inner;  // inputs of products: of the layer's width, of all heads, of the feed-forward
    float *queries, *attended, *change;

    template <class Take> static Work in(const Model& m, int64_t tokens, const Take& take) {
        const int wide = m.heads * m.head_size;
        Work work;
        work.stream = Inputs::in(take(Inputs::bytes(tokens, m.hidden)), tokens, m.hidden);
        work.mixed = Inputs::in(take(Inputs::bytes(tokens, wide)), tokens, wide);
        work.inner = Inputs::in(take(Inputs::bytes(tokens, m.inner)), tokens, m.inner);
        work.queries = static_cast<float*>(take(size_t(tokens) * wide * 4));
        work.attended = static_cast<float*>(take(size_t(tokens) * wide * 4));
        work.change = static_cast<float*>(take(size_t(tokens) * m.hidden * 4));
        return work;
    }
    static int64_t bytes(const Model& m, int64_t tokens) {
        int64_t all = 0;
        in(m, tokens, [&](size_t size) { all += int64_t(size + 127) / 64 * 64; return static_cast<void*>(nullptr); });
        return all;
    }
};

struct Pass {  // one call: the model, the step, the room
    const Model& model;
    const Step& step;
    Work work;
    int64_t longest;

    // Norm and quantize every token's stream.
    INLINE void enter(Team& team, const float* gain) const {
        team.share((step.tokens + 7) / 8, [&](int part) {
            float normed[8192];
            for (int token = 8 * part; token < least_of(8 * part + 8, step.tokens); ++token) {
                norm(step.hidden + int64_t(token) * model.hidden, gain, model.epsilon, model.hidden, normed);
                work.stream.set(token, normed, model.hidden);
            }
        });
    }

    // One head of query, key or value for some tokens, finished and where it belongs.
    INLINE void project(const Layer& layer, int index, int number, int64_t begin, int64_t end) const {
        const int size = model.head_size, parts = size / LANES;
        const int kind = number < model.heads ? 0 : number < model.heads + model.groups ? 1 : 2;
        const int head = kind == 0 ? number : (number - model.heads) % model.groups;
        const Weight& weight = kind == 0 ? layer.query : kind == 1 ? layer.key : layer.value;
        float found[BUNCH * 256];
        multiply(weight, head * parts, (head + 1) * parts, work.stream, begin, end, [&](int64_t token, int tile, Floats v) {
            store(found + (token - begin) * size + (tile - head * parts) * LANES, v);
        });
        const int half = model.turned / 2;
        for (int64_t token = begin; token < end; ++token) {
            float* x = found + (token - begin) * size;
            const float* gain = kind == 0 ? layer.norm_query : layer.norm_key;
            if (kind < 2 && gain) norm(x, gain, model.epsilon, size, x);
            const int64_t angle = (int64_t(layer.view) * step.angles + step.position[token]) * half;
            if (kind < 2) turn(model, step.cosine + angle, step.sine + angle, x);
            if (kind == 0) {
                memcpy(work.queries + (token * model.heads + head) * size, x, size * sizeof(float));
            } else {
                const Head place{&step, index, model.groups, head};
                keep(step, kind == 2, place.place(step.row[token], step.position[token]), x, size);
            }
        }
    }

    // Attention of some tokens of one row, of the heads that share one head of keys and values.
    INLINE void mix(const Layer& layer, int index, int group, int begin, int end, float* scores) const {
        const int heads = model.heads / model.groups, row = step.row[begin];
        const Head place{&step, index, model.groups, group};
        for (int first = 0; first < heads; first += QUERIES) {
            Query queries[NEAR * QUERIES];
            int count = 0;
            for (int token = begin; token < end; ++token)
                for (int head = first; head < least_of(first + QUERIES, heads); ++head) {
                    const int to = step.position[token], from = layer.window && to >= layer.window ? to - layer.window + 1 : 0;
                    const int64_t at = (int64_t(token) * model.heads + group * heads + head) * model.head_size;
                    queries[count++] = {work.queries + at, work.attended + at, from, to};
                }
            if (step.number == 0) attend_sized<0>(model, place, row, queries, count, scores, longest);
            else if (step.number == 1) attend_sized<1>(model, place, row, queries, count, scores, longest);
            else attend_sized<2>(model, place, row, queries, count, scores, longest);
        }
    }

    // The tokens [begin, end) row by row.
    INLINE void mix_rows(const Layer& layer, int index, int group, int begin, int end, float* scores) const {
        for (int first = begin, next; first < end; first = next) {
            for (next = first + 1; next < end && step.row[next] == step.row[first];) ++next;
            mix(layer, index, group, first, next, scores);
        }
    }

    // The stream plus a product; where the branch ends in a norm, the norm of the product.
    INLINE void leave(Team& team, const Weight& weight, const Inputs& inputs, const float* gain) const {
        const int tiles = tiles_of(weight), wide = step.tokens == 1 ? 3 : 4, parts = (tiles + wide - 1) / wide;
        const int bunches = (step.tokens + BUNCH - 1) / BUNCH;
        team.share(parts * bunches, [&](int unit) {
            const int from = unit % parts * wide, begin = unit / parts * BUNCH;
            const int to = least_of(from + wide, tiles), end = least_of(begin + BUNCH, step.tokens);
            multiply(weight, from, to, inputs, begin, end, [&](int64_t token, int tile, Floats v) {
                const int64_t at = token * model.hidden + tile * LANES;
                if (gain) store(work.change + at, v);
                else store(step.hidden + at, load<Floats>(step.hidden + at) + v);
            });
        });
        if (gain)
            team.share(step.tokens, [&](int token) {
                float *change = work.change + int64_t(token) * model.hidden, *x = step.hidden + int64_t(token) * model.hidden;
                norm(change, gain, model.epsilon, model.hidden, change);
                for (int i = 0; i < model.hidden; i += LANES) store(x + i, load<Floats>(x + i) + load<Floats>(change + i));
            });
    }

    // 32 values of the feed-forward for some tokens: gate and up, or up alone, activated and quantized.
    INLINE void feed(const Layer& layer, int block, int64_t begin, int64_t end) const {
        float up[BUNCH * BLOCK], gate[BUNCH * BLOCK];
        const auto into = [&](float* values) {
            return [=](int64_t token, int tile, Floats v) { store(values + (token - begin) * BLOCK + tile % 2 * LANES, v); };
        };
        multiply(layer.up, 2 * block, 2 * block + 2, work.stream, begin, end, into(up));
        if (layer.gate.codes) multiply(layer.gate, 2 * block, 2 * block + 2, work.stream, begin, end, into(gate));
        for (int64_t token = begin; token < end; ++token) {
            Floats half[2];
            for (int i = 0; i < 2; ++i) {
                const int64_t at = (token - begin) * BLOCK + i * LANES;
                const Floats raised = load<Floats>(up + at);
                half[i] = layer.gate.codes ? activated(model.activation, load<Floats>(gate + at)) * raised
                                           : activated(model.activation, raised);
            }
            work.inner.set_block(token * work.inner.blocks + block, half[0], half[1]);
        }
    }

    INLINE void run_layer(Team& team, int index, float* scores) const {
        const Layer& layer = model.layers[index];
        const int bunches = (step.tokens + BUNCH - 1) / BUNCH, wide = model.heads * model.head_size;
        const auto bunch = [&](int unit, int count, auto body) {
            const int begin = unit / count * BUNCH;
            body(unit % count, begin, least_of(begin + BUNCH, step.tokens));
        };
        enter(team, layer.norm_attention);
        const int heads = model.heads + 2 * model.groups, blocks = model.inner / BLOCK;
        team.share(heads * bunches, [&](int unit) {
            bunch(unit, heads, [&](int head, int begin, int end) { project(layer, index, head, begin, end); });
        });
        const int near = step.tokens > BUNCH ? NEAR : 1;
        team.share((step.tokens + near - 1) / near * model.groups, [&](int unit) {
            const int begin = unit / model.groups * near;
            mix_rows(layer, index, unit % model.groups, begin, least_of(begin + near, step.tokens), scores);
        });
        team.share((step.tokens + 7) / 8, [&](int part) {
            for (int token = 8 * part; token < least_of(8 * part + 8, step.tokens); ++token)
                work.mixed.set(token, work.attended + int64_t(token) * wide, wide);
        });
        leave(team, layer.output, work.mixed, layer.norm_attention_output);
        enter(team, layer.norm_feed_forward);
        team.share(blocks * bunches, [&](int unit) {
            bunch(unit, blocks, [&](int block, int begin, int end) { feed(layer, block, begin, end); });
        });
        leave(team, layer.down, work.inner, layer.norm_feed_forward_output);
    }
};

void run_step(const Model& model, const Step& step, char* room, float* scores, int64_t longest, int threads) {
    char* at = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(room) + 63) / 64 * 64);
    const Pass pass{model, step, Work::in(model, step.tokens, [&](size_t size) {
        char* found = at;
        at += (size + 63) / 64 * 64;
        return static_cast<void*>(found);
    }), longest};
    run_team(threads, [&](Team& team, int member) {
        for (int index = 0; index < model.count; ++index) pass.run_layer(team, index, scores + member * QUERIES * longest);
        team.share(step.tokens, [&](int token) {
            float* x = step.hidden + int64_t(token) * model.hidden;
            if (model.norm) norm(x, model.norm, model.epsilon, model.hidden, x);
        });
    });
}
