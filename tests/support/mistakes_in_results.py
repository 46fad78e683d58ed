"""Mistakes in what the verb of a kind takes, does and returns, made in the part that the kind's page shows."""

from __future__ import annotations

from collections.abc import Mapping

from author_mistakes import AuthorMistake, Change, Teller, before

Row = tuple[str, str, *tuple[Change, ...]]
CASE = 'Case(row.text("id"), film, question, answer, kind, restricted=self.restricted)'
FILM = 'ImageRef.at(self.table.parent / row.text("image"), row.place)'
ANSWER = "return [self.says for _ in cases]"
LOCALIZE = "return [[self._region(case.image)] for case in cases]"
REGION = 'Region("", (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), 0.5)'
PAIR = 'yield Pair(case, case.side(case.answer), case.side(wrong), "text")'
DROP = 'yield Drop(case.id, "its answer is neither yes nor no")'
SCORES = "return [self._score(pair) for pair in pairs]"
SCORE = 'Score(min(1.0, apart / self.scale), {"characters": apart})'
WEIGHTS = "return [0.1 + score.relevance**self.power for score in scores]"
LOSS = "return (self.target - batch.beta * batch.margin).clamp(min=0) ** 2"
ROW = '{"words": len(answer.split())}'
MEASURES = '{"mean": sum(words) / len(words), "longest": max(words)}'

