# SPDX-License-Identifier: BSD-3-Clause
"""The tables and pictures of the performance page."""

from benchmarks import chart, report

ROW = {"workload": "small", "peer": "POT, exact", "version": "POT 1", "spread": 0.1}
WIDE = {f"figure {k}": k for k in range(9)}
STORED = {
    "python": "3.12",
    "versions": ["numpy 2"],
    "rows": [ROW | {"ratio": 0.25}, ROW | {"ratio": None, "note": "not reached"}],
    "experiments": [
        {"group": "work", "workload": "first", "steps": [1, 2], "error": 0.12345},
        {"group": "work", "workload": "second", "steps": None, "error": {"l2": 1}},
        {"group": "wide", "workload": "third"} | WIDE,
    ],
}


def test_page_holds_ratios_and_experiments():
    text = report.to_rst({"ot": STORED}, charts="pictures")
    assert ".. image:: pictures/ot.svg" in text
    assert "     - 0.25 (4x faster)\n     - ±10 %" in text
    assert "     - not reached" in text
    assert "   * - Workload\n     - steps\n     - error\n" in text
    assert "   * - first\n     - 1, 2\n     - 0.123\n" in text
    assert "   * - second\n     - n/a\n     - l2: 1\n" in text
    # Wider than long: turned.
    assert "   * - Workload\n     - third\n   * - figure 0\n     - 0\n" in text


def test_chart_names_each_peer_once(tmp_path):
    chart.draw_speedups(STORED["rows"], tmp_path / "ot.svg")
    assert (tmp_path / "ot.svg").read_text().count("<!-- POT -->") == 1
