// Pictures as the networks want them: twins in cpu/fit.py, fit_pose.py and fit_mask.py. Every recipe
// is one of two resizes, OpenCV's warp or Pillow's (Torch's) antialiased taps, then a table of what a
// byte becomes, (3, 256) floats in the order of the network's channels.
#include "common.cuh"

// OpenCV's warpAffine without a turn: at_x, at_y are source places in 1/32 pixel, black outside.
// order 1: the network's channels are R G B; -1: B G R. The first `mirrored` samples use at_x of
// their own, so the tables are per sample: at_x (n, w), at_y (n, h). One picture serves all samples.
template <class T>
DEVICE void crop_body(const u8* image, int height, int width, const int* at_x, const int* at_y,
                      const float* table, int order, T* out, int h, int w) {
    const int x = (int)(blockIdx.x * blockDim.x + threadIdx.x), y = (int)blockIdx.y;
    const int n = (int)blockIdx.z;
    if (x >= w) return;
    const int sx = at_x[n * w + x], sy = at_y[n * h + y];
    const int fx = sx & 31, fy = sy & 31;
    int sum[3] = {512, 512, 512};  // half of the weights' total, 32 * 32
    for (int tap = 0; tap < 4; ++tap) {
        const int row = (sy >> 5) + (tap >> 1), column = (sx >> 5) + (tap & 1);
        if (row < 0 || row >= height || column < 0 || column >= width) continue;
        const int weight = (tap & 2 ? fy : 32 - fy) * (tap & 1 ? fx : 32 - fx);
        const u8* pixel = image + 3 * ((size_t)row * width + column);
        for (int c = 0; c < 3; ++c) sum[c] += weight * pixel[c];
    }
    for (int c = 0; c < 3; ++c) {
        const int level = sum[order > 0 ? c : 2 - c] >> 10;
        store(out + (((size_t)n * 3 + c) * h + y) * w + x, table[256 * c + level]);
    }
}
#define CROP(suffix, T)                                                                           \
    ENTRY(crop_##suffix,                                                                          \
          (const u8* image, int height, int width, const int* at_x, const int* at_y,              \
           const float* table, int order, T* out, int h, int w),                                  \
          crop_body(image, height, width, at_x, at_y, table, order, out, h, w))
CROP(f32, float)
CROP(f16, half)

// Pillow's resize of bytes, across then down: weights are integers of 22 bits, each pass rounds.
// first (size), weight (size, count): the source pixels of every output and their weights.
DEVICE u8 clip22(int sum) { return (u8)min(max(sum >> 22, 0), 255); }

DEVICE void resize_across_body(const u8* in, int width, int channels, const int* first,
                               const int* weight, int count, u8* out, int w) {
    const int x = (int)(blockIdx.x * blockDim.x + threadIdx.x), y = (int)blockIdx.y;
    if (x >= w) return;
    const u8* row = in + ((size_t)y * width + first[x]) * channels;
    for (int c = 0; c < channels; ++c) {
        int sum = 1 << 21;
        for (int k = 0; k < count; ++k) sum += weight[x * count + k] * row[k * channels + c];
        out[((size_t)y * w + x) * channels + c] = clip22(sum);
    }
}
ENTRY(resize_across,
      (const u8* in, int width, int channels, const int* first, const int* weight, int count,
       u8* out, int w),
      resize_across_body(in, width, channels, first, weight, count, out, w))

// `row` counts bytes: width * channels
DEVICE void resize_down_body(const u8* in, int row, const int* first, const int* weight, int count,
                             u8* out) {
    Quad q;
    if (!quad(&q, row)) return;
    int sum[4] = {1 << 21, 1 << 21, 1 << 21, 1 << 21};
    const u8* source = in + (size_t)first[q.y] * row + q.x;
    for (int k = 0; k < count; ++k) {
        u8 v[4];
        load_bytes(source + (size_t)k * row, v, q.count);
        for (int i = 0; i < q.count; ++i) sum[i] += weight[q.y * count + k] * v[i];
    }
    u8 level[4];
    for (int i = 0; i < q.count; ++i) level[i] = clip22(sum[i]);
    store_bytes(out + (size_t)q.y * row + q.x, level, q.count);
}
ENTRY(resize_down,
      (const u8* in, int row, const int* first, const int* weight, int count, u8* out),
      resize_down_body(in, row, first, weight, count, out))

