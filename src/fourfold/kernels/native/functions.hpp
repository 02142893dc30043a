// What each set of instructions offers: the same source, compiled for each in a file of its own.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "pool.hpp"
#include "shapes.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define X86 1
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define EACH _Pragma("GCC unroll 16")  // written out, so that what a loop keeps for each stays in registers
enum Kind { PLAIN4, LEVELS4, SIGNED8 };

struct Functions {
    int64_t (*room)(int64_t count, int columns);
    void (*product)(const Weight& weight, const float* x, int64_t count, float* y, void* room, int threads);
    bool (*look_up)(const Weight& table, const int64_t* ids, int64_t count, float* y);
    void (*integers)(const Weight& weight, int tile, const int8_t* inputs, int32_t* sums);
    int64_t (*step_room)(const Model& model, int64_t tokens);
    void (*step)(const Model& model, const Step& step, char* room, float* scores, int64_t longest, int threads);
    void (*step_in_bytes)(const ByteStep& step, int threads);
};

namespace portable { extern const Functions functions; }
#ifdef X86
namespace avx2 { extern const Functions functions; }
namespace avx512 { extern const Functions functions; }
namespace bf16 {
void causal_attention(const Attention& call, bool backward, int threads);
void few(const Few& call, int threads);
}  // namespace bf16
#endif
