// The distinct 5x5 windows of a label map, for tables of a fixed size: twin in cpu/windows.py.
// Every kernel takes all levels of one map at a time, a level for each blockIdx.y.
#include "common.cuh"

#define REACH 2
#define SIDE 5
#define PLACES 25
#define EMPTY (-1)  // a slot of the table, and a place outside of the picture
#define ALONE (-1)  // in place of a slot: the window stands for itself
#define SEGMENT 64  // of the list, that one thread compares with

// One row of the table of levels, as gpu_windows.py writes it: offsets count elements.
struct Level {
    int step, h, w;        // of the picture in pixels of the level; its size
    int codes, pixels;     // where its framed codes begin, and its pixels
    int table, mask;       // its slots, a power of two: mask is one less
    int list, capacity;    // its windows
};
#define LEVEL ((const Level*)levels)[blockIdx.y]
DEVICE int thread_number() { return (int)(blockIdx.x * blockDim.x + threadIdx.x); }

// The label of every pixel, with a frame of REACH that is `channels`; channels + 1 is no label.
template <class T>
DEVICE void window_codes_body(const T* labels, int samples, int channels, int height, int width,
                              const int* levels, u8* codes) {
    const Level level = LEVEL;
    const int rows = level.h + 2 * REACH, columns = level.w + 2 * REACH, i = thread_number();
    if (i >= samples * rows * columns) return;
    const int n = i / (rows * columns), y = i / columns % rows - REACH, x = i % columns - REACH;
    int code = channels;
    if (y >= 0 && y < level.h && x >= 0 && x < level.w) {
        const size_t plane = (size_t)height * width;
        const T* p = labels + (size_t)n * channels * plane
                     + (size_t)y * level.step * width + x * level.step;
        int hot = 0, other = 0;
        for (int c = 0; c < channels; ++c) {
            const float v = load(p + c * plane);
            if (fabsf(v - 1.f) <= 1e-6f) ++hot, code = c;
            else if (!(fabsf(v) <= 1e-6f)) ++other;  // NaN too
        }
        if (hot != 1 || other) code = channels + 1;
    }
    codes[level.codes + i] = (u8)code;
}
ENTRY(window_codes_f32, (const float* labels, int samples, int channels, int height, int width,
                         const int* levels, u8* codes),
      window_codes_body(labels, samples, channels, height, width, levels, codes))
ENTRY(window_codes_f16, (const half* labels, int samples, int channels, int height, int width,
                         const int* levels, u8* codes),
      window_codes_body(labels, samples, channels, height, width, levels, codes))

struct Window {
    u32 line[SIDE];  // five codes of four bits
    bool alone;      // holds a pixel that is no label
};
DEVICE Window window_of(const u8* codes, const Level& level, int channels, int pixel) {
    const int columns = level.w + 2 * REACH, size = level.h * level.w, n = pixel / size;
    const int y = pixel / level.w - n * level.h, x = pixel % level.w;
    const u8* at = codes + level.codes + (n * (level.h + 2 * REACH) + y) * columns + x;
    Window window;
    window.alone = false;
    for (int i = 0; i < SIDE; ++i, at += columns) {
        window.line[i] = 0;
        for (int j = 0; j < SIDE; ++j) {
            window.line[i] = window.line[i] << 4 | at[j];
            window.alone |= at[j] > channels;
        }
    }
    return window;
}

// counts: the windows found, two ints a level (the second is window_list's). slots: each pixel's.
// table: one pixel of each window, the first of them in the end. A slot that is taken stays with
// its window, and equal windows try the same slots: they always meet, whoever comes first.
DEVICE void window_insert_body(const u8* codes, int samples, int channels, const int* levels,
                               int* table, int* slots, int* counts) {
    const Level level = LEVEL;
    const int pixel = thread_number();
    if (pixel >= samples * level.h * level.w) return;
    int* count = counts + 2 * blockIdx.y;
    const Window window = window_of(codes, level, channels, pixel);
    int slot = ALONE;
    if (window.alone) {
        atomicAdd(count, 1);
    } else {
        u32 hash = 0;
        for (int i = 0; i < SIDE; ++i) {
            hash = (hash ^ window.line[i]) * 0x9E3779B1u;
            hash ^= hash >> 15;
        }
        // The table has more slots than the capacity; past that nobody reads what comes out.
        while (slot == ALONE && *(volatile int*)count <= level.capacity) {
            int* entry = table + level.table + (int)(hash & (u32)level.mask);
            int there = *(volatile int*)entry;
            if (there == EMPTY) {
                there = atomicCAS(entry, EMPTY, pixel);
                if (there == EMPTY) atomicAdd(count, 1), there = pixel;
            }
            const Window other = window_of(codes, level, channels, there);
            bool same = true;
            for (int i = 0; i < SIDE; ++i) same &= window.line[i] == other.line[i];
            if (same) {
                if (pixel < there) atomicMin(entry, pixel);
                slot = (int)(hash & (u32)level.mask);
            }
            ++hash;
        }
    }
    slots[level.pixels + pixel] = slot;
}
ENTRY(window_insert, (const u8* codes, int samples, int channels, const int* levels, int* table,
                      int* slots, int* counts),
      window_insert_body(codes, samples, channels, levels, table, slots, counts))

