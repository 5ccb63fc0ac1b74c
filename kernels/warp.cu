// In front of and behind the matcher: twins in cpu/warp.py.
#include "common.cuh"

// Nearest neighbour, pixel floor(i * H / h): a (n, 7, h, w) upper 1, skeleton 3,
// agnostic 3; b cloth. `people` 1: one person for the whole batch.
template <class T>
DEVICE void gmm_input_body(const u8* parse7, const u8* skeleton, const u8* agnostic,
                           const u8* cloth, T* a, T* b, int people, int height, int width, int h,
                           int w) {
    const int x = (int)(blockIdx.x * blockDim.x + threadIdx.x), y = (int)blockIdx.y;
    const int n = (int)blockIdx.z, person = people > 1 ? n : 0;
    if (x >= w) return;
    const int row = (int)((long long)y * height / h), column = (int)((long long)x * width / w);
    const size_t place = (size_t)row * width + column, picture = (size_t)height * width;
    const size_t at = n * picture + place, body = person * picture + place;
    const size_t plane = (size_t)h * w, pixel = (size_t)y * w + x;
    a += n * 7 * plane + pixel, b += n * 3 * plane + pixel;
    store(a, parse7[at] == 2 ? 1.f : 0.f);
    for (int c = 0; c < 3; ++c) {
        store(a + (1 + c) * plane, signed_colour(skeleton[3 * body + c]));
        store(a + (4 + c) * plane, signed_colour(agnostic[3 * body + c]));
        store(b + c * plane, signed_colour(cloth[3 * at + c]));
    }
}
#define GMM_INPUT(suffix, T)                                                                      \
    ENTRY(gmm_input_##suffix,                                                                     \
          (const u8* parse7, const u8* skeleton, const u8* agnostic, const u8* cloth, T* a, T* b, \
           int people, int height, int width, int h, int w),                                      \
          gmm_input_body(parse7, skeleton, agnostic, cloth, a, b, people, height, width, h, w))
GMM_INPUT(f32, float)
GMM_INPUT(f16, half)

// theta (n, 50) -> coefficients (n, 28, 2): inverse (28, 28) times the moved control points, whose
// X changes slowly: point 5 r + c lies at (-0.9 + 0.45 r, -0.9 + 0.45 c).
template <class T>
DEVICE void tps_coefficients_body(const T* theta, const float* inverse, float* out) {
    const int i = (int)threadIdx.x, n = (int)blockIdx.x;
    if (i >= 56) return;
    const int row = i / 2, axis = i % 2;
    float sum = 0.f;
    for (int k = 0; k < 25; ++k) {
        const float at = -0.9f + 0.45f * (float)(axis == 0 ? k / 5 : k % 5);
        sum += inverse[28 * row + k] * (at + load(theta + n * 50 + axis * 25 + k));
    }
    out[n * 56 + i] = sum;
}
ENTRY(tps_coefficients_f32, (const float* theta, const float* inverse, float* out),
      tps_coefficients_body(theta, inverse, out))
ENTRY(tps_coefficients_f16, (const half* theta, const float* inverse, float* out),
      tps_coefficients_body(theta, inverse, out))

// Where output pixel (x, y) looks, -1..1 spanning the garment's picture.
DEVICE float2 spline(const float* coefficients, float x, float y) {
    float gx = coefficients[50] + coefficients[52] * x + coefficients[54] * y;
    float gy = coefficients[51] + coefficients[53] * x + coefficients[55] * y;
    for (int k = 0; k < 25; ++k) {
        const float dx = x - (-0.9f + 0.45f * (float)(k / 5));
        const float dy = y - (-0.9f + 0.45f * (float)(k % 5));
        const float r = dx * dx + dy * dy;
        const float u = r == 0.f ? 0.f : r * logf(r);
        gx += coefficients[2 * k] * u, gy += coefficients[2 * k + 1] * u;
    }
    return make_float2(gx, gy);
}

// grid_sample's place: align_corners False, border repeated.
DEVICE void place(float coordinate, int size, int* low, int* high, float* part) {
    float at = ((coordinate + 1.f) * (float)size - 1.f) * 0.5f;
    at = fminf(fmaxf(at, 0.f), (float)(size - 1));  // a NaN becomes 0, the border
    *low = (int)at, *high = min(*low + 1, size - 1), *part = at - (float)*low;
}

// cloth u8 (n, h, w, 3) and mask u8 (n, h, w) -> W_c (n, 3, H, W) in -1..1, W_m (n, 1, H, W)
template <class T>
DEVICE void warp_garment_body(const u8* cloth, const u8* mask, const float* coefficients, T* W_c,
                              T* W_m, int h, int w, int height, int width) {
    Quad q;
    if (!quad(&q, width)) return;
    cloth += (size_t)q.n * h * w * 3, mask += (size_t)q.n * h * w, coefficients += 56 * q.n;
    const float y = -0.9f + 1.8f * (float)q.y / (float)max(height - 1, 1);
    float v[4][4];  // [channel][pixel]
    for (int i = 0; i < q.count; ++i) {
        const float x = -0.9f + 1.8f * (float)(q.x + i) / (float)max(width - 1, 1);
        const float2 grid = spline(coefficients, x, y);
        int left, right, top, bottom;
        float fx, fy;
        place(grid.x, w, &left, &right, &fx);
        place(grid.y, h, &top, &bottom, &fy);
        for (int c = 0; c < 4; ++c) v[c][i] = 0.f;
        for (int tap = 0; tap < 4; ++tap) {
            const size_t at = (size_t)(tap & 2 ? bottom : top) * w + (tap & 1 ? right : left);
            const float weight = (tap & 2 ? fy : 1.f - fy) * (tap & 1 ? fx : 1.f - fx);
            for (int c = 0; c < 3; ++c) v[c][i] += (float)cloth[3 * at + c] * weight;
            v[3][i] += mask[at] >= 128 ? weight : 0.f;
        }
        for (int c = 0; c < 3; ++c) v[c][i] = v[c][i] * (2.f / 255.f) - 1.f;
    }
    const size_t plane = (size_t)height * width, pixel = (size_t)q.y * width + q.x;
    for (int c = 0; c < 3; ++c) store4(W_c + (q.n * 3 + c) * plane + pixel, v[c], q.count);
    store4(W_m + q.n * plane + pixel, v[3], q.count);
}
#define WARP_GARMENT(suffix, T)                                                                   \
    ENTRY(warp_garment_##suffix,                                                                  \
          (const u8* cloth, const u8* mask, const float* coefficients, T* W_c, T* W_m, int h,     \
           int w, int height, int width),                                                         \
          warp_garment_body(cloth, mask, coefficients, W_c, W_m, h, w, height, width))
WARP_GARMENT(f32, float)
WARP_GARMENT(f16, half)
