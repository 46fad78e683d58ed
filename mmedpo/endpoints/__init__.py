"""For parts that ask a model over HTTP: options, one client for every OpenAI-compatible endpoint, prompts, bounds.

Every name in `__all__` is public; the modules below are private.
"""

from lazy_loader import attach_stub

# Resolved on first use by the stub beside it, so that `mmedpo --help` pays for none of them.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
