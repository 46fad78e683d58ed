"""What `plugins check` says of a part that can be imported."""

from __future__ import annotations

from importlib.metadata import EntryPoint

from mmedpo.registry.facts import OptionFacts, PartFacts
from mmedpo.registry.inspection import PluginProbe
from mmedpo.registry.kinds import KINDS
from mmedpo.registry.plugin_info import PluginInfo


def test_it_names_the_options_that_nothing_is_said_of() -> None:
    plugin = PluginInfo(KINDS["scorer"], "length", "acme", "2.1", EntryPoint("length", "acme", "mmedpo.scorers"))
    options = [OptionFacts(name, "number", False, 1, said) for name, said in (("scale", ""), ("share", "Of what."))]
    line = PluginProbe(plugin, PartFacts(0.5, [], "Rate.", options, "", {})).line
    assert line == "fine    scorer 'length' of acme 2.1  0.50 s  says nothing of scale: put a text under each"
