"""Files around `accelsim plot`: a figure is written whole or not at all, a timeline is taken."""

import json
from pathlib import Path

import pytest

from tests.helpers.small import ROOT

pytest.importorskip("matplotlib")


@pytest.fixture
def run(accepted, trace, tmp_path):
    """A folder of `run`, with flags."""

    def _run(*flags):
        folder = tmp_path / "run"
        accepted("run", ROOT / "arch_configs/nm816.yaml", "--trace", trace, "--out", folder, *flags)
        return folder

    return _run


def panel(accepted, *arguments):
    (rows,) = json.loads(accepted("plot", *arguments, "--json").out)["panels"]
    return rows


def test_a_figure_is_replaced_whole_or_stays(run, refused, tmp_path, monkeypatch):
    def _full(path, contents):
        path.write_text(repr(contents[:10]))
        raise OSError(28, "No space left on device")

    folder, out = run(), tmp_path / "figures" / "c.png"
    out.parent.mkdir()
    out.write_bytes(b"old")
    monkeypatch.setattr(Path, "write_bytes", _full)
    assert "No space left" in refused("plot", "cost", folder, "--out", out)
    assert [path.name for path in out.parent.iterdir()] == ["c.png"]
    assert out.read_bytes() == b"old"


def test_equal_figures_are_equal_files(run, accepted, tmp_path):
    folder = run()
    for ending in ("png", "pdf", "svg"):
        one, other = (tmp_path / f"{name}.{ending}" for name in ("one", "other"))
        for out in (one, other):
            accepted("plot", "cost", folder, "--out", out)
        assert one.read_bytes() == other.read_bytes()


def test_a_run_with_its_baseline_is_enough(run, accepted, tmp_path):
    folder = run()
    (row,) = panel(accepted, "cost", folder, "--out", tmp_path / "c.png")
    baseline = json.loads((folder / "result.json").read_text())["baseline"]
    assert row["speedup"] == baseline["speedup"]
    assert row["area_ratio"] == 1 + baseline["area_overhead_ratio"]


def test_a_timeline_in_the_folder_is_taken(run, accepted, tmp_path):
    folder = run("--timeline", tmp_path / "run" / "timeline.json")
    flags = ("utilization", folder, "--out", tmp_path / "u.png")
    assert len(panel(accepted, *flags, "--bins", 7)) == 7
    (folder / "timeline.json").unlink()
    assert len(panel(accepted, *flags)) == 4  # layers


def test_a_timeline_of_some_layers_is_refused(run, refused, tmp_path):
    timeline = tmp_path / "run" / "timeline.json"
    folder = run("--timeline", timeline, "--watch-layers", "layers.0.*")
    message = refused("plot", "utilization", folder, "--out", tmp_path / "u.png")
    assert "record all layers and tiles" in message


@pytest.mark.parametrize("drop", [None, "0.4"])
def test_an_increase_that_is_no_number_is_refused(run, refused, tmp_path, drop):
    row = {
        "pattern": "8:16",
        "criterion": "act",
        "mitigation": "none",
        "perplexity_increase_ratio": drop,
    }
    (tmp_path / "a.json").write_text(json.dumps({"rows": [row]}))
    flags = ("--out", tmp_path / "c.png", "--accuracy", tmp_path / "a.json")
    message = refused("plot", "front", run(), *flags)
    assert message.endswith(
        f"a.json: perplexity_increase_ratio {json.dumps(drop)}: must be a number\n"
    )
