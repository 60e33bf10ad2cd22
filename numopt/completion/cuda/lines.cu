// SPDX-License-Identifier: BSD-3-Clause
// Passes over the known entries of each line; REAL is double or float.
// Every sum has a fixed order: the same answer at every call.

#define WARP 32
#define WARPS 4
#define FULL 0xffffffffu

// Sum over the lanes of a warp, the same in all of them.
template <typename T> __device__ T warp_sum(T value) {
  for (int step = WARP / 2; step > 0; step /= 2)
    value += __shfl_xor_sync(FULL, value, step);
  return value;
}

// One warp a line: out_t = u_i . v_j + b_i + c_j.
template <typename Index>
__device__ void predict(const long long *indptr, const Index *indices, const REAL *P,
                        const REAL *Q, REAL *out, long long lines, int columns) {
  const int lane = threadIdx.x % WARP, k = columns - 1;
  const long long step = (long long)gridDim.x * (blockDim.x / WARP);
  long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
  for (; i < lines; i += step)
    for (long long t = indptr[i]; t < indptr[i + 1]; ++t) {
      const REAL *p = P + i * columns, *q = Q + (long long)indices[t] * columns;
      REAL sum = 0;
      for (int c = lane; c < k; c += WARP) sum += p[c] * q[c];
      sum = warp_sum(sum);
      if (lane == 0) out[t] = sum + p[k] + q[k];
    }
}

// One warp a line, lanes along the columns: out_i = sum_t values_t X_j.
template <typename Index>
__device__ void line_sum(const long long *indptr, const Index *indices,
                         const REAL *values, const REAL *X, REAL *out, long long lines,
                         int columns) {
  const int lane = threadIdx.x % WARP;
  const long long step = (long long)gridDim.x * (blockDim.x / WARP);
  long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
  for (; i < lines; i += step)
    for (int c = lane; c < columns; c += WARP) {
      REAL sum = 0;
      for (long long t = indptr[i]; t < indptr[i + 1]; ++t)
        sum += values[t] * X[(long long)indices[t] * columns + c];
      out[i * columns + c] = sum;
    }
}

// Sum of one number a thread over the block, in the order of the warps.
template <typename T> __device__ T block_sum(T value, T *part) {
  value = warp_sum(value);
  __syncthreads();
  if (threadIdx.x % WARP == 0) part[threadIdx.x / WARP] = value;
  __syncthreads();
  T total = 0;
  for (int w = 0; w < WARPS; ++w) total += part[w];
  return total;
}

// F^T W (F p - shift t) of one line, with squares of the weighted features on request.
// Warps take entries in turn and keep sums of their own in shared memory.
template <typename Index> struct Line {
  const Index *indices;
  const REAL *values, *weights, *other;
  long long begin, end;
  int k, d;
  bool weighted;

  __device__ REAL feature(const REAL *f, int c) const { return c < k ? f[c] : (REAL)1; }

  // own (WARPS, d) holds the sums of the warps, out (d,) their total. Returns the sum
  // of the squares of the residuals of the entries of this warp.
  __device__ double pass(const REAL *p, REAL sign, bool with_target, REAL *own,
                         REAL *out, REAL *squares) const {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    REAL *mine = own + warp * d;
    double loss = 0;
    for (int c = lane; c < d; c += WARP) mine[c] = 0;
    for (long long t = begin + warp; t < end; t += WARPS) {
      const REAL *f = other + (long long)indices[t] * (k + 1);
      REAL s = 0;
      for (int c = lane; c < d; c += WARP) s += feature(f, c) * p[c];
      s = sign * warp_sum(s);
      if (with_target) s += values[t] - f[k];
      const REAL w = weighted ? weights[t] : (REAL)1;
      loss += (double)w * s * s;
      for (int c = lane; c < d; c += WARP) mine[c] += w * s * feature(f, c);
    }
    __syncthreads();
    for (int c = threadIdx.x; c < d; c += blockDim.x) {
      REAL sum = 0;
      for (int w = 0; w < WARPS; ++w) sum += own[w * d + c];
      out[c] = sum;
    }
    __syncthreads();
    if (squares != nullptr) {
      for (int c = threadIdx.x; c < d; c += blockDim.x) {
        REAL sum = 0;
        for (long long t = begin; t < end; ++t) {
          const REAL g = feature(other + (long long)indices[t] * (k + 1), c);
          sum += (weighted ? weights[t] : (REAL)1) * g * g;
        }
        squares[c] = sum;
      }
      __syncthreads();
    }
    return loss;
  }
};

