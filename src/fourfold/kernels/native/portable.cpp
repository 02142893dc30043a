#include "functions.hpp"

namespace portable {
#include "types.hpp"
#include "portable.hpp"
#include "kernels.hpp"
}  // namespace portable
