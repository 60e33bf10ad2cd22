# SPDX-License-Identifier: BSD-3-Clause
"""Kronecker products by their factors: matrix-vector products, evidence, posterior."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, to_numpy
from numopt._validation import check_ndim, check_present, check_real, message
from numopt.sbl._problem import (
    adjoint,
    check_finite,
    float_or_complex,
    real_dtype,
)
from numopt.sbl._solvers.kron_model import KronModel, make_model
from numopt.typing import Array

__all__ = [
    "apply_factors",
    "check_factors",
    "flatten",
    "kron_log_evidence",
    "kron_matvec",
    "kron_posterior",
    "kron_rmatvec",
]


def apply_factors(factors: Sequence[Array], X: Array) -> Array:
    """``(F_1 (x) ... (x) F_I) X`` for X (N, L), one product a factor, no copies.

    Each product moves its axis to the end, so that the next axis comes to the front.
    """
    xp = array_namespace(X)
    L = X.shape[1]
    for F in factors:
        X = xp.reshape(X, (F.shape[1], -1)).mT @ F.mT
    return xp.reshape(X, (L, -1)).mT


def check_factors(
    factors: Any, y: Any = None, *, name: str = "y"
) -> tuple[list[Array], Any]:
    """Validate factors (and y): one library, one dtype, finite, 2-D."""
    if hasattr(factors, "shape") or not isinstance(factors, Sequence) or not factors:
        raise (ValueError if isinstance(factors, list | tuple) else TypeError)(
            message(
                "factors", "a non-empty sequence of matrices", type(factors).__name__
            )
        )
    names = [f"factors[{i}]" for i in range(len(factors))]
    arrays = dict(zip(names, factors, strict=True))
    if y is not None:
        arrays[name] = y
    _, made = float_or_complex(**arrays)
    for each, x in zip(names, made, strict=False):
        check_ndim(each, x, 2)
        check_finite(each, x)
    if y is not None:
        check_finite(name, made[-1])
        return made[:-1], made[-1]
    return made, None


def flatten(name: str, x: Array, dims: tuple[int, ...]) -> tuple[Array, bool, bool]:
    """Bring (M,), (M_1..M_I) or either with a last axis L to (M, L).

    Also returns whether x was a tensor and whether it had the axis of snapshots.
    """
    check_present(name, x)
    xp = array_namespace(x)
    shape, M = tuple(x.shape), math.prod(dims)
    if shape == (M,):
        return xp.reshape(x, (M, 1)), False, False
    if shape == dims:
        return xp.reshape(x, (M, 1)), True, False
    if len(shape) == 2 and shape[0] == M and shape[1] > 0:
        return x, False, True
    if shape[:-1] == dims and shape[-1] > 0:
        return xp.reshape(x, (M, shape[-1])), True, True
    raise ValueError(
        message(
            name,
            f"of length {M} (product of the sizes {dims} of the factors) or of shape "
            f"{dims}, either with a last axis of snapshots",
            f"shape {shape}",
        )
    )


def _rows(factors: Sequence[Array]) -> tuple[int, ...]:
    """Row counts of the factors."""
    return tuple(H.shape[0] for H in factors)


def _columns(factors: Sequence[Array]) -> tuple[int, ...]:
    """Column counts of the factors."""
    return tuple(H.shape[1] for H in factors)


def _unflatten(X: Array, dims: tuple[int, ...], tensor: bool, many: bool) -> Array:
    """Give the flat (M, L) the form of the caller's argument."""
    xp = array_namespace(X)
    lead = dims if tensor else (X.shape[0],)
    return xp.reshape(X, (*lead, X.shape[1]) if many else lead)


def kron_matvec(factors: Sequence[Any], x: Any) -> Array:
    """Multiply by a Kronecker product without forming it.

    Parameters
    ----------
    factors : sequence of I arrays of shape (M_i, N_i)
        Real or complex matrices.
    x : array
        Flat (N,) or a tensor (N_1, ..., N_I) in C order, either with a last axis L.

    Returns
    -------
    array
        ``kron(H_1, ..., H_I) @ x``: flat for flat input, a tensor for a tensor.

    Raises
    ------
    ValueError
        When shapes disagree or an entry is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.sbl import kron_matvec
    >>> kron_matvec([np.eye(2), [[1.0, 1.0]]], [1.0, 2.0, 3.0, 4.0])
    array([3., 7.])
    """
    H, x = check_factors(factors, x, name="x")
    X, tensor, many = flatten("x", x, _columns(H))
    return _unflatten(apply_factors(H, X), _rows(H), tensor, many)


