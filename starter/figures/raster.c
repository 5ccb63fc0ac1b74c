/* The per-pixel work of the renderer: z-buffer, interpolation, texture look-up, light.
   Compiled on first use: cc -O3 -march=native -ffast-math -shared -fPIC raster.c -o raster.so -lm */
#include <math.h>
#include <stdint.h>

static inline float hash01(int n) {
    uint32_t h = (uint32_t)n * 747796405u + 2891336453u;
    h = ((h >> ((h >> 28) + 4)) ^ h) * 277803737u;
    return ((h >> 22) ^ h) * (1.0f / 4294967296.0f);
}

static inline float clamp01(float x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

/* Narrow a row's pixels to where w + slope * (x + 0.5 - ax) >= 0, with a pixel to spare. */
static inline void narrow(float w, float slope, float ax, int *first, int *last) {
    if (fabsf(slope) < 1e-6f) return;
    float x = ax - 0.5f - w / slope;
    if (slope > 0) {
        if (x - 1 > *first) *first = x - 1 < *last + 1 ? (int)(x - 1) : *last + 1;
    } else if (x + 2 < *last) {
        *last = x + 2 > *first - 1 ? (int)(x + 2) : *first - 1;
    }
}

/* Whether all corners lie outside one and the same field: then every fragment does. */
static inline int cut_away(const float *clip, int stride, int n, const int32_t *v) {
    if (!clip) return 0;
    for (int k = 0; k < n; k++)
        if (clip[stride * v[0] + k] < 0 && clip[stride * v[1] + k] < 0 && clip[stride * v[2] + k] < 0) return 1;
    return 0;
}

/* xyz: V x 3, screen x, screen y, distance from the camera (smaller is nearer).
   clip: V x nclip or null; a fragment is kept where every interpolated value is >= 0.
   strand > 0: clip column 1 is a strand coordinate; each of the `strand` strands per unit
   moves column 0 by a random part of `fray` (ragged hair tips).
   first: number of the first triangle in the picture-wide triangle list. */
void raster(int W, int H, int nt, const int32_t *tri, const float *xyz, const float *clip, int nclip,
            float strand, float fray, int first, float *zbuf, int32_t *ids, float *bary) {
    for (int t = 0; t < nt; t++) {
        const int32_t *v = tri + 3 * t;
        if (cut_away(clip, nclip, strand > 0 ? 1 : nclip, v)) continue;
        const float *a = xyz + 3 * v[0], *b = xyz + 3 * v[1], *c = xyz + 3 * v[2];
        int ix0 = (int)ceilf(fminf(a[0], fminf(b[0], c[0])) - 0.5f);
        int ix1 = (int)floorf(fmaxf(a[0], fmaxf(b[0], c[0])) - 0.5f);
        int iy0 = (int)ceilf(fminf(a[1], fminf(b[1], c[1])) - 0.5f);
        int iy1 = (int)floorf(fmaxf(a[1], fmaxf(b[1], c[1])) - 0.5f);
        if (ix0 < 0) ix0 = 0;
        if (iy0 < 0) iy0 = 0;
        if (ix1 >= W) ix1 = W - 1;
        if (iy1 >= H) iy1 = H - 1;
        if (ix0 > ix1 || iy0 > iy1) continue;
        float area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        if (fabsf(area) < 1e-9f) continue;
        float inv = 1.0f / area;
        float w1x = (c[1] - a[1]) * inv, w1y = -(c[0] - a[0]) * inv;
        float w2x = -(b[1] - a[1]) * inv, w2y = (b[0] - a[0]) * inv;
        for (int y = iy0; y <= iy1; y++) {
            float py = y + 0.5f - a[1];
            int first_x = ix0, last_x = ix1;
            narrow(py * w1y, w1x, a[0], &first_x, &last_x);
            narrow(py * w2y, w2x, a[0], &first_x, &last_x);
            narrow(1.0f - py * (w1y + w2y), -(w1x + w2x), a[0], &first_x, &last_x);
            for (int x = first_x; x <= last_x; x++) {
                float px = x + 0.5f - a[0];
                float w1 = px * w1x + py * w1y, w2 = px * w2x + py * w2y, w0 = 1.0f - w1 - w2;
                if (w0 < -1e-5f || w1 < -1e-5f || w2 < -1e-5f) continue;
                float z = w0 * a[2] + w1 * b[2] + w2 * c[2];
                int p = y * W + x;
                if (z >= zbuf[p]) continue;
                if (clip) {
                    const float *ca = clip + nclip * v[0], *cb = clip + nclip * v[1], *cc = clip + nclip * v[2];
                    int keep = 1, n = strand > 0 ? 1 : nclip;
                    for (int k = 0; k < n && keep; k++) {
                        float s = w0 * ca[k] + w1 * cb[k] + w2 * cc[k];
                        if (strand > 0) {
                            float u = (w0 * ca[1] + w1 * cb[1] + w2 * cc[1]) * strand;
                            int i = (int)floorf(u);
                            float f = u - i;
                            s -= fray * ((1 - f) * hash01(i) + f * hash01(i + 1));
                        }
                        keep = s >= 0;
                    }
                    if (!keep) continue;
                }
                zbuf[p] = z;
                ids[p] = first + t;
                bary[2 * p] = w1;
                bary[2 * p + 1] = w2;
            }
        }
    }
}

/* out[i] = attribute (K floats per corner) at listed pixel i. pix: pixel numbers. base: the
   picture-wide number of the attribute's first vertex. */
void interp(int n, const int32_t *pix, const int32_t *ids, const float *bary, const int32_t *tri, int base,
            const float *attr, int K, float *out) {
    for (int i = 0; i < n; i++) {
        int p = pix[i];
        const int32_t *v = tri + 3 * (int64_t)ids[p];
        float w1 = bary[2 * p], w2 = bary[2 * p + 1], w0 = 1 - w1 - w2;
        const float *a = attr + (int64_t)K * (v[0] - base), *b = attr + (int64_t)K * (v[1] - base);
        const float *c = attr + (int64_t)K * (v[2] - base);
        for (int k = 0; k < K; k++) out[(int64_t)K * i + k] = w0 * a[k] + w1 * b[k] + w2 * c[k];
    }
}

static inline int mirror(int i, int n) {
    int m = 2 * n, r = i % m;
    if (r < 0) r += m;
    return r < n ? r : m - 1 - r;
}

/* out (V, 3), zeroed: sums of the triangles' area normals per vertex, then made unit length. */
void normals(int nv, int nt, const int32_t *tri, const float *xyz, float *out) {
    for (int t = 0; t < nt; t++) {
        const int32_t *v = tri + 3 * t;
        const float *a = xyz + 3 * v[0], *b = xyz + 3 * v[1], *c = xyz + 3 * v[2];
        float e[3] = {b[0] - a[0], b[1] - a[1], b[2] - a[2]}, f[3] = {c[0] - a[0], c[1] - a[1], c[2] - a[2]};
        float n[3] = {e[1] * f[2] - e[2] * f[1], e[2] * f[0] - e[0] * f[2], e[0] * f[1] - e[1] * f[0]};
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < 3; j++) out[3 * v[k] + j] += n[j];
    }
    for (int i = 0; i < nv; i++) {
        float *n = out + 3 * i, r = 1.0f / (sqrtf(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]) + 1e-9f);
        for (int j = 0; j < 3; j++) n[j] *= r;
    }
}

