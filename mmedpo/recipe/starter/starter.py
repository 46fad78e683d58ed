"""Write a recipe that runs on what lies here; or, without data, one on the phantom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmedpo.core.notes import printable
from mmedpo.data.case_split import CaseSplit
from mmedpo.errors import DataError, RecipeError
from mmedpo.recipe.document.yaml import parse_yaml
from mmedpo.recipe.loading import load_tree
from mmedpo.recipe.starter import recipe_lines
from mmedpo.recipe.starter.data_survey import DataSurvey, ReaderGuess, guess_reader, survey_data
from mmedpo.recipe.starter.pair_makers import TEXT_MAKERS, choose_text_makers
from mmedpo.registry.contracts.reader import Reader
from mmedpo.store.run_folder import write_text

SHARE = 0.3
SEEDS = 20  # that are tried, so that of few groups about the share is held out, and neither side is empty
NEAR = 0.1
PHANTOM = "data: {use: phantom, images: 50}", "films drawn with known findings, and questions about them"
PHANTOM_TEST = {"use": "phantom", "split": "test", "images": 50}


@dataclass(frozen=True)
class HeldOutSplit:
    """How some cases are held out, and how many that are."""

    options: Mapping[str, Any]
    groups: int
    cases: int


@dataclass(frozen=True)
class StarterRecipe:
    """A recipe that was written, and what it was written from."""

    recipe: Path
    guess: ReaderGuess | None  # None: of the phantom
    survey: DataSurvey
    split: HeldOutSplit | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it for a script."""
        guess = self.guess
        return {
            "recipe": str(self.recipe),
            "reader": guess.reader.use if guess else "phantom",
            "options": {
                name: str(v) if isinstance(v, Path) else v for name, v in (guess.guess.options if guess else {}).items()
            },
            "columns": [asdict(column) for column in (guess.guess.columns if guess else ())],
            "unread": list(guess.guess.unread if guess else ()),
            "cases": dict(self.survey.kinds),
            "pairs": dict(self.survey.pairs),
            "left_out": dict(self.survey.left_out),
            "split": self.split and asdict(self.split),
            "notes": list(self.notes),
        }


def write_starter(places: Sequence[Path], out: Path) -> StarterRecipe:
    """Write a recipe that runs on what lies at some places, and return what it was written from.

    Raises RecipeError when there is a file at `out`, DataError where nothing can be guessed or read.
    """
    if out.exists():
        raise RecipeError(f"{out}: is there already; name a new file with -o")
    made = _of_data(places, out) if places else _of_phantom(out)
    text = "\n".join([*made[1], ""])
    load_tree(parse_yaml(text, str(out)), str(out))
    write_text(out, text)
    return made[0]


def _of_phantom(out: Path) -> tuple[StarterRecipe, list[str]]:
    about = "A first recipe, on drawn films: offline, on a CPU, in minutes."
    survey = DataSurvey(with_regions=1)
    survey.kinds["closed"] = 1
    told = ["Of data of your own: mmedpo init --data FOLDER -o mine.yaml"]
    text_makers = {"opposite-answer": TEXT_MAKERS["opposite-answer"]}
    lines = [*recipe_lines.head(out, about, told), *recipe_lines.start(out), recipe_lines.line(*PHANTOM)]
    lines += [*recipe_lines.backbone(drawn=True), *recipe_lines.pairs(survey, text_makers), *recipe_lines.train()]
    lines += recipe_lines.evaluate(survey, PHANTOM_TEST, "")
    return StarterRecipe(out, None, survey, None, ()), lines


def _of_data(places: Sequence[Path], out: Path) -> tuple[StarterRecipe, list[str]]:
    guess, survey = _survey(guess_reader(places))
    if not survey.cases and not survey.pairs:
        why = ", ".join(f"{count:,} {reason}" for reason, count in survey.left_out.items())
        raise DataError(f"{guess.guess.table}: there is nothing to read{'; left out: ' + why if why else ''}")
    split = _choose_split(guess, survey)
    test = {"use": guess.reader.use, **guess.guess.options, **guess.guess.test} if guess.guess.test else None
    makers = choose_text_makers(survey)
    notes = tuple(_list_notes(guess, survey, split, makers))
    told = [printable(text) for text in ("", *_describe(guess, survey), *notes)]
    why = "" if split or test or "split" in guess.guess.options else _explain_no_test(survey)
    sections = [*recipe_lines.head(out, f"A first recipe for {places[0]}.", told), *recipe_lines.start(out)]
    sections += [
        *recipe_lines.data(guess, split.options if split else None, _tell_options(survey, split)),
        *recipe_lines.backbone(),
    ]
    sections += recipe_lines.pairs(survey, makers) if survey.cases else _of_pairs(survey)
    trained = [*recipe_lines.train(), *recipe_lines.evaluate(survey, test, why)]
    sections += recipe_lines.for_others(trained) if survey.several_images else trained
    return StarterRecipe(out, guess, survey, split, notes), sections


def _survey(guess: ReaderGuess) -> tuple[ReaderGuess, DataSurvey]:
    """Read the data once; where images are missing and some are not, leave their rows out. Raises DataError."""
    try:
        return guess, survey_data(guess.make())
    except DataError:
        if "missing" not in guess.reader.model_fields or "missing" in guess.guess.options:
            raise
        options = {**guess.guess.options, "missing": "skip"}
        skipping = replace(guess, guess=replace(guess.guess, options=options))
        survey = survey_data(skipping.make())
        if not survey.cases and not survey.pairs:
            raise
        return skipping, survey