// One block a line: steps of Jacobi-preconditioned conjugate gradients from start.
template <typename Index>
__device__ void cg(const long long *indptr, const Index *indices, const REAL *values,
                   const REAL *weights, const REAL *other, const REAL *ridge,
                   const REAL *bias_ridge, const REAL *start, REAL *out, double *loss,
                   REAL *scratch, long long lines, int columns, int d, int weighted,
                   int steps, int in_scratch, REAL eps, REAL tiny) {
  extern __shared__ unsigned char bytes[];
  __shared__ REAL part[WARPS];
  __shared__ double wide[WARPS];
  REAL *x = in_scratch ? scratch + (long long)blockIdx.x * (5 + WARPS) * d : (REAL *)bytes;
  REAL *r = x + d, *p = r + d, *q = p + d, *diagonal = q + d;
  REAL *own = diagonal + d;
  for (long long i = blockIdx.x; i < lines; i += gridDim.x) {
    Line<Index> line = {indices, values,        weights, other,       indptr[i],
                        indptr[i + 1], columns - 1, d,       weighted != 0};
    if (line.begin == line.end) continue;
    for (int c = threadIdx.x; c < d; c += blockDim.x) x[c] = start[i * columns + c];
    __syncthreads();
    double mine = line.pass(x, (REAL)-1, true, own, r, diagonal);
    mine = threadIdx.x % WARP == 0 ? mine : 0;
    REAL rz = 0;
    for (int c = threadIdx.x; c < d; c += blockDim.x) {
      const REAL a = c < line.k ? ridge[i] : bias_ridge[i];
      mine += (double)a * x[c] * x[c];
      const REAL full = diagonal[c] + a;
      diagonal[c] = 1 / (full > tiny ? full : tiny);
      r[c] -= a * x[c];
      p[c] = r[c] * diagonal[c];
      rz += r[c] * p[c];
    }
    double total = block_sum(mine, wide);
    rz = block_sum(rz, part);
    const REAL small = eps * eps * rz;
    for (int s = 0; s < steps; ++s) {
      __syncthreads();
      line.pass(p, (REAL)1, false, own, q, nullptr);
      REAL curvature = 0;
      for (int c = threadIdx.x; c < d; c += blockDim.x) {
        q[c] += (c < line.k ? ridge[i] : bias_ridge[i]) * p[c];
        curvature += p[c] * q[c];
      }
      curvature = block_sum(curvature, part);
      if (!(curvature > tiny && rz > small)) break;
      const REAL step = rz / curvature;
      total -= (double)step * rz;
      REAL fresh = 0;
      for (int c = threadIdx.x; c < d; c += blockDim.x) {
        x[c] += step * p[c];
        r[c] -= step * q[c];
        fresh += r[c] * r[c] * diagonal[c];
      }
      fresh = block_sum(fresh, part);
      for (int c = threadIdx.x; c < d; c += blockDim.x)
        p[c] = r[c] * diagonal[c] + (fresh / rz) * p[c];
      rz = fresh;
    }
    for (int c = threadIdx.x; c < d; c += blockDim.x) out[i * columns + c] = x[c];
    if (threadIdx.x == 0) loss[i] = total;
    __syncthreads();
  }
}

#define EACH_INDEX(Index, suffix)                                                       \
  extern "C" __global__ void predict_##suffix(                                          \
      const long long *indptr, const Index *indices, const REAL *P, const REAL *Q,      \
      REAL *out, long long lines, int columns) {                                        \
    predict<Index>(indptr, indices, P, Q, out, lines, columns);                         \
  }                                                                                     \
  extern "C" __global__ void line_sums_##suffix(                                        \
      const long long *indptr, const Index *indices, const REAL *values, const REAL *X, \
      REAL *out, long long lines, int columns) {                                        \
    line_sum<Index>(indptr, indices, values, X, out, lines, columns);                   \
  }                                                                                     \
  extern "C" __global__ void cg_##suffix(                                               \
      const long long *indptr, const Index *indices, const REAL *values,                \
      const REAL *weights, const REAL *other, const REAL *ridge,                        \
      const REAL *bias_ridge, const REAL *start, REAL *out, double *loss,               \
      REAL *scratch, long long lines, int columns, int d, int weighted, int steps,      \
      int in_scratch, REAL eps, REAL tiny) {                                            \
    cg<Index>(indptr, indices, values, weights, other, ridge, bias_ridge, start, out,   \
              loss, scratch, lines, columns, d, weighted, steps, in_scratch, eps,       \
              tiny);                                                                    \
  }

EACH_INDEX(int, int32)
EACH_INDEX(long long, int64)