/* Bilinear look-up of a (h, w, C) image at n pixel positions, mirrored beyond its edges. */
void sample(int n, const float *xy, const float *img, int h, int w, int C, float *out) {
    for (int i = 0; i < n; i++) {
        float x = xy[2 * i], y = xy[2 * i + 1];
        int x0 = (int)floorf(x), y0 = (int)floorf(y);
        float fx = x - x0, fy = y - y0;
        int xa = mirror(x0, w), xb = mirror(x0 + 1, w), ya = mirror(y0, h), yb = mirror(y0 + 1, h);
        const float *p = img + ((int64_t)ya * w + xa) * C, *q = img + ((int64_t)ya * w + xb) * C;
        const float *r = img + ((int64_t)yb * w + xa) * C, *s = img + ((int64_t)yb * w + xb) * C;
        for (int k = 0; k < C; k++)
            out[(int64_t)C * i + k] = (1 - fy) * ((1 - fx) * p[k] + fx * q[k]) + fy * ((1 - fx) * r[k] + fx * s[k]);
    }
}

static inline float gentle(const float *img, int w, int h, float x, float y) {
    if (x < 0) x = 0;
    if (y < 0) y = 0;
    if (x > w - 1.001f) x = w - 1.001f;
    if (y > h - 1.001f) y = h - 1.001f;
    int i = (int)x, j = (int)y;
    float fx = x - i, fy = y - j;
    const float *p = img + j * w + i;
    return (1 - fy) * ((1 - fx) * p[0] + fx * p[1]) + fy * ((1 - fx) * p[w] + fx * p[w + 1]);
}

/* Slope of the height map at pixel p along one axis, from neighbours on the same mesh. */
static inline float slope(const float *bump, const uint8_t *mesh, int p, int step, int low, int high) {
    int a = low && mesh[p - step] == mesh[p], b = high && mesh[p + step] == mesh[p];
    float s = 0;
    if (a && b) s = (bump[p + step] - bump[p - step]) * 0.5f;
    else if (a) s = bump[p] - bump[p - step];
    else if (b) s = bump[p + step] - bump[p];
    return s < -1 ? -1 : s > 1 ? 1 : s;
}

