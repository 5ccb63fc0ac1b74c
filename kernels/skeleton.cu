// The skeleton picture, stroke over stroke: twin in cpu/skeleton.py, which also makes the strokes.
#include "common.cuh"

// strokes (all, 14): box x0 y0 x1 y1, centre, axis, two divisors, limit, colour. Those of picture n
// are first[n] .. first[n + 1] - 1. A thread lays all strokes over its four pixels.
DEVICE void draw_skeleton_body(const float* strokes, const int* first, u8* picture, int height,
                               int width) {
    Quad q;
    if (!quad(&q, width)) return;
    float rgb[12];
    for (int i = 0; i < 12; ++i) rgb[i] = 0.f;
    for (int s = first[q.n]; s < first[q.n + 1]; ++s) {
        const float* stroke = strokes + 14 * (size_t)s;
        if (q.y < stroke[1] || q.y >= stroke[3] || q.x + q.count <= stroke[0] || q.x >= stroke[2])
            continue;
        for (int i = 0; i < 4; ++i) {
            if (q.x + i < stroke[0] || q.x + i >= stroke[2]) continue;
            const float x = (float)(q.x + i) - stroke[4], y = (float)q.y - stroke[5];
            const float along = stroke[6] * x + stroke[7] * y;
            const float beside = stroke[7] * x - stroke[6] * y;
            if (along * along / stroke[8] + beside * beside / stroke[9] > stroke[10]) continue;
            for (int c = 0; c < 3; ++c)
                rgb[3 * i + c] = rgb[3 * i + c] * (1.f - 0.6f) + 0.6f * stroke[11 + c];
        }
    }
    u8 out[12];
    for (int i = 0; i < 12; ++i) out[i] = (u8)rgb[i];
    store_rgb(picture + 3 * (((size_t)q.n * height + q.y) * width + q.x), out, q.count);
}
ENTRY(draw_skeleton, (const float* strokes, const int* first, u8* picture, int height, int width),
      draw_skeleton_body(strokes, first, picture, height, width))
