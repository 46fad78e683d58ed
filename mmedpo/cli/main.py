"""The command line. Imports typer and pathlib only: every command imports what it needs when it is called."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mmedpo.cli import (
    init_command,
    measure_commands,
    model_commands,
    new_plugin,
    pair_commands,
    plugin_commands,
    plugin_test_command,
    review_commands,
    run_commands,
    scan_command,
)
from mmedpo.cli.command import MmedpoCommand, MmedpoGroup, build_options


def _print_version(wanted: bool) -> None:
    if wanted:
        from mmedpo import __version__

        print(f"mmedpo {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, expose_value=False, callback=_print_version, help="Print mmedpo's version."
        ),
    ] = False,
) -> None:
    """Take what stands before a command alone."""


class RootGroup(MmedpoGroup):
    """Turn what went wrong into a line and an exit code; a bug keeps its traceback."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params += build_options(_root)

    def invoke(self, ctx: Any) -> Any:
        """Carry out the command."""
        import sys

        from mmedpo.errors import MmedpoError
        from mmedpo.registry.metadata import skip_broken_metadata
        from mmedpo.runtime.signals import exit_code_of, handle_signals, print_stopped
        from mmedpo.runtime.thread_environment import prepare_threads

        _quiet_libraries()
        _fetch_no_kernels()
        prepare_threads()
        skip_broken_metadata()
        with handle_signals():
            try:
                result = super().invoke(ctx)
                _flush_output()
                return result
            except KeyboardInterrupt as interrupt:
                print_stopped()
                sys.exit(exit_code_of(interrupt))
            except MmedpoError as error:
                _explain(error)
                sys.exit(error.exit_code)
            except Exception as error:
                from mmedpo.core.machine.disk import explain_disk_error

                refused = explain_disk_error(error)
                if refused is None:
                    raise
                _explain(refused)
                sys.exit(refused.exit_code)


def _quiet_libraries() -> None:
    """Keep the libraries' bars and notices off the screen, unless the user's environment asks for them."""
    import logging
    import os
    import warnings

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it advises to install faster kernels
    logging.getLogger("DeepSpeed").addFilter(lambda record: record.levelno >= logging.ERROR)  # it warns on stdout
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if "PYTHONWARNINGS" not in os.environ:
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # of tags: pixels that fail are an error


def _fetch_no_kernels() -> None:
    """Let libraries find no package `kernels`: transformers and bitsandbytes fetch compiled code of the Hub with it."""
    import sys

    sys.modules.setdefault("kernels", None)  # type: ignore[arg-type]


def _flush_output() -> None:
    """Write out what was printed. Raises DataError when the disk that it goes to takes no more."""
    import os
    import sys

    from mmedpo.core.machine.disk import guard_writes

    try:
        with guard_writes("standard output"):
            sys.stdout.flush()
    except Exception:
        with open(os.devnull, "w") as nowhere:  # or it would be tried again at the end
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise


def _explain(error: Exception) -> None:
    """Print an error's lines; one that a plugin's own code raised keeps its traceback."""
    import traceback

    from mmedpo.core.notes import print_note
    from mmedpo.errors import PluginError
    from mmedpo.runtime.processes import tell_launcher

    if isinstance(error, PluginError) and error.__cause__ is not None:
        traceback.print_exception(error.__cause__)
    if not tell_launcher(str(error)):
        print_note(str(error))


app = typer.Typer(
    cls=RootGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Align a medical vision-language model with clinically weighted preference pairs.",
)
plugins_app = typer.Typer(
    cls=MmedpoGroup, no_args_is_help=True, rich_markup_mode=None, help="Look at the installed plugins, start one."
)
app.add_typer(plugins_app, name="plugins")
detector_app = typer.Typer(
    cls=MmedpoGroup, no_args_is_help=True, rich_markup_mode=None, help="Teach a recipe's localizer."
)
app.add_typer(detector_app, name="detector")

for command in (
    init_command.init,
    run_commands.run,
    run_commands.evaluate,
    run_commands.check,
    run_commands.train,
    model_commands.ask,
    model_commands.merge,
    pair_commands.export,
    pair_commands.import_,
    model_commands.convert,
    review_commands.review,
    pair_commands.score,
    measure_commands.runs,
    measure_commands.compare,
    measure_commands.report,
    scan_command.scan,
    plugin_commands.schema,
):
    app.command(command.__name__.rstrip("_"), cls=MmedpoCommand)(command)
detector_app.command("train", cls=MmedpoCommand)(run_commands.detector_train)
plugins_app.command("list", cls=MmedpoCommand)(plugin_commands.plugins_list)
plugins_app.command("show", cls=MmedpoCommand)(plugin_commands.plugins_show)
plugins_app.command("check", cls=MmedpoCommand)(plugin_commands.plugins_check)
plugins_app.command("lock", cls=MmedpoCommand)(plugin_commands.plugins_lock)
plugins_app.command("new", cls=MmedpoCommand)(new_plugin.plugins_new)
plugins_app.command("test", cls=MmedpoCommand)(plugin_test_command.plugins_test)


def main() -> None:
    """Run the command line; what the terminal's encoding lacks is written out, and never the end of a command."""
    import sys

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app()