/* Light: everything that is one number for the whole picture. Same order as light.py. */
typedef struct {
    float key[3], fill[3], tint[3], half[3];
    float amount, fill_amount, sky, shadow, occlusion, toe;
    float ex[3], ey[3];              /* axes of the shadow map; key is its third */
    float lo, hi, scale;             /* its left edge, its upper edge, pixels per dm */
} Light;

static const float TAPS[7][2] = {{-2, -1}, {0, -2}, {2, 0}, {-1, 2}, {0, 0}, {3, 3}, {-3, -3}};

static inline float dot(const float *a, const float *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

#define STEPS 2048
#define BRIGHTEST 4.0f               /* linear light above this is clipped */

static inline float from_table(const float *table, float x) {
    float f = x * STEPS;
    int i = (int)f;
    if (i > STEPS - 1) i = STEPS - 1;
    return table[i] + (f - i) * (table[i + 1] - table[i]);
}

/* Shade n listed pixels of a W x H picture and average them into the picture ss times smaller.
   normal, pos, rgb (n, 3), gloss (n); bump and mesh (H, W); ao (ah, aw); smap (S, S).
   out (H/ss, W/ss, 3) and cover (H/ss, W/ss) are added to; out is premultiplied sRGB. */
void light(int n, const int32_t *pix, int W, int H, int ss, const float *normal, const float *pos,
           const float *rgb, const float *gloss, const float *bump, const uint8_t *mesh, const float *ao,
           int aw, int ah, const float *smap, int S, const Light *L, float *out, float *cover) {
    float share = 1.0f / (ss * ss), linear[STEPS + 1], display[STEPS + 1];
    for (int i = 0; i <= STEPS; i++) {
        float x = (float)i / STEPS;
        linear[i] = powf(x, 2.2f);
        display[i] = powf(x * x * BRIGHTEST, 1 / 2.2f);  /* looked up by square root: even steps in the dark */
    }
    for (int i = 0; i < n; i++) {
        int p = pix[i], x = p % W, y = p / W;
        float N[3] = {normal[3 * i], normal[3 * i + 1], normal[3 * i + 2]};
        float r = 1.0f / sqrtf(dot(N, N) + 1e-12f);
        if (N[2] < 0) r = -r;        /* both sides of cloth */
        for (int k = 0; k < 3; k++) N[k] *= r;
        N[0] -= slope(bump, mesh, p, 1, x > 0, x < W - 1);
        N[1] += slope(bump, mesh, p, W, y > 0, y < H - 1);
        r = 1.0f / sqrtf(dot(N, N) + 1e-12f);
        for (int k = 0; k < 3; k++) N[k] *= r;
        float occ = gentle(ao, aw, ah, (x + 0.5f) * aw / W - 0.5f, (y + 0.5f) * ah / H - 0.5f);
        float open = 1 - occ * L->occlusion;
        if (open < 0.25f) open = 0.25f;
        const float *P = pos + 3 * i;
        float u = (dot(P, L->ex) - L->lo) * L->scale, v = (L->hi - dot(P, L->ey)) * L->scale;
        float d = -dot(P, L->key) - 0.22f, lit = 0;
        for (int k = 0; k < 7; k++) {
            int iu = (int)(u + TAPS[k][0]), iv = (int)(v + TAPS[k][1]);
            iu = iu < 0 ? 0 : iu >= S ? S - 1 : iu;
            iv = iv < 0 ? 0 : iv >= S ? S - 1 : iv;
            lit += d < smap[iv * S + iu];
        }
        lit /= 7;
        float lam = clamp01((dot(N, L->key) + 0.25f) / 1.25f) * (1 - L->shadow * (1 - lit));
        float fill = clamp01((dot(N, L->fill) + 0.5f) / 1.5f);
        float even = L->fill_amount * fill + L->sky * (0.8f + 0.2f * N[1]);
        float shine = dot(N, L->half);
        shine = shine > 0 ? shine : 0;
        shine *= shine; shine *= shine; shine *= shine;            /* 8 */
        shine = shine * shine * shine * gloss[i] * lit * 0.5f;     /* 24 */
        int o = (y / ss) * (W / ss) + x / ss;
        for (int k = 0; k < 3; k++) {
            float c = clamp01(rgb[3 * i + k]);
            c = from_table(linear, c) * (L->amount * lam * L->tint[k] + even) * open + shine;
            out[3 * o + k] += share * from_table(display, c < BRIGHTEST ? sqrtf(c / BRIGHTEST) : 1.0f);
        }
        cover[o] += share;
    }
}
