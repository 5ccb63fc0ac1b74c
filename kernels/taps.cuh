// Arg max over label planes of `rows @ plane @ columns.T`: twin of cpu/taps.py, the matrices kept as
// bands. Neighbouring output columns share their source columns, so a thread makes four of them.
#pragma once
#include "common.cuh"

struct Bands {             // of one axis
    const int* first;      // first source index of each row, or of four neighbouring columns
    const float* weight;   // rows (outputs, count); columns (count, outputs rounded up to fours), so
                           // that threads side by side read side by side; zero where less is read
    int count;             // source indices read
};

template <class T>
DEVICE void argmax_taps(const T* planes, int classes, int h, int w, Bands rows, Bands columns,
                        u8* labels, int height, int width) {
    Quad q;
    if (!quad(&q, width)) return;
    planes += (size_t)q.n * classes * h * w;
    const int top = rows.first[q.y], left = columns.first[q.x / 4];
    const float* wy = rows.weight + (size_t)q.y * rows.count;
    const float* wx = columns.weight + q.x;
    const int stride = (width + 3) & ~3;
    float best[4];
    u8 label[4] = {0, 0, 0, 0};
    bool broken[4] = {false, false, false, false};
    for (int c = 0; c < classes; ++c) {
        const T* plane = planes + ((size_t)c * h + top) * w + left;
        float sum[4] = {0.f, 0.f, 0.f, 0.f};
        for (int k = 0; k < columns.count; ++k) {
            float column = 0.f;
            for (int r = 0; r < rows.count; ++r) column += wy[r] * load(plane + (size_t)r * w + k);
            float w4[4];
            load4(wx + (size_t)k * stride, w4, 4);
            for (int i = 0; i < 4; ++i) sum[i] += w4[i] * column;
        }
        for (int i = 0; i < 4; ++i) {
            broken[i] |= sum[i] != sum[i];
            if (c == 0 || sum[i] > best[i]) best[i] = sum[i], label[i] = (u8)c;
        }
    }
    for (int i = 0; i < 4; ++i)
        if (broken[i]) label[i] = 0;  // a NaN in any class: 0, as in the twin
    store_bytes(labels + ((size_t)q.n * height + q.y) * width + q.x, label, q.count);
}
