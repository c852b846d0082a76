"""The commands that serve and check a configuration, and that show models and the scorer."""

from __future__ import annotations

import os
import sys
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cluster.check.terminal import keyless, labelled
from routing.errors import BadInput

CONFIG = "serve_config.yaml"
errors = Console(stderr=True, soft_wrap=True, highlight=False)


def serve(config: Annotated[Path, typer.Argument(help="The Serve configuration.")] = Path(CONFIG)) -> None:
    """Check the configuration, then run it on Ray with Serve's fast path until SIGTERM or SIGINT.

    Answers in flight are finished first; a second signal ends the command at once. The exit status is 2 for an app
    that cannot be served, with the reason.
    """
    from cluster.config.serve_env import FAST_PATH, SERVE_DEFAULTS, own_haproxy, protected_ray

    # Ray and Serve read these at import, and all processes of Ray inherit them.
    os.environ.update(protected_ray(os.environ, Path.home()) | SERVE_DEFAULTS | own_haproxy() | os.environ | FAST_PATH)
    from cluster.config.validate import check_file

    settings = check_file(config)
    from cluster.serve.command import run_app

    run_app(config, settings.with_root(Path.cwd()))


def dispatch() -> None:
    """Keep exactly one room agent in every room of a tenant, as long as this command runs.

    It reads LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, RAYROOM_AGENT_NAME, RAYROOM_DISPATCH_HOST and
    RAYROOM_DISPATCH_PORT. Let LiveKit send its webhooks to /v1/livekit/webhook of that address, and set its URL as
    RAYROOM_DISPATCH_URL at the workers; both make it faster.
    """
    import asyncio

    from cluster.config.dispatch_settings import load_dispatch_settings
    from cluster.dispatch.command import run_dispatch

    asyncio.run(run_dispatch(load_dispatch_settings()))


def config_check(file: Annotated[Path, typer.Argument(help="A Serve configuration.")] = Path(CONFIG)) -> None:
    """Check every key of a Serve configuration, rayroom's own and those that Ray ignores silently."""
    from cluster.app import check_models
    from cluster.config.validate import check_file
    from cluster.costs.storage.shard_files import refuse_other_shards

    settings = check_file(file)
    refuse_other_shards(Path(settings.costs.journal_path), settings.costs.shards)
    for warning in check_models(settings):
        errors.print(labelled("retires soon", "yellow", warning))
    simulated = sorted(name for name, vendor in settings.vendors.items() if vendor.simulated)
    names = f"models: {', '.join(settings.model_names())}; simulated vendors: {', '.join(simulated) or 'none'}"
    print(keyless(f"{file}: ok; {names}"))


