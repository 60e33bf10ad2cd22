# SPDX-License-Identifier: BSD-3-Clause
"""Shared parts of docstrings."""

import pytest

from numopt._docstring import fill_docstring

PARTS = {
    "options": """
        tol : float
            Tolerance.
        """
}


def test_parts_replace_their_lines():
    @fill_docstring(**PARTS)
    def solve():
        """Solve.

        Parameters
        ----------
        x : {"a", "b"}
            Kept: braces inside a line are no part.
        {options}
        """

    expected = (
        'Solve.\n\nParameters\n----------\nx : {"a", "b"}\n'
        "    Kept: braces inside a line are no part.\ntol : float\n    Tolerance.\n"
    )
    assert solve.__doc__ == expected


def test_classes_and_objects_without_a_docstring():
    @fill_docstring(**PARTS)
    class Documented:
        """One.

        {options}
        """

    assert "Tolerance" in Documented.__doc__
    assert fill_docstring(**PARTS)(lambda: None).__doc__ is None


def test_unknown_parts_are_named():
    def unknown():
        """{nothing}"""

    with pytest.raises(KeyError, match="nothing"):
        fill_docstring()(unknown)
