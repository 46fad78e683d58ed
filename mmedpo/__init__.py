"""Clinically weighted preference alignment for medical vision-language models.

The words of the design and the contracts of parts: what every plugin stands on. Beside it `mmedpo.data` is for readers
of data sets, `mmedpo.endpoints` for parts that ask a model over HTTP, `mmedpo.models` for backbones, `mmedpo.events`
for observers, `mmedpo.testing` for plugin writers. Everything else is private and changes without notice.
"""

import logging

from lazy_loader import attach_stub

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # whoever uses the library says what becomes of records

# Resolved on first use by the stub beside it, so that `mmedpo --help` pays for none of them.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
