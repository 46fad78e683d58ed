"""Who can vote: models behind an endpoint, models in this process, and the embedded rules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmedpo_plugins.scorers.med_llm_vote.endpoint_voter import EndpointVoter
from mmedpo_plugins.scorers.med_llm_vote.local_voter import LocalVoter
from mmedpo_plugins.scorers.med_llm_vote.rules_voter import RulesVoter

Voter = Annotated[RulesVoter | EndpointVoter | LocalVoter, Field(discriminator="kind")]