// RGB u8 (h, w, 3) -> planes (3, H, W) through the table; right of w and below h is 0
template <class T>
DEVICE void planes_body(const u8* image, int h, int w, const float* table, int order, T* out,
                        int height, int width) {
    Quad q;
    if (!quad(&q, width)) return;
    u8 rgb[12];
    const int inside = q.y < h ? max(0, min(q.count, w - q.x)) : 0;
    if (inside) load_rgb(image + 3 * ((size_t)q.y * w + q.x), rgb, inside);
    for (int c = 0; c < 3; ++c) {
        float v[4] = {0.f, 0.f, 0.f, 0.f};
        for (int i = 0; i < inside; ++i)
            v[i] = table[256 * c + rgb[3 * i + (order > 0 ? c : 2 - c)]];
        store4(out + ((size_t)c * height + q.y) * width + q.x, v, q.count);
    }
}
#define PLANES(suffix, T)                                                                         \
    ENTRY(planes_##suffix,                                                                        \
          (const u8* image, int h, int w, const float* table, int order, T* out, int height,      \
           int width),                                                                            \
          planes_body(image, h, w, table, order, out, height, width))
PLANES(f32, float)
PLANES(f16, half)

// Greatest byte; `top` starts at 0. Sixteen bytes a thread.
DEVICE void max_byte_body(const u8* in, int* top, int size) {
    const int at = 16 * (int)(blockIdx.x * blockDim.x + threadIdx.x);
    int best = 0;
    for (int i = at; i < min(at + 16, size); ++i) best = max(best, (int)in[i]);
    if (best > 0) atomicMax(top, best);
}
ENTRY(max_byte, (const u8* in, int* top, int size), max_byte_body(in, top, size))

// carvekit's U2Net: level / greatest level of the picture, mean and deviation in double. 768 threads.
DEVICE void u2net_table_body(const int* top, const double* mean_std, float* table) {
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x), c = i / 256;
    if (c >= 3) return;
    const double shade = (double)(i % 256) / (double)max(*top, 1);
    table[i] = (float)((shade - mean_std[c]) / mean_std[3 + c]);
}
ENTRY(u2net_table, (const int* top, const double* mean_std, float* table),
      u2net_table_body(top, mean_std, table))

// Torch's antialiased bilinear in floats, down and then across with scale and offset per channel
DEVICE void taps_down_body(const u8* image, int row, const int* first, const float* weight,
                           int count, float* out) {
    Quad q;
    if (!quad(&q, row)) return;
    float sum[4] = {0.f, 0.f, 0.f, 0.f};
    const u8* source = image + (size_t)first[q.y] * row + q.x;
    for (int k = 0; k < count; ++k) {
        u8 v[4];
        load_bytes(source + (size_t)k * row, v, q.count);
        for (int i = 0; i < q.count; ++i) sum[i] += weight[q.y * count + k] * (float)v[i];
    }
    store4(out + (size_t)q.y * row + q.x, sum, q.count);
}
ENTRY(taps_down,
      (const u8* image, int row, const int* first, const float* weight, int count, float* out),
      taps_down_body(image, row, first, weight, count, out))

template <class T>
DEVICE void taps_across_body(const float* in, int width, const int* first, const float* weight,
                             int count, const float* scale_offset, T* out, int h, int w) {
    const int x = (int)(blockIdx.x * blockDim.x + threadIdx.x), y = (int)blockIdx.y;
    if (x >= w) return;
    const float* row = in + ((size_t)y * width + first[x]) * 3;
    for (int c = 0; c < 3; ++c) {
        float sum = 0.f;
        for (int k = 0; k < count; ++k) sum += weight[x * count + k] * row[3 * k + c];
        store(out + ((size_t)c * h + y) * w + x, sum * scale_offset[c] + scale_offset[3 + c]);
    }
}
#define TAPS_ACROSS(suffix, T)                                                                    \
    ENTRY(taps_across_##suffix,                                                                   \
          (const float* in, int width, const int* first, const float* weight, int count,          \
           const float* scale_offset, T* out, int h, int w),                                      \
          taps_across_body(in, width, first, weight, count, scale_offset, out, h, w))
TAPS_ACROSS(f32, float)
TAPS_ACROSS(f16, half)
