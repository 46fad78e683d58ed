import math

import pytest
import torch
from mmedpo_focal import Focal

from mmedpo.testing import check_part, tiny_batch


def test_it_keeps_the_contract() -> None:
    check_part(Focal())


def test_without_gamma_it_is_dpo() -> None:
    batch = tiny_batch()
    wanted = torch.log1p(torch.exp(-batch.beta * batch.margin))
    torch.testing.assert_close(Focal(gamma=0).compute(batch), wanted)


def test_a_pair_ranked_by_nothing_counts_a_quarter() -> None:
    batch = tiny_batch()
    level = type(batch)(batch.chosen, batch.chosen, batch.beta, batch.weights)
    assert Focal().compute(level)[0].item() == pytest.approx(math.log(2) / 4)
