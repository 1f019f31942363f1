"""The command line ``ukd``. Only what a command needs is imported, when it runs: help answers at once."""

from __future__ import annotations

import gc
import logging
import sys
from typing import Any

import typer

from ukd_core.commands import catalogue, check, judging, kept, report, stored, suggesting, training
from ukd_core.commands.stopping import stops_caught, stops_kept
from ukd_core.errors import InputError, UKDError, of_the_machine
from ukd_core.plain_text import is_plain
from ukd_core.terminal import visible

# typer brings its own click from 0.20 on and used the public one before; this finds the base class in either.
USAGE_ERROR: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
LONGEST = 2000
"""Letters of an error line."""
INTERRUPTED = 130
"""Exit status of a command that was stopped by Ctrl-C, as shells have it."""
NEW_OBJECTS = 10_000
"""After so many Python looks for garbage among them; after its own 700, that is a fifth of what imports take."""
STOPPED = "stopped; what is complete is kept. Run the same command again."


def _made_app() -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                       help="Distil any text encoder into any other, matched layer by layer in the output space.")
    made.command("distill")(training.distill)
    made.command("check")(check.check)
    made.command("compare")(training.compare)
    made.command("verdict")(judging.verdict)
    made.command("suggest")(suggesting.suggest)
    made.command("eval")(stored.evaluate)
    made.command("predict")(stored.predict)
    made.command("report")(report.report)
    made.command("export")(stored.export)
    made.command("bench")(stored.bench)
    plugins = typer.Typer(invoke_without_command=True, help="List what plug-ins offer, or check one of them.")
    plugins.callback()(catalogue.list_plugins)
    plugins.command("check")(catalogue.check_plugin)
    made.add_typer(plugins, name="plugins")
    made.command("methods")(catalogue.list_methods)
    cache = typer.Typer(no_args_is_help=True, help="What is kept between runs.")
    cache.command("list")(kept.list_entries)
    cache.command("verify")(kept.verify_entries)
    cache.command("remove")(kept.remove_entry)
    made.add_typer(cache, name="cache")
    made.command("demo")(training.demo)
    return made


app = _made_app()


def main() -> None:
    """Run the command line; what the user can mend is one line on standard error and exit status 2."""
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_made_visible)
    logging.getLogger("ukd").setLevel(logging.INFO)
    with stops_caught() as caught:
        status = _status()
    sys.exit(128 + caught[0] if caught and status == INTERRUPTED else status)


def _status() -> int:
    """Run the command; the exit status, 130 for any stop."""
    try:
        _check_letters(sys.argv[1:])
        with stops_kept():
            status = app(standalone_mode=False)
        if status == INTERRUPTED:  # some versions of typer answer Ctrl-C by themselves, without a word
            return _complain(STOPPED, INTERRUPTED)
    except UKDError as error:
        for told in (error, *error.others):
            status = _complain(str(told), error.exit_status)
    except USAGE_ERROR as error:
        status = _complain(error.format_message(), error.exit_code)
    except OSError as error:
        status = _complain(f"{error.filename or 'files'}: {error.strerror or error}.", 2)
    except (KeyboardInterrupt, typer.Abort):
        status = _complain(STOPPED, INTERRUPTED)
    except (MemoryError, RuntimeError) as error:
        line = of_the_machine(error)
        if line is None:
            raise
        status = _complain(line, 2)
    return status if isinstance(status, int) else 0


def _check_letters(arguments: list[str]) -> None:
    for argument in arguments:
        if not is_plain(argument):
            raise InputError(f"argument {argument!r}", "expected text in UTF-8 without NUL", "Rename the file.")


def _made_visible(record: logging.LogRecord) -> bool:
    record.msg, record.args = visible(record.getMessage()), None
    return True


def _complain(text: str, status: int) -> int:
    line = visible(" ".join(text.split()))
    if line:  # there is none where a command without arguments has shown its help
        sys.stderr.write(f"ukd: {line if len(line) <= LONGEST else line[:LONGEST] + '…'}\n")
    return status


if __name__ == "__main__":
    main()
