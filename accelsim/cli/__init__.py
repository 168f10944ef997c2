"""The command line: one file a command. Commands parse, call the library and print.

Modules here import nothing heavy at the top, so that `accelsim --help` stays quick.
"""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

import typer

from accelsim.base.errors import InputError
from accelsim.cli.completion import with_completion
from accelsim.cli.paths import Command, flowing
from accelsim.cli.streams import drop_output, take_over, tell, use_lookalikes
from accelsim.version import __version__

COMMANDS = (
    *("run", "compare", "plot", "sweep", "pareto", "area", "rtl"),
    *("inspect", "capture", "synth", "accuracy", "policy", "tune"),
)

# What can happen to standard output, and is no defect.
_OUTPUT_ERRORS = {
    errno.EPIPE: "nobody reads it",
    errno.ENOSPC: "no space left on the device",
    errno.EDQUOT: "disk quota exceeded",
    errno.EFBIG: "the file is too large",
    errno.EIO: "input/output error",
    errno.EBADF: "standard output is closed",
}

app = typer.Typer(
    name="accelsim",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Simulate N:M activation sparsity on a tensor-core-like accelerator.",
    epilog="Example: accelsim run arch_configs/nm816.yaml --trace traces/llama.npz",
)
for name in COMMANDS:
    module = import_module(f"accelsim.cli.{name}")
    if hasattr(module, "app"):  # a command of commands
        for inner in module.app.registered_commands:
            with_completion(inner.callback, name)
        app.add_typer(module.app, name=name, epilog=f"Example: {module.EXAMPLE}")
        continue
    app.command(name, epilog=f"Example: {module.EXAMPLE}")(with_completion(module.command, name))
for typer_of in (app, *(group.typer_instance for group in app.registered_groups)):
    for info in typer_of.registered_commands if typer_of else ():
        info.cls = Command
        info.help = flowing(info.callback.__doc__ or "")


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"accelsim {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version and exit.",
        callback=_show_version,
        is_eager=True,
    ),
) -> None:
    """Simulate N:M activation sparsity on a tensor-core-like accelerator."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 on success, 2 on bad input, 1 on an internal error."""
    if arguments is None:  # the process is ours: ended by a signal, it leaves no half-written files
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        take_over()
    use_lookalikes()
    code = _run(list(sys.argv[1:] if arguments is None else arguments))
    try:
        sys.stdout.flush()
    except OSError as error:
        return _output_failed(error) or code
    return code


def _run(arguments: list[str]) -> int:
    """Run one command, and return its exit code; what it printed may still be on its way."""
    try:
        app(args=arguments, prog_name="accelsim")
    except SystemExit as stop:  # the parser's own exits: help, usage errors, a closed pipe
        if isinstance(stop.__context__, OSError) and stop.__context__.errno == errno.EPIPE:
            return _output_failed(stop.__context__)
        return stop.code if isinstance(stop.code, int) else 1
    except InputError as error:
        tell(f"error: {error}")
        return 2
    except OSError as error:
        return _output_failed(error)
    except Exception as error:
        return _failed(error)
    return 0


def _output_failed(error: OSError) -> int:
    """End as befits what happened to standard output, or to something else.

    A reader that has seen enough (`accelsim … | head`) is no error; a full disk and a closed output
    are.
    """
    if error.errno not in _OUTPUT_ERRORS:
        return _defect()
    drop_output()
    if error.errno == errno.EPIPE:
        return 0
    tell(f"error: cannot write the output: {_OUTPUT_ERRORS[error.errno]}")
    return 2


def _failed(error: Exception) -> int:
    """End with a message; only memory can run out without a defect."""
    if not isinstance(error, MemoryError):
        return _defect()
    print("error: there is not enough memory for this", file=sys.stderr)
    return 2


def _defect() -> int:
    traceback.print_exc()
    print("internal error: this is a defect of accelsim, please report it", file=sys.stderr)
    return 1
