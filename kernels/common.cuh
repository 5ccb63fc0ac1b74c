// What every kernel file shares: entries, half floats without CUDA's header (NVRTC has none),
// and four pixels at a time. Under g++ (FUW_HOST) shim/shim.h stands in for CUDA.
#pragma once
#ifdef FUW_HOST
#include "shim/shim.h"
#else
#define DEVICE static __device__ __forceinline__
// ENTRY(name, (parameters), call): a kernel that scripts can find by its plain name. At most 256
// threads a block; every kernel guards its own edges.
#define STRIP(...) __VA_ARGS__
#define ENTRY(name, decl, call) \
    extern "C" __global__ void __launch_bounds__(256) name decl { call; }
#endif

typedef unsigned char u8;
typedef unsigned int u32;

struct half { unsigned short bits; };

#ifdef FUW_HOST
DEVICE half to_half(float v) {
    const _Float16 f = (_Float16)v;
    half h;
    memcpy(&h.bits, &f, 2);
    return h;
}
DEVICE float from_half(half h) {
    _Float16 f;
    memcpy(&f, &h.bits, 2);
    return (float)f;
}
#else
DEVICE half to_half(float v) {
    half h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(v));
    return h;
}
DEVICE float from_half(half h) {
    float v;
    asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(h.bits));
    return v;
}
#endif

DEVICE float load(const float* p) { return *p; }
DEVICE float load(const half* p) { return from_half(*p); }
DEVICE void store(float* p, float v) { *p = v; }
DEVICE void store(half* p, float v) { *p = to_half(v); }

template <class P>
DEVICE bool aligned(const P* p, unsigned bytes) { return ((size_t)p & (bytes - 1)) == 0; }

// Four values of a plane, 16 bytes of f32 or 8 of f16 in one access where they lie straight.
DEVICE void load4(const float* p, float* v, int count) {
    if (count == 4 && aligned(p, 16)) {
        const float4 q = *(const float4*)p;
        v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
        return;
    }
    for (int i = 0; i < 4; ++i)  // counted so that every index is known: v stays in registers
        if (i < count) v[i] = p[i];
}
DEVICE void load4(const half* p, float* v, int count) {
    if (count == 4 && aligned(p, 8)) {
        union { uint2 q; half h[4]; } pack;
        pack.q = *(const uint2*)p;
        for (int i = 0; i < 4; ++i) v[i] = from_half(pack.h[i]);
        return;
    }
    for (int i = 0; i < 4; ++i)
        if (i < count) v[i] = from_half(p[i]);
}
DEVICE void store4(float* p, const float* v, int count) {
    if (count == 4 && aligned(p, 16)) {
        float4 q;
        q.x = v[0], q.y = v[1], q.z = v[2], q.w = v[3];
        *(float4*)p = q;
        return;
    }
    for (int i = 0; i < 4; ++i)
        if (i < count) p[i] = v[i];
}
DEVICE void store4(half* p, const float* v, int count) {
    if (count == 4 && aligned(p, 8)) {
        union { uint2 q; half h[4]; } pack;
        for (int i = 0; i < 4; ++i) pack.h[i] = to_half(v[i]);
        *(uint2*)p = pack.q;
        return;
    }
    for (int i = 0; i < 4; ++i)
        if (i < count) p[i] = to_half(v[i]);
}

// Four bytes of a label map or mask.
DEVICE void load_bytes(const u8* p, u8* v, int count) {
    if (count == 4 && aligned(p, 4)) {
        const u32 q = *(const u32*)p;
        for (int i = 0; i < 4; ++i) v[i] = (u8)(q >> 8 * i);
        return;
    }
    for (int i = 0; i < 4; ++i)
        if (i < count) v[i] = p[i];
}
DEVICE void store_bytes(u8* p, const u8* v, int count) {
    if (count == 4 && aligned(p, 4)) {
        *(u32*)p = v[0] | (u32)v[1] << 8 | (u32)v[2] << 16 | (u32)v[3] << 24;
        return;
    }
    for (int i = 0; i < 4; ++i)
        if (i < count) p[i] = v[i];
}

// Four RGB pixels, 12 bytes, as three words: v[3 * pixel + channel].
DEVICE void load_rgb(const u8* p, u8* v, int count) {
    if (count == 4) {
        for (int i = 0; i < 3; ++i) load_bytes(p + 4 * i, v + 4 * i, 4);
        return;
    }
    for (int i = 0; i < 12; ++i)
        if (i < 3 * count) v[i] = p[i];
}
DEVICE void store_rgb(u8* p, const u8* v, int count) {
    if (count == 4) {
        for (int i = 0; i < 3; ++i) store_bytes(p + 4 * i, v + 4 * i, 4);
        return;
    }
    for (int i = 0; i < 12; ++i)
        if (i < 3 * count) p[i] = v[i];
}

// The four pixels of this thread: columns x .. x + count - 1 of row y of picture n.
struct Quad {
    int x, y, n, count;
};
DEVICE bool quad(Quad* q, int width) {
    q->x = 4 * (int)(blockIdx.x * blockDim.x + threadIdx.x);
    q->y = (int)blockIdx.y, q->n = (int)blockIdx.z;
    q->count = min(4, width - q->x);
    return q->count > 0;
}

DEVICE float signed_colour(u8 level) { return (float)level / 255.f * 2.f - 1.f; }
