# SPDX-License-Identifier: BSD-3-Clause
"""Benchmarks (asv): one module per family, peers measured in the same process."""

import hashlib
import importlib.util
import os
from pathlib import Path


def numba_cache_dir() -> str:
    """Return a cache folder named after the hash of all kernel sources.

    Numba's index watches a kernel's own file only, not the helpers it inlines.
    """
    spec = importlib.util.find_spec("numopt")
    package = Path(spec.origin).parent
    sources = {
        path.relative_to(package.parent).as_posix(): path
        for path in package.rglob("*.py")
    }
    digest = hashlib.sha256()
    for name in sorted(sources):
        if "_kernels" in name:
            digest.update(sources[name].read_bytes())
    root = Path(__file__).resolve().parents[1]
    return str(root / ".cache" / f"numba-{digest.hexdigest()[:16]}")


os.environ.setdefault("NUMBA_CACHE_DIR", numba_cache_dir())
