# SPDX-License-Identifier: BSD-3-Clause
"""No solver works harder than it did when its counts were stored."""

import json

import pytest

from tests.product.work import STORED, WORKLOADS, measure

BASELINE = json.loads(STORED.read_text())

#: Rounding of another machine may cost some iterations, never half as many again.
FACTOR, ROOM = 1.5, 5


def test_every_workload_has_a_baseline():
    assert set(BASELINE) == set(WORKLOADS)


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_work_has_not_grown(name):
    for field, count in measure(name).items():
        assert count <= FACTOR * BASELINE[name][field] + ROOM, field
