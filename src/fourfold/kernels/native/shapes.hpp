// What Python hands over: plain structures, the same in `native.py`, and the version they have together.
#pragma once
#include <cstdint>

constexpr int VERSION = 6;

constexpr int LANES = 16;  // output rows of a tile, side by side in one vector
constexpr int BLOCK = 32;  // inputs that share a scale once they are quantized

// A matrix (rows, columns) in tiles of 16 rows; each tile holds its blocks of 32 columns one after another.
// Of a block, vector v has 4 columns of each row: 8 bits: columns 4v to 4v + 3 (v < 8); 4 bits (v < 4): the same in
// the low halves of the bytes and columns 16 + 4v to 16 + 4v + 3 in the high halves.
struct Weight {
    const uint8_t* codes;    // signed bytes; halves of bytes from 0 to 15
    const uint16_t* scales;  // (tiles, groups, 16) fp16
    const uint16_t* leasts;  // (tiles, groups, 16) fp16: value = scale * code + least; null: 0
    const int8_t* levels;    // (16) what a 4-bit code stands for; null: itself
    const float* bias;       // (rows) or null
    int32_t rows, columns, bits, group;  // group: 16, or a multiple of 32
};

struct Layer {
    Weight query, key, value, output, gate, up, down;
    const float *norm_attention, *norm_query, *norm_key, *norm_attention_output;
    const float *norm_feed_forward, *norm_feed_forward_output;
    int32_t window;  // tokens a query sees, itself included; 0: all
    int32_t view;    // which of the step's rotations
};

struct Model {
    const Layer* layers;
    const float* norm;
    int32_t count, hidden, heads, groups, head_size, inner, activation, turned, interleaved;
    float epsilon, scale, softcap;
};

// Tokens of one step: token n continues row `row[n]` at `position[n]`; a row's tokens come in order.
struct Step {
    float* hidden;        // (tokens, hidden) in: embeddings; out: after the last norm
    const float* cosine;  // (views, angles, turned / 2), of every position
    const float* sine;
    const int32_t *row, *position, *tables;  // tables (rows, width): pages of each row
    void *keys, *values;                     // (layers, pages, groups, page, head_size)
    float *key_scales, *value_scales;        // (layers, pages, groups, page) of 8-bit keys and values
    int64_t pages;
    int32_t tokens, width, page, number, angles;  // number: 0 fp32, 1 bf16, 2 int8
};

// A tensor (B, H, T, P) of bf16 whose last dimension is dense; strides in numbers.
struct Heads {
    uint16_t* at;
    int64_t row, head, token;
};

// Causal attention, the queries scaled already; what is `to_` something is its gradient.
struct Attention {
    Heads query, key, value, mixed, to_mixed, to_query, to_key, to_value;
    int32_t rows, groups, shared, length, size;  // groups: heads of keys, each of which `shared` heads of queries read
};

// y (count, rows) = x (count, columns) times weight (rows, columns), turned, plus bias (rows) if there is one.
struct Few {
    const uint16_t *weight, *bias, *x;
    uint16_t* y;
    int32_t rows, columns, count;  // count: 1 or 2
};

// A moment of AdamW: 256 numbers share a scale; `code` (256) what a byte stands for, rising, `middles` (256) between each
// and the next, the last infinite, and `starts` (65,536) the code for the upper half of a number's bits.
struct Moment {
    uint8_t* codes;
    float* scales;
    const float *code, *middles;
    const uint8_t* starts;
};

// weight = decay weight - rate first / (sqrt(second / correction) + epsilon), the moments moved towards the gradient before.
struct ByteStep {
    float* weight;
    const float* gradient;
    Moment first, second;
    int64_t count;
    float take_first, keep_second, take_second, correction, epsilon, decay, rate;
};
