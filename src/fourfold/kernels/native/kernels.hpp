// The kernels, for the instruction set whose file was included before.
#include "vectors.hpp"
#include "products.hpp"
#include "attention.hpp"
#include "step.hpp"
#include "moments.hpp"

const Functions functions = {
    [](int64_t count, int columns) { return int64_t(Inputs::bytes(count, columns)); },
    product,
    look_up,
    integers,
    [](const Model& model, int64_t tokens) { return Work::bytes(model, tokens) + 64; },
    run_step,
    step_in_bytes,
};
