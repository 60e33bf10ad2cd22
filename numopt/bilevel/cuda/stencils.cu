// SPDX-License-Identifier: BSD-3-Clause
// Stencils of total variation and of fields of experts; REAL is double or float.
// Gather form: a thread owns an output entry and sums in a fixed order.

#define EACH(index, count)                                                          \
  for (long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;          \
       index < (count); index += (long long)gridDim.x * blockDim.x)

// Normalised differences of pixel (i, j), down and to the right, and phi - nu.
__device__ inline void flux(const REAL *x, long long i, long long j, long long H,
                            long long W, REAL nu2, int isotropic, REAL *p, REAL *q,
                            REAL *excess) {
  const REAL u = i + 1 < H ? x[(i + 1) * W + j] - x[i * W + j] : (REAL)0;
  const REAL w = j + 1 < W ? x[i * W + j + 1] - x[i * W + j] : (REAL)0;
  const REAL nu = sqrt(nu2);
  if (isotropic) {
    const REAL phi = sqrt(u * u + w * w + nu2);
    *p = u / phi;
    *q = w / phi;
    *excess = phi - nu;
  } else {
    const REAL first = sqrt(u * u + nu2), second = sqrt(w * w + nu2);
    *p = u / first;
    *q = w / second;
    *excess = (first - nu) + (second - nu);
  }
}

extern "C" __global__ void tv_gradient(const REAL *x, const REAL *y, REAL lam, REAL nu2,
                                       int isotropic, REAL *out, REAL *out_terms,
                                       long long B, long long H, long long W) {
  EACH(t, B * H * W) {
    const long long b = t / (H * W), i = t / W % H, j = t % W;
    const REAL *image = x + b * H * W;
    REAL p, q, excess, above = 0, left = 0, other, unused;
    flux(image, i, j, H, W, nu2, isotropic, &p, &q, &excess);
    if (i > 0) flux(image, i - 1, j, H, W, nu2, isotropic, &above, &other, &unused);
    if (j > 0) flux(image, i, j - 1, H, W, nu2, isotropic, &other, &left, &unused);
    const REAL misfit = x[t] - y[t];
    out[t] = misfit + lam * (above - p + left - q);
    out_terms[t] = (REAL)0.5 * misfit * misfit + lam * excess;
  }
}

extern "C" __global__ void tv_curvature(const REAL *x, REAL nu2, int isotropic,
                                        REAL *out, long long B, long long H,
                                        long long W) {
  const long long count = B * H * W;
  EACH(t, count) {
    const long long i = t / W % H, j = t % W;
    const REAL u = i + 1 < H ? x[t + W] - x[t] : (REAL)0;
    const REAL w = j + 1 < W ? x[t + 1] - x[t] : (REAL)0;
    if (isotropic) {
      const REAL square = u * u + w * w + nu2;
      const REAL cubed = 1 / (square * sqrt(square));
      out[t] = (w * w + nu2) * cubed;
      out[count + t] = -u * w * cubed;
      out[2 * count + t] = (u * u + nu2) * cubed;
    } else {
      const REAL first = u * u + nu2, second = w * w + nu2;
      out[t] = nu2 / (first * sqrt(first));
      out[count + t] = 0;
      out[2 * count + t] = nu2 / (second * sqrt(second));
    }
  }
}

// Both fluxes of pixel t of the product; none leaves the image.
__device__ inline void product_flux(const REAL *v, const REAL *a, long long t,
                                    long long count, long long i, long long j,
                                    long long H, long long W, REAL *p, REAL *q) {
  const REAL u = i + 1 < H ? v[t + W] - v[t] : (REAL)0;
  const REAL w = j + 1 < W ? v[t + 1] - v[t] : (REAL)0;
  *p = i + 1 < H ? a[t] * u + a[count + t] * w : (REAL)0;
  *q = j + 1 < W ? a[count + t] * u + a[2 * count + t] * w : (REAL)0;
}

extern "C" __global__ void tv_products(const REAL *v, const REAL *a, REAL lam, REAL *out,
                                       long long B, long long H, long long W) {
  const long long count = B * H * W;
  EACH(t, count) {
    const long long i = t / W % H, j = t % W;
    REAL p, q, above = 0, left = 0, other;
    product_flux(v, a, t, count, i, j, H, W, &p, &q);
    if (i > 0) product_flux(v, a, t - W, count, i - 1, j, H, W, &above, &other);
    if (j > 0) product_flux(v, a, t - 1, count, i, j - 1, H, W, &other, &left);
    out[t] = v[t] + lam * (above - p + left - q);
  }
}

// Responses (B, K, H, W) of a padded batch to K filters of k x k.
extern "C" __global__ void respond(const REAL *x, const REAL *filters, REAL *out,
                                   long long B, long long K, long long k, long long H,
                                   long long W) {
  const long long width = W + k - 1, height = H + k - 1;
  EACH(t, B * K * H * W) {
    const long long j = t % W, i = t / W % H, f = t / (W * H) % K, b = t / (W * H * K);
    const REAL *corner = x + (b * height + i) * width + j, *taps = filters + f * k * k;
    REAL sum = 0;
    for (long long r = 0; r < k; ++r)
      for (long long c = 0; c < k; ++c) sum += taps[r * k + c] * corner[r * width + c];
    out[t] = sum;
  }
}

// Adjoint of the responses: a padded batch.
extern "C" __global__ void gather(const REAL *p, const REAL *filters, REAL *out,
                                  long long B, long long K, long long k, long long H,
                                  long long W) {
  const long long width = W + k - 1, height = H + k - 1;
  EACH(t, B * height * width) {
    const long long j = t % width, i = t / width % height, b = t / (width * height);
    REAL sum = 0;
    for (long long f = 0; f < K; ++f) {
      const REAL *flux = p + (b * K + f) * H * W, *taps = filters + f * k * k;
      for (long long r = 0; r < k; ++r) {
        const long long row = i - r;
        if (row < 0 || row >= H) continue;
        for (long long c = 0; c < k; ++c) {
          const long long column = j - c;
          if (column < 0 || column >= W) continue;
          sum += taps[r * k + c] * flux[row * W + column];
        }
      }
    }
    out[t] = sum;
  }
}
