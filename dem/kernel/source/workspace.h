// The memory of a task between its calls.
#pragma once
#include "block.h"
#include "vectors.h"

// The address sanitizer also reports accesses between the parts of the workspace.
#ifdef __SANITIZE_ADDRESS__
extern "C" void __asan_poison_memory_region(const volatile void *, size_t);
static void forbid(const char *from, int64_t bytes) { __asan_poison_memory_region(from, bytes); }
constexpr int64_t gap = 64;
#else
static void forbid(const char *, int64_t) {}
constexpr int64_t gap = 0;
#endif

namespace {

// What a call does. Without any of these it only returns the bytes of the workspace.
enum Phase { begin = 1, add = 2, end = 4 };

// Parts of the workspace, one after the other. Without memory it only counts. What is set to zero when a task begins is kept
// until it ends.
struct Workspace {
    char *at;
    bool begins;
    int64_t bytes = 0;

    Workspace(void *memory, int phases) : at(phases ? (char *)memory : nullptr), begins(phases & begin) {}
    template <class T> T *array(int64_t n) {
        const int64_t from = bytes, end = bytes + n * (int64_t)sizeof(T);
        bytes = round_up(end, 64) + gap;
        if (!at) return nullptr;
        forbid(at + end, bytes - end);
        return (T *)(at + from);
    }
    template <class T> T *filled(int64_t n, T value) {
        T *found = array<T>(n);
        for (int64_t i = 0; found && begins && i < n; i++) found[i] = value;
        return found;
    }
    template <class T> T *zeros(int64_t n) { return filled(n, T()); }
};

}  // namespace
