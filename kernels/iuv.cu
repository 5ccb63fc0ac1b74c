// DensePose's maps of one box to I, U, V in the picture: twin in cpu/iuv.py.
#include "common.cuh"

const int FINE = 25;

struct Between {  // bilinear without antialias, half-pixel centres
    int low, high;
    float part;
};
DEVICE Between between(int i, int size, int source) {
    const float at = fmaxf(((float)i + 0.5f) * ((float)source / (float)size) - 0.5f, 0.f);
    Between b;
    b.low = min((int)at, source - 1), b.high = min(b.low + 1, source - 1);
    b.part = at - (float)b.low;
    return b;
}
template <class T>
DEVICE float sample(const T* map, int w, Between y, Between x) {
    const T *top = map + (size_t)y.low * w, *bottom = map + (size_t)y.high * w;
    const float a = load(top + x.low), b = load(bottom + x.low);
    const float upper = a + (load(top + x.high) - a) * x.part;
    return upper + (b + (load(bottom + x.high) - b) * x.part - upper) * y.part;
}
// Arg max over `classes` maps; a NaN in any of them: 0, as in the twin.
template <class T>
DEVICE int best_class(const T* maps, int classes, int h, int w, Between y, Between x) {
    int label = 0;
    float best = sample(maps, w, y, x);
    bool broken = best != best;
    for (int c = 1; c < classes; ++c) {
        const float value = sample(maps + (size_t)c * h * w, w, y, x);
        broken |= value != value;
        if (value > best) best = value, label = c;
    }
    return broken ? 0 : label;
}
DEVICE u8 level(float unit) { return (u8)fminf(fmaxf(unit * 255.f, 0.f), 255.f); }

// The patch of size (patch_h, patch_w) lies at left, top; everything outside it is 0.
template <class T>
DEVICE void compose_iuv_body(const T* coarse, const T* fine, const T* u, const T* v, int h, int w,
                             int left, int top, int patch_w, int patch_h, u8* picture, int width) {
    Quad q;
    if (!quad(&q, width)) return;
    u8 out[12];
    const int row = q.y - top;
    for (int i = 0; i < 4; ++i) {  // those beyond the row's end are not stored
        const int column = q.x + i - left;
        int label = 0;
        if (row >= 0 && row < patch_h && column >= 0 && column < patch_w) {
            const Between y = between(row, patch_h, h), x = between(column, patch_w, w);
            label = best_class(coarse, 2, h, w, y, x) ? best_class(fine, FINE, h, w, y, x) : 0;
            const size_t plane = (size_t)label * h * w;
            out[3 * i + 1] = label ? level(sample(u + plane, w, y, x)) : 0;
            out[3 * i + 2] = label ? level(sample(v + plane, w, y, x)) : 0;
        } else {
            out[3 * i + 1] = out[3 * i + 2] = 0;
        }
        out[3 * i] = (u8)label;
    }
    store_rgb(picture + 3 * ((size_t)q.y * width + q.x), out, q.count);
}
#define COMPOSE_IUV(suffix, T)                                                                    \
    ENTRY(compose_iuv_##suffix,                                                                   \
          (const T* coarse, const T* fine, const T* u, const T* v, int h, int w, int left,        \
           int top, int patch_w, int patch_h, u8* picture, int width),                            \
          compose_iuv_body(coarse, fine, u, v, h, w, left, top, patch_w, patch_h, picture, width))
COMPOSE_IUV(f32, float)
COMPOSE_IUV(f16, half)
