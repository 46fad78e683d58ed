"""Mistakes in a part's class, in its options and in how it is opened: the same in every kind."""

from __future__ import annotations

from author_mistakes import RATES, AuthorMistake, before, scorer

SCALE = "    scale: float = 10.0\n"
VERB = "    def score(self, pairs):\n        return [self._score(pair) for pair in pairs]\n"
CONTEXT = ("from mmedpo", "from contextlib import contextmanager\n\nfrom mmedpo")
VALIDATOR = ("from mmedpo", "from pydantic import field_validator\n\nfrom mmedpo")


CLASS = [
    scorer("a class variable that its kind needs is missing", "does not say `rates`; Length needs it", (RATES, "")),
    scorer(
        "a class variable with a type",
        "`rates` is an option there; write it without a type",
        ("rates =", "rates: frozenset ="),
    ),
    scorer(
        "a class variable of another type",
        "says {'text'} for `rates`: Input should be a valid frozenset",
        ('frozenset({"text"})', '{"text"}'),
    ),
    scorer(
        "a word that its kind does not know",
        "says frozenset({'texts'}) for `rates`: Input should be 'text' or 'image'",
        ('"text"', '"texts"'),
    ),
    scorer(
        "a number out of range",
        "says 0 for `slice_size`: Input should be greater than 0",
        (RATES, f"{RATES}    slice_size = 0\n"),
    ),
    scorer(
        "a verb under another name",
        "Length has no score(pairs) (it has 'rate', which takes the same), and no open() that yields an object with it",
        ("def score(", "def rate("),
    ),
    scorer(
        "a verb that takes something else",
        "`score` takes (self, pair, other), and a run calls score(pairs)",
        ("score(self, pairs)", "score(self, pair, other)"),
    ),
    scorer(
        "a verb that takes nothing",
        "`score` takes (self), and a run calls score(pairs)",
        ("score(self, pairs)", "score(self)"),
    ),
    scorer(
        "an async verb",
        "`score` is async, and a run calls score(pairs) and waits for no coroutine; use asyncio.run in it",
        ("def score(", "async def score("),
    ),
    scorer(
        "a verb that yields where a list is meant",
        "`score` yields, and gives no list; return a list",
        (VERB, "    def score(self, pairs):\n        yield from map(self._score, pairs)\n"),
    ),
    scorer(
        "a verb that is a property",
        "`score` is a property, and a run calls score(pairs); write a method",
        (VERB, "    @property\n    def score(self):\n        return []\n"),
    ),
    scorer(
        "an option with the name of a verb",
        "`score` is an option, and a run calls score(pairs); name the option otherwise",
        (SCALE, "    score: float = 1.0\n"),
        (VERB, ""),
    ),
    scorer(
        "an `open` that takes nothing",
        "`open` takes (self), and a run calls open(setting)",
        CONTEXT,
        before("score", "    @contextmanager\n    def open(self):\n        yield self"),
    ),
    scorer(
        "an `open` that yields, without @contextmanager",
        "`open` yields, and gives no AbstractContextManager; put @contextmanager above it",
        before("score", "    def open(self, setting):\n        yield self"),
    ),
    scorer(
        "a class variable misspelt",
        "cannot be imported: `slicesize` has no type; did you mean the class variable `slice_size`?",
        (RATES, f"{RATES}    slicesize = 8\n"),
    ),
    scorer(
        "a method misspelt that no run needs",
        "no run calls its `summery`; did you mean `summary`?",
        before("score", "    def summery(self, pairs, scores):\n        return {}"),
    ),
    scorer(
        "an option without a type",
        "cannot be imported: `scale` has no type; an option needs one, as in `share: float = 0.5`",
        (SCALE, "    scale = 10.0\n"),
    ),
    scorer(
        "an option of a type that pydantic does not know",
        "cannot be imported: PydanticSchemaGenerationError: Unable to generate pydantic-core schema for",
        (SCALE, "    scale: slice = slice(3)\n"),
    ),
    scorer(
        "a default that is not of its type",
        "the default 'ten' of `scale` is not of its own type: Input should be a valid number",
        ("float = 10.0", 'float = "ten"'),
    ),
    scorer(
        "None for an option that may not be None",
        "the default None of `scale` is not of its own type: Input should be a valid number",
        ("float = 10.0", "float = None"),
    ),
    scorer(
        "a function as the value of an option",
        "has an option that no recipe can hold: PydanticSerializationError: Unable to serialize unknown type",
        (SCALE, f"{SCALE}    measure: object = lambda text: 1\n"),
        told="check",
    ),
]
INSTANCE = [
    scorer(
        "a property that raises",
        "`rates` failed: AttributeError: 'Length' object has no attribute 'kinds'",
        (RATES, "    @property\n    def rates(self):\n        return self.kinds\n"),
    ),
    scorer(
        "a property of another type",
        "says ['text'] for `rates`: Input should be a valid frozenset",
        (RATES, '    @property\n    def rates(self):\n        return ["text"]\n'),
    ),
    scorer(
        "an __init__ that takes no options",
        "failed over its options: TypeError: Length.__init__() got an unexpected keyword argument 'scale'",
        before("score", "    def __init__(self):\n        super().__init__()"),
    ),
    scorer(
        "an __init__ that sets what is no option",
        "failed over its options: it sets 'table' of itself, and a part is frozen; "
        "keep what it works with in what open() yields",
        before(
            "score", "    def __init__(self, **options):\n        super().__init__(**options)\n        self.table = {}"
        ),
    ),
    scorer(
        "an error in __init__",
        "failed over its options: ValueError: invalid literal for int() with base 10: 'ten'",
        before("score", "    def __init__(self, **options):\n        super().__init__(**options)\n        int('ten')"),
    ),
    scorer(
        "an error in model_post_init",
        "failed over its options: KeyError: 'table'",
        before("score", "    def model_post_init(self, context):\n        {}['table']"),
    ),
    scorer(
        "a model_post_init that changes an option",
        "failed over its options: it sets 'scale' of itself, and a part is frozen",
        before("score", "    def model_post_init(self, context):\n        self.scale = 2 * self.scale"),
    ),
    scorer(
        "sys.exit over an option",
        "failed over its options: it called sys.exit(1)",
        before("score", "    def model_post_init(self, context):\n        raise SystemExit(1)"),
    ),
    scorer(
        "an error in a validator",
        "failed over its options: TypeError: unsupported operand type(s) for +: 'float' and 'str'",
        VALIDATOR,
        before(
            "score",
            '    @field_validator("scale")\n    @classmethod\n    def _double(cls, scale):\n        return scale + "0"',
        ),
    ),
    scorer(
        "a validator that returns nothing",
        "its option `scale` became None: Input should be a valid number; a validator returns the value",
        VALIDATOR,
        before(
            "score",
            '    @field_validator("scale")\n    @classmethod\n    def _check(cls, scale):\n        assert scale > 0',
        ),
    ),
    scorer(
        "an error in lacking()",
        "lacking() failed: AttributeError: 'Length' object has no attribute 'table'",
        before("score", "    def lacking(self):\n        yield self.table"),
    ),
    scorer(
        "a text from lacking()",
        "lacking() returned 'pip install forceps', not texts; yield a line for each",
        before("score", '    def lacking(self):\n        return "pip install forceps"'),
    ),
]
INSTANCE = [AuthorMistake(one.kind, one.what, one.says, one.changes, "check") for one in INSTANCE]
OPEN = [
    scorer(
        "an error in `open`",
        "failed: AttributeError: 'Length' object has no attribute 'table'",
        before("score", "    def open(self, setting):\n        return self.table"),
        told="run",
    ),
    scorer(
        "an `open` that returns the object itself",
        "open returned Length, which `with` cannot enter; put @contextmanager above a function that yields",
        before("score", "    def open(self, setting):\n        return self"),
        told="run",
    ),
    scorer(
        "an `open` that yields nothing",
        "open() of Length yields NoneType, which has no score(pairs)",
        CONTEXT,
        before("score", "    @contextmanager\n    def open(self, setting):\n        yield"),
        told="run",
    ),
    scorer(
        "an `open` that never yields",
        "failed: RuntimeError: generator didn't yield",
        CONTEXT,
        before("score", "    @contextmanager\n    def open(self, setting):\n        yield from ()"),
        told="run",
    ),
    scorer(
        "an error when it is closed",
        "failed: AttributeError: 'Length' object has no attribute 'table'",
        CONTEXT,
        before(
            "score", "    @contextmanager\n    def open(self, setting):\n        yield self\n        self.table.close()"
        ),
        told="run",
    ),
    scorer(
        "a verb that raises",
        "failed: ZeroDivisionError: float division by zero",
        ("apart / self.scale", "apart / 0.0"),
        told="run",
    ),
    scorer(
        "a verb that calls sys.exit",
        "failed: it called sys.exit(0)",
        ("        apart =", "        raise SystemExit(0)\n        apart ="),
        told="run",
    ),
    scorer(
        "a verb that sets an option",
        "failed: ValidationError: it sets 'scale' of itself, and a part is frozen",
        ("        apart =", "        self.scale = 3.0\n        apart ="),
        told="run",
    ),
]