def _of_pairs(survey: DataSurvey) -> Iterator[str]:
    """Yield who rates ready pairs; nobody has to make them."""
    if survey.unrated["text"]:
        yield recipe_lines.line("score: [{use: med-llm-vote}]", "rates the text pairs that have no relevance")
    if survey.unrated.total():
        yield recipe_lines.line("unrated: keep", "a pair that nobody rates weighs 1")


def _choose_split(guess: ReaderGuess, survey: DataSurvey) -> HeldOutSplit | None:
    """Return the split by which some cases are measured on, none empty; None where there is one, or none can be.

    Each group is drawn for itself, so of few many more than the share may be: then another seed is tried.
    """
    field = guess.reader.model_fields.get("split")
    own = guess.guess.test is not None or isinstance(guess.guess.options.get("split"), dict)
    if own or field is None or not survey.cases or len(survey.groups) < 2:
        return None
    if survey.several_images and survey.told_groups < survey.cases:
        return None  # of several images, which is on which side is nobody's to say
    split: dict[str, Any] = {"test": SHARE, "by": "group" if survey.told_groups else "image"}
    named = guess.guess.options.get("split")
    found: list[HeldOutSplit] = []
    for seed in range(SEEDS):
        tried = {**split, **({"seed": seed} if seed else {}), **({"of": named} if named else {})}
        try:
            reader = guess.make(split=tried)
        except DataError:
            return None  # a reader whose `split` is another thing
        if not isinstance(getattr(reader, "split", None), CaseSplit):
            return None
        held = _survey_held_out(reader)
        if held is not None and held.cases and survey_data(reader).cases:
            found.append(HeldOutSplit(tried, len(held.groups), held.cases))
            if _miss_share(found[-1], survey) <= NEAR:
                return found[-1]
    return min(found, key=lambda one: _miss_share(one, survey), default=None)


def _survey_held_out(reader: Reader) -> DataSurvey | None:
    held_out = reader.held_out()
    return None if held_out is None else survey_data(held_out)


def _miss_share(split: HeldOutSplit, survey: DataSurvey) -> float:
    return abs(split.groups / len(survey.groups) - SHARE)


def _explain_no_test(survey: DataSurvey) -> str:
    if survey.pairs:
        return "ready pairs have no cases to measure on; name some in `evaluate: {data: .., measure: ..}`"
    if survey.several_images and survey.told_groups < survey.cases:
        return "cases of several images are held out by patient, and some tell none; see columns.group"
    return f"with {len(survey.groups)} {'patient' if survey.told_groups else 'image'} none can be held out"


def _tell_options(survey: DataSurvey, split: HeldOutSplit | None) -> dict[str, str]:
    """Say what the options of a reader do."""
    of = "patients" if survey.told_groups else "images"
    return {
        "delimiter": "what stands between two cells",
        "images": "the folder of the images",
        "columns": "which column holds what; no other is read",
        "answers": "these answers are read so, which makes closed questions",
        "question": "asked of every image, for want of a column",
        "kind": "of every case",
        "missing": "rows without their image are left out, and counted",
        "ending": "of every image's name, which the table leaves out",
        "split": f"a share of the {of} is held out, and measured on" if split else "what each row is for",
    }


def _describe(guess: ReaderGuess, survey: DataSurvey) -> Iterator[str]:
    """Yield what was found; examples of values stay on the screen."""
    yield guess.guess.table
    for column in guess.guess.columns:
        yield f"  {column.role:9} from {column.column!r}: {column.rows:,} of {column.looked_at:,} rows"
    if guess.guess.unread:
        yield f"  not read: {', '.join(map(repr, guess.guess.unread))}"
    yield count_survey(survey)
    yield from (f"  {count:,} left out: {reason}" for reason, count in survey.left_out.items())


def count_survey(survey: DataSurvey) -> str:
    """Say in a line what there is."""
    if not survey.cases:
        return ", ".join(f"{count:,} {kind} pairs" for kind, count in sorted(survey.pairs.items()))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(survey.kinds.items()))
    of = "patients" if survey.told_groups == survey.cases else "images" if not survey.told_groups else "groups"
    return f"{survey.cases:,} cases ({kinds}) of {len(survey.groups):,} {of}"


def _list_notes(
    guess: ReaderGuess, survey: DataSurvey, split: HeldOutSplit | None, makers: Mapping[str, str]
) -> Iterator[str]:
    """Yield what may not be as it was meant."""
    if survey.cases and survey.told_groups < survey.cases and (split or "split" in guess.guess.options):
        count = survey.cases - survey.told_groups
        yield f"{count:,} cases tell no patient: films of one may be on both sides of the split; see columns.group"
    if guess.others:
        yield f"{', '.join(guess.others)} would read it as well; name it at `use:` in place of {guess.reader.use}"
    if survey.several_images:
        yield "cases have several images, and the stand-in is shown one: the recipe ends with the pairs"
    if survey.cases > survey.kinds["closed"] and "error-injection" not in makers:
        yield "the offline rules read English, and know no word of the open answers: text pairs of these want a model"
    if survey.cases and not survey.yes_no and not survey.kinds["report"]:
        yield "no answer is yes or no; `answers: {..}` at the reader says what stands for them"
