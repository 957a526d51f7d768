"""The order of evaluation: the same in C++ and in Python, and the one that was designed."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.vocabulary import CHECKS, Denial

HEADER = Path(__file__).parents[3] / "pipeline" / "native" / "vocabulary.hpp"

# Of all codes, those of checks that come later too.
EVALUATION = (
    *(101, 102, 103, 110, 201, 205, 202, 203, 207, 204, 206, 109, 104, 105, 106, 107),
    *(301, 302, 303, 401, 402, 108, 403, 404, 405, 406, 501, 502, 503),
    *(601, 602, 603, 604, 605, 709, 701, 702, 703, 704, 705, 706, 707, 708),
    *(710, 711, 712, 713, 801, 802, 803, 804, 805, 806, 807, 808, 809, 810),
)


def test_checks_are_made_in_the_order_of_evaluation() -> None:
    assert sorted(CHECKS, key=EVALUATION.index) == list(CHECKS)


def test_cpp_and_python_have_the_same_codes_in_the_same_order() -> None:
    text = HEADER.read_text()
    enum, table = re.findall(r"\{([^{}]*)\};", text[text.index("enum class Denial") :])[:2]
    numbers = {name: int(value) for name, value in re.findall(r"(k\w+) = (\d+)", enum)}
    assert list(numbers.values()) == [int(code) for code in Denial]
    assert [numbers[name] for name in re.findall(r"Denial::(k\w+)", table)] == list(CHECKS)
