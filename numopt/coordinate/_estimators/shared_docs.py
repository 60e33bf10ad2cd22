# SPDX-License-Identifier: BSD-3-Clause
"""Parameters and attributes that the docstrings of the estimators share."""

__all__ = ["PARTS"]

#: Parts for `fill_docstring`.
PARTS = {
    "fit_intercept": """
        fit_intercept : bool, default=True
            Whether to fit an unpenalised intercept.
        """,
    "weights": """
        weights : array-like of shape (n_features,), default=None
            Penalty weights, None for ones; 0 leaves a feature unpenalised, inf drops
            it.
        """,
    "positive": """
        positive : bool, default=False
            Whether coefficients must not be negative.
        """,
    "class_weight": """
        class_weight : dict, "balanced" or None, default=None
            Weights of the classes, times the sample weights.
        """,
    "stopping": """
        max_iter : int, default=1000
            Outer passes over the data.
        tol : float, default=1e-6
            Relative duality gap: the objective is within ``tol`` times the null
            objective of the optimum.
        warm_start : bool, default=False
            Whether `fit` starts from the last solution.
        verbose : int, default=0
            1 shows a progress bar, 2 logs each pass.
        """,
    "folds": """
        cv : int, cross-validation generator or iterable, default=None
            Splits by scikit-learn's rules; None is 5 folds, unshuffled, stratified for
            classes.
        """,
    "n_jobs": """
        n_jobs : int, default=None
            Folds at a time, in threads.
        """,
    "cv_grid": """
        eps : float, default=1e-3
            Ratio of the smallest to the largest strength of the grid.
        n_alphas : int, default=100
            Length of the grid.
        alphas : array-like of shape (n_alphas,), default=None
            The grid itself; None makes one from the full data.
        """,
    "cv_stopping": """
        max_iter : int, default=1000
            Outer passes over the data for each strength.
        tol : float, default=1e-6
            Relative duality gap of every fit.
        verbose : int, default=0
            1 shows a progress bar of the final fit, 2 logs each pass.
        """,
    "coef": """
        coef_ : ndarray of shape (n_features,)
            Coefficients.
        intercept_ : float
            Intercept.
        """,
    "class_coef": """
        classes_ : ndarray of shape (n_classes,)
            Sorted classes.
        coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
            Coefficients.
        intercept_ : ndarray of shape (1,) or (n_classes,)
            Intercepts.
        """,
    "result": """
        n_iter_ : int
            Iterations of the last fit.
        dual_gap_ : float
            Relative duality gap of the solution, NaN where no dual is known.
        history_ : dict of str to ndarray
            Objective, gap, sizes and times of each iteration.
        result_ : CoordinateResult
            The whole result.
        """,
    "features": """
        n_features_in_ : int
            Number of features.
        feature_names_in_ : ndarray of shape (n_features_in,)
            Names of features, when X has string column names.
        """,
    "mse_paths": """
        alpha_ : float
            The chosen strength.
        alphas_ : ndarray of shape (n_alphas,)
            The grid, decreasing.
        mse_path_ : ndarray of shape (n_alphas, n_folds)
            Mean squared errors on the test side of each fold.
        train_mse_path_ : ndarray of shape (n_alphas, n_folds)
            Mean squared errors on the training side.
        time_path_ : ndarray of shape (n_alphas, n_folds)
            Seconds from the start of the path of a fold to the end of each strength.
        """,
    "rules": """
        partition, selection, update : str, default="auto"
            Block rules as in `bcd_solve`.
        block_size : int, default=1
            Coordinates in a block.
        """,
    "random_state": """
        random_state : int, RandomState instance or None, default=None
            For the random selections.
        """,
}
