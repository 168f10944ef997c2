"""`accelsim accuracy`: what activation pruning does to a language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.options import CsvOption, JsonOption, show, show_json, stages
from accelsim.cli.streams import tell

if TYPE_CHECKING:
    from accelsim.accuracy.subject import Subject
    from accelsim.sparsity.policy import Method, Policy

EXAMPLE = (
    "accelsim accuracy --model traces/models/llama-docs-16m --patterns 2:4,8:16 "
    "--mitigations none,var"
)
_DEFAULT_PATTERNS = "2:4,4:8,8:16,16:32"

ModelOption = Annotated[
    str, typer.Option("--model", help="Model folder, or repository of the Hugging Face hub.")
]
TextOption = Annotated[
    str,
    typer.Option("--text", help="Text to predict: a UTF-8 file, or python-topics (Python's help)."),
]
TokensOption = Annotated[
    int, typer.Option("--tokens", help="Tokens of the text, from its start; 0: all.", min=0)
]
SeqLenOption = Annotated[int, typer.Option("--seq-len", help="Tokens that the model sees at once.")]
StrideOption = Annotated[
    int | None,
    typer.Option("--stride", help="By which windows advance; default: half of --seq-len."),
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        help="float (as the model computes), int8, bf16, …, or X and W apart: int8/int4:64.",
    ),
]
LayersOption = Annotated[
    str | None,
    typer.Option(
        "--layers",
        help="Linear layers to prune (comma-separated globs); default: all but the logits'.",
    ),
]
ExcludeOption = Annotated[
    str | None, typer.Option("--exclude", help="Layers to leave dense (comma-separated globs).")
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, …; default: a GPU if there is one.")
]
RevisionOption = Annotated[
    str | None, typer.Option("--revision", help="Branch, tag or commit of a hub repository.")
]
ExactOption = Annotated[
    bool,
    typer.Option("--exact", help="Compute in float64: the same digits on every processor."),
]
RepeatsOption = Annotated[
    int,
    typer.Option(
        "--repeats",
        help="Runs with inputs off by 1e-6, which show what rounding noise alone changes.",
        min=0,
    ),
]
CalibrationOption = Annotated[
    str,
    typer.Option(
        "--calibration", help="Text for methods that learn from one: a file, or Python's help."
    ),
]


def command(
    model: ModelOption = "traces/models/llama-docs-16m",
    text: TextOption = "python-topics",
    patterns: Annotated[
        str | None,
        typer.Option(
            help="N:M, pairs-N:M, N:MxP:Q, topk:D, threshold:P, greedy-threshold:P, dense; "
            "comma-separated. "
            f"Default: {_DEFAULT_PATTERNS}."
        ),
    ] = None,
    criteria: Annotated[
        str, typer.Option(help="What ranks values: act, clact, amber; wt prunes weights.")
    ] = "act",
    mitigations: Annotated[
        str,
        typer.Option(help="none, dpts, spts, lpts, var, l2, ls, residual, rsparse64 (any rank)."),
    ] = "none",
    weights: Annotated[
        str,
        typer.Option(help="Pattern to which W is pruned by magnitude, under whatever prunes X."),
    ] = "dense",
    policy: Annotated[
        Path | None,
        typer.Option(help="Policy file: which layers are pruned how; see the guide."),
    ] = None,
    layers: LayersOption = None,
    exclude: ExcludeOption = None,
    phase: Annotated[
        str,
        typer.Option(help="prefill, or decode: context dense, other tokens one by one."),
    ] = "prefill",
    precision: PrecisionOption = "float",
    tokens: TokensOption = 16384,
    seq_len: SeqLenOption = 512,
    stride: StrideOption = None,
    exact: ExactOption = False,
    repeats: RepeatsOption = 3,
    calibration: CalibrationOption = "python-topics-calibration",
    calibration_tokens: Annotated[
        int, typer.Option(help="Tokens of the calibration text.", min=1)
    ] = 4096,
    load_calibration: Annotated[
        Path | None, typer.Option(help="What methods learned earlier (.npz).", metavar="FILE")
    ] = None,
    save_calibration: Annotated[
        Path | None, typer.Option(help="Keep what methods learned (.npz).", metavar="FILE")
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option("--sensitivity", help="Also prune one kind of layer and one block at a time."),
    ] = False,
    heatmap: Annotated[
        Path | None,
        typer.Option(help="Draw each layer's error (.png, .pdf, .svg).", metavar="FILE"),
    ] = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
    bos: Annotated[
        bool | None,
        typer.Option(
            "--bos/--no-bos",
            help="Begin each window with BOS; default: where the tokenizer does.",
            show_default=False,
        ),
    ] = None,
    json_: JsonOption = False,
    csv: CsvOption = None,
) -> None:
    """Measure the perplexity of a language model under activation pruning, and each layer's error.

    Every combination of patterns, criteria and mitigations that makes sense is a row. Windows slide
    over the text and count each token once; ± is a standard error over windows, noise is what
    rounding alone changes. Needs the extra 'capture'.
    """
    from accelsim.accuracy.evaluate import Settings, evaluate
    from accelsim.accuracy.sensitivity import probes, sensitivity_rows
    from accelsim.accuracy.subject import load_subject
    from accelsim.accuracy.texts import load_text
    from accelsim.base.errors import InputError
    from accelsim.base.files import check_apart, check_folders, check_inputs, write_texts
    from accelsim.report.style import check_format
    from accelsim.results.export import csv_text

    settings = Settings(
        tokens=tokens or None,
        seq_len=seq_len,
        stride=stride_of(seq_len, stride),
        precision=precision,
        phase=phase,
        calibration_tokens=calibration_tokens,
        repeats=repeats,
        weights=weights,
    )
    settings.check()
    check_folders(csv, save_calibration, heatmap)
    check_inputs(load_calibration)
    texts = map(Path, (text, calibration))
    check_apart([csv, save_calibration, heatmap], [load_calibration, policy, *texts])
    if heatmap is not None:
        check_format(heatmap)
    methods = _methods(patterns, criteria, mitigations, policy)
    if (sensitivity or heatmap) and len(methods) != 1:
        raise InputError(
            f"--sensitivity and --heatmap look at one combination; there are {len(methods)}: "
            f"{', '.join(map(str, methods))}"
        )
    policies = _policies(methods, policy, has_patterns=patterns is not None)
    content, learned_from = load_text(text), load_text(calibration)
    subject = load_subject(
        model,
        revision=revision,
        device=device,
        layers=layers,
        exclude=exclude,
        seq_len=seq_len,
        exact=exact,
        bos=bos,
    )
    probed = probes(policies[0], subject.linears, subject.places) if sensitivity else {}
    with stages() as progress:
        report = evaluate(
            subject,
            content,
            [*policies, *probed.values()],
            settings,
            calibration_text=learned_from,
            calibration_file=load_calibration,
            save_to=save_calibration,
            progress=progress,
        )
    data = report.to_dict()
    losses = [row.losses for row in report.rows[len(policies) :]]
    data["rows"] = data["rows"][: len(policies)]
    if sensitivity:
        data["sensitivity"] = sensitivity_rows(probed, losses, report.dense)
    if data["never_called"]:
        names = data["never_called"]
        tell(f"note: {len(names)} layers were never called, e.g. {names[0]}")
    if csv is not None:
        write_texts({csv: csv_text([_flat(row) for row in data["rows"]])})
    if heatmap is not None:
        _draw(data, subject, heatmap)
    if json_:
        show_json(data)
    else:
        _print(data, is_detailed=sensitivity)


def stride_of(seq_len: int, stride: int | None) -> int:
    """Return the stride of windows: what was asked for, else half of their length."""
    return max(1, seq_len // 2) if stride is None else stride


def _methods(
    patterns: str | None, criteria: str, mitigations: str, policy: Path | None
) -> list[Method]:
    """Return the combinations asked for; those without sense are named on stderr."""
    from accelsim.accuracy.evaluate import combine
    from accelsim.sparsity import parse_pattern

    default = "dense" if policy else _DEFAULT_PATTERNS
    chosen = [parse_pattern(part) for part in (patterns or default).split(",")]
    methods, left_out = combine(chosen, _names(criteria), _names(mitigations))
    for line in left_out:
        tell(f"left out: {line}")
    return methods


def _names(texts: str) -> list[str]:
    return [part.strip() for part in texts.split(",")]


def _policies(methods: Sequence[Method], file: Path | None, *, has_patterns: bool) -> list[Policy]:
    """Return one policy a method; a policy file makes rules of its own around it."""
    from accelsim.base.errors import InputError
    from accelsim.sparsity.policy import Policy, load_policy

    if file is None:
        return [Policy(method) for method in methods]
    loaded = list(dict.fromkeys(load_policy(file, method) for method in methods))
    if not has_patterns and all(method.pattern.is_dense for method in loaded[0].methods):
        raise InputError(f"{file}: prunes nothing; give it a pattern, or --patterns")
    return loaded


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without what has no place in a line."""
    plain = {name: value for name, value in row.items() if name not in ("layers", "policy")}
    return plain | {"demands": " ".join(row["demands"])}


def _draw(data: dict[str, Any], subject: Subject, path: Path) -> None:
    from accelsim.report.heatmap import layer_heatmap

    row = data["rows"][0]
    title = f"{subject.source.name}, {row['pattern']}: squared output error of each layer"
    layer_heatmap(row["layers"], title=title, path=path)


def _print(data: dict[str, Any], *, is_detailed: bool) -> None:
    from accelsim.report.accuracy import (
        accuracy_headline,
        accuracy_table,
        layer_matrix,
        sensitivity_table,
    )
    from accelsim.trace.coverage import coverage_line

    show(accuracy_headline(data), accuracy_table(data), coverage_line(data["coverage"]))
    if is_detailed:
        show(sensitivity_table(data), layer_matrix(data))
