"""What is seen of a sweep while it runs."""

from rich.console import Console

from accelsim.report.sweep import Board


def board():
    shown = Board("six", "effective_tops", is_less_better=False)
    shown.note("run", 6, None)
    for point, (status, tops) in enumerate(
        [("ok", 2.0), ("ok", 3.5), ("ok", 1.0), ("failed", None)]
    ):
        shown.note("run", 0, {"point": point, "status": status, "effective_tops": tops})
    return shown


def test_the_line_counts_and_names_the_best():
    line = board().line()
    assert line.startswith("six: stage run; done 4 of 6; ok 3; not 1 failed; points/s ")
    assert line.endswith("best effective_tops 3.5 (point 1)")
    assert "ETA 0 s" in line


def test_less_may_be_better():
    shown = Board("x", "cycles", is_less_better=True)
    for point, cycles in enumerate([30, 10, 20]):
        shown.note("run", 0, {"point": point, "status": "ok", "cycles": cycles})
    assert shown.line().endswith("best cycles 10 (point 1)")


def test_a_new_stage_counts_anew():
    shown = board()
    shown.note("write", 4, None)
    assert "done 0 of 4; ok 3" in shown.line()


def test_a_terminal_gets_a_table():
    console = Console(width=160)
    with console.capture() as capture:
        console.print(board().table())
    text = capture.get()
    assert all(
        word in text for word in ("Sweep six", "stage", "4 of 6", "1 failed", "3.5 (point 1)")
    )
