"""The `rayroom` command: the list of its commands, and its exit on an error."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from cluster.check.terminal import labelled
from cluster.cli import bill, laboratory, product, records
from cluster.cli.requirements import missing_extra
from routing import VERSION
from routing.errors import RayroomError
from routing.process import configure_logs

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(no_args_is_help=True, help="Look at a configuration before it runs.")
app.add_typer(config_app, name="config")
app.add_typer(bill.app, name="bill")
app.add_typer(records.app, name="records")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"rayroom {VERSION}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """AI participants for LiveKit rooms, served by Ray."""


app.command()(product.serve)
app.command()(product.dispatch)
config_app.command("check")(product.config_check)
app.command()(product.check)
app.command()(laboratory.demo)
app.command()(laboratory.compare)
app.command()(laboratory.load)
app.command("route-eval")(product.route_eval)
app.command("frame-eval")(product.frame_eval)
app.command()(product.models)
app.command()(product.reference)
app.command()(product.metrics)
app.command()(product.top)
app.command()(product.parked)
app.command()(product.restore)
app.command()(product.reconcile)
app.command()(laboratory.emulate)
app.command("simulate")(laboratory.simulate_scenario)
app.command("validate")(laboratory.validate_runs)


def main() -> None:
    """Run the command. Print an error of rayroom, or a missing extra, as one message without a traceback; exit 2."""
    # A shell starts a background command with SIGINT ignored; this one must end on it all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    configure_logs()
    try:
        app()
    except RayroomError as error:
        product.errors.print(labelled(error.code, "red", error.message))
        sys.exit(2)
    except ModuleNotFoundError as error:
        message = missing_extra(error)
        if message is None:
            raise
        product.errors.print(labelled("missing_extra", "red", message))
        sys.exit(2)