def kron_rmatvec(factors: Sequence[Any], y: Any) -> Array:
    """Multiply by the conjugate transpose of a Kronecker product.

    Parameters
    ----------
    factors : sequence of I arrays of shape (M_i, N_i)
        Real or complex matrices.
    y : array
        Flat (M,) or a tensor (M_1, ..., M_I) in C order, either with a last axis L.

    Returns
    -------
    array
        ``kron(H_1, ..., H_I)^H @ y``: flat for flat input, a tensor for a tensor.

    Raises
    ------
    ValueError
        When shapes disagree or an entry is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.sbl import kron_rmatvec
    >>> kron_rmatvec([np.eye(2), [[1.0, 1.0]]], [3.0, 7.0])
    array([3., 3., 7., 7.])
    """
    H, y = check_factors(factors, y)
    Y, tensor, many = flatten("y", y, _rows(H))
    back = apply_factors([adjoint(F) for F in H], Y)
    return _unflatten(back, _columns(H), tensor, many)


def _checked(
    factors: Any, y: Any, gammas: Any, noise_var: float
) -> tuple[KronModel, bool]:
    """Model of validated arguments, and whether y had the axis of snapshots."""
    H, y = check_factors(factors, y)
    Y, _, many = flatten("y", y, _rows(H))
    noise = check_real("noise_var", noise_var, low=0, include_low=False)
    xp, real = array_namespace(Y), real_dtype(Y)
    if len(gammas) != len(H):
        raise ValueError(message("gammas", f"of length {len(H)}", len(gammas)))
    made = []
    for i, (g, F) in enumerate(zip(gammas, H, strict=True)):
        _, (g,) = float_or_complex(**{f"gammas[{i}]": g})
        if tuple(g.shape) != (F.shape[1],):
            raise ValueError(
                message(f"gammas[{i}]", f"of shape ({F.shape[1]},)", tuple(g.shape))
            )
        check_finite(f"gammas[{i}]", g)
        if np.any(to_numpy(g) < 0):
            raise ValueError(message(f"gammas[{i}]", "non-negative", "an entry < 0"))
        made.append(xp.astype(g, real)[None, :])
    model = make_model(H, made, Y.mT[None, ...], xp.full_like(made[0][:, 0], noise))
    model.refresh()
    return model, many


def kron_log_evidence(
    factors: Sequence[Any], y: Any, gammas: Sequence[Any], noise_var: float
) -> float:
    """Log evidence of a Kronecker-structured sparse Bayesian model.

    Parameters
    ----------
    factors : sequence of I arrays of shape (M_i, N_i)
        Factors of the dictionary.
    y : array
        Measurements, (M,) or (M_1, ..., M_I), either with a last axis of snapshots.
    gammas : sequence of I arrays of shape (N_i,)
        Factors of the prior variances.
    noise_var : float
        Noise variance.

    Returns
    -------
    float
        As :func:`numopt.sbl.log_evidence` of the full dictionary, from one small
        eigendecomposition a factor.

    Raises
    ------
    ValueError
        When shapes disagree, an entry is not finite or a variance is negative.

    Examples
    --------
    >>> from numopt.sbl import kron_log_evidence
    >>> kron_log_evidence([[[1.0]], [[2.0]]], [1.0], [[1.0], [1.0]], 1.0)
    -1.823657...
    """
    model, _ = _checked(factors, y, gammas, noise_var)
    c = 1.0 if model.complex_ else 0.5
    _, L, M = model.Y.shape
    return -c * L * (float(to_numpy(model.terms[0])) + M * math.log(math.pi / c))


def kron_posterior(
    factors: Sequence[Any], y: Any, gammas: Sequence[Any], noise_var: float
) -> tuple[Array, Array]:
    r"""Exact posterior mean and variances without forming dictionary or covariance.

    With ``H_i diag(gamma_i) H_i^H = U_i diag(s_i) U_i^H``, ``B_i = diag(gamma_i) H_i^H
    U_i`` and the tensor ``D = 1 / (noise_var + s_1 (x) ... (x) s_I)``,

    .. math::

        \mu = (B_1 \otimes \dots \otimes B_I)\, (D \odot \tilde y), \qquad
        \operatorname{diag} \Sigma = \gamma
        - (|B_1|^2 \otimes \dots \otimes |B_I|^2)\, D.

    Parameters
    ----------
    factors : sequence of I arrays of shape (M_i, N_i)
        Factors of the dictionary.
    y : array
        Measurements, (M,) or (M_1, ..., M_I), either with a last axis of snapshots.
    gammas : sequence of I arrays of shape (N_i,)
        Factors of the prior variances.
    noise_var : float
        Noise variance.

    Returns
    -------
    mean : array of shape (N,) or (N, L)
        Posterior mean.
    var : array of shape (N,)
        Posterior variances.

    Raises
    ------
    ValueError
        When shapes disagree, an entry is not finite or a variance is negative.

    Notes
    -----
    Two Kronecker products: O(M + N) memory.

    Examples
    --------
    >>> from numopt.sbl import kron_posterior
    >>> mean, var = kron_posterior([[[1.0]], [[1.0]]], [1.0], [[1.0], [1.0]], 1.0)
    >>> mean, var
    (array([0.5]), array([0.5]))
    """
    model, many = _checked(factors, y, gammas, noise_var)
    mean, var = model.posterior()
    xp = model.xp
    flat = xp.reshape(mean[0, ...], (mean.shape[1], -1))
    return (flat.mT if many else flat[0, :]), xp.reshape(var[0, ...], (-1,))
