// libcuda.so.1 made up in the host's memory, as far as fuw asks for it, for tests without a GPU.
//
// Nothing runs when it is queued. A wait runs the streams' queues in any order that events allow, and
// which one `made_up_order` says: what is right in one order only, a GPU would get wrong some day.
// Device memory is out of the host's reach but while something runs. Recording follows CUDA's rules:
// forked streams must be joined, and what may wait or allocate is refused and spoils the recording.
#include <dlfcn.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>

enum { OK, INVALID = 1, NO_ROOM = 2, NOT_FOUND = 500, NOT_READY = 600, ILLEGAL = 700,
       UNSUPPORTED = 900, INVALIDATED = 901, UNJOINED = 904 };
enum Order { PROGRAM, LATE, EARLY, RANDOM };

struct Graph;
struct Event;
struct Work {
    std::function<int()> run;
    Event* waits = nullptr;   // for this event's record number `version`
    long version = 0;
    Event* records = nullptr;
};
struct Node {
    std::function<int()> run;
    std::vector<int> after;
};
struct Graph {
    std::vector<Node> nodes;
    bool broken = false;
};
struct Event {
    long recorded = 0, reached = 0;
    Graph* graph = nullptr;   // recorded inside this recording, behind `after`
    std::vector<int> after;
};
struct Stream {
    std::deque<Work> queue;
    Graph* graph = nullptr;
    Stream* origin = nullptr;
    std::vector<int> after;   // what the next node comes behind
    bool joined = true;
};

// The real driver is safe to call from several threads.
static std::recursive_mutex one;
#define ENTER std::lock_guard<std::recursive_mutex> entered(one)

static const size_t ARENA = 6ull << 30;
static unsigned char* arena = nullptr;
static std::map<size_t, size_t> used;  // offset -> bytes
static std::map<const void*, size_t> locked;
static std::vector<Stream*> streams;
static std::set<Graph*> recordings;
static Order order = PROGRAM;
static std::mt19937 chance(1);
static size_t room = ARENA;
static long counts[8];  // launches, uploads, downloads, copies, fills, graph launches, unlocked, contexts
static int sticky = OK, failing = 0;
static thread_local std::vector<void*> contexts;
static int contexts_held = 0;

// The host has no address space or memory left: said, since a fault would say nothing.
static void need(bool done, const char* what) {
    if (!done) perror(what), abort();
}
static void guard(bool open) {
    if (arena) need(!mprotect(arena, ARENA, open ? PROT_READ | PROT_WRITE : PROT_NONE),
                    "the made-up GPU cannot open its memory");
}
static bool inside(const void* p) {
    if (!arena || p < arena || p >= arena + ARENA) return false;
    const size_t at = (const unsigned char*)p - arena;
    auto next = used.upper_bound(at);
    if (next == used.begin()) return false;
    --next;
    return at < next->first + next->second;
}
static bool range(const void* p, size_t bytes) {
    return inside(p) && inside((const unsigned char*)p + (bytes ? bytes - 1 : 0));
}
static bool is_locked(const void* p, size_t bytes) {
    auto next = locked.upper_bound(p);
    if (next == locked.begin()) return false;
    --next;
    return (const char*)p + bytes <= (const char*)next->first + next->second;
}
static int needs_context() { return contexts.empty() ? 201 : sticky; }
static int spoil() {
    for (Graph* graph : recordings) graph->broken = true;
    return recordings.empty() ? OK : UNSUPPORTED;
}

static int queue(Stream* stream, std::function<int()> run) {
    if (int status = needs_context()) return status;
    if (stream->graph) {
        if (stream->graph->broken) return INVALIDATED;
        stream->graph->nodes.push_back({run, stream->after});
        stream->after = {(int)stream->graph->nodes.size() - 1};
        if (stream->origin != stream) stream->joined = false;
    } else {
        Work work;
        work.run = run;
        stream->queue.push_back(work);
    }
    return OK;
}
static bool ready(Stream* s) {
    return !s->queue.empty() &&
           (!s->queue.front().waits || s->queue.front().waits->reached >= s->queue.front().version);
}
static size_t pick(const std::vector<size_t>& able) {
    if (order == LATE) return able.front();   // the main stream first, the others when they must
    if (order == EARLY) return able.back();   // the others first
    if (order == RANDOM) return able[chance() % able.size()];
    return able.front();
}
static void drain() {
    guard(true);
    for (;;) {
        std::vector<size_t> able;
        for (size_t i = 0; i < streams.size(); ++i)
            if (ready(streams[i])) able.push_back(i);
        if (able.empty()) break;
        Stream* s = streams[pick(able)];
        Work work = s->queue.front();
        s->queue.pop_front();
        if (work.run && !sticky) sticky = work.run();
        if (work.records) work.records->reached = std::max(work.records->reached, work.version);
    }
    guard(false);
}
static int run_graph(const Graph* graph) {
    std::vector<bool> done(graph->nodes.size(), false);
    for (size_t left = graph->nodes.size(); left; --left) {
        std::vector<size_t> able;
        for (size_t i = 0; i < graph->nodes.size(); ++i) {
            bool free = !done[i];
            for (int before : graph->nodes[i].after) free = free && done[before];
            if (free) able.push_back(i);
        }
        const size_t i = pick(able);
        if (int status = graph->nodes[i].run()) return status;
        done[i] = true;
    }
    return OK;
}

