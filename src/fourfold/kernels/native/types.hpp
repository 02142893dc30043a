// The compiler's own vector types, 16 numbers at once: the same source for every instruction set.
// Included once for each, inside a namespace compiled for it; then its `mad`, `widen_half` and `Tile`; then the rest.

typedef float Floats __attribute__((vector_size(64), may_alias));
typedef int32_t Ints __attribute__((vector_size(64), may_alias));
typedef uint16_t Halves __attribute__((vector_size(32), may_alias));
typedef int8_t Bytes __attribute__((vector_size(16), may_alias));

template <class Vector> INLINE Vector load(const void* from) { Vector v; memcpy(&v, from, sizeof v); return v; }
template <class Vector> INLINE void store(void* to, Vector v) { memcpy(to, &v, sizeof v); }
