"""Where plug-ins are looked for, in which order, and what the environment changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fake_plugins import Fakes, projector

from ukd_core.errors import DuplicateNameError, PluginLoadError
from ukd_core.plugins import Origin, load_registry


def test_order_is_distributions_then_modules_then_files(fakes: Fakes) -> None:
    fakes.file("b", projector("B", "from-file-b"))
    fakes.file("a", projector("A", "from-file-a"))
    fakes.distribution("ukd-z", "1", "first", projector("Z", "from-z"))
    fakes.distribution("ukd-y", "2", "second", projector("Y", "from-y"))
    module = fakes.module("named", projector("N", "from-module"))
    registry = load_registry([module], fakes.folder)
    assert registry.plugins == (Origin("second", "ukd-y", "2"), Origin("first", "ukd-z", "1"), Origin("named"),
                                Origin("a"), Origin("b"))
    assert list(registry.projectors) == ["from-file-a", "from-file-b", "from-module", "from-y", "from-z"]
    assert registry.projectors.origin("from-y") == Origin("second", "ukd-y", "2")
    assert registry.problems == ()


def test_entry_points_can_be_left_out(fakes: Fakes) -> None:
    fakes.distribution("ukd-z", "1", "first", projector("Z", "from-z"))
    assert load_registry(entry_points=False).plugins == ()


def test_path_of_a_file_is_a_module(fakes: Fakes) -> None:
    path = fakes.file("own", projector("Own", "own"))
    assert load_registry([str(path)], entry_points=False).projectors.lookup("own").__name__ == "Own"


def test_same_file_asked_for_and_in_the_folder_is_one_plugin(fakes: Fakes) -> None:
    path = fakes.file("own", projector("Own", "own"))
    registry = load_registry([str(path)], fakes.folder, entry_points=False)
    assert registry.plugins == (Origin("own"),)
    assert registry.problems == ()


def test_files_of_one_name_in_two_folders_are_two_plugins(fakes: Fakes) -> None:
    fakes.file("own", projector("Own", "own"))
    other = fakes.root / "own.py"
    other.write_text(projector("Other", "other"), encoding="utf-8")
    assert list(load_registry([str(other)], fakes.folder, entry_points=False).projectors) == ["other", "own"]


def test_options_of_a_file_plugin_resolve_their_annotations(fakes: Fakes) -> None:
    body = "from __future__ import annotations\nfrom typing import Literal\nfrom ukd_core import Options\n\n\n" \
           "class MyOptions(Options):\n    score: Literal['dot'] = 'dot'\n" + projector("Own", "own")
    fakes.file("own", body.replace('name = "own"', 'name = "own"\n    Options = MyOptions'))
    kind = load_registry(folder=fakes.folder, entry_points=False).projectors.lookup("own")
    assert kind().options.score == "dot"


def test_files_with_an_underscore_are_left_out(fakes: Fakes) -> None:
    fakes.file("_helper", "raise RuntimeError")
    assert load_registry(folder=fakes.folder, entry_points=False).problems == ()


def test_classes_stay_the_same_from_one_registry_to_the_next(fakes: Fakes) -> None:
    fakes.file("own", projector("Own", "own"))
    first, second = (load_registry(folder=fakes.folder, entry_points=False) for _ in range(2))
    assert first is not second
    assert first.projectors["own"] is second.projectors["own"]


def test_module_that_an_entry_point_names_too_is_loaded_once(fakes: Fakes) -> None:
    module = fakes.distribution("ukd-z", "1", "first", projector("Z", "from-z"))
    assert load_registry([module]).plugins == (Origin("first", "ukd-z", "1"),)


def test_distribution_that_is_on_the_path_twice_counts_once(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.distribution("ukd-z", "1", "first", projector("Z", "from-z"))
    monkeypatch.setattr(sys, "path", [sys.path[0], *sys.path])
    assert load_registry().plugins == (Origin("first", "ukd-z", "1"),)


@pytest.mark.parametrize("content", [b"", b"Name: \xff\xfe"])
def test_distribution_with_damaged_metadata_is_named_by_its_plugin(content: bytes, fakes: Fakes) -> None:
    fakes.distribution("ukd-z", "1", "first", projector("Z", "from-z"))
    (fakes.root / "ukd_z-1.dist-info" / "METADATA").write_bytes(content)
    assert [str(origin) for origin in load_registry().plugins] == ["plug-in 'first'"]


def test_module_asked_for_that_broke_when_discovered_raises(fakes: Fakes) -> None:
    module = fakes.distribution("ukd-z", "1", "first", projector("Z", "z").replace("[Z]", "[3]"))
    with pytest.raises(PluginLoadError, match=r"^plug-in 'ukd_z_module': hook 'ukd_register_projectors' expected sub"):
        load_registry([module])


def test_file_that_broke_half_way_is_broken_the_next_time_too(fakes: Fakes) -> None:
    fakes.file("own", projector("Own", "own") + "\nimport no_such_library\n")
    for _ in range(2):
        registry = load_registry(folder=fakes.folder, entry_points=False)
        assert (len(registry.problems), len(registry.projectors)) == (1, 0)


@pytest.mark.parametrize("found_by", ["entry point", "module", "file"])
def test_disabled_plugins_are_not_imported(found_by: str, fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UKD_DISABLE_PLUGINS", "ukd-adapters, ukd-plugins,off")
    body = "raise KeyboardInterrupt"
    if found_by == "entry point":
        fakes.distribution("ukd-off", "1", "off", body)
    elif found_by == "module":
        fakes.module("off", body)
    else:
        fakes.file("off", body)
    registry = load_registry(["off"] if found_by == "module" else [], fakes.folder)
    assert (registry.plugins, registry.problems) == ((), ())


def test_interrupt_is_not_swallowed(fakes: Fakes) -> None:
    fakes.file("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_registry(folder=fakes.folder, entry_points=False)


def test_strict_raises_for_a_merely_discovered_plugin(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.file("broken", "x = 1")
    monkeypatch.setenv("UKD_STRICT_PLUGINS", "0")
    assert len(load_registry(folder=fakes.folder, entry_points=False).problems) == 1
    monkeypatch.setenv("UKD_STRICT_PLUGINS", "1")
    with pytest.raises(PluginLoadError, match=r"^plug-in 'broken': expected at least one hook, got none"):
        load_registry(folder=fakes.folder, entry_points=False)


def test_strict_raises_for_a_contested_name(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.file("a", projector("A", "same"))
    fakes.file("b", projector("B", "same"))
    monkeypatch.setenv("UKD_STRICT_PLUGINS", "1")
    with pytest.raises(DuplicateNameError, match=r"^projector 'same': offered by plug-in 'a' as "):
        load_registry(folder=fakes.folder, entry_points=False)


def test_trace_writes_each_hook_call(fakes: Fakes, monkeypatch: pytest.MonkeyPatch,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    fakes.distribution("ukd-z", "1", "first", projector("Z", "from-z"))
    load_registry()
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("UKD_TRACE_PLUGINS", "1")
    load_registry()
    assert capsys.readouterr().err == "ukd: plug-in 'first' (ukd-z 1): ukd_register_projectors()\n"


def test_warning_is_one_line_on_stderr_without_any_logging_set_up(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_library", encoding="utf-8")
    code = f"from ukd_core.plugins import load_registry; load_registry(folder={str(tmp_path)!r}, entry_points=False)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == ("plug-in 'broken': could not be imported: ModuleNotFoundError: No module named "
                           "'no_such_library'. Install what it lacks, or leave it out with "
                           "UKD_DISABLE_PLUGINS=broken.\n")


def test_optional_hook_of_a_later_version_is_ignored(fakes: Fakes) -> None:
    later = "\n\n@hookimpl(optionalhook=True)\ndef ukd_register_widgets():\n    return []\n"
    fakes.file("own", projector("Own", "own") + later)
    assert list(load_registry(folder=fakes.folder, entry_points=False).projectors) == ["own"]


def test_hook_of_another_function_name(fakes: Fakes) -> None:
    body = projector("Own", "own").replace("@hookimpl\n", "@hookimpl(specname='ukd_register_projectors')\n")
    fakes.file("own", body.replace("def ukd_register_projectors", "def offer"))
    assert list(load_registry(folder=fakes.folder, entry_points=False).projectors) == ["own"]
