"""The user's own technology tables: part of what is swept, found from the file that names them."""

from importlib import resources

import pytest
import yaml

from accelsim.base.errors import InputError
from accelsim.sweeps.plan import load_plan
from accelsim.sweeps.run import run_plan
from accelsim.sweeps.task import Bench
from tests.helpers.sweep_commands import ARCHS

BUILT_IN = resources.files("accelsim.tech") / "data" / "nangate45.yaml"


def write_table(path, factor=1.0):
    """Write a table whose flip-flops are larger by a factor."""
    data = yaml.safe_load(BUILT_IN.read_text(encoding="utf-8"))
    data["register_um2"]["value"] *= factor
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(data), encoding="utf-8")


def write_base(path, table):
    data = yaml.safe_load((ARCHS / "nm816.yaml").read_text(encoding="utf-8"))
    data["technology"] = {**data.get("technology", {}), "table": table}
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(data), encoding="utf-8")


NAMED = {
    "axis": {"axes": {"technology.table": ["mine.yaml", "nangate45"]}},
    "section": {"axes": {"technology": [{"table": "mine.yaml"}, {"node_nm": 45}]}},
    "linked": {
        "axes": {},
        "linked": [{"technology.table": ["mine.yaml", "nangate45"], "mac_array.lanes": [8, 16]}],
    },
    "base": {"base": "archs/mine_arch.yaml"},
    "reference": {"iso_area": {"reference": "archs/mine_arch.yaml"}},
}


@pytest.mark.parametrize("keys", NAMED.values(), ids=NAMED)
def test_a_table_is_part_of_what_is_swept(plan, tmp_path, keys):
    tables = (tmp_path / "mine.yaml", tmp_path / "archs" / "mine.yaml")
    write_base(tmp_path / "archs" / "mine_arch.yaml", "mine.yaml")
    for path in tables:
        write_table(path)
    before = plan(**keys)
    assert len(before.tables) == 1
    assert str(tmp_path) not in str(before.contents["tables"])
    assert plan(**keys).digest == before.digest
    for path in tables:
        write_table(path, 1.5)
    assert plan(**keys).digest != before.digest


def test_an_edited_table_is_another_sweep(plan, tmp_path):
    write_table(tmp_path / "mine.yaml")
    keys = {"axes": {"technology.table": ["mine.yaml"]}}
    run_plan(plan(**keys), tmp_path / "out")
    write_table(tmp_path / "mine.yaml", 1.5)
    with pytest.raises(InputError, match=r"is of another sweep .*tables"):
        run_plan(plan(**keys), tmp_path / "out", resume=True)


def test_names_are_relative_to_the_file_that_says_them(plan, tmp_path, monkeypatch):
    write_base(tmp_path / "archs" / "mine_arch.yaml", "mine.yaml")
    write_table(tmp_path / "archs" / "mine.yaml", 3.0)
    write_table(tmp_path / "mine.yaml", 2.0)
    own = plan(base="archs/mine_arch.yaml", axes={})
    axes = {"technology.table": ["mine.yaml", "nangate45"]}
    both = plan(base="archs/mine_arch.yaml", axes=axes)
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    rows = [Bench(both).run(0), Bench(both).run(1), Bench(own).run(0)]
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert rows[1]["area_um2"] < rows[0]["area_um2"] < rows[2]["area_um2"]
    assert rows[0]["technology.table"] == "mine.yaml"


def test_where_the_files_are_changes_nothing(sweep_file, tmp_path):
    rows, digests = [], []
    for name in ("one", "two"):
        write_table(tmp_path / name / "mine.yaml")
        file = sweep_file(f"{name}/s.yaml", axes={"technology.table": ["mine.yaml"]})
        made = load_plan(file)
        digests.append(made.digest)
        rows.append(Bench(made).run(0))
    assert digests[0] == digests[1]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("step", ["check", "run"])
@pytest.mark.parametrize("keys", [NAMED["axis"], NAMED["base"]], ids=["axis", "base"])
def test_a_table_that_is_gone_or_changed_stops_the_sweep(plan, tmp_path, keys, step):
    tables = (tmp_path / "mine.yaml", tmp_path / "archs" / "mine.yaml")
    write_base(tmp_path / "archs" / "mine_arch.yaml", "mine.yaml")
    for path in tables:
        write_table(path)
    made = plan(**keys)
    used = Bench(made)
    assert used.run(0)["status"] == "ok"
    for path in tables:
        write_table(path, 1.5)
    with pytest.raises(InputError, match=r"mine\.yaml: has changed since the sweep began"):
        getattr(Bench(made), step)(0)
    for path in tables:
        path.unlink()
    for bench in (used, Bench(made)):
        with pytest.raises(InputError, match=r"mine\.yaml: cannot read"):
            getattr(bench, step)(0)


def test_a_table_that_is_not_there(plan):
    with pytest.raises(InputError, match=r"axes\.technology\.table: .*no file .*nangate54"):
        plan(axes={"technology.table": ["nangate54"]})
