// Everything once for each instruction set, and the plain C functions that `native.py` calls.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "pool.hpp"
#include "shapes.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define X86 1
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))
enum Kind { PLAIN4, LEVELS4, SIGNED8 };
enum Instructions { PORTABLE, AVX2, AVX512 };

namespace portable {
#include "types.hpp"
#include "portable.hpp"
#include "kernels.hpp"
}  // namespace portable

#ifdef X86
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
namespace avx2 {
#include "types.hpp"
#include "avx2.hpp"
#include "kernels.hpp"
}  // namespace avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
namespace avx512 {
#include "types.hpp"
#include "avx512.hpp"
#include "kernels.hpp"
}  // namespace avx512
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")
namespace bf16 {
#include "types.hpp"
#include "avx512.hpp"
#include "vectors.hpp"
#include "causal.hpp"
}  // namespace bf16
#pragma GCC pop_options
#define DISPATCH(set, call) \
    (set == AVX512 ? avx512::call : set == AVX2 ? avx2::call : portable::call)
#else
#define DISPATCH(set, call) (portable::call)
#endif

extern "C" {

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
void* PyInit__native() { return nullptr; }  // the linker on Windows asks for it; nobody imports this library
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

PUBLIC int fourfold_version() { return VERSION; }

// The best this processor can run.
PUBLIC int fourfold_instructions() {
#ifdef X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) return AVX2;
#endif
    return PORTABLE;
}

// Bytes of room that `fourfold_product` needs for its quantized inputs.
PUBLIC int64_t fourfold_room(int64_t count, int32_t columns) {
    return int64_t(portable::Inputs::bytes(count, columns));
}

PUBLIC void fourfold_product(
    const Weight* weight, const float* x, int64_t count, float* y, void* room, int threads, int set) {
    DISPATCH(set, product(*weight, x, count, y, room, threads));
}

PUBLIC int fourfold_look_up(const Weight* table, const int64_t* ids, int64_t count, float* y, int set) {
    return DISPATCH(set, look_up(*table, ids, count, y));
}

// Bytes of room that a step of so many tokens needs.
PUBLIC int64_t fourfold_step_room(const Model* model, int64_t tokens) {
    return portable::Work::bytes(*model, tokens) + 64;
}

// `scores`: (threads, longest) with `longest` at least the longest row and 16 more.
PUBLIC void fourfold_step(
    const Model* model, const Step* step, char* room, float* scores, int64_t longest, int threads, int set) {
    DISPATCH(set, run_step(*model, *step, room, scores, longest, threads));
}

PUBLIC void fourfold_integers(const Weight* weight, int tile, const int8_t* inputs, int32_t* sums, int set) {
    DISPATCH(set, integers(*weight, tile, inputs, sums));
}

// Whether this processor multiplies bf16, which `fourfold_attention` needs.
PUBLIC int fourfold_multiplies_bf16() {
#ifdef X86
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16") && fourfold_instructions() == AVX512;
#else
    return 0;
#endif
}

PUBLIC void fourfold_attention(const Attention* call, int backward, int threads) {
#ifdef X86
    bf16::causal_attention(*call, backward, threads);
#endif
}
}
