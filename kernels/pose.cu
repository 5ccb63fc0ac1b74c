// OpenPose's heat maps and part affinity fields: twins in cpu/pose.py. Maps are enlarged 8 times by
// OpenCV's cubic (a = -0.75), whose weights at these places are exact in floats.
#include "common.cuh"

const int STRIDE = 8, MAX_PEAKS = 127, REFINE = 3, SAMPLES = 25;
const float PEAK = 0.05f;

// First of the four cells around pixel i of an enlarged axis, and their weights.
DEVICE int cubic(int i, float* weight) {
    const int cell = (i - STRIDE / 2) >> 3;
    const float a = -0.75f, t = ((float)i + 0.5f) / STRIDE - 0.5f - (float)cell, s = 1.f - t;
    const float u = t + 1.f;
    weight[0] = ((a * u - 5.f * a) * u + 8.f * a) * u - 4.f * a;
    weight[1] = ((a + 2.f) * t - (a + 3.f)) * t * t + 1.f;
    weight[2] = ((a + 2.f) * s - (a + 3.f)) * s * s + 1.f;
    weight[3] = 1.f - weight[0] - weight[1] - weight[2];
    return cell - 1;
}
DEVICE int inside(int i, int size) { return min(max(i, 0), size - 1); }

// maps (n, h, w) -> fine f32 (n, 8 h, 8 w). The four pixels of a thread share their cells.
template <class T>
DEVICE void enlarge_body(const T* maps, int h, int w, float* fine) {
    Quad q;
    if (!quad(&q, w * STRIDE)) return;
    const T* map = maps + (size_t)q.n * h * w;
    float wy[4], wx[4], column[4] = {0.f, 0.f, 0.f, 0.f}, v[4];
    const int top = cubic(q.y, wy), left = cubic(q.x, wx);
    for (int i = 0; i < 4; ++i) {
        const T* row = map + (size_t)inside(top + i, h) * w;
        for (int k = 0; k < 4; ++k) column[k] += wy[i] * load(row + inside(left + k, w));
    }
    for (int x = 0; x < 4; ++x) {
        cubic(q.x + x, wx);
        v[x] = 0.f;
        for (int k = 0; k < 4; ++k) v[x] += wx[k] * column[k];
    }
    store4(fine + ((size_t)q.n * h * STRIDE + q.y) * w * STRIDE + q.x, v, q.count);
}
ENTRY(enlarge_f32, (const float* maps, int h, int w, float* fine), enlarge_body(maps, h, w, fine))
ENTRY(enlarge_f16, (const half* maps, int h, int w, float* fine), enlarge_body(maps, h, w, fine))

// Strictly higher than its neighbours inside the map; on the lines one pixel from an edge at least
// as high, also where they meet the edge; elsewhere on the edge never.
DEVICE bool is_peak(const float* map, int height, int width, int y, int x) {
    const float value = map[(size_t)y * width + x];
    if (!(value > PEAK)) return false;
    const bool line = y == 1 || y == height - 2 || x == 1 || x == width - 2;
    const bool edge = y == 0 || y == height - 1 || x == 0 || x == width - 1;
    if (edge && !line) return false;
    for (int dy = -1; dy <= 1; ++dy)
        for (int dx = -1; dx <= 1; ++dx) {
            const int row = y + dy, column = x + dx;
            const bool outside = row < 0 || row >= height || column < 0 || column >= width;
            if ((dy == 0 && dx == 0) || outside) continue;
            const float beside = map[(size_t)row * width + column];
            if (line ? beside > value : beside >= value) return false;
        }
    return true;
}

// Peaks of every row of fine (n, height, width) into rows (n, height), which starts at 0.
DEVICE void peak_count_body(const float* fine, int height, int width, int* rows) {
    Quad q;
    if (!quad(&q, width)) return;
    const float* map = fine + (size_t)q.n * height * width;
    int found = 0;
    for (int i = 0; i < q.count; ++i) found += is_peak(map, height, width, q.y, q.x + i);
    if (found) atomicAdd(rows + (size_t)q.n * height + q.y, found);
}
ENTRY(peak_count, (const float* fine, int height, int width, int* rows),
      peak_count_body(fine, height, width, rows))

// Centre of mass of the positive values within 3 pixels, as an offset from the pixel.
DEVICE float2 refined(const float* map, int height, int width, int y, int x) {
    float mass = 0.f, along = 0.f, down = 0.f;
    for (int dy = -REFINE; dy <= REFINE; ++dy)
        for (int dx = -REFINE; dx <= REFINE; ++dx) {
            const int row = y + dy, column = x + dx;
            if (row < 0 || row >= height || column < 0 || column >= width) continue;
            const float value = fmaxf(map[(size_t)row * width + column], 0.f);
            mass += value, along += value * (float)dx, down += value * (float)dy;
        }
    return make_float2(along / mass, down / mass);
}

