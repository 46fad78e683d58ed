"""Dispreferences that differ from what is preferred in a few words: errors put into the truth, or taken out of it."""

from __future__ import annotations

from mmedpo import Dispreference, hookimpl
from mmedpo_plugins.dispreferences.minimal_edits.endpoint_edit import EndpointEdit
from mmedpo_plugins.dispreferences.minimal_edits.error_injection import ErrorInjection
from mmedpo_plugins.dispreferences.minimal_edits.own_answer_edit import OwnAnswerEdit


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [ErrorInjection, OwnAnswerEdit, EndpointEdit]
