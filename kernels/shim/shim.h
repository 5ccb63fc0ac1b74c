// Host build of a .cu file: blocks and threads one after another, for arithmetic and bounds; races,
// occupancy and speed are out of its reach. Compile with -ffp-contract=off, as the twins round.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __constant__ static const
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define DEVICE static inline

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
// One launch at a time; the threads of shim_sync.hpp have their own threadIdx.
static dim3 gridDim, blockDim, blockIdx;
static thread_local dim3 threadIdx;

using std::max;
using std::min;
static inline int __float2int_rn(float v) { return (int)nearbyintf(v); }
static inline int __float2int_rd(float v) { return (int)floorf(v); }
static inline int __float2int_rz(float v) { return (int)v; }
static inline int __float_as_int(float v) { int i; memcpy(&i, &v, 4); return i; }
static inline float __int_as_float(int i) { float v; memcpy(&v, &i, 4); return v; }
template <class T> static inline T __ldg(const T* p) { return *p; }
static inline int atomicMin(int* p, int v) { const int old = *p; *p = min(old, v); return old; }
static inline int atomicMax(int* p, int v) { const int old = *p; *p = max(old, v); return old; }
static inline int atomicAdd(int* p, int v) { const int old = *p; *p = old + v; return old; }
static inline int atomicCAS(int* p, int was, int v) {
    const int old = *p;
    if (old == was) *p = v;
    return old;
}

template <class F> static void host_launch(dim3 g, dim3 b, F&& thread) {
    gridDim = g, blockDim = b;
    for (unsigned bz = 0; bz < g.z; ++bz)
        for (unsigned by = 0; by < g.y; ++by)
            for (unsigned bx = 0; bx < g.x; ++bx)
                for (unsigned tz = 0; tz < b.z; ++tz)
                    for (unsigned ty = 0; ty < b.y; ++ty)
                        for (unsigned tx = 0; tx < b.x; ++tx) {
                            blockIdx = dim3(bx, by, bz), threadIdx = dim3(tx, ty, tz);
                            thread();
                        }
}

// As cuLaunchKernel passes parameters: copied from where the pointers lead, run later.
struct Packed {
    std::function<void()> run;
    std::vector<const void*> pointers;  // those among the parameters
};
template <class... A, size_t... I>
static Packed packed(void (*kernel)(unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, A...),
                     const unsigned* g, void** p, std::index_sequence<I...>) {
    std::tuple<A...> values(*(A*)p[I]...);
    Packed made;
    auto note = [&](auto value) {
        if constexpr (std::is_pointer_v<decltype(value)>) made.pointers.push_back(value);
    };
    (note(std::get<I>(values)), ...);
    const unsigned x = g[0], y = g[1], z = g[2], bx = g[3], by = g[4], bz = g[5];
    made.run = [=] { kernel(x, y, z, bx, by, bz, std::get<I>(values)...); };
    return made;
}
template <class... A>
static Packed packed(void (*kernel)(unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, A...),
                     const unsigned* g, void** p) {
    return packed(kernel, g, p, std::index_sequence_for<A...>());
}

// ENTRY(name, (parameters), call) exports `void host_name(grid x y z, block x y z, parameters)`, and
// `packed_name(grid and block, pointers to the parameters, where the launch goes)`.
#define STRIP(...) __VA_ARGS__
#define ENTRY(name, decl, call)                                                            \
    extern "C" void host_##name(unsigned gx, unsigned gy, unsigned gz, unsigned bx,        \
                                unsigned by, unsigned bz, STRIP decl) {                    \
        host_launch(dim3(gx, gy, gz), dim3(bx, by, bz), [&] { call; });                    \
    }                                                                                      \
    extern "C" void packed_##name(const unsigned* g, void** p, Packed* made) {             \
        *made = packed(host_##name, g, p);                                                 \
    }
