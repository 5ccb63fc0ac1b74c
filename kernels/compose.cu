// In front of and behind ALIAS: twins in cpu/compose.py, and Frame.paste_back's last step.
#include "common.cuh"

// out = max(upper - warped_mask, 0); upper is one channel of seg (n, groups, size)
template <class T>
DEVICE void misalignment_body(const T* seg, int groups, const T* warped_mask, T* out, int size) {
    Quad q;
    if (!quad(&q, size)) return;
    float upper[4], warped[4];
    load4(seg + ((size_t)q.n * groups + (groups > 1 ? 2 : 0)) * size + q.x, upper, q.count);
    load4(warped_mask + (size_t)q.n * size + q.x, warped, q.count);
    for (int i = 0; i < q.count; ++i) upper[i] = fmaxf(upper[i] - warped[i], 0.f);
    store4(out + (size_t)q.n * size + q.x, upper, q.count);
}
ENTRY(misalignment_f32, (const float* seg, int groups, const float* warped_mask, float* out, int size),
      misalignment_body(seg, groups, warped_mask, out, size))
ENTRY(misalignment_f16, (const half* seg, int groups, const half* warped_mask, half* out, int size),
      misalignment_body(seg, groups, warped_mask, out, size))

// seg_div (n, 8, size): the seven channels, misalign taken from channel 2 and appended
template <class T>
DEVICE void split_seg_body(const T* seg7, const T* misalign, T* out, int size) {
    Quad q;
    if (!quad(&q, size)) return;
    float missing[4], v[4];
    load4(misalign + (size_t)q.n * size + q.x, missing, q.count);
    for (int c = 0; c < 7; ++c) {
        load4(seg7 + ((size_t)q.n * 7 + c) * size + q.x, v, q.count);
        if (c == 2)
            for (int i = 0; i < q.count; ++i) v[i] -= missing[i];
        store4(out + ((size_t)q.n * 8 + c) * size + q.x, v, q.count);
    }
    store4(out + ((size_t)q.n * 8 + 7) * size + q.x, missing, q.count);
}
ENTRY(split_seg_f32, (const float* seg7, const float* misalign, float* out, int size),
      split_seg_body(seg7, misalign, out, size))
ENTRY(split_seg_f16, (const half* seg7, const half* misalign, half* out, int size),
      split_seg_body(seg7, misalign, out, size))

// (n, 9, size): agnostic photo 3, skeleton 3 (both u8 (n, size, 3)), warped garment (n, 3, size)
template <class T>
DEVICE void alias_input_body(const u8* agnostic, const u8* skeleton, const T* warped, T* out,
                             int people, int size) {
    Quad q;
    if (!quad(&q, size)) return;
    u8 rgb[12];
    float v[4];
    T* at = out + (size_t)q.n * 9 * size + q.x;
    for (int picture = 0; picture < 2; ++picture) {
        const u8* source = picture == 0 ? agnostic : skeleton;
        load_rgb(source + 3 * ((size_t)(people > 1 ? q.n : 0) * size + q.x), rgb, q.count);
        for (int c = 0; c < 3; ++c, at += size) {
            for (int i = 0; i < q.count; ++i) v[i] = signed_colour(rgb[3 * i + c]);
            store4(at, v, q.count);
        }
    }
    for (int c = 0; c < 3; ++c, at += size) {
        load4(warped + ((size_t)q.n * 3 + c) * size + q.x, v, q.count);
        store4(at, v, q.count);
    }
}
#define ALIAS_INPUT(suffix, T)                                                                    \
    ENTRY(alias_input_##suffix,                                                                   \
          (const u8* agnostic, const u8* skeleton, const T* warped, T* out, int people, int size),\
          alias_input_body(agnostic, skeleton, warped, out, people, size))
ALIAS_INPUT(f32, float)
ALIAS_INPUT(f16, half)

