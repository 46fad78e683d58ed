from mmedpo_laterality import Laterality

from mmedpo.testing import check_part, tiny_pairs


def test_it_keeps_the_contract() -> None:
    check_part(Laterality())


def test_another_side_rates_highest() -> None:
    closed, opened = tiny_pairs("text", count=2)
    scores = Laterality().score([closed, opened])
    assert [score.relevance for score in scores] == [None, 1.0]
