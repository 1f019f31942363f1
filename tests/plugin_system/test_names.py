"""Looking names up: what is there, what is not, and what two plug-ins claim."""

from __future__ import annotations

import pytest
from fake_plugins import Fakes, adapter, projector

from ukd_core.errors import DuplicateNameError, UnknownNameError
from ukd_core.plugins import Origin, Registry, load_registry


def load(fakes: Fakes) -> Registry:
    return load_registry(folder=fakes.folder, entry_points=False)


def test_catalogue_is_a_sorted_read_only_mapping(fakes: Fakes) -> None:
    fakes.file("one", projector("Z", "zeta"))
    fakes.file("two", projector("A", "alpha"))
    projectors = load(fakes).projectors
    assert list(projectors) == ["alpha", "zeta"]
    assert projectors["zeta"] is projectors.lookup("zeta") is projectors.get("zeta")
    assert "beta" not in projectors
    assert repr(projectors) == "Catalogue('projector', ['alpha', 'zeta'])"
    with pytest.raises(TypeError, match="does not support item assignment"):
        projectors["beta"] = projectors["alpha"]  # type: ignore[index]


def test_unknown_name_offers_the_nearest(fakes: Fakes) -> None:
    fakes.file("one", projector("One", "attention"))
    for look in (load(fakes).projectors.lookup, load(fakes).projectors.origin):
        with pytest.raises(UnknownNameError) as caught:
            look("atention")
        assert str(caught.value) == ("projector 'atention': no such projector. Did you mean 'attention'? "
                                     "Available: attention.")


@pytest.mark.parametrize(("attribute", "word"), [
    ("layer_sources", "adapter"), ("pseudo_heads", "pseudo head"), ("projectors", "projector"), ("terms", "term"),
    ("output_spaces", "output space"), ("methods", "method")])
def test_every_kind_has_its_word(attribute: str, word: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        getattr(load_registry(entry_points=False), attribute).lookup("x")
    assert str(caught.value) == f"{word} 'x': no such {word}. Available: none."


def test_unknown_name_mentions_broken_and_disabled_plugins(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.file("cracked", "import no_such_library")
    fakes.file("off", projector("Off", "off"))
    monkeypatch.setenv("UKD_DISABLE_PLUGINS", "off")
    with pytest.raises(UnknownNameError) as caught:
        load(fakes).projectors.lookup("off")
    assert str(caught.value) == (
        "projector 'off': no such projector. Available: none. plug-in 'cracked' failed to load: could not be imported: "
        "ModuleNotFoundError: No module named 'no_such_library'. plug-in 'off' is disabled by UKD_DISABLE_PLUGINS.")


def test_name_of_two_plugins_goes_to_neither(fakes: Fakes, caplog: pytest.LogCaptureFixture) -> None:
    one = fakes.distribution("ukd-one", "1.0", "one", projector("One", "same"))
    two = fakes.distribution("ukd-two", "2.0", "two", projector("Two", "same") + "\nTwo.extra = True\n")
    fakes.distribution("ukd-three", "3.0", "three", projector("Three", "other"))
    registry = load_registry()
    text = (f"projector 'same': offered by plug-in 'one' (ukd-one 1.0) as {one}.One and plug-in 'two' (ukd-two 2.0) "
            f"as {two}.Two. Leave one out with UKD_DISABLE_PLUGINS: one or two.")
    assert list(registry.projectors) == ["other"]
    assert "same" not in registry.projectors
    assert [str(problem) for problem in registry.problems] == caplog.messages == [text]
    assert len(registry.plugins) == 3
    for look in (registry.projectors.lookup, registry.projectors.origin):
        with pytest.raises(DuplicateNameError) as caught:
            look("same")
        assert str(caught.value) == text


def test_asked_for_plugin_with_a_taken_name_raises(fakes: Fakes) -> None:
    fakes.distribution("ukd-one", "1.0", "one", projector("One", "same"))
    fakes.module("mine", projector("Mine", "same"))
    with pytest.raises(DuplicateNameError) as caught:
        load_registry(["mine"])
    assert str(caught.value) == (
        "projector 'same': offered by plug-in 'one' (ukd-one 1.0) as ukd_one_module.One and plug-in 'mine' as "
        "mine.Mine. Leave one out with UKD_DISABLE_PLUGINS: one or mine.")


def test_discovered_plugin_that_is_asked_for_too_counts_as_asked(fakes: Fakes) -> None:
    module = fakes.distribution("ukd-one", "1.0", "one", projector("One", "same"))
    fakes.distribution("ukd-two", "1.0", "two", projector("Two", "same"))
    assert len(load_registry().problems) == 1
    with pytest.raises(DuplicateNameError, match=r"^projector 'same': offered by "):
        load_registry([module])


def test_one_name_for_things_of_two_kinds_is_fine(fakes: Fakes) -> None:
    fakes.file("one", projector("One", "same"))
    fakes.file("two", adapter("Two", "same", ()))
    registry = load(fakes)
    assert (list(registry.projectors), list(registry.layer_sources)) == (["same"], ["same"])


def test_same_class_twice_is_fine(fakes: Fakes) -> None:
    module = fakes.module("base", projector("One", "one").replace("[One]", "[One, One]"))
    fakes.file("again", f"from ukd_core import hookimpl\nfrom {module} import One\n\n\n@hookimpl\n"
                        "def ukd_register_projectors():\n    return [One]\n")
    registry = load_registry([module], fakes.folder, entry_points=False)
    assert registry.problems == ()
    assert registry.projectors.origin("one") == Origin("base")


def test_source_for_reads_a_model_type(fakes: Fakes) -> None:
    fakes.file("one", adapter("One", "one", ("bert", "electra")))
    fakes.file("two", adapter("Two", "two", ("roberta",)))
    registry = load(fakes)
    assert registry.source_for("electra") is registry.layer_sources["one"]
    with pytest.raises(UnknownNameError) as caught:
        registry.source_for("robert")
    assert str(caught.value) == ("model type 'robert': no adapter reads it. Did you mean 'roberta' or 'bert'? "
                                 "Available: bert, electra, roberta.")


def test_source_for_mentions_broken_plugins(fakes: Fakes) -> None:
    fakes.file("cracked", "x = 1")
    with pytest.raises(UnknownNameError) as caught:
        load(fakes).source_for("bert")
    assert str(caught.value) == ("model type 'bert': no adapter reads it. Available: none. plug-in 'cracked' failed to "
                                 "load: expected at least one hook, got none.")


def test_source_for_refuses_a_type_that_two_adapters_read(fakes: Fakes) -> None:
    fakes.file("one", adapter("One", "one", ("bert",)))
    fakes.file("two", adapter("Two", "two", ("bert",)))
    with pytest.raises(DuplicateNameError) as caught:
        load(fakes).source_for("bert")
    assert str(caught.value) == ("model type 'bert': read by adapter 'one' of plug-in 'one' and adapter 'two' of "
                                 "plug-in 'two'. Name the adapter to use.")
