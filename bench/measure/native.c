/* Full-batch descent w ← w − rate·xᵀ(x·w − y) in C with OpenMP: a baseline, not a backend.

   The file includes itself once for each dtype. */

#ifndef REAL

#include <omp.h>
#include <stdint.h>
#include <string.h>

enum { LINE_ROWS = 4096, GROUP = 8, BLOCK_BYTES = 1 << 18 };
enum { APART = 8 }; /* doubles between the values of two threads: one cache line */

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

#define REAL float
#define NAMED(name) name##_float32
#include "native.c"
#undef REAL
#undef NAMED

#define REAL double
#define NAMED(name) name##_float64
#include "native.c"

#else

/* One feature: return Σ x·(x·w − y), summed as REAL in a block and as double over blocks. */
static double NAMED(line_total)(const REAL *x, const REAL *y, REAL w, int64_t rows)
{
    double total = 0;
    for (int64_t start = 0; start < rows; start += LINE_ROWS) {
        int64_t stop = smaller(start + LINE_ROWS, rows);
        REAL sum = 0;
        for (int64_t i = start; i < stop; i++)
            sum += x[i] * (x[i] * w - y[i]);
        total += sum;
    }
    return total;
}

static REAL NAMED(dot)(const REAL *a, const REAL *b, int64_t length)
{
    REAL sum = 0;
    for (int64_t j = 0; j < length; j++)
        sum += a[j] * b[j];
    return sum;
}

/* Add xᵀ(x·w − y) of these rows to the gradient. For each group of rows, first compute the dot
   product of every row with w, then add the whole group in one loop. */
static void NAMED(add_block)(const REAL *x, const REAL *y, const REAL *w, int64_t rows,
                             int64_t d, REAL *restrict gradient)
{
    int64_t i = 0;
    for (; i + GROUP <= rows; i += GROUP) {
        const REAL *x0 = x + i * d, *x1 = x0 + d, *x2 = x1 + d, *x3 = x2 + d;
        const REAL *x4 = x3 + d, *x5 = x4 + d, *x6 = x5 + d, *x7 = x6 + d;
        REAL r[GROUP];
        for (int k = 0; k < GROUP; k++)
            r[k] = NAMED(dot)(x0 + k * d, w, d) - y[i + k];
        for (int64_t j = 0; j < d; j++)
            gradient[j] += r[0] * x0[j] + r[1] * x1[j] + r[2] * x2[j] + r[3] * x3[j]
                         + r[4] * x4[j] + r[5] * x5[j] + r[6] * x6[j] + r[7] * x7[j];
    }
    for (; i < rows; i++) {
        REAL residual = NAMED(dot)(x + i * d, w, d) - y[i];
        for (int64_t j = 0; j < d; j++)
            gradient[j] += residual * x[i * d + j];
    }
}

/* Set total to xᵀ(x·w − y) of these rows; narrow is scratch memory for 2·d values. */
static void NAMED(sums)(const REAL *x, const REAL *y, const double *w, int64_t rows, int64_t d,
                        REAL *narrow, double *total)
{
    if (d == 1) {
        total[0] = NAMED(line_total)(x, y, (REAL)w[0], rows);
        return;
    }
    REAL *cast = narrow, *block = narrow + d;
    for (int64_t j = 0; j < d; j++)
        cast[j] = (REAL)w[j], total[j] = 0;
    int64_t height = BLOCK_BYTES / (d * (int64_t)sizeof(REAL)) / GROUP * GROUP;
    if (height < GROUP)
        height = GROUP;
    for (int64_t start = 0; start < rows; start += height) {
        memset(block, 0, d * sizeof(REAL));
        NAMED(add_block)(x + start * d, y + start, cast, smaller(height, rows - start), d, block);
        for (int64_t j = 0; j < d; j++)
            total[j] += block[j];
    }
}

/* Take steps from w; the result replaces w. scratch has 5·(d + 8) doubles for each thread: two
   sums (one barrier a step is then enough), the thread's own w, and the scratch memory of
   NAMED(sums). */
void NAMED(descend)(const REAL *x, const REAL *y, double *w, int64_t rows, int64_t d,
                    double rate, int64_t steps, int threads, double *scratch)
{
    int64_t part = d + APART, each = 5 * part;
    #pragma omp parallel num_threads(threads) if (threads > 1)
    {
        int team = omp_get_num_threads(), me = omp_get_thread_num();
        int64_t first = rows * me / team, count = rows * (me + 1) / team - first;
        double *mine = scratch + me * each, *own = mine + 2 * part;
        REAL *narrow = (REAL *)(own + part);
        memcpy(own, w, d * sizeof(double));
        for (int64_t step = 0; step < steps; step++) {
            const double *all = scratch + step % 2 * part;
            NAMED(sums)(x + first * d, y + first, own, count, d, narrow, mine + step % 2 * part);
            if (team > 1) { /* a barrier costs 0.2 µs even with one thread */
                #pragma omp barrier
            }
            /* Every thread adds up all sums in the same order, so w is equal in all threads. */
            for (int64_t j = 0; j < d; j++) {
                double sum = 0;
                for (int t = 0; t < team; t++)
                    sum += all[t * each + j];
                own[j] -= rate * sum;
            }
        }
        if (me == 0)
            memcpy(w, own, d * sizeof(double));
    }
}

#endif
