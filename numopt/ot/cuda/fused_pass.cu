// SPDX-License-Identifier: BSD-3-Clause
// Row update and column sums of a Sinkhorn iteration; REAL is double or float.
// Sums run in double, in a fixed order: the same answer at every call.

#define WARP 32
#define WARPS 8
#define INF __longlong_as_double(0x7ff0000000000000LL)

// One block a row: phi_i = log a_i - log sum_j exp(gamma_j - M_ij / eps), by an online
// maximum and sum per thread, merged within the warp and then across warps.
extern "C" __global__ void row_potentials(const REAL *M, const REAL *gamma,
                                          const REAL *log_a, double inv_eps, REAL *phi,
                                          long long n, long long m) {
  __shared__ double tops[WARPS], sums[WARPS];
  for (long long i = blockIdx.x; i < n; i += gridDim.x) {
    double top = -INF, sum = 0.0;
    for (long long j = threadIdx.x; j < m; j += blockDim.x) {
      const double z = (double)gamma[j] - (double)M[i * m + j] * inv_eps;
      if (z > top) {
        sum = sum * exp(top - z) + 1.0;
        top = z;
      } else if (z > -INF) {
        sum += exp(z - top);
      }
    }
    for (int step = WARP / 2; step > 0; step /= 2) {
      const double other_top = __shfl_down_sync(0xffffffffu, top, step);
      const double other_sum = __shfl_down_sync(0xffffffffu, sum, step);
      const double larger = fmax(top, other_top);
      if (larger > -INF)
        sum = sum * exp(top - larger) + other_sum * exp(other_top - larger);
      top = larger;
    }
    if (threadIdx.x % WARP == 0) {
      tops[threadIdx.x / WARP] = top;
      sums[threadIdx.x / WARP] = sum;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int w = 1; w < WARPS; ++w) {
        const double larger = fmax(top, tops[w]);
        if (larger > -INF)
          sum = sum * exp(top - larger) + sums[w] * exp(tops[w] - larger);
        top = larger;
      }
      phi[i] = (REAL)((double)log_a[i] - top - log(sum));
    }
    __syncthreads();
  }
}

// Column sums of P over one slab of rows a blockIdx.y, one thread a column.
extern "C" __global__ void column_sums(const REAL *M, const REAL *gamma, const REAL *phi,
                                       double inv_eps, double *part, long long n,
                                       long long m, long long rows) {
  const long long j = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (j >= m) return;
  const long long first = (long long)blockIdx.y * rows;
  const long long last = first + rows < n ? first + rows : n;
  double sum = 0.0;
  for (long long i = first; i < last; ++i)
    sum += exp((double)phi[i] + (double)gamma[j] - (double)M[i * m + j] * inv_eps);
  part[(long long)blockIdx.y * m + j] = sum;
}
