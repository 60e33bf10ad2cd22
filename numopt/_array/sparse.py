# SPDX-License-Identifier: BSD-3-Clause
"""One compressed-row form for every sparse input, so that kernels see plain arrays."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp

__all__ = ["CSR", "as_csr", "is_sparse"]


class CSR(NamedTuple):
    """Compressed sparse rows: sorted, without duplicates or explicit zeros kept as is.

    ``data`` (nnz,) float; ``indices`` (nnz,) int32 or int64; ``indptr``
    (n_rows + 1,) of the same integer type; ``shape`` (n_rows, n_columns).
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    shape: tuple[int, int]

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return self.data.shape[0]

    def to_scipy(self) -> "sp.csr_array":
        """Return a ``scipy.sparse.csr_array`` that shares the arrays."""
        from scipy.sparse import csr_array

        return csr_array((self.data, self.indices, self.indptr), shape=self.shape)


def is_sparse(x: Any) -> bool:
    """Whether ``x`` is a SciPy sparse array or matrix (or a CSR of ours)."""
    if isinstance(x, CSR):
        return True
    if not type(x).__module__.startswith("scipy.sparse"):
        return False
    from scipy.sparse import issparse

    return issparse(x)


def as_csr(x: Any, *, dtype: Any = np.float64) -> CSR:
    """Convert a SciPy sparse input to CSR; the input is never modified.

    Duplicates are summed and column indices sorted. Index arrays become int32 when
    the size allows it, int64 otherwise.
    """
    if isinstance(x, CSR):
        return x
    from scipy.sparse import csr_array

    A = csr_array(x, dtype=dtype)
    if not A.has_canonical_format:
        A = A.copy()
        A.sum_duplicates()
    fits = max(A.nnz, *A.shape) < np.iinfo(np.int32).max
    index = np.int32 if fits else np.int64
    return CSR(
        A.data,
        A.indices.astype(index, copy=False),
        A.indptr.astype(index, copy=False),
        A.shape,
    )
