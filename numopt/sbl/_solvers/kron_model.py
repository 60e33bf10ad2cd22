# SPDX-License-Identifier: BSD-3-Clause
"""A batch of Kronecker models in the eigenbasis of their factors.

Arrays carry a leading axis of independent problems. The measurements in the common
eigenbasis are kept as a tensor whose axes rotate: the factor at work comes first, and
multiplying along it moves its axis to the end, so that nothing is ever copied.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.sbl._problem import indices_where, is_complex
from numopt.typing import Array

__all__ = ["KronModel", "host_max", "make_model", "scatter"]


def host_max(x: Array) -> float:
    """Largest entry as a Python number."""
    return float(np.max(to_numpy(x)))


@dataclasses.dataclass(slots=True)
class KronModel:
    """Hyper-parameters on the surviving atoms and the eigenbasis they give."""

    xp: Any
    H: list[Array]  # (M_i, N_i)
    adjoint: list[Array]  # (N_i, M_i)
    h: list[Array]  # (b, J_i) hyper-parameters; gamma_i = K_i h_i
    K: list[Array | None]
    index: list[Array]  # surviving columns of h, in the caller's numbering
    Y: Array  # (b, L, M)
    noise: Array  # (b,)
    floor: float
    learn: bool
    complex_: bool
    s: list[Array] = dataclasses.field(default_factory=list)  # (b, M_i)
    U: list[Array] = dataclasses.field(default_factory=list)  # (b, M_i, M_i)
    V: list[Array] = dataclasses.field(default_factory=list)  # H_i^H U_i
    Yt: Any = None  # (b, L, M_i, rest) with the factor at work in front

    @property
    def order(self) -> int:
        """Number of factors."""
        return len(self.H)

    def abs2(self, x: Array) -> Array:
        """Squared moduli of an array of the type of the data."""
        if not self.complex_:
            return x * x
        return self.xp.real(x) ** 2 + self.xp.imag(x) ** 2

    def ct(self, x: Array) -> Array:
        """Conjugate transpose."""
        return self.xp.conj(x).mT if self.complex_ else x.mT

    def gamma(self, i: int) -> Array:
        """Prior variances of factor i."""
        K = self.K[i]
        return self.h[i] if K is None else self.h[i] @ K.mT

    def eigenbasis(self, i: int, gamma: Array) -> tuple[Array, Array]:
        """Eigenvalues (not negative) and eigenvectors of ``H diag(gamma) H^H``."""
        C = (self.H[i] * gamma[..., None, :]) @ self.adjoint[i]
        s, U = self.xp.linalg.eigh(C)
        return self.xp.maximum(s, 0.0), U

    def refresh(self) -> None:
        """Decompose all factors and turn the data into the common eigenbasis."""
        pairs = [self.eigenbasis(i, self.gamma(i)) for i in range(self.order)]
        self.s, self.U = [s for s, _ in pairs], [U for _, U in pairs]
        self.V = [Q @ U for Q, U in zip(self.adjoint, self.U, strict=True)]
        X = self.Y
        for U in self.U:
            X = self.rotated(X, U.shape[-1], self.ct(U))
        self.Yt = self.facing(X, 0)

    def facing(self, X: Array, i: int) -> Array:
        """Shape (b, L, M_i, rest) of a tensor that begins with the axis of factor i."""
        return self.xp.reshape(X, (*X.shape[:2], self.H[i].shape[0], -1))

    def rotated(self, X: Array, size: int, F: Array) -> Array:
        """Multiply (b, L, size, rest) by F (b, k, size); its axis goes to the end."""
        X = self.xp.reshape(X, (*X.shape[:2], size, -1))
        out = X.mT @ F.mT[:, None, ...]
        return self.xp.reshape(out, (*out.shape[:2], -1))

    def rest(self, i: int, values: Sequence[Array] | None = None) -> Array:
        """Outer products of the eigenvalues of the others, in cyclic order after i."""
        values = self.s if values is None else values
        count = len(values)
        if count == 1:
            return self.xp.ones_like(values[0][:, :1])
        out = values[(i + 1) % count]
        for k in range(i + 2, i + count):
            other = values[k % count]
            out = self.xp.reshape(
                out[:, :, None] * other[:, None, :], (out.shape[0], -1)
            )
        return out

    def total(self, i: int, rest: Array) -> Array:
        """Eigenvalues of C as (b, M_i, rest)."""
        return self.noise[:, None, None] + self.s[i][:, :, None] * rest[:, None, :]

    @property
    def power(self) -> Array:
        """Mean over snapshots of the squared moduli of the data."""
        squared = self.abs2(self.Yt)
        if squared.shape[1] == 1:
            return squared[:, 0, ...]
        return self.xp.mean(squared, axis=1)

    def turn(self, i: int, gamma: Array) -> None:
        """Take new prior variances of factor i, in front; then i + 1 comes there."""
        s, U = self.eigenbasis(i, gamma)
        X = self.rotated(self.Yt, s.shape[-1], self.ct(U) @ self.U[i])
        self.s[i], self.U[i], self.V[i] = s, U, self.adjoint[i] @ U
        self.Yt = self.facing(X, (i + 1) % self.order)

    def skip(self, i: int) -> None:
        """Move on to factor i + 1 without a change."""
        X = self.xp.reshape(self.Yt.mT, (*self.Yt.shape[:2], -1))
        self.Yt = self.facing(X, (i + 1) % self.order)

    @property
    def terms(self) -> Array:
        """``log det C + y^H C^-1 y`` of each problem, mean over snapshots."""
        total = self.total(0, self.rest(0))
        both = self.xp.log(total) + self.power / total
        return self.xp.sum(self.xp.sum(both, axis=2), axis=1)

    def drop_unused(self, i: int) -> None:
        """Forget the hyper-parameters of factor i that are zero in every problem."""
        xp, K = self.xp, self.K[i]
        used = np.any(to_numpy(self.h[i]) > 0, axis=0)
        if np.all(used) or not np.any(used):
            return
        keep = xp.asarray(np.flatnonzero(used), device=device(self.Y))
        self.h[i] = xp.take(self.h[i], keep, axis=1)
        self.index[i] = xp.take(self.index[i], keep)
        if K is None:
            self._keep_atoms(i, keep)
        else:
            self.K[i] = xp.take(K, keep, axis=1)

    def _keep_atoms(self, i: int, keep: Array) -> None:
        """Restrict factor i to some of its columns."""
        self.H[i] = self.xp.take(self.H[i], keep, axis=1)
        self.adjoint[i] = self.xp.take(self.adjoint[i], keep, axis=0)
        if self.V:
            self.V[i] = self.xp.take(self.V[i], keep, axis=1)

    def uncouple(self, i: int) -> None:
        """Replace coupled hyper-parameters by the variances of the atoms they reach."""
        if self.K[i] is None:
            return
        gamma = self.gamma(i)
        keep = indices_where(self.xp.any(gamma > 0, axis=0))
        self.K[i], self.index[i] = None, keep
        self.h[i] = self.xp.take(gamma, keep, axis=1)
        self._keep_atoms(i, keep)

    def couple(self, coupling: Sequence[Array | None]) -> None:
        """Express prior variances by the coupling patterns, by weighted averages."""
        for i, K in enumerate(coupling):
            if K is not None:
                weight = self.xp.sum(K, axis=0)
                self.h[i] = (self.h[i] @ K) / weight**2
                self.K[i] = K
                self.index[i] = self.xp.arange(K.shape[1], device=device(K))

    def posterior(self) -> tuple[Array, Array]:
        """Mean (b, L, N_1, ..., N_I) and exact variances (b, N_1, ..., N_I)."""
        rest = self.rest(0)
        D = (1.0 / self.total(0, rest))[:, None, ...]
        gammas = [self.gamma(i) for i in range(self.order)]
        B = [g[:, :, None] * V for g, V in zip(gammas, self.V, strict=True)]
        mean, explained = D * self.Yt, D
        for b in B:
            mean = self.rotated(mean, b.shape[-1], b)
            explained = self.rotated(explained, b.shape[-1], self.abs2(b))
        sizes = tuple(g.shape[1] for g in gammas)
        batch, L = mean.shape[:2]
        prior = gammas[0][:, :, None] * self.rest(0, gammas)[:, None, :]
        var = self.xp.reshape(prior, explained[:, 0, ...].shape) - explained[:, 0, ...]
        var = self.xp.reshape(self.xp.maximum(var, 0.0), (batch, *sizes))
        return self.xp.reshape(mean, (batch, L, *sizes)), var


def make_model(
    factors: Sequence[Array],
    gammas: Sequence[Array],
    Y: Array,
    noise: Array,
    *,
    floor: float = 0.0,
    learn: bool = False,
) -> KronModel:
    """Start from prior variances (b, N_i) and measurements (b, L, M)."""
    xp = array_namespace(Y)
    complex_ = is_complex(Y)
    return KronModel(
        xp=xp,
        H=list(factors),
        adjoint=[xp.conj(F).mT if complex_ else F.mT for F in factors],
        h=list(gammas),
        K=[None] * len(gammas),
        index=[xp.arange(g.shape[1], device=device(g)) for g in gammas],
        Y=Y,
        noise=noise,
        floor=floor,
        learn=learn,
        complex_=complex_,
    )


def scatter(values: Array, index: Array, size: int) -> Array:
    """Place the columns of (b, k) in a zero matrix (b, size)."""
    xp = array_namespace(values)
    place = np.full(size, values.shape[1])
    place[to_numpy(index)] = np.arange(values.shape[1])
    zero = xp.zeros_like(values[:, :1])
    where = xp.asarray(place, device=device(values))
    return xp.take(xp.concat([values, zero], axis=1), where, axis=1)
