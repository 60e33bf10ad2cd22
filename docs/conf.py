# SPDX-License-Identifier: BSD-3-Clause
"""Sphinx configuration; builds without a network."""

import importlib
import importlib.util
import inspect
import os
import re
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # the benchmarks package writes a table

os.environ.setdefault("MPLBACKEND", "Agg")

import numopt  # noqa: E402
from benchmarks import chart, report  # noqa: E402

project = "numopt"
author = "The numopt developers"
copyright = "2026, the numopt developers"
release = numopt.__version__
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "myst_parser",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
if importlib.util.find_spec("sphinx-mathjax-offline"):
    extensions.append("sphinx-mathjax-offline")

templates_path = ["_templates"]
exclude_patterns = ["_build", "benchmarks", "**/README.rst"]
nitpicky = False
suppress_warnings = ["myst.header"]  # the changelog is included below a title

# -- API pages ---------------------------------------------------------------
autosummary_generate = True
autodoc_typehints = "none"
autodoc_default_options = {"inherited-members": None}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
numpydoc_validation_checks = {
    "GL08", "SS03", "PR01", "PR02", "PR03", "PR04", "RT01", "YD01", "EX01",
}  # fmt: skip
# Only what numopt documents itself: methods inherited from scikit-learn and the
# methods of public classes need no example of their own.
numpydoc_validation_exclude = {
    r"^(?!numopt\.)",
    r"\.(get_params|set_params|get_metadata_routing|set_output|set_\w+_request)$",
    r"\.(fit_transform|get_feature_names_out)$",
    r"^numopt\.(\w+\.)*[A-Z]\w*\.\w+$",
}

# -- Links to other projects: only on request ----------------------------------
intersphinx_mapping = {}
if os.environ.get("NUMOPT_DOCS_ONLINE") == "1":
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
    }

# -- Gallery -----------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": r"plot_",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "api/generated/backreferences",
    "doc_module": ("numopt",),
    "reference_url": {"numopt": None},
    "abort_on_example_error": False,
    "only_warn_on_example_error": False,
    "show_memory": False,
    "download_all_examples": False,
    "min_reported_time": 1e9,  # no times of one machine in the pages
    "write_computation_times": False,
    "show_signature": False,
    "plot_gallery": "True",
}
warnings.filterwarnings("ignore", message=".*is non-interactive.*")

#: Names of the argument that sets the number of threads of one call.
THREADS = ("n_threads", "n_jobs")

# -- HTML --------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "numopt"
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {
    page: []
    for page in (
        *("index", "choose", "extend", "performance", "reproducibility", "whats_new"),
    )
}


def write_performance_table(app):
    """Generate tables and charts of the performance page from the stored results."""
    folder = HERE / "_build" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    reports = report.read_tables(HERE / "benchmarks")
    families = {name: reports[name] for name in numopt.FAMILIES if name in reports}
    for family, stored in families.items():
        chart.draw_speedups(stored["rows"], folder / f"{family}.svg")
    text = report.to_rst(families | reports, charts="_build/generated")
    (folder / "performance_table.inc").write_text(text)


def write_capabilities(app):
    """Generate the table of what each public function takes."""
    from numopt._capabilities import CAPABILITIES

    words = ("libraries", "sparse", "float32")
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - Function"]
    heads = ("all libraries", "sparse", "keeps float32", "threads")
    lines += [f"     - {head}" for head in heads]
    for name, text in CAPABILITIES.items():
        family, function = name.split(".")
        value = getattr(importlib.import_module(f"numopt.{family}"), function)
        parameters = inspect.signature(value).parameters
        marks = ["yes" if word in text.split() else "" for word in words]
        marks.append(next((f"``{w}``" for w in THREADS if w in parameters), ""))
        lines.append(f"   * - :func:`numopt.{name}`")
        lines += [f"     - {mark}".rstrip() for mark in marks]
    folder = HERE / "_build" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "capabilities.inc").write_text("\n".join(lines) + "\n")


def _drop_foreign_references(app, what, name, obj, options, lines):
    """Inherited scikit-learn methods refer to labels of scikit-learn's own pages."""
    target = inspect.unwrap(obj) if callable(obj) else obj
    if "sklearn" not in str(getattr(target, "__module__", "")):
        return
    text = "\n".join(lines)
    text = re.sub(r":(?:ref|term):`([^`<]*?)\s*(?:<[^`>]*>)?`", r"\1", text)
    lines[:] = text.split("\n")


def setup(app):
    app.connect("autodoc-process-docstring", _drop_foreign_references)
    app.connect("builder-inited", write_performance_table, priority=100)
    app.connect("builder-inited", write_capabilities, priority=100)
