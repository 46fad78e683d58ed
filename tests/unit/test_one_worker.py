"""What a module makes once for its tests is made by one worker of pytest-xdist."""

from __future__ import annotations

import pytest
from one_worker import ModuleScheduling

SHARING, OTHER = "tests/end_to_end/test_resume.py", "tests/unit/train/test_loss.py"


@pytest.mark.parametrize(
    ("test", "unit"),
    [
        (f"{SHARING}::test_one[a::b]", SHARING),
        (f"{SHARING}::test_two", SHARING),
        (f"{OTHER}::test_one[a]", f"{OTHER}::test_one[a]"),
    ],
)
def test_tests_that_share_go_to_one_worker_and_others_one_by_one(test: str, unit: str) -> None:
    scheduling = object.__new__(ModuleScheduling)
    assert scheduling._split_scope(test) == unit


def test_it_is_what_the_options_of_pytest_choose(pytestconfig: pytest.Config) -> None:
    made = pytestconfig.hook.pytest_xdist_make_scheduler
    assert any(hook.plugin_name.endswith("tests/conftest.py") for hook in made.get_hookimpls())
