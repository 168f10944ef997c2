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
    assert line.startswith("six: stage run; done 4 of 6; ok 3; not ok 1 failed; points/s ")
    assert line.endswith("best effective_tops 3.5 (point 1)")
    assert "ETA 0 s" in line


def test_less_may_be_better():
    shown = Board("x", "cycles", is_less_better=True)
    for point, cycles in enumerate([30, 10, 20]):
        shown.note("run", 0, {"point": point, "status": "ok", "cycles": cycles})
    assert shown.line().endswith("best cycles 10 (point 1)")


def test_what_is_done_stays_done():
    shown = Board("six", "cycles", is_less_better=True)
    lines = []
    for stage, points, statuses in [
        ("check", 6, ["invalid", "invalid"]),
        ("select", 4, []),
        ("run", 4, ["ok", "failed", "ok", "ok"]),
        ("write", 6, []),
    ]:
        shown.note(stage, points, None)
        for status in statuses:
            shown.note(stage, 0, {"point": 1, "status": status, "cycles": 3})
        lines.append(shown.line())
    assert [line.split("; ")[1] for line in lines] == [
        *("done 2 of 6", "done 2 of 6", "done 6 of 6", "done 6 of 6")
    ]
    assert "ok 3; not ok 1 failed, 2 invalid; points/s " in lines[-1]
    assert "ETA" not in lines[-1]
    assert "points/s" not in lines[0]


def test_a_search_counts_its_trials_and_foresees_its_end(monkeypatch):
    clock_s = [100.0]
    monkeypatch.setattr("accelsim.report.sweep.time.monotonic", lambda: clock_s[0])
    shown = Board("small", "cycles", is_less_better=True, trials=30)
    shown.note("trials", 0, None)
    assert "ETA" not in shown.line()
    clock_s[0] += 4
    shown.note("trials", 10, None)
    assert "trials 10 of 30" in shown.line()
    assert "ETA 8 s" in shown.line()  # 4 s for 10, so 8 s for 20


def test_a_terminal_gets_a_table():
    console = Console(width=160)
    with console.capture() as capture:
        console.print(board().table())
    text = capture.get()
    assert all(
        word in text for word in ("Sweep six", "stage", "4 of 6", "1 failed", "3.5 (point 1)")
    )