extern "C" {
void made_up_order(int which, unsigned seed) { order = (Order)which, chance.seed(seed); }
void made_up_reset() {  // what a test left open is not the next one's
    used.clear(), locked.clear(), recordings.clear(), contexts.clear(), contexts_held = 0, sticky = OK;
}
void made_up_room(size_t bytes) { room = bytes; }
void made_up_counts(long* out) { memcpy(out, counts, sizeof counts), memset(counts, 0, sizeof counts); }
void made_up_fail_next(int status) { failing = status; }
size_t made_up_used() {
    size_t all = 0;
    for (auto& block : used) all += block.second;
    return all;
}
int made_up_contexts() { return contexts_held * 100 + (int)contexts.size(); }
int made_up_host(Stream* stream, void (*function)(void*), void* data) {
    ENTER;
    return queue(stream, [=] { return function(data), (int)OK; });
}

int cuInit(unsigned) { ENTER; return OK; }
int cuGetErrorString(int status, const char** words) {
    ENTER;
    *words = status == NO_ROOM ? "out of memory" : status == UNSUPPORTED
        ? "operation not permitted when stream is capturing" : status == ILLEGAL
        ? "an illegal memory access was encountered" : status == UNJOINED
        ? "capturing has unjoined work" : "made-up error";
    return OK;
}
int cuDeviceGetCount(int* count) { ENTER; return *count = 2, OK; }
int cuDevicePrimaryCtxRetain(void** context, int device) {
    ENTER;
    if (!arena) {
        void* room = mmap(nullptr, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                          -1, 0);
        need(room != MAP_FAILED, "the made-up GPU gets no 6 GiB of address space");
        arena = (unsigned char*)room;
    }
    ++contexts_held, sticky = OK;
    *context = (void*)(size_t)(device + 1);
    return OK;
}
int cuDevicePrimaryCtxRelease_v2(int) {
    ENTER;
    if (--contexts_held == 0 && sticky) used.clear();  // a broken context takes its memory along
    return OK;
}
int cuCtxPushCurrent_v2(void* context) { ENTER; return contexts.push_back(context), ++counts[7], OK; }
int cuCtxPopCurrent_v2(void** context) {
    ENTER;
    if (contexts.empty()) return 201;
    return *context = contexts.back(), contexts.pop_back(), OK;
}
int cuModuleLoadData(void** module, const void* image) {
    ENTER;
    if (int status = needs_context()) return status;
    return *module = (void*)image, image ? OK : INVALID;
}
int cuModuleGetFunction(void** function, void*, const char* name) {
    ENTER;
    Dl_info here;
    dladdr((void*)&cuInit, &here);
    void* library = dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *function = dlsym(library, (std::string("packed_") + name).c_str());
    return *function ? OK : NOT_FOUND;
}
int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned, Stream* stream, void** parameters, void**) {
    ENTER;
    if (failing) return std::exchange(failing, 0);
    // The limits of every GPU since Turing.
    if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || bx * by * bz > 256) return INVALID;
    const unsigned g[6] = {gx, gy, gz, bx, by, bz};
    Packed made;
    ((void (*)(const unsigned*, void**, Packed*))function)(g, parameters, &made);
    return queue(stream, [=] {
        ++counts[0];
        for (const void* p : made.pointers)
            if (p && !inside(p)) return (int)ILLEGAL;
        return made.run(), (int)OK;
    });
}
int cuMemGetInfo_v2(size_t* free, size_t* total) {
    ENTER;
    return *total = room, *free = room - std::min(room, made_up_used()), OK;
}
int cuMemAlloc_v2(unsigned long long* address, size_t bytes) {
    ENTER;
    if (int status = needs_context()) return status;
    if (int status = spoil()) return status;
    if (!bytes) return INVALID;
    if (made_up_used() + bytes > room) return NO_ROOM;
    size_t at = 0;  // first gap; pages of their own, so that a step outside meets no neighbour soon
    for (auto& block : used) {
        if (block.first - at >= bytes + 4096) break;
        at = (block.first + block.second + 8191) / 4096 * 4096;
    }
    used[at] = bytes;
    guard(true), memset(arena + at, 0xAB, bytes), guard(false);
    return *address = (size_t)(arena + at), OK;
}
int cuMemFree_v2(unsigned long long address) {
    ENTER;
    if (int status = needs_context()) return status;
    if (int status = spoil()) return status;
    drain();  // as CUDA does
    auto found = used.find(address - (size_t)arena);
    if (found == used.end()) return INVALID;
    guard(true), memset(arena + found->first, 0xCD, found->second), guard(false);
    used.erase(found);
    return OK;
}
int cuMemHostRegister_v2(void* p, size_t bytes, unsigned) {
    ENTER;
    if (int status = spoil()) return status;
    return locked[p] = bytes, OK;
}
int cuMemHostUnregister(void* p) { ENTER; return locked.erase(p) ? OK : INVALID; }
static int copied(void* to, const void* from, size_t bytes, Stream* stream, int kind, bool fine) {
    return queue(stream, [=] {
        ++counts[kind];
        if (!fine) return (int)ILLEGAL;
        return memcpy(to, from, bytes), (int)OK;
    });
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t n, Stream* stream) {
    ENTER;
    if (!is_locked(from, n)) ++counts[6];
    return copied((void*)to, from, n, stream, 1, range((void*)to, n));
}
int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t n, Stream* stream) {
    ENTER;
    if (!is_locked(to, n)) ++counts[6];
    return copied(to, (void*)from, n, stream, 2, range((void*)from, n));
}
int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t n, Stream* stream) {
    ENTER;
    return copied((void*)to, (void*)from, n, stream, 3, range((void*)to, n) && range((void*)from, n));
}
int cuMemsetD32Async(unsigned long long to, unsigned value, size_t n, Stream* stream) {
    ENTER;
    const bool fine = range((void*)to, 4 * n) && to % 4 == 0;
    return queue(stream, [=] {
        ++counts[4];
        if (!fine) return (int)ILLEGAL;
        return std::fill_n((unsigned*)to, n, value), (int)OK;
    });
}
int cuStreamCreate(Stream** stream, unsigned) {
    ENTER;
    if (int status = needs_context()) return status;
    streams.push_back(new Stream);
    return *stream = streams.back(), OK;
}
int cuStreamDestroy_v2(Stream* stream) {
    ENTER;
    drain();
    streams.erase(std::find(streams.begin(), streams.end(), stream));
    return delete stream, OK;
}
int cuStreamSynchronize(Stream* stream) {
    ENTER;
    if (int status = needs_context()) return status;
    if (stream->graph) return stream->graph->broken = true, UNSUPPORTED;
    return drain(), sticky;
}
int cuEventCreate(Event** event, unsigned) { ENTER; return *event = new Event, OK; }
int cuEventDestroy_v2(Event* event) { ENTER; return drain(), delete event, OK; }
int cuEventRecord(Event* event, Stream* stream) {
    ENTER;
    if (stream->graph) {
        event->graph = stream->graph, event->after = stream->after;
        if (stream->origin != stream) stream->joined = false;
        return OK;
    }
    event->graph = nullptr;
    Work work;
    work.records = event, work.version = ++event->recorded;
    stream->queue.push_back(work);
    return OK;
}
int cuEventQuery(Event* event) {
    ENTER;
    if (recordings.count(event->graph)) return event->graph->broken = true, UNSUPPORTED;
    return event->reached >= event->recorded ? OK : NOT_READY;
}
int cuEventSynchronize(Event* event) {
    ENTER;
    if (int status = needs_context()) return status;
    if (recordings.count(event->graph)) return event->graph->broken = true, UNSUPPORTED;
    return drain(), sticky ? sticky : event->reached >= event->recorded ? OK : INVALID;
}
int cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
    ENTER;
    if (event->graph) {
        if (!recordings.count(event->graph)) return INVALID;  // of a recording that has ended
        if (!stream->graph) stream->graph = event->graph, stream->origin = nullptr, stream->after = {};
        stream->after.insert(stream->after.end(), event->after.begin(), event->after.end());
        if (stream->origin == stream)  // whoever recorded it is joined
            for (Stream* other : streams)
                if (other->graph == stream->graph && other->after == event->after) other->joined = true;
        return OK;
    }
    Work work;
    work.waits = event, work.version = event->recorded;
    stream->queue.push_back(work);
    return OK;
}
int cuStreamBeginCapture_v2(Stream* stream, int) {
    ENTER;
    if (int status = needs_context()) return status;
    if (stream->graph) return INVALID;
    stream->graph = new Graph, stream->origin = stream, stream->after = {};
    recordings.insert(stream->graph);
    return OK;
}
int cuStreamEndCapture(Stream* stream, Graph** graph) {
    ENTER;
    Graph* made = stream->graph;
    if (!made || stream->origin != stream) return INVALID;
    int status = made->broken ? INVALIDATED : OK;
    for (Stream* other : streams)
        if (other->graph == made) {
            if (!other->joined && !status) status = UNJOINED;
            other->graph = nullptr, other->origin = nullptr, other->after.clear(), other->joined = true;
        }
    recordings.erase(made);
    *graph = status ? nullptr : made;
    return status;
}
int cuGraphInstantiateWithFlags(Graph** ready, Graph* graph, unsigned long long) {
    ENTER;
    return *ready = new Graph(*graph), OK;
}
int cuGraphLaunch(Graph* graph, Stream* stream) {
    ENTER;
    return queue(stream, [=] { return ++counts[5], run_graph(graph); });
}
int cuGraphDestroy(Graph* graph) { ENTER; return delete graph, OK; }
int cuGraphExecDestroy(Graph* graph) { ENTER; return drain(), delete graph, OK; }
}
