"""A prompt of somebody's is filled in, or is one clear mistake with its file and line; none goes on for ever."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import Mmedpo
from mmedpo_plugins.scorers.med_llm_vote.voter_turn import PROMPTS
from paid_recipe import answer, write

from mmedpo import RecipeError
from mmedpo.endpoints import PromptTemplates
from mmedpo.testing import FakeReply, fake_endpoint


def rendered(folder: Path, text: str, **values: object) -> str:
    (folder / "user.txt").write_text(text)
    return PromptTemplates(PROMPTS, str(folder)).render("user", **{"question": "What is this?", **values})


BROKEN = {
    "a division by zero": ("a\n{{ 1 / 0 }}", ":2: ZeroDivisionError: division by zero"),
    "an unknown name": ("\n\n{{ nobody }}", ":3: 'nobody' is undefined; a prompt may name: question"),
    "a wrong type": ("{{ question + 1 }}", ":1: TypeError"),
    "a way into the machine": ("{{ question.__class__.__mro__ }}", ":1: the template access to attribute"),
    "no template": ("a\n{% for x in y %}", ":2: is no prompt template"),
    "another file": ("{% include 'x' %}", ":1: TypeError"),
    "calls itself": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", ":1: RecursionError"),
}
ENDLESS = {
    "loops": "{% for x in range(99999) %}{% for y in range(99999) %}{% endfor %}{% endfor %}",
    "calls": "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "powers": "{{ 10 ** 10 ** 10 }}",
    "a text": "{{ 'x' * 10 ** 9 }}",
    "a large number": "{{ question | center(99999999999) }}",
    "doubling": "{% set n = namespace(x='ab') %}{% for i in range(9999) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "joining": "{% set n = namespace(x='ab') %}{% for i in range(9999) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "filters": "{{ range(99999) | map('center', 999999) | join | length }}",
    "output": "{% for i in range(99999) %}{{ question | center(999999) }}{% endfor %}",
    "a format": "{{ '%900000000d' % 1 }}",
    "a format by filter": "{{ '%900000000d' | format(1) }}",
    "a format by method": "{{ '{:900000000}'.format(1) }}",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_prompt_that_fails_is_a_mistake_with_file_and_line(name: str, tmp_path: Path) -> None:
    text, said = BROKEN[name]
    with pytest.raises(RecipeError) as caught:
        rendered(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/user.txt{said}")


def test_a_folder_without_any_of_the_prompts_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "usr.txt").write_text("Falsify {{ truth }}")
    with pytest.raises(RecipeError, match=r"prompts: .*: has no system\.txt and no user\.txt"):
        PromptTemplates(PROMPTS, tmp_path)


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_a_prompt_without_end_is_a_mistake_and_no_hang(text: str, tmp_path: Path) -> None:
    began = time.process_time()
    with pytest.raises(RecipeError, match=r"user\.txt"):
        rendered(tmp_path, text)
    assert time.process_time() - began < 5


FINE = {
    "{% for x in [1, 2] %}{{ loop.index }}/{{ loop.length }} {% endfor %}": "1/2 2/2",
    "{{ question | upper | replace('?', '!') }}": "WHAT IS THIS!",
    "{{ '%d of %d' % (1, 2) }} {{ 7 // 2 }} {{ 2 ** 10 }}": "1 of 2 3 1024",
    "{% if missing is defined %}a{% else %}{{ missing | default('b') }}{% endif %}": "b",
    "{% set a = 'x' ~ question %}{{ a }}": "xWhat is this?",
    "{{ long | length }}": "500000",
}


@pytest.mark.parametrize("text", FINE)
def test_an_ordinary_prompt_is_filled_in(text: str, tmp_path: Path) -> None:
    assert rendered(tmp_path, text, long="x" * 500_000) == FINE[text]


@pytest.mark.parametrize("text", ["{{ 1 / 0 }}", ENDLESS["loops"]])
@pytest.mark.parametrize("how", [["--until", "weigh"], ["--dry-run"]])
def test_a_run_with_such_a_prompt_ends_in_one_line(text: str, how: list[str], mmedpo: Mmedpo, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "user.txt").write_text(text)
    with fake_endpoint(lambda request, before: FakeReply(text=answer(request))) as server:
        recipe = write(tmp_path, server)
        recipe.write_text(recipe.read_text().replace("{kind: openai,", "{kind: openai, prompts: mine,"))
        done = mmedpo("run", recipe, *how)
    assert done.returncode == 2, done.stderr
    assert "mine/user.txt:1: " in done.stderr
    assert "Traceback" not in done.stderr
