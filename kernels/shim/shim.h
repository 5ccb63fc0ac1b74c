// Host build of a .cu file: blocks and threads one after another, for arithmetic and bounds; or, with
// FUW_CROWD, blocks on several threads in any order, for what depends on who comes first. Occupancy and
// speed are out of its reach. Compile with -ffp-contract=off, as the twins round.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <thread>
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
static thread_local dim3 gridDim, blockDim, blockIdx, threadIdx;

using std::max;
using std::min;
static inline int __float2int_rn(float v) { return (int)nearbyintf(v); }
static inline int __float2int_rd(float v) { return (int)floorf(v); }
static inline int __float2int_rz(float v) { return (int)v; }
static inline int __float_as_int(float v) { int i; memcpy(&i, &v, 4); return i; }
static inline float __int_as_float(int i) { float v; memcpy(&v, &i, 4); return v; }
template <class T> static inline T __ldg(const T* p) { return *p; }
// `better(there, v)`: whether v takes the place of what is there; returns what was.
template <class F> static inline int exchange(int* p, int v, F&& better) {
    int there = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (better(there, v) && !__atomic_compare_exchange_n(p, &there, v, false, __ATOMIC_RELAXED,
                                                            __ATOMIC_RELAXED)) {}
    return there;
}
static inline int atomicMin(int* p, int v) { return exchange(p, v, [](int t, int n) { return n < t; }); }
static inline int atomicMax(int* p, int v) { return exchange(p, v, [](int t, int n) { return n > t; }); }
static inline int atomicAdd(int* p, int v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
static inline int atomicCAS(int* p, int was, int v) {
    __atomic_compare_exchange_n(p, &was, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return was;
}

template <class F> static void run_block(dim3 g, dim3 b, unsigned block, F&& thread) {
    gridDim = g, blockDim = b;
    blockIdx = dim3(block % g.x, block / g.x % g.y, block / (g.x * g.y));
    for (unsigned i = 0; i < b.x * b.y * b.z; ++i) {
        threadIdx = dim3(i % b.x, i / b.x % b.y, i / (b.x * b.y));
        thread();
    }
}
template <class F> static void host_launch(dim3 g, dim3 b, F&& thread) {
    const unsigned blocks = g.x * g.y * g.z;
#ifdef FUW_CROWD
    std::vector<unsigned> order(blocks);
    for (unsigned i = 0; i < blocks; ++i) order[i] = i;
    static std::mt19937 chance(7);
    std::shuffle(order.begin(), order.end(), chance);
    std::atomic<unsigned> next{0};
    std::vector<std::thread> crowd;
    for (int i = 0; i < 4; ++i)
        crowd.emplace_back([&] {
            for (unsigned k; (k = next++) < blocks;)
                run_block(g, b, order[k], [&] {
                    thread();
                    if (threadIdx.x % 32 == 0) std::this_thread::yield();
                });
        });
    for (std::thread& one : crowd) one.join();
#else
    for (unsigned i = 0; i < blocks; ++i) run_block(g, b, i, thread);
#endif
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
