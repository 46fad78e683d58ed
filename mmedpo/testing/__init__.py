"""For plugin writers: tiny cases and pairs, a contract check, and packages that look installed.

    from mmedpo.testing import check_part, tiny_pairs

    def test_my_scorer_keeps_the_contract():
        check_part(MyScorer())

Every name in `__all__` is public; the modules below are private.
"""

from lazy_loader import attach_stub

# Resolved on first use by the stub beside it, as the names of the other public namespaces are.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
