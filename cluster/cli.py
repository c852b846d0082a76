"""The `rayroom` command."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from routing.errors import RayroomError
from routing.logs import configure_logs

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="AI participants for LiveKit rooms, served by Ray.",
)
config_app = typer.Typer(no_args_is_help=True, help="Look at a configuration before it runs.")
app.add_typer(config_app, name="config")

CONFIG = "serve_config.yaml"
errors = Console(stderr=True, soft_wrap=True, highlight=False)


@app.command()
def serve(config: Annotated[Path, typer.Argument(help="The Serve configuration.")] = Path(CONFIG)) -> None:
    """Check the configuration, then run it on Ray with Serve's fast path."""
    from cluster.config_file import check_file
    from cluster.fastpath import FAST_PATH

    check_file(config)
    # Serve reads these when it is imported, so they are set before it starts and inherited by all of Ray.
    os.environ.update({"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "disabled")} | FAST_PATH)
    command = shutil.which("serve", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if command is None:
        errors.print("[red]The `serve` command of ray\\[serve] is not installed beside this one.[/red]")
        raise typer.Exit(1)
    os.execv(command, [command, "run", str(config)])


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="A Serve configuration.")] = Path(CONFIG)) -> None:
    """Check every key of a Serve configuration, rayroom's own and those Ray reads without complaint."""
    from cluster.app import check_models
    from cluster.config_file import check_file

    settings = check_file(file)
    for warning in check_models(settings):
        errors.print(f"[yellow]retires soon[/yellow]: {warning}")
    simulated = sorted(name for name, vendor in settings.vendors.items() if vendor.simulated)
    print(
        f"{file}: ok; models: {', '.join(settings.model_names())}; simulated vendors: {', '.join(simulated) or 'none'}"
    )


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=5, max=3_600, help="How long the rooms stay open.")] = 45.0,
    rooms: Annotated[int, typer.Option(min=1, max=20, help="How many rooms.")] = 5,
    directory: Annotated[Path, typer.Option(help="Where the run is left to be looked at.")] = Path(".demo"),
) -> None:
    """Run real rooms against simulated models on this machine, and reconcile the bill."""
    from cluster.demo.run import run_demo

    raise typer.Exit(run_demo(seconds=seconds, rooms=rooms, directory=directory))


def main() -> None:
    """Run the command; an error of ours is a message, not a traceback."""
    # A shell that starts a command in the background has it ignore SIGINT; this one is to hear it all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    configure_logs()
    try:
        app()
    except RayroomError as error:
        errors.print(f"[red]{error.code}[/red]: {error.message}")
        sys.exit(2)