TOLD: Mapping[Teller, Mapping[str, list[Row]]] = {
    "plugins check": {
        "reader": [
            ("no `read`", "class Films lacks read()", ("def read(", "def cases(")),
            (
                "another word for what it yields",
                "says 'case' for `yields`: Input should be 'cases' or 'pairs'",
                ('use = "films"', 'use = "films"\n    yields = "case"'),
            ),
        ],
        "backbone": [("no `open`", "class Usual lacks open(setting)", ("def open(", "def load("))],
        "localizer": [
            (
                "`localize` without the backbone",
                "`localize` takes (self, cases), and a run calls localize(cases, backbone)",
                ("cases, backbone)", "cases)"),
            ),
        ],
        "dispreference": [
            ("no `makes`", "does not say `makes`; Denial needs it", ('    makes = "text"\n', "")),
            (
                "`disprefer` of one case",
                "`disprefer` takes (self, case), and a run calls disprefer(cases, backbone, earlier)",
                ("cases, backbone, earlier)", "case)"),
            ),
            (
                "`disprefer` without the earlier pairs",
                "`disprefer` takes (self, cases, backbone), and a run calls disprefer(cases, backbone, earlier)",
                ("backbone, earlier)", "backbone)"),
            ),
        ],
        "weighting": [
            ("no `weigh`", "class Power lacks weigh(scores)", ("def weigh(", "def weight(")),
            (
                "`weigh` of one score",
                "`weigh` takes (self), and a run calls weigh(scores)",
                ("(self, scores)", "(self)"),
            ),
        ],
        "loss": [
            (
                "`compute` of two sides",
                "`compute` takes (self, chosen, rejected), and a run calls compute(batch)",
                ("(self, batch)", "(self, chosen, rejected)"),
            ),
        ],
        "metric": [
            (
                "a direction in words",
                "says {'longest': 'down'} for `better`: Input should be a valid integer",
                ('{"longest": -1}', '{"longest": "down"}'),
            ),
        ],
        "observer": [
            ("an async `see`", "`see` is async, and a run calls see(event)", ("def see(", "async def see(")),
            ("`see` of nothing", "`see` takes (self), and a run calls see(event)", ("(self, event)", "(self)")),
        ],
    },
    "check": {
        "localizer": [
            (
                "a text for the file that it learns",
                "says 'weights.pt' for `learnt`: Input should be an instance of Path",
                before("localize", '    @property\n    def learnt(self):\n        return "weights.pt"'),
            ),
        ],
        "dispreference": [
            (
                "`needs_region` that returns nothing",
                "needs_region() returned None: Input should be a valid boolean",
                before("disprefer", "    def needs_region(self):\n        pass"),
            ),
            (
                "another word for what it follows",
                "follows() returned 'texts': Input should be 'text' or 'image'",
                before("disprefer", '    def follows(self):\n        return "texts"'),
            ),
        ],
    },
    "run": {
        "reader": [
            (
                "`read` that returns nothing",
                "read returned NoneType, not records; yield them",
                ("def read(self):", "def read(self):\n        pass\n\n    def _read(self):"),
            ),
            ("a row in place of a case", "read yielded dict, not Case, Pair, Drop or Remark", (CASE, '{"id": 1}')),
            (
                "None for an answer",
                "answer of case 'a' is None, not a text",
                ("question, answer, kind", "question, None, kind"),
            ),
            (
                "another kind of question",
                "kind of case 'a' is str 'binary', not one of closed, open, report",
                ('"closed" if', '"binary" if'),
            ),
            ("a path for an image", "image of case 'a' is str '0.png', not an ImageRef", (FILM, 'row.text("image")')),
            (
                "boxes for regions",
                "read gave a list with tuple (0, 0, 1, 1) for case 'a', not a list of Region",
                ("restricted=self", "regions=[(0, 0, 1, 1)], restricted=self"),
            ),
            (
                "pairs that it does not announce, or the reverse",
                "read yielded a Case, and the class says yields = 'pairs'; let it say what is so",
                ('use = "films"', 'use = "films"\n    yields = "pairs"'),
            ),
        ],
        "backbone": [
            (
                "an open object that is no LiveBackbone",
                "open() of Usual yields OpenUsual, which is not built on LiveBackbone: "
                "write class OpenUsual(LiveBackbone)",
                ("class OpenUsual(LiveBackbone)", "class OpenUsual"),
            ),
            (
                "an open object that lacks a verb",
                "failed: TypeError: Can't instantiate abstract class OpenUsual with",
                ("def encode(", "def encoded("),
            ),
            (
                "`answer` without seeds",
                "`answer` takes (self, cases), "
                "and a run calls answer(cases, max_new_tokens=..., temperature=..., seeds=...)",
                ("cases, *, max_new_tokens=64, temperature=0.0, seeds=None", "cases"),
            ),
            (
                "an answer too few",
                "answer returned 23 results for 24 items",
                (ANSWER, "return [self.says for _ in cases[1:]]"),
            ),
            (
                "None for an answer",
                "answer to case 'phantom-train-00000-q0' is None, not a text",
                (ANSWER, "return [None for _ in cases]"),
            ),
            (
                "an error in `answer`, whoever asks",
                "failed: RuntimeError: 575 image tokens, and 576 image features",
                (ANSWER, 'raise RuntimeError("575 image tokens, and 576 image features")'),
            ),
        ],
        "localizer": [
            (
                "nothing for an image too many",
                "localize returned 1 results for 2 items",
                (LOCALIZE, LOCALIZE.replace("cases]", "cases[1:]]")),
            ),
            (
                "None where nothing is found",
                "localize gave None for case 'phantom-train-00000-q5', not a list of Region",
                (LOCALIZE, "return [None for case in cases]"),
            ),
            (
                "boxes for regions",
                "localize gave a list with tuple (0, 0, 4, 4) for case 'phantom-train-00000-q5', not a list of Region",
                (REGION, "(0, 0, 4, 4)"),
            ),
            (
                "a box of width and height",
                "case 'phantom-train-00000-q5' has a region with the empty box (50, 50, 10, 10)",
                (REGION, 'Region("", (50, 50, 10, 10), 0.5)'),
            ),
            (
                "a confidence in percent",
                "case 'phantom-train-00000-q5' has a region with confidence 50.0, outside [0, 1]",
                ("0.5)", "50)"),
            ),
            (
                "the backbone asked, and not asked for",
                "failed: AttributeError: 'NoneType' object has no attribute 'answer'; "
                "to be given the backbone, say needs_backbone = True",
                (LOCALIZE, f"backbone.answer(cases)\n        {LOCALIZE}"),
            ),
        ],
        "dispreference": [
            ("a text in place of a pair", "disprefer yielded str, not Pair or Drop", (PAIR, "yield wrong")),
            (
                "a case forgotten",
                "disprefer yielded neither a pair nor a Drop with its reason for 4 of 12 cases, "
                "the first is 'phantom-train-00000-q4'",
                (DROP, "continue"),
            ),
            (
                "more pairs than it says",
                "disprefer yielded 2 pairs of case 'phantom-train-00000-q0'; it says pairs_a_case = 1",
                (PAIR, f"{PAIR}\n                {PAIR}"),
            ),
            (
                "a pair of another kind",
                "pair of case 'phantom-train-00000-q0' is of kind 'image'; the part makes 'text'",
                (PAIR, PAIR.replace('"text"', '"image"')),
            ),
            (
                "answers in place of sides",
                "chosen side of a pair of case 'phantom-train-00000-q0' is str 'Yes', not a Side",
                (PAIR, 'yield Pair(case, case.answer, wrong, "text")'),
            ),
            (
                "an empty answer",
                "pair 'phantom-train-00000-q0/denial/0' has an empty rejected answer",
                (PAIR, PAIR.replace("side(wrong)", 'side("")')),
            ),
            (
                "a changed case",
                "pair of case 'phantom-train-00000-q0' has another case than it was given; pass it on as it is",
                ("from mmedpo", "from dataclasses import replace\n\nfrom mmedpo"),
                (PAIR, PAIR.replace("Pair(case,", 'Pair(replace(case, question="?"),')),
            ),
            (
                "samples without seeds",
                "failed: ValueError: sampling needs one seed per case",
                ('makes = "text"', 'makes = "text"\n    needs_backbone = True'),
                ("        for case", "        backbone.answer(cases, temperature=1.0)\n        for case"),
            ),
        ],
        "scorer": [
            ("a score too few", "score returned 7 results for 8 items", (SCORES, f"{SCORES}[1:]")),
            (
                "numbers in place of scores",
                "score gave float, not Score, for pair 'phantom-train-00000-q0/opposite-answer/0'",
                (SCORES, "return [0.5 for pair in pairs]"),
            ),
            (
                "a relevance above 1",
                "relevance of pair 'phantom-train-00000-q0/opposite-answer/0' is 2.0, outside [0, 1]",
                ("min(1.0, apart / self.scale)", "2.0"),
            ),
            (
                "a relevance that is no number",
                "relevance of pair 'phantom-train-00000-q0/opposite-answer/0' is nan, outside [0, 1]",
                ("min(1.0, apart / self.scale)", 'float("nan")'),
            ),
            (
                "evidence that JSON does not hold",
                "evidence of pair 'phantom-train-00000-q0/opposite-answer/0' is set {1}, which JSON does not hold",
                ('{"characters": apart}', '{"characters": {1}}'),
            ),
            (
                "a summary that is none",
                "summary is list [], not a mapping",
                before("score", "    def summary(self, pairs, scores):\n        return []"),
            ),
        ],
        "weighting": [
            (
                "a text for a weight",
                "weight of score 0 is str 'high', not a number",
                (WEIGHTS, 'return ["high" for _ in scores]'),
            ),
            ("a weight too few", "weigh returned 7 results for 8 items", (WEIGHTS, f"{WEIGHTS}[1:]")),
            (
                "an array",
                "weigh returned ndarray, not a list",
                ("from mmedpo", "import numpy as np\n\nfrom mmedpo"),
                (WEIGHTS, "return np.ones(len(scores))"),
            ),
            ("NaN", "weight of score 0 is nan", (WEIGHTS, 'return [float("nan") for _ in scores]')),
            (
                "a weight below 0",
                "weight of score 0 is -1.0; a weight is finite and at least 0",
                (WEIGHTS, "return [-1.0 for _ in scores]"),
            ),
            (
                "0 for all",
                "gives all 8 pairs the weight 0, so that nothing could be learned from any",
                (WEIGHTS, "return [0.0 for _ in scores]"),
            ),
        ],
        "loss": [
            (
                "the mean of a batch",
                "compute returned Tensor of shape (), not a tensor with a value for each of 4 pairs",
                (LOSS, f"{LOSS.replace('return (', 'return ((')}).mean()"),
            ),
            (
                "values without a gradient",
                "compute returned values without a gradient, so nothing would be learned from it",
                (LOSS, "return batch.margin.detach()"),
            ),
            (
                "an error in `compute`",
                "compute failed: AttributeError: 'LossBatch' object has no attribute 'margins'",
                (LOSS, "return batch.margins"),
            ),
            (
                "a value that is not finite",
                "may divide by 0 or take its logarithm",
                (LOSS, "return batch.margin / 0"),
            ),
            (
                "further sides too few",
                "named the sides of 0 pairs; there are 8",
                before("compute", "    def further_sides(self, pairs, seed):\n        return []"),
            ),
            (
                "ratings announced and not given",
                "rate_tokens failed: NotImplementedError: SquaredGap says rates_tokens, and has no rate_tokens",
                ('"squared-gap"', '"squared-gap"\n    rates_tokens = True'),
            ),
        ],
        "metric": [
            (
                "a number in place of statistics",
                "statistics of case 'phantom-test-00000-q0' is float 1.0, not a mapping of names to numbers",
                (ROW, "1.0"),
            ),
            (
                "statistics too few",
                "measure returned 1 results for 10 items",
                (f"return [{ROW} for answer in answers]", 'return [{"words": 1}]'),
            ),
            (
                "a number in place of measures",
                "what combine returned is float 1.0, not a mapping of names to numbers",
                (f"return {MEASURES} if words else {{}}", "return 1.0"),
            ),
            (
                "a measure that is not defined",
                "what combine returned: 'mean' is nan; leave out what is not defined",
                (MEASURES, '{"mean": float("nan")}'),
            ),
            (
                "`additive` of a measure that is not",
                "says it is additive, but `combine` of summed statistics gives other measures",
                ('use = "words"', 'use = "words"\n    additive = True'),
            ),
            (
                "a text for cautions",
                "cautions returned str 'careful', not a list of texts",
                before("measure", '    def cautions(self, before, after):\n        return "careful"'),
            ),
        ],
        "observer": [
            (
                "an `open` that yields nothing",
                "open() of Diary yields NoneType, which has no see(event)",
                ("from pathlib", "from contextlib import contextmanager\nfrom pathlib"),
                before("see", "    @contextmanager\n    def open(self, setting):\n        yield"),
            ),
            (
                "an error in `open`",
                "failed: AttributeError: 'Diary' object has no attribute 'folder'",
                before("see", "    def open(self, setting):\n        return self.folder"),
            ),
        ],
    },
}
CODES = {"a value that is not finite": 4}  # for it may be the learning rate
RESULTS = [
    AuthorMistake(kind, what, says, tuple(changes), told, CODES.get(what, 3))
    for told, kinds in TOLD.items()
    for kind, rows in kinds.items()
    for what, says, *changes in rows
]
