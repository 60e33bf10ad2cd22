# SPDX-License-Identifier: BSD-3-Clause
"""What is solved: a linear Gaussian model whose prior variances maximise evidence."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.linalg import CholeskyFactor, cho_solve
from numopt._array.namespace import array_namespace, device, is_array, to_numpy
from numopt._array.sparse import is_sparse
from numopt._validation import check_ndim, check_real, check_values, message
from numopt.exceptions import ArgumentTypeError
from numopt.typing import Array, Namespace

__all__ = [
    "SBLProblem",
    "abs2",
    "adjoint",
    "check_finite",
    "check_gamma",
    "check_rows",
    "float_or_complex",
    "has_signal",
    "indices_where",
    "is_complex",
    "is_operator",
    "jittered_cholesky",
    "log_evidence",
    "make_problem",
    "real_dtype",
    "solve_cholesky",
]


def is_complex(x: Array) -> bool:
    """Whether an array holds complex numbers."""
    if isinstance(x, np.ndarray):  # asked often, and small problems notice
        return x.dtype.kind == "c"
    return bool(array_namespace(x).isdtype(x.dtype, "complex floating"))


def is_operator(A: Any) -> bool:
    """Whether ``A`` is given by its products alone."""
    return hasattr(A, "matvec") and not is_array(A) and not is_sparse(A)


def abs2(x: Array) -> Array:
    """Squared moduli."""
    if not is_complex(x):
        return x * x
    xp = array_namespace(x)
    return xp.real(x) ** 2 + xp.imag(x) ** 2


def real_dtype(x: Array) -> Any:
    """Real dtype of the precision of an array."""
    return array_namespace(x).real(x[:0, ...]).dtype if is_complex(x) else x.dtype


def adjoint(A: Array) -> Array:
    """Conjugate transpose of a matrix."""
    xp = array_namespace(A)
    return xp.conj(A).mT if is_complex(A) else A.mT


def float_or_complex(**arrays: Any) -> tuple[Namespace, list[Array]]:
    """Bring arrays to one library, device and float or complex dtype.

    float32 and complex64 stay single only when all are; a complex argument makes all
    complex; integers and bool become float64.
    """
    xp = array_namespace(*arrays.values())
    where = next((device(x) for x in arrays.values() if is_array(x)), None)
    made = []
    for name, x in arrays.items():
        if is_sparse(x):
            raise ArgumentTypeError(message(name, "a dense array", "a sparse matrix"))
        one = x if is_array(x) else _host_array(name, x)
        if not is_array(x):
            one = xp.asarray(one, device=where)
        if not xp.isdtype(one.dtype, ("bool", "numeric")) or "float16" in str(
            one.dtype
        ):
            raise ArgumentTypeError(
                message(name, "a real or complex array", f"dtype {one.dtype}")
            )
        made.append(one)
    single = all(one.dtype in (xp.float32, xp.complex64) for one in made)
    if any(is_complex(one) for one in made):
        dtype = xp.complex64 if single else xp.complex128
    else:
        dtype = xp.float32 if single else xp.float64
    return xp, [xp.astype(one, dtype, copy=False) for one in made]


def _host_array(name: str, x: Any) -> np.ndarray:
    """NumPy array of numbers from lists and scalars."""
    try:
        host = np.asarray(x)
    except ValueError as error:
        raise ValueError(message(name, "a rectangular array", str(error))) from error
    if host.dtype.kind not in "fiubc":
        raise ArgumentTypeError(
            message(name, "an array of numbers", f"dtype {host.dtype}")
        )
    return host


def indices_where(mask: Array) -> Array:
    """Indices of true entries, found on the host: some libraries cannot."""
    xp = array_namespace(mask)
    return xp.asarray(np.flatnonzero(to_numpy(mask)), device=device(mask))


def check_finite(name: str, x: Array) -> None:
    """Check that all entries are finite, naming the first that is not."""
    xp = array_namespace(x)
    if not bool(to_numpy(xp.all(xp.isfinite(x)))):
        host = to_numpy(x)
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(host))[0])
        where = index[0] if len(index) == 1 else index
        raise ValueError(message(name, "finite", f"{host[index]} at index {where}"))
    check_values(name, xp.abs(x), squared=True)


def jittered_cholesky(C: Array, name: str = "A") -> Array:
    """Lower Cholesky factor; lost digits are cured by a growing diagonal, thrice."""
    xp = array_namespace(C)
    n = C.shape[0]
    eye = xp.eye(n, dtype=C.dtype, device=device(C))
    trace = float(to_numpy(xp.sum(xp.real(xp.linalg.diagonal(C))))) if n else 0.0
    jitter = 0.0
    for _ in range(4):
        try:
            factor = xp.linalg.cholesky(C + jitter * eye if jitter else C)
        except Exception as error:  # each library has its own error type
            if "inalg" not in type(error).__name__.lower():
                raise
        else:
            if bool(to_numpy(xp.all(xp.isfinite(xp.real(factor))))):
                return factor
        jitter = max(10 * jitter, 1e-10 * trace / n)
    raise np.linalg.LinAlgError(
        f"the covariance of the data under `{name}` is numerically singular; "
        "rescale the columns or give a larger `noise_var`"
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SBLProblem:
    """Validated data of ``y = A x + n``; ``Y`` (n, L) holds the measurements."""

    A: Any
    Y: Array
    vector: bool  # y came as (n,)
    rows: float  # effective number of rows, the sum of the sample weights

    @property
    def half(self) -> float:
        """The constant c of the evidence: 1/2 for real data, 1 for complex."""
        return 1.0 if is_complex(self.Y) else 0.5

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and atoms."""
        return self.A.shape[0], self.A.shape[1]

    def evidence(self, gamma: Array, noise_var: float) -> float:
        """Log evidence of prior variances and a noise variance, constants included."""
        xp = array_namespace(self.Y)
        keep = indices_where(gamma > 0)
        A = xp.take(self.A, keep, axis=1)
        log_det, quadratic = dense_terms(A, self.Y, xp.take(gamma, keep), noise_var)
        n, L = self.Y.shape
        constant = n * math.log(math.pi / self.half)
        return -self.half * (L * (log_det + constant) + quadratic)


