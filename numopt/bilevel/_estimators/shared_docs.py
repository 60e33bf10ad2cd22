# SPDX-License-Identifier: BSD-3-Clause
"""Parameters and attributes that the docstrings of the estimators share."""

__all__ = ["PARTS"]

#: Parts for `fill_docstring`: of the two for tables, then of the two denoisers.
PARTS = {
    "groups": """
        groups : array-like, list of index lists, int, "features" or None, default=None
            Block of each feature (labels 0, 1, ... without gaps, or words in sorted
            order), the blocks, or the size of consecutive ones; "features" is a penalty
            each, None one penalty.
        """,
    "shrinkage": """
        shrinkage : float or "auto", default="auto"
            Weight of ``cv_loss_common_ / (2 n_groups) * sum (log penalty_g - mean)^2``
            in the upper level, infinite for the common penalty. "auto": none with few
            blocks (at most a fiftieth of the samples); otherwise the best of 0.01, 0.1,
            1 and infinity on rows held out of the folds.
        bounds : tuple of (low, high), default=(-7.0, 7.0)
            Bounds of the logarithms of the penalties relative to the common one.
        """,
    "random_state": """
        random_state : int, RandomState instance or None, default=None
            Rows held out to choose the shrinkage.
        """,
    "tol": """
        tol : float, default=1e-4
            Relative decrease of the loss at which the outer steps stop.
        """,
    "verbose": """
        verbose : int, default=0
            0 silent, 1 progress bar, 2 log lines.
        """,
    "predict_tol": """
        predict_tol : float, default=1e-3
            Root mean square distance of a prediction from the exact minimiser,
            certified.
        n_jobs : int, default=None
            Threads; None takes numopt's setting. Results do not depend on it.
        """,
}