// One thread a row: its peaks behind those of the rows above, in scan order. peaks (n, 127, 3) starts
// at 0; the last row's thread writes count (n).
DEVICE void peak_write_body(const float* fine, int height, int width, const int* rows, float offset,
                            int* count, float* peaks) {
    const int y = (int)(blockIdx.x * blockDim.x + threadIdx.x), n = (int)blockIdx.y;
    if (y >= height) return;
    const int* row = rows + (size_t)n * height;
    if (row[y] == 0 && y != height - 1) return;
    int at = 0;
    for (int i = 0; i < y; ++i) at += row[i];
    if (y == height - 1) count[n] = min(at + row[y], MAX_PEAKS);
    const float* map = fine + (size_t)n * height * width;
    const int stop = min(at + row[y], MAX_PEAKS);
    for (int x = 0; x < width && at < stop; ++x) {
        if (!is_peak(map, height, width, y, x)) continue;
        const float2 shift = refined(map, height, width, y, x);
        float* peak = peaks + ((size_t)n * MAX_PEAKS + at++) * 3;
        peak[0] = (float)x + shift.x + offset, peak[1] = (float)y + shift.y + offset;
        peak[2] = map[(size_t)y * width + x];
    }
}
ENTRY(peak_write,
      (const float* fine, int height, int width, const int* rows, float offset, int* count,
       float* peaks),
      peak_write_body(fine, height, width, rows, offset, count, peaks))

// Value of an enlarged map at one pixel, without enlarging.
template <class T>
DEVICE float cubic_at(const T* map, int h, int w, int y, int x) {
    float wy[4], wx[4], sum = 0.f;
    const int top = cubic(y, wy), left = cubic(x, wx);
    for (int i = 0; i < 4; ++i) {
        const T* row = map + (size_t)inside(top + i, h) * w;
        float line = 0.f;
        for (int k = 0; k < 4; ++k) line += wx[k] * load(row + inside(left + k, w));
        sum += wy[i] * line;
    }
    return sum;
}

// One thread for each pair of keypoints (26), peak i of the first and j of the second.
// pairs (26, 3): the two keypoints and the first of the two field channels.
template <class T>
DEVICE void paf_scores_body(const T* pafs, int h, int w, const int* pairs, const int* count,
                            const float* peaks, float* scores) {
    const int j = (int)(blockIdx.x * blockDim.x + threadIdx.x), i = (int)blockIdx.y;
    if (j >= MAX_PEAKS) return;
    const int* pair = pairs + 3 * blockIdx.z;
    float* score = scores + ((size_t)blockIdx.z * MAX_PEAKS + i) * MAX_PEAKS + j;
    *score = 0.f;
    if (i >= count[pair[0]] || j >= count[pair[1]]) return;
    const float* a = peaks + ((size_t)pair[0] * MAX_PEAKS + i) * 3;
    const float* b = peaks + ((size_t)pair[1] * MAX_PEAKS + j) * 3;
    const float dx = b[0] - a[0], dy = b[1] - a[1], length = sqrtf(dx * dx + dy * dy);
    if (!(length > 1e-6f)) return;
    const int height = h * STRIDE, width = w * STRIDE;
    const int samples = min(max((int)(sqrtf(5.f * fmaxf(fabsf(dx), fabsf(dy))) + 0.5f), 5), SAMPLES);
    const float step_x = dx / (float)samples, step_y = dy / (float)samples;
    const T* field = pafs + (size_t)pair[2] * h * w;
    int hits = 0;
    float sum = 0.f;
    for (int k = 0; k < samples; ++k) {
        const int x = inside((int)(a[0] + (float)k * step_x + 0.5f), width);
        const int y = inside((int)(a[1] + (float)k * step_y + 0.5f), height);
        const float dot = dx / length * cubic_at(field, h, w, y, x) +
                          dy / length * cubic_at(field + (size_t)h * w, h, w, y, x);
        if (dot > PEAK) sum += dot, ++hits;
    }
    if (100 * hits > 95 * samples)
        *score = sum / (float)hits;
    else if (length < sqrtf((float)(height * width)) / 150.f)
        *score = PEAK + 1e-6f;
}
#define PAF_SCORES(suffix, T)                                                                     \
    ENTRY(paf_scores_##suffix,                                                                    \
          (const T* pafs, int h, int w, const int* pairs, const int* count, const float* peaks,   \
           float* scores),                                                                        \
          paf_scores_body(pafs, h, w, pairs, count, peaks, scores))
PAF_SCORES(f32, float)
PAF_SCORES(f16, half)

// Highest pixel of every row of fine (n, height, width): x and value into rows (n, height, 2).
DEVICE void row_max_body(const float* fine, int height, int width, float* rows) {
    const int y = (int)(blockIdx.x * blockDim.x + threadIdx.x), n = (int)blockIdx.y;
    if (y >= height) return;
    const float* row = fine + ((size_t)n * height + y) * width;
    int best = 0;
    for (int x = 1; x < width; ++x)
        if (row[x] > row[best]) best = x;
    float* out = rows + 2 * ((size_t)n * height + y);
    out[0] = (float)best, out[1] = row[best];
}
ENTRY(row_max, (const float* fine, int height, int width, float* rows),
      row_max_body(fine, height, width, rows))

// Highest of the rows: points (n, 3) x, y, value.
DEVICE void map_max_body(const float* rows, int height, int maps, float* points) {
    const int n = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (n >= maps) return;
    const float* row = rows + 2 * (size_t)n * height;
    int best = 0;
    for (int y = 1; y < height; ++y)
        if (row[2 * y + 1] > row[2 * best + 1]) best = y;
    points[3 * n] = row[2 * best], points[3 * n + 1] = (float)best;
    points[3 * n + 2] = row[2 * best + 1];
}
ENTRY(map_max, (const float* rows, int height, int maps, float* points),
      map_max_body(rows, height, maps, points))