def dense_terms(A: Array, Y: Array, gamma: Array, noise: float) -> tuple[float, float]:
    """``log det C`` and ``sum_l y_l^H C^-1 y_l`` in the smaller of the two spaces."""
    xp = array_namespace(Y)
    n, m = A.shape
    if m == 0:
        return n * math.log(noise), float(to_numpy(xp.sum(abs2(Y)))) / noise
    if m >= n:
        C = (A * gamma[None, :]) @ adjoint(A)
        factor = jittered_cholesky(
            C + noise * xp.eye(n, dtype=C.dtype, device=device(C))
        )
        solved = xp.linalg.solve(factor, Y)
        return _log_det(factor), float(to_numpy(xp.sum(abs2(solved))))
    B = A * xp.sqrt(gamma)[None, :] / math.sqrt(noise)
    H = adjoint(B) @ B + xp.eye(m, dtype=A.dtype, device=device(A))
    factor = jittered_cholesky(H)
    z = solve_cholesky(factor, adjoint(B) @ Y) / math.sqrt(noise)
    residual = Y - math.sqrt(noise) * (B @ z)
    # Both terms are sums of squares: nothing cancels when the noise is small.
    quadratic = xp.sum(abs2(residual)) / noise + xp.sum(abs2(z))
    return n * math.log(noise) + _log_det(factor), float(to_numpy(quadratic))


def solve_cholesky(L: Array, B: Array) -> Array:
    """Solve ``L L^H X = B``; the shared routine covers real matrices only."""
    if not is_complex(L):
        return cho_solve(CholeskyFactor(L), B)
    xp = array_namespace(L)
    return xp.linalg.solve(adjoint(L), xp.linalg.solve(L, B))


