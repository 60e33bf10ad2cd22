# SPDX-License-Identifier: BSD-3-Clause
"""The page that the demo writes."""

from numopt._demo._report import Row, write_page


def test_page_holds_rows_and_pictures(tmp_path):
    (tmp_path / "ot_colours.png").write_bytes(b"")
    rows = [Row("ot", "a < b", "done", "error 1e-9", "POT", "3x faster")]
    text = write_page(tmp_path, rows).read_text()
    assert "a &lt; b" in text
    assert 'src="ot_colours.png"' in text
    assert text.count("<tr>") == 2
