"""What can go wrong through no fault of our own. Anything else that is raised is a bug and keeps its traceback.

MmedpoError
  RecipeError     the recipe, or how the command was called   exit code 2
  PluginError     a plugin cannot be found, imported, trusted  exit code 3
  DataError       data, model files, or what they contain      exit code 4
  PendingBatch    a batch is not done; come back for it         exit code 75
  RunInterrupt    told to stop; run the same command to go on  exit code 130
"""

from __future__ import annotations


class MmedpoError(Exception):
    """An error that its message explains: what, where, what to do next."""

    exit_code = 1


class RecipeError(MmedpoError):
    """A recipe or a command line cannot be carried out as written."""

    exit_code = 2


class PluginError(MmedpoError):
    """A plugin is missing, broken or breaks its contract."""

    exit_code = 3


class DataError(MmedpoError):
    """Data or model files are missing, broken or do not fit each other."""

    exit_code = 4


class PendingBatch(MmedpoError):
    """Requests wait in a batch; the same command collects their answers later."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: not wrong, try again

    def __init__(self, *told: str) -> None:
        """Take what is waited for, a line each; what to do about it comes last."""
        super().__init__("\n".join([*told, "run the same command again to collect the answers and go on"]))
        self.told = told


class RunInterrupt(MmedpoError):
    """The run was told to stop; what it finished is kept."""

    exit_code = 130


def first_line(error: BaseException) -> str:
    """Return the first line of an error that says something and is no heading, at most 300 characters of it."""
    lines = [stripped for line in str(error).splitlines() if (stripped := line.strip())] or [type(error).__name__]
    return next((line for line in lines if not line.endswith(":")), lines[0])[:300]
