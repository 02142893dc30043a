#include "functions.hpp"

#ifdef X86
#pragma GCC target("avx2,fma,f16c")
namespace avx2 {
#include "types.hpp"
#include "avx2.hpp"
#include "kernels.hpp"
}  // namespace avx2
#endif
