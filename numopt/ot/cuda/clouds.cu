// SPDX-License-Identifier: BSD-3-Clause
// Passes over the costs of two clouds, computed from coordinates; REAL is double or
// float. X is (n, d) by row, Y (d, m) by coordinate. Exponents and sums are in double
// and in a fixed order: the same answer at every call. No pair is left out.

#define THREADS 256
#define WARP 32
#define WARPS (THREADS / WARP)
#define CHUNK 8
#define INF __longlong_as_double(0x7ff0000000000000LL)

#define EUCLIDEAN 1
#define CITYBLOCK 2

// Cost of a point and column j of Y; differences lose nothing to cancellation.
__device__ __forceinline__ double cost(const REAL *x, const REAL *Y, long long j,
                                       long long m, int d, int metric) {
  double total = 0.0;
  for (int k = 0; k < d; ++k) {
    const double gap = (double)x[k] - (double)Y[k * m + j];
    total += metric == CITYBLOCK ? fabs(gap) : gap * gap;
  }
  return metric == EUCLIDEAN ? sqrt(total) : total;
}

// Sum over the threads of a block, known to the first of them.
__device__ double block_sum(double value) {
  __shared__ double sums[WARPS];
  for (int step = WARP / 2; step > 0; step /= 2)
    value += __shfl_down_sync(0xffffffffu, value, step);
  if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = value;
  __syncthreads();
  double total = 0.0;
  for (int w = 0; w < WARPS; ++w) total += sums[w];
  __syncthreads();
  return total;
}

// Largest value of the threads of a block, known to all of them.
__device__ double block_max(double value) {
  __shared__ double tops[WARPS];
  for (int step = WARP / 2; step > 0; step /= 2)
    value = fmax(value, __shfl_down_sync(0xffffffffu, value, step));
  if (threadIdx.x % WARP == 0) tops[threadIdx.x / WARP] = value;
  __syncthreads();
  double top = -INF;
  for (int w = 0; w < WARPS; ++w) top = fmax(top, tops[w]);
  __syncthreads();
  return top;
}

// One block a row: phi_i += omega (phi*_i - phi_i) with the exact row potential
// phi*_i = log a_i - log sum_j exp(gamma_j - M_ij / eps), from a maximum and a sum of
// each thread that are merged at the end.
extern "C" __global__ void cloud_rows(const REAL *X, const REAL *Y, const REAL *gamma,
                                      const REAL *phi, const REAL *log_a,
                                      double inv_eps, double omega, REAL *out,
                                      long long n, long long m, int d, int metric) {
  for (long long i = blockIdx.x; i < n; i += gridDim.x) {
    double top = -INF, sum = 0.0;
    for (long long j = threadIdx.x; j < m; j += THREADS) {
      const double z = (double)gamma[j] - cost(X + i * d, Y, j, m, d, metric) * inv_eps;
      if (z > top) {
        sum = sum * exp(top - z) + 1.0;
        top = z;
      } else if (z > -INF) {
        sum += exp(z - top);
      }
    }
    const double whole = block_max(top);
    const double total = block_sum(top > -INF ? sum * exp(top - whole) : 0.0);
    if (threadIdx.x == 0) {
      const double exact = (double)log_a[i] - whole - log(total);
      out[i] = (REAL)((double)phi[i] + omega * (exact - (double)phi[i]));
    }
  }
}

// sum_i P_ij weight_i over one slab of rows a blockIdx.y, one thread a column.
extern "C" __global__ void cloud_columns(const REAL *X, const REAL *Y,
                                         const REAL *gamma, const REAL *phi,
                                         const double *weight, double inv_eps,
                                         double *part, long long n, long long m, int d,
                                         int metric, long long rows) {
  const long long j = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (j >= m) return;
  const long long first = (long long)blockIdx.y * rows;
  const long long last = first + rows < n ? first + rows : n;
  double sum = 0.0;
  for (long long i = first; i < last; ++i) {
    const double z = (double)phi[i] + (double)gamma[j] -
                     cost(X + i * d, Y, j, m, d, metric) * inv_eps;
    sum += exp(z) * weight[i];
  }
  part[(long long)blockIdx.y * m + j] = sum;
}

// One block a row, columns of V in chunks: out_iq = sum_j P_ij V_jq.
extern "C" __global__ void cloud_apply(const REAL *X, const REAL *Y, const REAL *gamma,
                                       const REAL *phi, const REAL *V, double inv_eps,
                                       double *out, long long n, long long m, int d,
                                       int metric, int width) {
  for (long long i = blockIdx.x; i < n; i += gridDim.x) {
    for (int q = 0; q < width; q += CHUNK) {
      const int size = width - q < CHUNK ? width - q : CHUNK;
      double sums[CHUNK] = {0.0};
      for (long long j = threadIdx.x; j < m; j += THREADS) {
        const double p = exp((double)phi[i] + (double)gamma[j] -
                             cost(X + i * d, Y, j, m, d, metric) * inv_eps);
        for (int r = 0; r < size; ++r) sums[r] += p * (double)V[j * width + q + r];
      }
      for (int r = 0; r < size; ++r) {
        const double total = block_sum(sums[r]);
        if (threadIdx.x == 0) out[i * width + q + r] = total;
      }
    }
  }
}

// One block a row: sum_j P_ij M_ij.
extern "C" __global__ void cloud_cost(const REAL *X, const REAL *Y, const REAL *gamma,
                                      const REAL *phi, double inv_eps, REAL *out,
                                      long long n, long long m, int d, int metric) {
  for (long long i = blockIdx.x; i < n; i += gridDim.x) {
    double sum = 0.0;
    for (long long j = threadIdx.x; j < m; j += THREADS) {
      const double M = cost(X + i * d, Y, j, m, d, metric);
      sum += exp((double)phi[i] + (double)gamma[j] - M * inv_eps) * M;
    }
    const double total = block_sum(sum);
    if (threadIdx.x == 0) out[i] = (REAL)total;
  }
}

// One block a row, coordinates in chunks: sum_j P_ij of the gradient of M_ij in x_i.
extern "C" __global__ void cloud_gradient(const REAL *X, const REAL *Y,
                                          const REAL *gamma, const REAL *phi,
                                          double inv_eps, REAL *out, long long n,
                                          long long m, int d, int metric) {
  for (long long i = blockIdx.x; i < n; i += gridDim.x) {
    const REAL *x = X + i * d;
    for (int q = 0; q < d; q += CHUNK) {
      const int size = d - q < CHUNK ? d - q : CHUNK;
      double sums[CHUNK] = {0.0};
      for (long long j = threadIdx.x; j < m; j += THREADS) {
        const double M = cost(x, Y, j, m, d, metric);
        double p = exp((double)phi[i] + (double)gamma[j] - M * inv_eps);
        if (metric == EUCLIDEAN && M > 0.0) p /= M;
        for (int r = 0; r < size; ++r) {
          const double gap = (double)x[q + r] - (double)Y[(q + r) * m + j];
          if (metric == CITYBLOCK)
            sums[r] += gap > 0.0 ? p : (gap < 0.0 ? -p : 0.0);
          else
            sums[r] += metric == EUCLIDEAN ? p * gap : 2.0 * p * gap;
        }
      }
      for (int r = 0; r < size; ++r) {
        const double total = block_sum(sums[r]);
        if (threadIdx.x == 0) out[i * d + q + r] = (REAL)total;
      }
    }
  }
}
