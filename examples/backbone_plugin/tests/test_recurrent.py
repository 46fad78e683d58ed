import torch
from mmedpo_recurrent.backbone import Recurrent

from mmedpo import Setting
from mmedpo.testing import check_part, tiny_cases


def test_it_keeps_the_contract() -> None:
    check_part(Recurrent())


def test_an_answer_depends_on_its_own_seed_and_not_on_what_runs_beside_it() -> None:
    cases = tiny_cases(3)
    with Recurrent().open(Setting()) as live:
        together = live.answer(cases, max_new_tokens=6, temperature=1.0, seeds=[5, 6, 7])
        alone = [
            live.answer([case], max_new_tokens=6, temperature=1.0, seeds=[seed])[0]
            for case, seed in zip(cases, (5, 6, 7), strict=True)
        ]
    assert together == alone
    assert len(set(together)) == 3


def test_the_same_question_about_another_film_is_answered_by_other_odds() -> None:
    with Recurrent().open(Setting()) as live:
        sides = [live.encode(case.images, "Is there a nodule?", "Yes") for case in tiny_cases(2)]
        ids = torch.tensor([side.ids for side in sides])
        logits = live.model(ids, torch.ones_like(ids), **live.collate([side.vision[0] for side in sides])).logits
    assert not logits[0].equal(logits[1])


def test_padding_on_either_side_changes_no_odds() -> None:
    with Recurrent().open(Setting()) as live:
        side = live.encode(tiny_cases(1)[0].images, "Is there a nodule?", "Yes")
        films = {name: value.expand(3, -1, -1, -1) for name, value in side.vision[0].items()}
        rows = [[*side.ids, 0, 0], [0, 0, *side.ids], [0, *side.ids, 0]]
        there = [[1] * len(side.ids) + [0, 0], [0, 0] + [1] * len(side.ids), [0] + [1] * len(side.ids) + [0]]
        logits = live.model(torch.tensor(rows), torch.tensor(there), **films).logits
    for row, start in ((1, 2), (2, 1)):
        torch.testing.assert_close(logits[row, start : start + len(side.ids)], logits[0, : len(side.ids)])
