// The garment's mask from U2Net or TRACER: twins in cpu/mask.py; the way back to the picture's size
// is resize_across and resize_down of fit.cu with one channel.
#include "common.cuh"

// Floats in an order that integers keep, so that an integer atomic finds the least and the greatest.
DEVICE int ordered(float v) {
    const int i = __float_as_int(v);
    return i >= 0 ? i : i ^ 0x7fffffff;
}
DEVICE float unordered(int i) { return __int_as_float(i >= 0 ? i : i ^ 0x7fffffff); }

// range[0] gets the least value, range[1] the negative of the greatest; both start at 0x7fffffff,
// so that one memset prepares them. NaN is left out.
template <class T>
DEVICE void min_max_body(const T* in, int* range, int size) {
    const int at = 16 * (int)(blockIdx.x * blockDim.x + threadIdx.x);
    int least = 0x7fffffff, most = 0x7fffffff;
    for (int i = at; i < min(at + 16, size); ++i) {
        const float v = load(in + i);
        if (v != v) continue;
        least = min(least, ordered(v)), most = min(most, ordered(-v));
    }
    if (at < size) atomicMin(range, least), atomicMin(range + 1, most);
}
ENTRY(min_max_f32, (const float* in, int* range, int size), min_max_body(in, range, size))
ENTRY(min_max_f16, (const half* in, int* range, int size), min_max_body(in, range, size))

// 0..1 -> 0..255, truncated; with `range`, stretched to it first unless it is a single value
template <class T>
DEVICE void to_bytes_body(const T* in, const int* range, u8* out, int size) {
    Quad q;
    if (!quad(&q, size)) return;
    float v[4];
    u8 level[4];
    load4(in + q.x, v, q.count);
    const float low = range ? unordered(range[0]) : 0.f, high = range ? -unordered(range[1]) : 0.f;
    for (int i = 0; i < q.count; ++i) {
        if (low < high) v[i] = (v[i] - low) / (high - low);
        v[i] = v[i] * 255.f;
        level[i] = v[i] > 0.f ? (u8)fminf(v[i], 255.f) : 0;  // NaN is 0
    }
    store_bytes(out + q.x, level, q.count);
}
ENTRY(to_bytes_f32, (const float* in, const int* range, u8* out, int size),
      to_bytes_body(in, range, out, size))
ENTRY(to_bytes_f16, (const half* in, const int* range, u8* out, int size),
      to_bytes_body(in, range, out, size))

// binary_mask: 128 and more is 1
DEVICE void binary_mask_body(const u8* mask, u8* out, int size) {
    Quad q;
    if (!quad(&q, size)) return;
    u8 v[4];
    load_bytes(mask + q.x, v, q.count);
    for (int i = 0; i < q.count; ++i) v[i] = v[i] >= 128;
    store_bytes(out + q.x, v, q.count);
}
ENTRY(binary_mask, (const u8* mask, u8* out, int size), binary_mask_body(mask, out, size))
