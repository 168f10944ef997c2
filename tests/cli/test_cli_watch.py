"""`accelsim run --watch-layers … --watch-tiles …`: the part of a run that is drawn."""

import json


def test_a_window_makes_files_smaller_and_changes_no_number(cli, arch, trace, tmp_path):
    whole, part = tmp_path / "whole.json", tmp_path / "part.json"
    command = ("run", arch("nm816"), "--trace", trace, "--json")
    everything = cli(*command, "--timeline", whole)
    some = cli(*command, "--timeline", part, "--watch-layers", "layers.1.*", "--watch-tiles", ":1")
    assert json.loads(some.out) == json.loads(everything.out)
    assert 0 < part.stat().st_size < whole.stat().st_size
    assert "layers.1.linear" in part.read_text()
    assert "layers.0.linear" not in part.read_text()


def test_a_window_of_nothing_is_refused(cli, arch, trace, tmp_path):
    command = ("run", arch("nm816"), "--trace", trace, "--timeline", tmp_path / "t.json")
    for flags, part in (
        (("--watch-layers", "nope"), "no layer matches 'nope'"),
        (("--watch-tiles", "7"), "--watch-tiles '7': must be a range such as 0:32"),
    ):
        outcome = cli(*command, *flags)
        assert outcome.code == 2
        assert part in outcome.err
        assert "Traceback" not in outcome.err
    assert not (tmp_path / "t.json").exists()
