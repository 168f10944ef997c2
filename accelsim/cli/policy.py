"""`accelsim policy`: which layers to leave dense, and how much each layer drops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.accuracy import (
    CalibrationOption,
    DeviceOption,
    ExactOption,
    ModelOption,
    RepeatsOption,
    RevisionOption,
    SeqLenOption,
    StrideOption,
    TextOption,
    TokensOption,
    stride_of,
)
from accelsim.cli.options import (
    ArchArgument,
    BatchOption,
    CacheOption,
    JsonOption,
    PhaseOption,
    SetOption,
    TraceOption,
    check_choice,
    check_run_flags,
    selection_cache,
    show,
    show_json,
    stages,
    warn_of_batches,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accelsim.studies.policy_search import Found

EXAMPLE = (
    "accelsim policy search arch_configs/nm816.yaml --trace traces/llama.npz "
    "--budget cycles=0.65 --out policy.yaml"
)
_LEAST_SHARE = 0.00005  # that four digits show
app = typer.Typer(no_args_is_help=True, help="Find out which layer to prune how, under a budget.")


@app.command("search", epilog=f"Example: {EXAMPLE}")
def search_command(
    arch: ArchArgument,
    trace: TraceOption,
    budget: Annotated[
        str,
        typer.Option(
            help="cycles=R, energy=R or perplexity=R: ratio to the dense machine or model."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Policy file to write.", metavar="FILE")],
    model: ModelOption = "traces/models/llama-docs-16m",
    text: TextOption = "python-topics",
    calibration: CalibrationOption = "python-topics-calibration",
    proxy: Annotated[
        str, typer.Option(help="What ranks layers: output_error or dropped_squared_magnitude.")
    ] = "output_error",
    phase: PhaseOption = "prefill",
    batch: BatchOption = None,
    overrides: SetOption = None,
    precision: Annotated[
        str | None, typer.Option(help="For accuracy; default: that of the machine.")
    ] = None,
    tokens: TokensOption = 16384,
    seq_len: SeqLenOption = 512,
    stride: StrideOption = None,
    exact: ExactOption = False,
    repeats: RepeatsOption = 3,
    device: DeviceOption = None,
    revision: RevisionOption = None,
    cache: CacheOption = True,
    json_: JsonOption = False,
) -> None:
    """Find which layers to prune, so that a budget holds with the least harm; write a policy.

    Layers are ranked by what pruning each does on a calibration text, and what it saves on the
    machine; the policy found is judged by perplexity on another text.
    """
    from accelsim.accuracy.evaluate import Settings
    from accelsim.accuracy.subject import load_subject
    from accelsim.accuracy.texts import load_text
    from accelsim.base.errors import InputError
    from accelsim.base.files import check_apart, check_folders, write_texts
    from accelsim.base.renamed import new_name
    from accelsim.config import load_arch
    from accelsim.sparsity.policy import Method
    from accelsim.studies.policy_search import PROXIES, Budget, search
    from accelsim.trace import load_trace

    goal = Budget.parse(budget)
    proxy = new_name(proxy)
    check_choice("--proxy", proxy, PROXIES)
    check_run_flags(phase, batch, "recurrence")
    machine, workload = load_arch(arch, overrides or ()), load_trace(trace)
    warn_of_batches(workload, [batch] if phase == "decode" and batch else ())
    if machine.pattern.is_dense:
        raise InputError(f"{arch}: a dense machine has nothing to choose; take a sparse one")
    settings = Settings(
        tokens=tokens or None,
        seq_len=seq_len,
        stride=stride_of(seq_len, stride),
        precision=str(machine.operands) if precision is None else precision,
        phase=phase,
        repeats=repeats,
    )
    settings.check()
    check_folders(out)
    check_apart([out], [arch, trace, *map(Path, (text, calibration))])
    content, learned_from = load_text(text), load_text(calibration)
    names = ",".join(linear.name for linear in workload.linears)
    subject = load_subject(
        model, revision=revision, device=device, layers=names, seq_len=seq_len, exact=exact
    )
    method = Method(machine.pattern, machine.criterion, machine.mitigation)
    with stages() as progress:
        found = search(
            subject,
            content,
            machine,
            workload,
            method,
            goal,
            settings,
            calibration_text=learned_from,
            proxy=proxy,
            progress=progress,
            simulation={"phase": phase, "batch": batch, "cache": selection_cache(cache)},
        )
    data = _record(found, machine.name)
    write_texts({out: _file_text(found, f"{budget}, proxy {proxy}, machine {machine.name}", data)})
    if json_:
        show_json(data)
    else:
        _print(data, out)


def _record(found: Found, machine: str) -> dict[str, Any]:
    """Return costs and perplexities of all dense, the policy, and all pruned."""
    from accelsim.accuracy.perplexity import known

    report = found.report
    dense: dict[str, Any] = {"perplexity": report.dense.perplexity}
    dense |= dict.fromkeys(("increase", "increase_stderr", "increase_noise"), 0.0)
    rows: dict[str, dict[str, Any]] = {"dense": dense, "unpruned": dict(dense)}
    for name, judged in zip(("found", "pruned"), report.rows, strict=True):
        increase, error = judged.losses.increase_over(report.dense)
        rows[name] = {
            "perplexity": judged.losses.perplexity,
            "increase": increase,
            "increase_stderr": known(error),
            "increase_noise": known(judged.losses.noise_of_increase(report.dense)),
        }
    for name, row in rows.items():
        costs, whole = found.costs[name], found.costs["dense"]
        row.update((f"{quantity}_ratio", costs[quantity] / whole[quantity]) for quantity in costs)
    return {
        "schema": 1,
        "machine": machine,
        "pruned_layers": found.pruned_layers,
        "layers": len(report.subject.linears),
        "rows": [{"name": name, **row} for name, row in rows.items()],
        "policy": found.policy.to_dict(),
    }


def _file_text(found: Found, how: str, data: dict[str, Any]) -> str:
    """Return a policy file that says where it comes from."""
    import yaml

    from accelsim.report.text import escaped

    row = next(row for row in data["rows"] if row["name"] == "found")
    comment = (
        f"# Found by `accelsim policy search`: {how}.\n"
        f"# {data['pruned_layers']} of {data['layers']} layers pruned: "
        f"cycles {row['cycles_ratio']:.3f} and energy {row['energy_ratio']:.3f}\n"
        f"# of the dense machine, perplexity {row['increase']:+.1%} on "
        f"{escaped(found.report.text['name'])} at --precision {found.report.settings.precision}.\n"
    )
    return comment + yaml.safe_dump(found.policy.to_dict(), sort_keys=False, width=1000)


def _print(data: dict[str, Any], out: Path) -> None:
    from accelsim.report.accuracy import policy_table

    show(policy_table(data), f"wrote {out}")


LEVELS_EXAMPLE = "accelsim policy levels --sparsity 0.5 --out levels.yaml"


@app.command("levels", epilog=f"Example: {LEVELS_EXAMPLE}")
def levels_command(
    sparsity: Annotated[
        float, typer.Option(help="What each block drops of its inputs, weighted by layer size.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Policy file to write.", metavar="FILE")],
    model: ModelOption = "traces/models/llama-docs-16m",
    calibration: CalibrationOption = "python-topics-calibration",
    tokens: TokensOption = 4096,
    seq_len: SeqLenOption = 512,
    device: DeviceOption = None,
    revision: RevisionOption = None,
    json_: JsonOption = False,
) -> None:
    """Share thresholds out among the layers of each block by greedy search, as TEAL does.

    The policy gives each layer its own threshold:P, which machines with row gather run.
    """
    from accelsim.accuracy.greedy import greedy_sparsities
    from accelsim.accuracy.subject import load_subject
    from accelsim.accuracy.texts import load_text
    from accelsim.base.errors import InputError
    from accelsim.base.files import check_folders, write_texts

    if not 0 < sparsity < 1:
        raise InputError(f"--sparsity {sparsity:g}: must be above 0 and below 1")
    check_folders(out)
    text = load_text(calibration)
    subject = load_subject(model, revision=revision, device=device, seq_len=seq_len)
    ids = subject.tokens_of(text, tokens or None)
    with stages() as progress:
        shares = greedy_sparsities(
            subject, ids, sparsity, seq_len, lambda done, of: progress("blocks", done, of)
        )
    how = f"{sparsity:g} of the inputs of {subject.source.name}, learned from {calibration}"
    write_texts({out: levels_text(shares, sparsity, how)})
    if json_:
        show_json({"schema": 1, "sparsity": sparsity, "layers": shares})
        return
    least, most = min(shares.values()), max(shares.values())
    show(f"wrote {out}: {len(shares)} layers drop {least:.2f} to {most:.2f} of their inputs")


def levels_text(shares: Mapping[str, float], sparsity: float, how: str) -> str:
    """Return a policy file in which each layer drops its share; a layer that drops none is dense.

    >>> print(levels_text({"a.0.q": 0.43251, "a.0.o": 0.0}, 0.5, "half of …"), end="")
    # Found by `accelsim policy levels`: half of ….
    schema: 1
    pattern: threshold:0.5
    layers:
      "a.0.q": threshold:0.4325
      "a.0.o": dense
    """
    head = f"# Found by `accelsim policy levels`: {how}.\nschema: 1\n"
    rules = [
        f'  "{name}": ' + (f"threshold:{share:.4f}" if share >= _LEAST_SHARE else "dense")
        for name, share in shares.items()
    ]
    return "\n".join([f"{head}pattern: threshold:{sparsity:g}\nlayers:", *rules]) + "\n"
