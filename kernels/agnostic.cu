// The person without the garment: twins in cpu/agnostic.py. What Pillow draws arrives as spans, for
// every shape and row the first and last column it covers (cpu/spans.py), so the pixels are Pillow's.
#include "common.cuh"

// Is column x inside any of the spans (count, height, 2) in row y? Empty ones have first > last.
DEVICE bool covered(const short* spans, int count, int height, int y, int x) {
    for (int s = 0; s < count; ++s) {
        const short* span = spans + 2 * ((size_t)s * height + y);
        if (x >= span[0] && x <= span[1]) return true;
    }
    return false;
}

// Ids 5, 6, 7, 10 become 0; 14 and 15 where their arm's spans cover them.
DEVICE void parse_agnostic_body(const u8* parse, const short* left, int lefts, const short* right,
                                int rights, u8* out, int height, int width) {
    Quad q;
    if (!quad(&q, width)) return;
    const size_t at = (size_t)q.y * width + q.x;
    u8 label[4];
    load_bytes(parse + at, label, q.count);
    for (int i = 0; i < q.count; ++i) {
        const u8 id = label[i];
        bool erased = id == 5 || id == 6 || id == 7 || id == 10;
        if (id == 14) erased = covered(left, lefts, height, q.y, q.x + i);
        if (id == 15) erased = covered(right, rights, height, q.y, q.x + i);
        if (erased) label[i] = 0;
    }
    store_bytes(out + at, label, q.count);
}
ENTRY(parse_agnostic,
      (const u8* parse, const short* left, int lefts, const short* right, int rights, u8* out,
       int height, int width),
      parse_agnostic_body(parse, left, lefts, right, rights, out, height, width))

// Grey where the spans cover, but sunglasses, face and everything below the garment come back.
DEVICE void image_agnostic_body(const u8* image, const u8* parse, const short* spans, int count,
                                u8* out, int height, int width) {
    Quad q;
    if (!quad(&q, width)) return;
    const size_t at = (size_t)q.y * width + q.x;
    u8 label[4], rgb[12];
    load_bytes(parse + at, label, q.count);
    load_rgb(image + 3 * at, rgb, q.count);
    for (int i = 0; i < q.count; ++i) {
        const u8 id = label[i];
        const bool kept = id == 4 || id == 13 || id == 9 || id == 12 || (id >= 16 && id <= 19);
        if (!kept && covered(spans, count, height, q.y, q.x + i))
            rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = 128;
    }
    store_rgb(out + 3 * at, rgb, q.count);
}
ENTRY(image_agnostic,
      (const u8* image, const u8* parse, const short* spans, int count, u8* out, int height,
       int width),
      image_agnostic_body(image, parse, spans, count, out, height, width))