// (n, 3, size) in -1..1 -> RGB u8 (n, size, 3), truncated. `bad` becomes 1 if any is NaN or Inf (drawn black).
template <class T>
DEVICE void to_image_body(const T* x, u8* out, int* bad, int size) {
    Quad q;
    if (!quad(&q, size)) return;
    u8 rgb[12];
    float v[4];
    for (int c = 0; c < 3; ++c) {
        load4(x + ((size_t)q.n * 3 + c) * size + q.x, v, q.count);
        for (int i = 0; i < q.count; ++i) {
            if (!(fabsf(v[i]) <= 3.4e38f)) {
                atomicMax(bad, 1);
                v[i] = -1.f;
            }
            rgb[3 * i + c] = (u8)fminf(fmaxf((v[i] + 1.f) * 0.5f * 255.f, 0.f), 255.f);
        }
    }
    store_rgb(out + 3 * ((size_t)q.n * size + q.x), rgb, q.count);
}
ENTRY(to_image_f32, (const float* x, u8* out, int* bad, int size), to_image_body(x, out, bad, size))
ENTRY(to_image_f16, (const half* x, u8* out, int* bad, int size), to_image_body(x, out, bad, size))

// 0..1 -> 0..255, rounded to even; for looking at
template <class T>
DEVICE void to_mask_body(const T* x, u8* out, int size) {
    Quad q;
    if (!quad(&q, size)) return;
    float v[4];
    u8 level[4];
    load4(x + (size_t)q.n * size + q.x, v, q.count);
    for (int i = 0; i < q.count; ++i)
        level[i] = (u8)__float2int_rn(fminf(fmaxf(v[i] * 255.f, 0.f), 255.f));
    store_bytes(out + (size_t)q.n * size + q.x, level, q.count);
}
ENTRY(to_mask_f32, (const float* x, u8* out, int size), to_mask_body(x, out, size))
ENTRY(to_mask_f16, (const half* x, u8* out, int size), to_mask_body(x, out, size))

// photo[y0 + y, x0 + x] moves towards patch[y, x] by rows[y] * columns[x] (* region[y, x] if any)
DEVICE void paste_back_body(u8* photo, int photo_width, int x0, int y0, const u8* patch,
                            const float* rows, const float* columns, const float* region,
                            int width) {
    Quad q;
    if (!quad(&q, width)) return;
    const size_t at = (size_t)q.y * width + q.x;
    u8* under = photo + 3 * ((size_t)(y0 + q.y) * photo_width + x0 + q.x);
    for (int i = 0; i < q.count; ++i) {
        float alpha = rows[q.y] * columns[q.x + i];
        if (region) alpha *= region[at + i];
        for (int c = 0; c < 3; ++c) {
            const float old = (float)under[3 * i + c];
            const float mixed = old + ((float)patch[3 * (at + i) + c] - old) * alpha;
            under[3 * i + c] = (u8)__float2int_rn(mixed);
        }
    }
}
ENTRY(paste_back,
      (u8* photo, int photo_width, int x0, int y0, const u8* patch, const float* rows,
       const float* columns, const float* region, int width),
      paste_back_body(photo, photo_width, x0, y0, patch, rows, columns, region, width))

// Mean over 2 half + 1 neighbours along one axis; the edge reflects and is not repeated
DEVICE int reflected(int at, int size) {
    while (size > 1 && (at < 0 || at >= size)) at = at < 0 ? -at : 2 * size - 2 - at;
    return size > 1 ? at : 0;
}
DEVICE float level_of(const u8* p) { return *p >= 128 ? 1.f : 0.f; }
DEVICE float level_of(const float* p) { return *p; }
template <class T>
DEVICE void soften_body(const T* in, float* out, int height, int width, int half, int down) {
    Quad q;
    if (!quad(&q, width)) return;
    for (int i = 0; i < q.count; ++i) {
        const int x = q.x + i, size = down ? height : width;
        float sum = 0.f;
        for (int k = -half; k <= half; ++k) {
            const int at = reflected((down ? q.y : x) + k, size);
            sum += level_of(in + (down ? (size_t)at * width + x : (size_t)q.y * width + at));
        }
        out[(size_t)q.y * width + x] = sum / (float)(2 * half + 1);
    }
}
ENTRY(soften_bytes, (const u8* in, float* out, int height, int width, int half, int down),
      soften_body(in, out, height, width, half, down))
ENTRY(soften, (const float* in, float* out, int height, int width, int half, int down),
      soften_body(in, out, height, width, half, down))
