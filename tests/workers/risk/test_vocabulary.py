"""The order of evaluation: the same in C++ and in Python, and the one that was designed."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.config.risk import Risk
from pipeline.rules import RULES, rules_table
from pipeline.vocabulary import CHECKS, Denial
from workers import risk

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


def test_the_readme_has_the_table_that_the_code_gives() -> None:
    text = (Path(risk.__file__).parent / "README.md").read_text()
    table = text.partition("<!-- rules -->\n")[2].partition("<!-- end of rules -->")[0]
    assert table == rules_table()
    assert list(RULES) == list(CHECKS)


def test_the_limits_that_the_table_names_are_keys_of_the_configuration() -> None:
    own = {key for key in (rule.key for rule in RULES.values()) if key and "." not in key}
    assert own <= set(Risk.model_fields)