// The first pixel with the same window.
DEVICE int first_pixel(const Level& level, const int* table, const int* slots, int pixel) {
    const int slot = slots[level.pixels + pixel];
    return slot == ALONE ? pixel : table[level.table + slot];
}

// The first pixels, in any order.
DEVICE void window_list_body(int samples, const int* levels, const int* table, const int* slots,
                             int* counts, int* list) {
    const Level level = LEVEL;
    const int pixel = thread_number();
    if (pixel >= samples * level.h * level.w
        || first_pixel(level, table, slots, pixel) != pixel) return;
    const int i = atomicAdd(counts + 2 * blockIdx.y + 1, 1);
    if (i < level.capacity) list[level.list + i] = pixel;
}
ENTRY(window_list, (int samples, const int* levels, const int* table, const int* slots, int* counts,
                    int* list),
      window_list_body(samples, levels, table, slots, counts, list))

// ranks, zero before: how many of the list are less. A segment of it for each blockIdx.z.
DEVICE void window_rank_body(const int* levels, const int* counts, const int* list, int* ranks) {
    const Level level = LEVEL;
    const int i = thread_number(), found = min(counts[2 * blockIdx.y + 1], level.capacity);
    const int start = SEGMENT * (int)blockIdx.z;
    if (i >= found) return;
    const int* all = list + level.list;
    int less = 0;
    for (int j = start; j < min(start + SEGMENT, found); ++j) less += all[j] < all[i];
    if (less) atomicAdd(ranks + level.list + i, less);
}
ENTRY(window_rank, (const int* levels, const int* counts, const int* list, int* ranks),
      window_rank_body(levels, counts, list, ranks))

// places (capacity, 25), EMPTY before: where a window's pixels lie in the labels. rows: its number
// at its first pixel. A thread for each of the 25.
DEVICE void window_place_body(int channels, int height, int width, const int* levels,
                              const int* counts, const int* list, const int* ranks, int* places,
                              int* rows) {
    const Level level = LEVEL;
    const int i = thread_number() / PLACES, k = thread_number() % PLACES;
    const int count = counts[2 * blockIdx.y];
    if (count > level.capacity || i >= count) return;
    const int pixel = list[level.list + i], rank = ranks[level.list + i];
    const int n = pixel / (level.h * level.w);
    const int y = pixel / level.w - n * level.h + k / SIDE - REACH;
    const int x = pixel % level.w + k % SIDE - REACH;
    if (y >= 0 && y < level.h && x >= 0 && x < level.w)
        places[PLACES * (level.list + rank) + k] =
            (n * channels * height + y * level.step) * width + x * level.step;
    if (k == 0) rows[level.pixels + pixel] = rank;
}
ENTRY(window_place, (int channels, int height, int width, const int* levels, const int* counts,
                     const int* list, const int* ranks, int* places, int* rows),
      window_place_body(channels, height, width, levels, counts, list, ranks, places, rows))

// The number of the window at every other pixel; past the capacity 0 everywhere, and a flag.
DEVICE void window_rows_body(int samples, const int* levels, const int* counts, const int* table,
                             const int* slots, int* rows, int* flag) {
    const Level level = LEVEL;
    const int pixel = thread_number();
    if (pixel >= samples * level.h * level.w) return;
    int* row = rows + level.pixels;
    if (counts[2 * blockIdx.y] > level.capacity) {
        row[pixel] = 0;
        if (pixel == 0) atomicMax(flag, 1);
        return;
    }
    const int first = first_pixel(level, table, slots, pixel);
    if (first != pixel) row[pixel] = row[first];
}
ENTRY(window_rows, (int samples, const int* levels, const int* counts, const int* table,
                    const int* slots, int* rows, int* flag),
      window_rows_body(samples, levels, counts, table, slots, rows, flag))

// An answer that came of windows past the capacity begins with NaN, for whoever looks at answers.
template <class T>
DEVICE void disown_body(const int* flag, T* answer) {
    if (thread_number() == 0 && *flag) store(answer, __int_as_float(0x7FC00000));
}
ENTRY(disown_f32, (const int* flag, float* answer), disown_body(flag, answer))
ENTRY(disown_f16, (const int* flag, half* answer), disown_body(flag, answer))
