"""What we ship is found the way a stranger's package is, and is whole."""

from __future__ import annotations

import pytest

from ukd_core.plugins import Registry


def test_shipped_plugins_load_without_a_problem(registry: Registry) -> None:
    assert registry.problems == ()
    ours = [origin for origin in registry.plugins if origin.distribution == "ukd"]
    assert [origin.plugin for origin in ours] == ["ukd-adapters", "ukd-plugins"]


def test_nothing_is_missing_that_the_defaults_name(registry: Registry) -> None:
    assert {"bert", "roberta", "cnn", "bilstm"} <= set(registry.layer_sources)
    assert {"attention", "fixed", "teacher-assistant"} <= set(registry.projectors)
    assert {"hard-label", "logit-kd", "layer-kd"} <= set(registry.terms)
    assert {"classes", "multilabel", "regression"} <= set(registry.output_spaces)
    assert {"none", "logit-kd", "universal-kd"} <= set(registry.methods)
    assert "linear" in registry.pseudo_heads


@pytest.mark.parametrize("attribute", ["layer_sources", "pseudo_heads", "projectors", "terms", "output_spaces",
                                       "methods"])
def test_everything_has_a_summary_for_the_listing(attribute: str, registry: Registry) -> None:
    catalogue = getattr(registry, attribute)
    ours = [name for name in catalogue if catalogue.origin(name).distribution == "ukd"]
    assert ours
    if attribute != "output_spaces":  # a space has no summary in its contract
        assert [name for name in ours if not catalogue[name].summary] == []
