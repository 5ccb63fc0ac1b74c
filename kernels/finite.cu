// Whether a network's answer is all finite: looked at where it lies, told with the fit's download.
#include "common.cuh"

// flag[0] becomes 1 where x holds NaN or Inf. Sixteen values a thread, four at a time.
template <class T>
DEVICE void look_body(const T* x, int* flag, int size) {
    const int start = 16 * (int)(blockIdx.x * blockDim.x + threadIdx.x);
    bool fine = true;
    for (int at = start; at < min(start + 16, size); at += 4) {
        float v[4];
        const int count = min(4, size - at);
        load4(x + at, v, count);
        for (int i = 0; i < count; ++i) fine &= fabsf(v[i]) <= 3.4e38f;  // false for NaN too
    }
    if (!fine) atomicMax(flag, 1);
}
ENTRY(look_f32, (const float* x, int* flag, int size), look_body(x, flag, size))
ENTRY(look_f16, (const half* x, int* flag, int size), look_body(x, flag, size))
