// The E-step of mixtures on a block of rows. Tile by tile: joint log-densities, and what is made of them: sums, or an output
// for each row.
//
// The functions at the end are called from Python (dem/kernel/runner.py) without the interpreter lock.
#include "outputs.h"
#include "patterns.h"
#include "student.h"

#ifndef DIGEST
#define DIGEST ""
#endif

namespace {

// Gives a consumer the joint log-densities of all rows, tile by tile.
template <class Densities, class Consumer, class Task> int64_t run(const Task &task, int phases) {
    typedef typename Densities::Real T;
    const Rows &of = task.rows;
    Workspace w(of.workspace, phases);
    Tile<T> tile;
    tile.weight = w.array<T>(tile_rows<T>);
    T *joint = w.array<T>(larger(of.k_count, of.d) * tile_rows<T>);  // columns of the data use this memory before
    Densities densities(task, w);
    Consumer consumer(task, densities, w);
    if (!phases) return w.bytes;
    if (phases & begin) densities.begin();
    for (int64_t at = 0; phases & add && at < of.n;) {
        at = tile.next_rows(of, at);
        if (!tile.n) break;
        densities(tile, joint);
        consumer(tile, joint);
    }
    if (phases & add) consumer.leave();
    if (phases & end) consumer.finish();
    return w.bytes;
}

template <class Densities, class Sums, class Task> int64_t sums_or_outputs(const Task &task, int phases) {
    if (task.rows.output) return run<Densities, Outputs<typename Densities::Real>>(task, phases);
    return run<Densities, Sums>(task, phases);
}

template <class T> int64_t linear(const LinearTask &task, int phases) {
    if (few<T>(task)) return sums_or_outputs<FewDensities<T>, FewSums<T>>(task, phases);
    return sums_or_outputs<LinearDensities<T>, LinearSums<T>>(task, phases);
}

int64_t whitened(const CentredTask &task, int phases) {
    if (task.rows.d <= Narrow<double>::most_columns) return sums_or_outputs<WhitenedDensities, NarrowSums>(task, phases);
    return sums_or_outputs<WhitenedDensities, OuterSums>(task, phases);
}

template <class Sums> int64_t student(const StudentTask &task, int phases) {
    return sums_or_outputs<typename StudentSums<Sums>::Densities, StudentSums<Sums>>(task, phases);
}

int64_t student_whitened(const StudentTask &task, int phases) {
    if (task.rows.d <= Narrow<double>::most_columns) return student<NarrowSums>(task, phases);
    return student<OuterSums>(task, phases);
}

}  // namespace

// Each function takes the rows of a block, in one call or in several (`Phase`), and returns the bytes of its workspace.
extern "C" {
const char *dem_digest(void) { return DIGEST; }
int64_t dem_linear_float64(const LinearTask *task, int phases) { return linear<double>(*task, phases); }
int64_t dem_linear_float32(const LinearTask *task, int phases) { return linear<float>(*task, phases); }
int64_t dem_whitened(const CentredTask *task, int phases) { return whitened(*task, phases); }
int64_t dem_independent(const CentredTask *task, int phases) {
    return sums_or_outputs<IndependentDensities, IndependentSums>(*task, phases);
}
int64_t dem_patterns(const PatternTask *task, int phases) {
    return sums_or_outputs<PatternDensities, PatternSums>(*task, phases);
}
int64_t dem_student_whitened(const StudentTask *task, int phases) { return student_whitened(*task, phases); }
int64_t dem_student_independent(const StudentTask *task, int phases) { return student<IndependentSums>(*task, phases); }
}
