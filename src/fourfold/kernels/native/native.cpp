// The plain C functions that `native.py` calls, and which set of instructions they run.
#include "functions.hpp"

enum Instructions { PORTABLE, AVX2, AVX512 };

static const Functions& of(int set) {
#ifdef X86
    if (set == AVX512) return avx512::functions;
    if (set == AVX2) return avx2::functions;
#endif
    return portable::functions;
}

extern "C" {

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
void* PyInit__native() { return nullptr; }  // the linker on Windows asks for it; nobody imports this library
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

PUBLIC int fourfold_version() { return VERSION; }

// See `run_region`.
PUBLIC void fourfold_borrow_threads(void* fork) { borrow_threads(reinterpret_cast<Fork>(fork)); }

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
    return portable::functions.room(count, columns);
}

PUBLIC void fourfold_product(
    const Weight* weight, const float* x, int64_t count, float* y, void* room, int threads, int set) {
    of(set).product(*weight, x, count, y, room, threads);
}

PUBLIC int fourfold_look_up(const Weight* table, const int64_t* ids, int64_t count, float* y, int set) {
    return of(set).look_up(*table, ids, count, y);
}

// Bytes of room that a step of so many tokens needs.
PUBLIC int64_t fourfold_step_room(const Model* model, int64_t tokens) {
    return portable::functions.step_room(*model, tokens);
}

// `scores`: (threads, 4, longest) with `longest` at least the longest row and 16 more.
PUBLIC void fourfold_step(
    const Model* model, const Step* step, char* room, float* scores, int64_t longest, int threads, int set) {
    of(set).step(*model, *step, room, scores, longest, threads);
}

PUBLIC void fourfold_integers(const Weight* weight, int tile, const int8_t* inputs, int32_t* sums, int set) {
    of(set).integers(*weight, tile, inputs, sums);
}

PUBLIC void fourfold_step_in_bytes(const ByteStep* step, int threads, int set) { of(set).step_in_bytes(*step, threads); }

// Whether this processor multiplies bf16, which the two below need.
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

PUBLIC void fourfold_few(const Few* call, int threads) {
#ifdef X86
    bf16::few(*call, threads);
#endif
}
}
