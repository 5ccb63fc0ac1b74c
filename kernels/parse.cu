// Label maps: twins in cpu/parse.py.
#include "taps.cuh"

// logits (n, classes, h, w) -> ids u8 (n, height, width)
#define SCHP_LABELS(suffix, T)                                                                    \
    ENTRY(schp_labels_##suffix,                                                                   \
          (const T* logits, int classes, int h, int w, const int* row_first,                      \
           const float* row_weight, int row_count, const int* column_first,                       \
           const float* column_weight, int column_count, u8* labels, int height, int width),      \
          argmax_taps(logits, classes, h, w, Bands{row_first, row_weight, row_count},             \
                      Bands{column_first, column_weight, column_count}, labels, height, width))
SCHP_LABELS(f32, float)
SCHP_LABELS(f16, half)

// group13, group7: out[i] = table[labels[i]], sixteen labels a thread
DEVICE void regroup_body(const u8* labels, const u8* table, u8* out, int size) {
    const int at = 16 * (int)(blockIdx.x * blockDim.x + threadIdx.x);
    const int count = min(16, size - at);
    if (count <= 0) return;
    if (count == 16 && aligned(labels + at, 16) && aligned(out + at, 16)) {
        union { uint4 q; u8 b[16]; } pack;
        pack.q = *(const uint4*)(labels + at);
        for (int i = 0; i < 16; ++i) pack.b[i] = table[pack.b[i]];
        *(uint4*)(out + at) = pack.q;
        return;
    }
    for (int i = 0; i < count; ++i) out[at + i] = table[labels[at + i]];
}
ENTRY(regroup, (const u8* labels, const u8* table, u8* out, int size),
      regroup_body(labels, table, out, size))

// labels u8 (n, size) -> (n, classes, size) of zeros and ones
template <class T>
DEVICE void one_hot_body(const u8* labels, T* out, int classes, int size) {
    Quad q;
    if (!quad(&q, size)) return;
    u8 label[4];
    load_bytes(labels + (size_t)q.n * size + q.x, label, q.count);
    T* at = out + (size_t)q.n * classes * size + q.x;
    for (int c = 0; c < classes; ++c, at += size) {
        float v[4];
        for (int i = 0; i < q.count; ++i) v[i] = label[i] == c ? 1.f : 0.f;
        store4(at, v, q.count);
    }
}
ENTRY(one_hot_f32, (const u8* labels, float* out, int classes, int size),
      one_hot_body(labels, out, classes, size))
ENTRY(one_hot_f16, (const u8* labels, half* out, int classes, int size),
      one_hot_body(labels, out, classes, size))

// LIP ids -> VITON-HD ids; `rules` are the nine numbers of cpu/parse.py's Rules, iuv may be null
DEVICE u8 viton_label(u8 label, float x, float y, const float* rules, int body_part) {
    const float hip_y = rules[0], hip_slope = rules[1], nose_x = rules[2], nose_y = rules[3];
    const float axis_x = rules[4], axis_y = rules[5], chin = rules[6], across = rules[7];
    u8 out = label;
    if (label == 10) out = y < hip_y + x * hip_slope ? 5 : 9;
    if (label == 13 && chin > 0.f) {
        const float t = ((x - nose_x) * axis_x + (y - nose_y) * axis_y) / chin;
        const float s = ((y - nose_y) * axis_x - (x - nose_x) * axis_y) / across;
        if (t > 0.5f && t * t + s * s > 1.f) out = 10;
    }
    const bool torso = body_part == 1 || body_part == 2;
    const bool bare = label == 0 || label == 13 || label == 14 || label == 15;
    if (torso && bare && y >= rules[8]) out = 10;
    return out;
}
DEVICE void lip_to_viton_body(const u8* parse, const u8* iuv, const float* rules, u8* out,
                              int height, int width) {
    Quad q;
    if (!quad(&q, width)) return;
    const size_t at = ((size_t)q.n * height + q.y) * width + q.x;
    u8 label[4], part[12];
    load_bytes(parse + at, label, q.count);
    if (iuv) load_rgb(iuv + 3 * at, part, q.count);
    for (int i = 0; i < q.count; ++i)
        label[i] = viton_label(label[i], (float)(q.x + i), (float)q.y, rules + 9 * q.n,
                               iuv ? part[3 * i] : 0);
    store_bytes(out + at, label, q.count);
}
ENTRY(lip_to_viton, (const u8* parse, const u8* iuv, const float* rules, u8* out, int height, int width),
      lip_to_viton_body(parse, iuv, rules, out, height, width))
