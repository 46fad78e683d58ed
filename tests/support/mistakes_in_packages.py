"""Mistakes in what a package announces, in how it is imported, and in its hook: the same in every kind of part."""

from __future__ import annotations

from author_mistakes import RATES, AuthorMistake, scorer

PACKAGE = [
    AuthorMistake(
        "scorer",
        "an entry point that leads to nothing",
        "its entry point length = 'lost_part' of mmedpo.scorers leads to nothing; "
        "name the module with the hook, and install the package again",
        point="lost_part",
    ),
    AuthorMistake(
        "scorer",
        "an entry point that leads to the class",
        "its entry point leads to the class 'Length', not to the module with the hook; write length = 'MODULE'",
        point="MODULE:Length",
    ),
    AuthorMistake(
        "scorer",
        "an entry point to a name that the module lacks",
        "its entry point length = 'MODULE:Lenght' of mmedpo.scorers leads to nothing",
        point="MODULE:Lenght",
    ),
    AuthorMistake(
        "scorer",
        "a requirement that this mmedpo does not meet",
        "needs mmedpo>=99, and this is mmedpo VERSION; install a version of their-package that goes with it",
        requires="mmedpo>=99",
    ),
]
IMPORT = [
    scorer(
        "a syntax error", "cannot be imported: SyntaxError: expected ':'", ("score(self, pairs):", "score(self, pairs)")
    ),
    scorer(
        "a package that is not installed",
        "cannot be imported: ModuleNotFoundError: No module named 'forceps'",
        ("from mmedpo", "import forceps\nfrom mmedpo"),
    ),
    scorer(
        "modules that import each other",
        "cannot be imported: ImportError: cannot import name 'Length' from partially initialized module 'MODULE'",
        ("from mmedpo", "from MODULE import Length\nfrom mmedpo"),
    ),
    scorer(
        "a call of sys.exit while it is imported",
        "cannot be imported: it called sys.exit(1)",
        ("from mmedpo", "import sys\n\nsys.exit(1)\nfrom mmedpo"),
    ),
]
HOOK = [
    scorer(
        "a hook misspelt",
        "there is no hook 'mmedpo_scorer', did you mean 'mmedpo_scorers'?",
        ("mmedpo_scorers", "mmedpo_scorer"),
    ),
    scorer(
        "a hook without @hookimpl",
        "mmedpo_scorers is not marked as a hook; put @hookimpl above it",
        ("@hookimpl\n", ""),
    ),
    scorer(
        "no hook",
        "implements no hook mmedpo_scorers; add @hookimpl def mmedpo_scorers() that returns its classes",
        ("@hookimpl\ndef mmedpo_scorers", "def classes"),
    ),
    scorer(
        "a hook with an argument",
        "mmedpo_scorers takes config; a hook takes no argument",
        ("mmedpo_scorers()", "mmedpo_scorers(config)"),
    ),
    scorer(
        "a hook that raises",
        "mmedpo_scorers failed: NameError: name 'Lengths' is not defined",
        ("[Length]", "[Lengths]"),
    ),
    scorer(
        "a class in place of a list",
        "mmedpo_scorers returned the class Length, not a list of classes: return [...]",
        ("[Length]", "Length"),
    ),
    scorer(
        "a hook that yields",
        "mmedpo_scorers returned generator, not a list of classes: return [...]",
        ("return [Length]", "yield Length"),
    ),
    scorer(
        "a hook without `return`",
        "mmedpo_scorers returned NoneType, not a list of classes: return [...]",
        ("return [Length]", "[Length]"),
    ),
    scorer(
        "an empty list",
        "offers no class with use = 'length', the entry point's name; its hook returned an empty list",
        ("[Length]", "[]"),
    ),
    scorer(
        "an instance",
        "mmedpo_scorers returned an instance of Length; list the class itself",
        ("[Length]", "[Length()]"),
    ),
    scorer(
        "a class that is built on nothing",
        "mmedpo_scorers returned Length, not a subclass of Scorer: write class Length(Scorer)",
        ("class Length(Scorer)", "class Length"),
    ),
    scorer(
        "a class of another kind",
        "mmedpo_scorers returned Length, not a subclass of Scorer: "
        "it is a weighting, which mmedpo_weightings returns and mmedpo.weightings announces",
        ("import Score,", "import Weighting, Score,"),
        ("class Length(Scorer)", "class Length(Weighting)"),
        (RATES, ""),
    ),
    scorer(
        "several classes of one name",
        "offers several classes with use = 'length': Length",
        ("[Length]", '[Length, type("Other", (Length,), {})]'),
    ),
    scorer("no `use`", "offers no class with use = 'length', and Length says no `use`", ('    use = "length"\n', "")),
    scorer(
        "another `use` than the entry point's",
        "offers no class with use = 'length', the entry point's name; it offers 'lenght': the two must be the same",
        ('use = "length"', 'use = "lenght"'),
    ),
    scorer(
        "a `use` with a type",
        "offers no class with use = 'length', and `use` is an option of Length; write it without a type",
        ('use = "length"', 'use: str = "length"'),
    ),
]