def _log_det(factor: Array) -> float:
    """Log determinant of a matrix from its Cholesky factor."""
    xp = array_namespace(factor)
    diagonal = xp.real(xp.linalg.diagonal(factor))
    return 2.0 * float(to_numpy(xp.sum(xp.log(diagonal))))


def make_problem(A: Any, y: Any, *, finite: bool = True) -> SBLProblem:
    """Validate a dense dictionary and measurements of shape (n,) or (n, L)."""
    xp, (A, y) = float_or_complex(A=A, y=y)
    check_ndim("A", A, 2)
    if y.ndim not in (1, 2):
        raise ValueError(message("y", "1-D or 2-D", f"shape {tuple(y.shape)}"))
    check_rows(A, y)
    if finite:
        check_finite("A", A)
        check_finite("y", y)
    Y = y if y.ndim == 2 else xp.reshape(y, (-1, 1))
    return SBLProblem(A=A, Y=Y, vector=y.ndim == 1, rows=float(A.shape[0]))


def has_signal(problem: SBLProblem) -> bool:
    """Whether any measurement differs from zero."""
    if isinstance(problem.Y, np.ndarray):
        return bool(problem.Y.any())
    xp = array_namespace(problem.Y)
    return bool(to_numpy(xp.any(problem.Y != 0)))


def check_rows(A: Any, y: Array) -> None:
    """Check that measurements match the rows of the dictionary."""
    if y.shape[0] != A.shape[0] or 0 in y.shape:
        raise ValueError(
            message(
                "y",
                f"of length {A.shape[0]} (the rows of `A`)",
                f"shape {tuple(y.shape)}",
            )
        )


def log_evidence(A: Any, y: Any, gamma: Any, noise_var: float) -> float:
    r"""Log evidence (type-II likelihood) of a sparse Bayesian model.

    .. math::

        \ell = -c \left[ \log\det C + y^H C^{-1} y + n \log(\pi/c) \right],
        \qquad C = \sigma^2 I + A \,\mathrm{diag}(\gamma) A^H,

    where c is 1/2 for real data and 1 for complex data; the columns of a matrix
    ``y`` are independent and their evidences add up.

    Parameters
    ----------
    A : array of shape (n, p)
        Dictionary, real or complex.
    y : array of shape (n,) or (n, L)
        Measurements.
    gamma : array of shape (p,)
        Prior variances, non-negative.
    noise_var : float
        Noise variance, positive.

    Returns
    -------
    float
        The log evidence in nats.

    Raises
    ------
    ValueError
        When shapes disagree, an entry is not finite or ``noise_var`` is not positive.

    References
    ----------
    M. E. Tipping, "Sparse Bayesian learning and the relevance vector machine",
    JMLR 1, 2001, eq. 15.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.sbl import log_evidence
    >>> log_evidence(np.eye(2), [1.0, 0.0], [1.0, 0.0], 1.0)
    -2.434450...
    """
    problem = make_problem(A, y)
    noise = check_real("noise_var", noise_var, low=0, include_low=False)
    return problem.evidence(check_gamma("gamma", gamma, problem), noise)


def check_gamma(name: str, gamma: Any, problem: SBLProblem) -> Array:
    """Validate prior variances, one an atom."""
    xp = array_namespace(problem.Y)
    real = real_dtype(problem.Y)
    if not is_array(gamma):
        gamma = xp.asarray(_host_array(name, gamma), device=device(problem.Y))
    if tuple(gamma.shape) != (problem.shape[1],):
        raise ValueError(
            message(
                name,
                f"of shape ({problem.shape[1]},)",
                f"shape {tuple(gamma.shape)}",
            )
        )
    if is_complex(gamma):
        raise ArgumentTypeError(message(name, "real", f"dtype {gamma.dtype}"))
    gamma = xp.astype(gamma, real, copy=False)
    check_finite(name, gamma)
    if bool(to_numpy(xp.any(gamma < 0))):
        raise ValueError(message(name, "non-negative", "a negative entry"))
    return gamma
