// The kernels, for the instruction set whose file was included before.
#include "vectors.hpp"
#include "products.hpp"
#include "attention.hpp"
#include "step.hpp"
