"""Answers of an endpoint in the backbone's place: taken where it is the same model, refused where it is another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking import machine_address
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from model_server import Acts, answer_with, serving_models

from mmedpo import Setting, digest
from mmedpo.core.stage import Stage
from mmedpo.errors import DataError, MmedpoError, RecipeError
from mmedpo.models import TransformersBackbone
from mmedpo.pipeline.cost import estimate_cost
from mmedpo.pipeline.run import RunResult, run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.registry.fingerprint import hash_part
from mmedpo.runtime.served_backbone import choose_compared, served_facts
from mmedpo.store.run_files.reader import read_pairs, read_run
from mmedpo.testing import FakeEndpoint, FakeReply, TinyBackbone, fake_endpoint, tiny_cases

RECIPE = """
output: {folder}/run
data: {{use: phantom, images: 3, reports: 0}}
backbone: {{use: phantom, answers: {{base_url: "{url}", model: m, timeout: 5, patience: 0}}}}
disprefer: [{{use: self-hallucination, samples: 2, least: 0.01}}]
unrated: keep
evaluate:
  data: {{use: phantom, images: 2, split: test, reports: 0}}
  measure: [{{use: med-vqa}}]
  max_new_tokens: 8
"""


@pytest.fixture(scope="module")
def phantom() -> Iterator[TransformersBackbone]:
    with PhantomBackbone().open(Setting()) as live:
        yield live


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[PhantomBackbone]:
    """Return the backbones that are opened here."""
    seen: list[PhantomBackbone] = []
    open_backbone = PhantomBackbone.open

    def note(part: PhantomBackbone, setting: Setting) -> Any:
        seen.append(part)
        return open_backbone(part, setting)

    monkeypatch.setattr(PhantomBackbone, "open", note)
    return seen


def run(folder: Path, server: FakeEndpoint, *overrides: str, until: Stage = Stage.DISPREFER) -> RunResult:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder, url=server.url))
    return run_recipe(load_recipe(folder / "recipe.yaml", overrides), lambda event: None, until=until)


def refusal(folder: Path, server: FakeEndpoint, *overrides: str, error: type[MmedpoError] = RecipeError) -> str:
    with pytest.raises(error) as caught:
        run(folder, server, *overrides)
    return str(caught.value)


def pairs_of(folder: Path) -> list[tuple[str, str]]:
    return [(item.pair.case.id, item.pair.rejected.answer) for item in read_pairs(folder / "run")]


def once(first: FakeReply, then: Acts) -> Acts:
    """FakeReply so at the first request, whatever it is."""
    left = [first]
    return lambda request, before: left.pop() if left else then(request, before)


def test_an_endpoint_that_serves_the_backbone_gives_the_answers_that_it_would_give(
    tmp_path: Path, phantom: TransformersBackbone, opened: list[PhantomBackbone]
) -> None:
    with serving_models(m=phantom) as server:
        run(tmp_path / "served", server, until=Stage.WEIGH)
        assert len(opened) == 1, "to be compared, and not for the samples"
        greedy = [body for body in server.bodies if body["temperature"] == 0]
        sampled = [body for body in server.bodies if body["temperature"] == 1]
        assert len(greedy) == 3
        assert len({body["seed"] for body in sampled}) == len(sampled) > 3
        run(tmp_path / "here", server, "backbone.answers=null", until=Stage.WEIGH)
        assert len(opened) == 2
    assert pairs_of(tmp_path / "served") == pairs_of(tmp_path / "here") != []


def test_a_run_that_goes_on_asks_and_compares_nothing_again(
    tmp_path: Path, phantom: TransformersBackbone, opened: list[PhantomBackbone]
) -> None:
    with serving_models(m=phantom) as server:
        run(tmp_path, server)
        asked = len(server.bodies)
        run(tmp_path, server)
        assert (len(server.bodies), len(opened)) == (asked, 1)
        run(tmp_path, server, "disprefer.0.samples=3")
        assert len(server.bodies) > asked
        assert len(opened) == 1, "that it is the same model is known"
        assert sum(body["temperature"] == 0 for body in server.bodies) == 3


def test_the_same_model_at_another_address_is_compared_again_and_asked_for_nothing_else_again(
    tmp_path: Path, phantom: TransformersBackbone
) -> None:
    with serving_models(m=phantom) as server:
        run(tmp_path, server)
    with serving_models(m=phantom) as other:
        run(tmp_path, other)
        assert not other.bodies
        run(tmp_path, other, "disprefer.0.samples=3")
        cases = len({str(body["messages"]) for body in server.bodies})
        assert len(other.bodies) == 3 + cases


def test_an_endpoint_that_serves_another_model_is_refused_with_both_answers_and_leaves_none_behind(
    tmp_path: Path, phantom: TransformersBackbone
) -> None:
    with serving_models(m=TinyBackbone(["Perhaps\tso", "Perhaps  so"])) as server:
        told = refusal(tmp_path, server)
        assert len(server.bodies) == 3
    assert f"backbone.answers: 'm' at {server.url} is not this backbone: 3 of 3 greedy answers differ" in told
    assert "    the endpoint:      Perhaps so" in told
    assert told.count("the backbone here: ") == 3
    assert "chat template" in told
    with serving_models(m=phantom) as mended:
        run(tmp_path, mended)
        assert sum(body["temperature"] == 0 for body in mended.bodies) == 3, "a refusal is not remembered"


def test_an_endpoint_that_nobody_compares_is_taken_as_it_is_and_the_report_says_so(
    tmp_path: Path, opened: list[PhantomBackbone]
) -> None:
    with serving_models(m=TinyBackbone()) as server:
        done = run(tmp_path, server, "backbone.answers.compare=false", until=Stage.EVALUATE)
    assert not opened, "nothing needs the model"
    assert read_run(done.folder).run.recipe["backbone"]["answers"]["compare"] is False
    assert "nobody compared the two (compare: false)" in Path(done.report).read_text()


def test_an_answer_that_ends_at_its_limit_is_marked_as_cut(tmp_path: Path, phantom: TransformersBackbone) -> None:
    with serving_models(m=phantom) as server:
        done = run(tmp_path, server, "evaluate.max_new_tokens=1", until=Stage.EVALUATE)
    assert done.measures
    assert done.measures.cut["before"] == sum(row.cut[0] for row in read_run(done.folder).answers()) > 0


@pytest.mark.parametrize(
    "fault",
    [FakeReply(429, "slow down", headers=(("Retry-After", "0.01"),)), FakeReply(503, "busy"), FakeReply(drop="before")],
)
def test_a_fault_that_passes_is_asked_again(tmp_path: Path, phantom: TransformersBackbone, fault: FakeReply) -> None:
    with fake_endpoint(once(fault, answer_with({"m": phantom}))) as server:
        run(tmp_path, server, "backbone.answers.patience=60")
        assert server.answered_twice() == []


def test_a_model_that_is_not_served_is_named(tmp_path: Path, phantom: TransformersBackbone) -> None:
    with serving_models(other=phantom) as server:
        told = refusal(tmp_path, server)
    assert "The model `m` does not exist.; see base_url and model 'm'" in told


def test_a_model_that_sees_no_images_is_told_in_the_endpoints_words(tmp_path: Path) -> None:
    with fake_endpoint(lambda request, before: FakeReply(400, "m is not a multimodal model")) as server:
        told = refusal(tmp_path, server, error=DataError)
    assert "HTTP 400" in told
    assert "m is not a multimodal model; it must serve a model that sees images" in told


def test_a_server_that_is_not_there_is_told_and_nothing_is_opened(
    tmp_path: Path, opened: list[PhantomBackbone]
) -> None:
    with fake_endpoint(lambda request, before: FakeReply()) as server:
        pass
    assert "has answered nobody" in refusal(tmp_path, server, error=DataError)
    assert not opened


def test_restricted_data_do_not_leave_this_machine_by_way_of_answers(
    tmp_path: Path, opened: list[PhantomBackbone]
) -> None:
    with fake_endpoint(lambda request, before: FakeReply(), host="0.0.0.0") as server:
        address = f"http://{machine_address()}:{server.port}/v1"
        told = refusal(tmp_path, server, f"backbone.answers.base_url={address}", "data.restricted=true")
        assert "is restricted and would be sent to" in told
        assert server.connections == 0
    assert not opened


def strict_fields(models: Acts) -> Acts:
    """Refuse as `transformers serve` does what is no field of its own."""

    def act(request: dict[str, Any], before: int) -> FakeReply:
        if odd := {"top_k", "min_p", "repetition_penalty"} & request.keys():
            return FakeReply(422, f"Unexpected fields in the request: {odd}")
        return models(request, before)

    return act


def test_a_server_is_told_to_change_no_probability_in_the_way_that_it_knows(
    tmp_path: Path, phantom: TransformersBackbone
) -> None:
    with serving_models(m=phantom) as server:
        run(tmp_path / "one", server, until=Stage.WEIGH)
        assert all(body["repetition_penalty"] == 1.0 and body["top_p"] == 1.0 for body in server.bodies)
    with fake_endpoint(strict_fields(answer_with({"m": phantom}))) as server:
        run(tmp_path / "other", server, until=Stage.WEIGH)
        taken = [body for body in server.bodies if "top_k" not in body]
        assert {body["generation_config"].count('"do_sample": true') for body in taken} == {0, 1}
    assert pairs_of(tmp_path / "one") == pairs_of(tmp_path / "other")


def test_an_endpoint_that_takes_no_temperature_gives_no_answers(tmp_path: Path) -> None:
    def act(request: dict[str, Any], before: int) -> FakeReply:
        return (
            FakeReply(400, "temperature is not supported by m") if "temperature" in request else FakeReply(text="Yes")
        )

    with fake_endpoint(act) as server:
        assert "temperature is not supported by m" in refusal(tmp_path, server, error=DataError)
        assert all("temperature" in body for body in server.bodies)


def test_what_the_endpoint_answered_counts_within_the_budget(tmp_path: Path, phantom: TransformersBackbone) -> None:
    with serving_models(m=phantom) as server:
        assert "budget.calls is spent" in refusal(tmp_path, server, "budget={calls: 5}")
        assert len(server.bodies) == 5
        done = run(tmp_path, server)
    assert done.run.spent["m"].calls == len(server.bodies)


def test_a_dry_run_says_who_is_asked_uncounted_and_what_would_be_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(folder=tmp_path, url="http://10.0.0.7:8000/v1"))
    loaded = load_recipe(tmp_path / "recipe.yaml", ["data.restricted=true"])
    found = estimate_cost(loaded, tmp_path / "run")
    assert found.uncounted == ["m at 10.0.0.7, for the backbone"]
    assert found.refused == ["10.0.0.7"]
    allowed = load_recipe(tmp_path / "recipe.yaml", ["data.restricted=true", "allow_remote=[10.0.0.7]"])
    assert not estimate_cost(allowed, tmp_path / "run").refused


def test_what_trains_does_not_depend_on_who_answers_and_samples_do(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(folder=tmp_path, url="http://localhost:1/v1"))

    def keys(*overrides: str) -> tuple[str, str]:
        loaded = load_recipe(tmp_path / "recipe.yaml", overrides)
        backbone = loaded.recipe.backbone
        model = hash_part(backbone, loaded.plugins[type(backbone)])
        return model, digest(model, *served_facts(backbone))

    model, samples = keys()
    assert keys("backbone.answers.base_url=http://localhost:2/v1", "backbone.answers.timeout=9") == (model, samples)
    for change in ("backbone.answers=null", "backbone.answers.model=n", "backbone.answers.longest_side=64"):
        assert keys(change)[0] == model
        assert keys(change)[1] != samples


TRAIN = ("train={epochs: 1, batch_size: 8}",)


@pytest.mark.slow
def test_both_sides_of_an_evaluation_come_from_one_engine(
    tmp_path: Path, phantom: TransformersBackbone, capsys: pytest.CaptureFixture[str]
) -> None:
    def answers(done: RunResult) -> list[tuple[str, str | None]]:
        return [(row.before, row.after) for row in read_run(done.folder).answers()]

    with serving_models(m=phantom) as server:
        here = run(tmp_path, server, *TRAIN, until=Stage.EVALUATE)
        assert not any(body["max_tokens"] == 8 for body in server.bodies)
        assert "the answers before and after training are given here" in capsys.readouterr().err
        own, measured = answers(here), (here.folder / "measures.json").read_text()
        with pytest.raises(RecipeError, match="The model `aligned` does not exist"):
            run(tmp_path, server, *TRAIN, "backbone.answers.trained=aligned", until=Stage.EVALUATE)
        assert f"aligned those after; it must serve {here.folder / 'adapter'}" in capsys.readouterr().err
    with (
        PhantomBackbone(adapter=str(here.folder / "adapter")).open(Setting()) as aligned,
        serving_models(m=phantom, aligned=aligned) as server,
    ):
        there = run(tmp_path, server, *TRAIN, "backbone.answers.trained=aligned", until=Stage.EVALUATE)
        asked = [body["model"] for body in server.bodies if body["max_tokens"] == 8]
        assert asked.count("aligned") == len(own)
    assert answers(there) == own
    assert (there.folder / "measures.json").read_text() == measured


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["disprefer=[{use: opposite-answer}]", "evaluate=null"], "nobody would ask it"),
        (["disprefer=[{use: opposite-answer}]", *TRAIN], "nobody would ask it"),
        (["backbone.answers.trained=x"], "no trained model is asked"),
        (["backbone.answers.base_url=localhost:8000"], "an address is http"),
        (["backbone.answers.modle=x"], "did you mean 'model'"),
        (["budget={money: 1, prices: {}}"], "needs a price for 'm'"),
    ],
)
def test_a_recipe_says_what_is_wrong_with_its_answers(tmp_path: Path, overrides: list[str], told: str) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(folder=tmp_path, url="http://localhost:1/v1"))
    with pytest.raises(RecipeError, match=told):
        load_recipe(tmp_path / "recipe.yaml", overrides)


def test_short_cases_of_different_images_and_kinds_are_compared() -> None:
    cases = tiny_cases(8)
    report = replace(cases[0], id="report", kind="report", answer="No finding. " * 20)
    same = [replace(cases[2], id=f"again-{number}") for number in range(5)]
    chosen = choose_compared([*same, report, *cases])
    assert len({case.image for case in chosen}) == 3
    assert {case.kind for case in chosen} >= {"closed", "open"}
    assert choose_compared([*cases, report, *same]) == chosen, "whatever their order"
