// What needs a processor that multiplies bf16.
#include "functions.hpp"

#ifdef X86
#include <vector>
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")
namespace bf16 {
#include "types.hpp"
#include "avx512.hpp"
#include "vectors.hpp"
#include "causal.hpp"
#include "few.hpp"
}  // namespace bf16
#endif
