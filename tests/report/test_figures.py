"""Nothing in a figure is cut off, and no label lies on another."""

from itertools import combinations

import pytest

from accelsim.base.errors import InputError
from accelsim.report.labels import _labels, label_point, name_groups
from accelsim.report.plots import PLOTS

pytest.importorskip("matplotlib")
from matplotlib.transforms import Bbox

from accelsim.report import style


def boxes(figure, texts):
    figure.draw_without_rendering()
    return [text.get_window_extent() for text in texts]


def overlaps(found):
    return [pair for pair in combinations(found, 2) if Bbox.intersection(*pair)]


def test_labels_of_points_that_lie_close_are_moved_apart(tmp_path):
    figure, (ax,) = style.figure()
    with style.styled():
        for place in range(6):
            ax.plot(place / 100, place / 100, "o")
            label_point(ax, f"{place}:16", (place / 100, place / 100))
        ax.set(xlim=(-0.5, 0.5), ylim=(-0.5, 0.5))
    assert overlaps(boxes(figure, _labels(ax)))  # as they are drawn at first
    style.save(figure, tmp_path / "f.png")
    found = boxes(figure, _labels(ax))
    assert not overlaps(found)
    assert all(Bbox.intersection(box, figure.bbox).width == box.width for box in found)


@pytest.mark.parametrize("height_mm", [40, 65])
def test_the_text_of_a_colour_bar_is_inside_of_the_figure(height_mm, tmp_path):
    rows = [
        {"layer": f"l.{i}.{k}", "block": str(i), "kind": k, "dropped_squared_magnitude_ratio": 0.1}
        for i in range(2)
        for k in ("q_proj", "attention.output.dense")
    ]
    figure, (ax,) = style.figure(height_mm=height_mm)
    with style.styled():
        PLOTS["heatmap"].paint(rows, ax)
    style.save(figure, tmp_path / "f.png")
    bar = figure.axes[1]
    (box,) = boxes(figure, [bar.yaxis.label])
    assert 0 <= box.y0 < box.y1 <= figure.bbox.height
    assert box.x1 <= figure.bbox.width


def test_long_names_of_many_groups_do_not_lie_on_each_other():
    figure, (ax,) = style.figure()
    names = [f"a_rather_long_name_{place}" for place in range(12)]
    with style.styled():
        ax.bar(range(12), range(12))
        name_groups(ax, names)
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {90}
    assert not overlaps(boxes(figure, ax.get_xticklabels()))


def test_names_of_two_lines_stand_on_two_lines():
    _, (ax,) = style.figure()
    name_groups(ax, ["int8\ndense", "$x$\x1b"])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["int8\ndense", "\\$x\\$\\x1b"]


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_a_full_disk_is_named(kind, tmp_path):
    (tmp_path / f"full.{kind}").symlink_to("/dev/full")
    drawn, _ = style.figure(1, width_mm=85, height_mm=65, rows=1)
    with pytest.raises(InputError, match="cannot write: No space left on device"):
        style.save(drawn, tmp_path / f"full.{kind}")