def check(
    config: Annotated[Path, typer.Argument(help="The Serve configuration.")] = Path(CONFIG),
    live: Annotated[bool, typer.Option("--live", help="Check simulated vendors as if they were live.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, max=120, help="Seconds for each vendor.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check each vendor's key, models, voice and quota, with the keys of this environment.

    Each configured model gets one request with the shape of production's; its cost is shown. The exit status is 1
    when something needed is missing.
    """
    from cluster.check.command import check_all, show
    from cluster.config.validate import check_file

    checked = check_all(check_file(config), os.environ, live, timeout_s)
    show(checked, Console() if sys.stdout.isatty() else Console(width=200), as_json)
    raise typer.Exit(1 if any(vendor.missing for vendor in checked) else 0)


def route_eval(
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines with prompt, weak_correct, strong_correct.")],
    share: Annotated[float, typer.Option(min=0.01, max=0.99, help="Share of the strong model to hold.")] = 0.3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure the complexity scorer on labelled prompts, beside length, chance and the oracle.

    The gap is the share of prompts that only the strong model answers correctly. APGR: the mean part of the gap
    recovered over all shares of strong calls (chance: 0.5). CPT50: the smallest share that recovers half of the gap.
    The oracle sees the labels and goes beyond 1: it keeps the prompts that only the weak model answers correctly.
    """
    from cluster.cli.route_eval import evaluate_file, show

    show(evaluate_file(file, share), Console(), as_json)


def frame_eval(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="JPEGs, and labels.jsonl beside them.")],
    config: Annotated[Path, typer.Option(help="The Serve configuration.")] = Path(CONFIG),
    model: Annotated[list[str] | None, typer.Option(help="Ask this model only; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Ask the configured vision models about labelled frames: accuracy, cost and latency of each.

    A line of labels.jsonl is {"file": "00001.jpeg", "expects": ["Total 718"]}, with a "question" where the configured
    prompt is not to be sent. A frame is right where the answer holds every expected text. Vendors are paid for it.
    """
    import asyncio

    from cluster.cli.frame_eval import evaluate_models, show, vision_models
    from cluster.cli.frame_labels import read_frame_labels
    from cluster.config.validate import check_file

    settings, frames = check_file(config), read_frame_labels(directory)
    scores = asyncio.run(evaluate_models(settings, frames, vision_models(settings, model or ())))
    show(scores, Console() if sys.stdout.isatty() else Console(width=140), as_json)


def models(
    config: Annotated[Path | None, typer.Option(help="A Serve configuration with further models.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show every model of the catalogue: its tier, its price, its last day and its successor."""
    import datetime as dt

    from cluster.cli.models import show
    from cluster.config.validate import check_file
    from routing.catalogue import load_catalogue

    catalogue = load_catalogue() if config is None else check_file(config).catalogue()
    # A pipe has no width, and rich would fold names, which then cannot be searched for.
    console = Console() if sys.stdout.isatty() else Console(width=140)
    show(catalogue, dt.datetime.now(dt.UTC).date(), console, as_json)


def reference(context: typer.Context) -> None:
    """Print docs/reference.md: every command, setting, environment variable and route."""
    from cluster.cli.reference.page import reference as page

    print(page(context.find_root().command), end="")


def metrics() -> None:
    """Print docs/metrics.md: every metric with its kind, its labels and its meaning."""
    from routing.telemetry.metrics import reference_page

    print(reference_page(), end="")


def top(
    metrics: Annotated[list[str] | None, typer.Option(help="A metrics URL of a node or of `rayroom dispatch`.")] = None,
    dashboard: Annotated[str, typer.Option(help="Ray's dashboard, which lists the nodes.")] = "http://127.0.0.1:8265",
    every_s: Annotated[float, typer.Option("--every", min=1, max=60, help="Seconds between two looks.")] = 5.0,
    once: Annotated[bool, typer.Option("--once", help="Print one overview and end.")] = False,
) -> None:
    """Show the rooms, tiers, models, replicas and spend of a running app, until Ctrl-C.

    Ray's metrics change every ten seconds by default (RAY_metrics_report_interval_ms). --metrics may be repeated.
    """
    import asyncio
    from contextlib import suppress

    from cluster.cli.top.command import show_top

    console = Console() if sys.stdout.isatty() else Console(width=140)
    with suppress(KeyboardInterrupt):
        asyncio.run(show_top(metrics or (), dashboard, every_s, console, once))


def parked(
    config: Annotated[Path, typer.Option(help="The Serve configuration that names the journal.")] = Path(CONFIG),
    tenant: Annotated[str | None, typer.Option(help="Only the windows of this tenant.")] = None,
    resend: Annotated[bool, typer.Option("--resend", help="Send the parked windows again, with their ids.")] = False,
    forget: Annotated[bool, typer.Option("--forget-duplicates", help="Take the duplicates off the list.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the cost windows that the backend does not hold as sent: parked ones, and unexpected duplicates.

    A parked window was refused for longer than `costs.park_after_s`. A duplicate was known to the backend before it was
    sent first, so its amount may be missing there. Run it on the head node; it works beside a running aggregator, whose
    next round sends the windows of `--resend`. The exit status is 1 while the list is not empty.
    """
    from cluster.cli import parked as command
    from cluster.config.validate import check_file

    journal = Path(check_file(config).costs.journal_path)
    if resend or forget:
        print(command.change(journal, tenant, resend, forget))
    listed = command.read(journal, tenant)
    command.show(listed, Console() if sys.stdout.isatty() else Console(width=200), as_json)
    raise typer.Exit(1 if listed else 0)


def restore(
    backup: Annotated[Path, typer.Argument(help="A backup of the journal.", exists=True, dir_okay=False)],
    config: Annotated[Path, typer.Option(help="The Serve configuration that names the journal.")] = Path(CONFIG),
    shard: Annotated[int, typer.Option(help="The shard of `costs.shards` that the backup is of.", min=0)] = 0,
) -> None:
    """Put a backup in the place of a lost cost journal, on the head node and with the app stopped.

    Costs that were open or unsealed when the backup was made are not billed again: the lost journal sent them in the
    seconds after it. `rayroom reconcile` compares the result with the backend.
    """
    from cluster.config.validate import check_file
    from cluster.costs.storage.backup import restore as restore_journal
    from cluster.costs.storage.shard_files import shard_path
    from routing.billing.money import dollars

    journal = shard_path(Path(check_file(config).costs.journal_path), shard)
    costs = restore_journal(backup, journal, time.time())
    print(f"{journal} is restored. The lost journal has billed these costs, which this one does not bill:")
    print(f"  {costs.unsealed} settled and not sealed, {dollars(costs.unsealed_nanousd)}")
    print(f"  {costs.open_events} open, estimated at {dollars(costs.open_estimate_nanousd)}")


Exports = list[Path] | None


def reconcile(
    config: Annotated[Path, typer.Option(help="The Serve configuration that names the journal.")] = Path(CONFIG),
    openai: Annotated[Exports, typer.Option(help="OpenAI's usage or costs: JSON pages, or CSV.")] = None,
    anthropic: Annotated[Exports, typer.Option(help="Anthropic's usage or cost report: JSON pages.")] = None,
    google: Annotated[Exports, typer.Option(help="Google Cloud's billing export: JSON or CSV.")] = None,
    deepgram: Annotated[Exports, typer.Option(help="Deepgram's usage or billing breakdown: JSON.")] = None,
    elevenlabs: Annotated[Exports, typer.Option(help="ElevenLabs' characters by model: JSON.")] = None,
    backend_export: Annotated[Path | None, typer.Option(help="The backend's cost events: JSON or CSV.")] = None,
    since: Annotated[str | None, typer.Option(help="From this UTC day on.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to the beginning of this UTC day.")] = None,
    tolerance: Annotated[str, typer.Option(help="The percentage by which a vendor's amount may differ.")] = "0",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Compare the journal with the backend window by window, and with the vendors' reports by day and model.

    A vendor's option may be given several times: with usage and costs, or with several pages. Days are compared from
    the first to the last of its files, by the time of the vendor call. Rows that cannot be read are named. The exit
    status is 1 for a window that differs, for an amount beyond the tolerance, and for a row that cannot be read.
    """
    from cluster.cli import reconcile as command
    from cluster.config.validate import check_file
    from routing.billing.bill import parse_query

    query, percent = parse_query((), None, since, until), _percentage(tolerance)
    exports = {
        "openai": openai or (),
        "anthropic": anthropic or (),
        "gemini": google or (),
        "deepgram": deepgram or (),
        "elevenlabs": elevenlabs or (),
    }
    done = command.reconcile(check_file(config), query, exports, backend_export, percent)
    command.show(done, Console() if sys.stdout.isatty() else Console(width=200), as_json)
    raise typer.Exit(0 if done.within else 1)


def _percentage(text: str) -> Decimal:
    try:
        if 0 <= (percent := Decimal(text)) <= 100:
            return percent
    except InvalidOperation:
        # No number, and NaN in the comparison.
        pass
    raise BadInput(f"--tolerance: {text[:20]!r} is no percentage from 0 to 100.", "tolerance")
