#include "functions.hpp"

#ifdef X86
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
namespace avx512 {
#include "types.hpp"
#include "avx512.hpp"
#include "kernels.hpp"
}  // namespace avx512
#endif
