// In front of and behind the segmentation generator: twins in cpu/segment.py.
#include "taps.cuh"

// Bilinear without antialias, align_corners False: two neighbours and the upper one's weight.
DEVICE void neighbours(int i, int size, int source, int* low, int* high, float* part) {
    // (i + 0.5) * source / size - 0.5 over a common denominator: whole numbers lose no digits.
    const int places = 2 * size, at = max((2 * i + 1) * source - size, 0);
    *low = min(at / places, source - 1), *high = min(*low + 1, source - 1);
    *part = (float)(at - *low * places) / (float)places;
}

// One thread makes all 21 channels of one pixel: mask 1, cloth * mask 3, parse 13, skeleton 3,
// noise. `people` 1: the same person for every garment of the batch.
template <class T>
DEVICE void seg_input_body(const u8* mask, const u8* cloth, const u8* parse13, const u8* skeleton,
                           const float* noise, T* out, int people, int height, int width, int h,
                           int w) {
    const int x = (int)(blockIdx.x * blockDim.x + threadIdx.x), y = (int)blockIdx.y;
    const int n = (int)blockIdx.z, person = people > 1 ? n : 0;
    if (x >= w) return;
    int top, bottom, left, right;
    float fy, fx;
    neighbours(y, h, height, &top, &bottom, &fy);
    neighbours(x, w, width, &left, &right, &fx);
    float v[21];
    for (int c = 0; c < 21; ++c) v[c] = 0.f;
    for (int tap = 0; tap < 4; ++tap) {
        const int row = tap & 2 ? bottom : top, column = tap & 1 ? right : left;
        const float weight = (tap & 2 ? fy : 1.f - fy) * (tap & 1 ? fx : 1.f - fx);
        const size_t place = (size_t)row * width + column, picture = (size_t)height * width;
        const size_t at = n * picture + place, body = person * picture + place;
        const float inside = mask[at] >= 128 ? weight : 0.f;
        v[0] += inside;
        const int label = parse13[body];
        for (int c = 0; c < 13; ++c) v[4 + c] += label == c ? weight : 0.f;
        for (int c = 0; c < 3; ++c) {
            v[1 + c] += signed_colour(cloth[3 * at + c]) * inside;
            v[17 + c] += signed_colour(skeleton[3 * body + c]) * weight;
        }
    }
    const size_t pixel = (size_t)y * w + x, plane = (size_t)h * w;
    v[20] = noise[n * plane + pixel];
    for (int c = 0; c < 21; ++c) store(out + ((size_t)n * 21 + c) * plane + pixel, v[c]);
}
#define SEG_INPUT(suffix, T)                                                                      \
    ENTRY(seg_input_##suffix,                                                                     \
          (const u8* mask, const u8* cloth, const u8* parse13, const u8* skeleton,                \
           const float* noise, T* out, int people, int height, int width, int h, int w),          \
          seg_input_body(mask, cloth, parse13, skeleton, noise, out, people, height, width, h, w))
SEG_INPUT(f32, float)
SEG_INPUT(f16, half)

// probabilities (n, classes, h, w) -> group ids; enlarging and blur are in the bands
#define SEG_LABELS(suffix, T)                                                                     \
    ENTRY(seg_labels_##suffix,                                                                    \
          (const T* probabilities, int classes, int h, int w, const int* row_first,               \
           const float* row_weight, int row_count, const int* column_first,                       \
           const float* column_weight, int column_count, u8* labels, int height, int width),      \
          argmax_taps(probabilities, classes, h, w, Bands{row_first, row_weight, row_count},      \
                      Bands{column_first, column_weight, column_count}, labels, height, width))
SEG_LABELS(f32, float)
SEG_LABELS(f16, half)
