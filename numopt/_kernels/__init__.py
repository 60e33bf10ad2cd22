# SPDX-License-Identifier: BSD-3-Clause
"""How loops run: kernel dispatch, compiler presets, SIMD maths, threads and CUDA."""
