"""The commands of the laboratory: demo, load tests, emulator, simulator. Each imports the laboratory when it runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cluster.cli.product import CONFIG
from cluster.cli.requirements import check_demo


def demo(
    seconds: Annotated[float, typer.Option(min=5, max=3_600, help="How long the rooms stay open.")] = 45.0,
    rooms: Annotated[int, typer.Option(min=1, max=20, help="Rooms that share screens; one more room talks.")] = 5,
    directory: Annotated[Path, typer.Option(help="The directory that the run is written to.")] = Path(".demo"),
) -> None:
    """Run real rooms against simulated models on this machine, and reconcile the bill."""
    check_demo(Path.cwd())
    from cluster.lab.demo.command import run_demo

    raise typer.Exit(run_demo(seconds=seconds, rooms=rooms, directory=directory))


def compare(
    one: Annotated[Path, typer.Argument(metavar="A", help="The directory of a run.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="The directory of another.")],
    out: Annotated[Path, typer.Option(help="Where the comparison is written.")] = Path("comparison.html"),
) -> None:
    """Compare two runs in the terminal and in one HTML file: verdicts, figures with differences, charts."""
    from cluster.lab.report.comparison import compare as compare_runs

    console = Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=140)
    print(f"left in {compare_runs(one, other, out, console)}")


def load(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one.")],
    url: Annotated[str | None, typer.Option(help="The URL of a running app; without it one is started here.")] = None,
    key_env: Annotated[
        str, typer.Option("--agent-key-env", help="The environment variable with that app's agent key.")
    ] = "RAYROOM_AGENT_KEYS",
    keys: Annotated[Path, typer.Option(help="The file with its keys otherwise.")] = Path(".rayroom/keys.env"),
    metrics: Annotated[
        list[str] | None, typer.Option(help="Prometheus endpoints of that app's nodes, to watch its replicas.")
    ] = None,
    config: Annotated[Path, typer.Option(help="The configuration of the app started here.")] = Path(CONFIG),
    replay: Annotated[
        bool, typer.Option("--replay", help="Send recorded frames: the driver costs next to nothing.")
    ] = False,
    webrtc: Annotated[int, typer.Option(min=0, max=50, help="Real LiveKit rooms beside the synthetic ones.")] = 0,
    find_max: Annotated[
        bool, typer.Option("--find-max", help="Search for the largest number of rooms that holds the targets.")
    ] = False,
    processes: Annotated[int | None, typer.Option(min=1, max=256, help="Processes of the driver.")] = None,
    ray_address: Annotated[
        str | None, typer.Option("--ray", help="Run the driver as tasks on the nodes of that app's Ray cluster.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the report goes; .rayroom/runs/NAME without it.")] = None,
) -> None:
    """Drive a scenario's rooms at an app, and report the outcome of their frames.

    The exit status is 0 when every target held, 1 when one did not, 2 for an error before the start.
    """
    from cluster.lab.load.command import run_load
    from cluster.lab.load.options import LoadOptions

    options = LoadOptions(
        scenario=scenario,
        command=shlex.join(["rayroom", *sys.argv[1:]]),
        url=url,
        key_env=key_env,
        keys=keys,
        metrics_urls=tuple(metrics or ()),
        config=config,
        replay=replay,
        webrtc=webrtc,
        processes=processes,
        ray_address=ray_address,
        out=out,
    )
    if find_max:
        from cluster.lab.load.find_max import run_search

        raise typer.Exit(run_search(options))
    raise typer.Exit(run_load(options))


def emulate(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Where to listen; 0 is any free port.")] = 9100,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(min=0, help="The speed-up over the vendors; 0 removes all waiting.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The seed of the latencies and the answers.")] = 7,
    answer_tokens: Annotated[int, typer.Option(min=1, max=32_000, help="Tokens of an answer.")] = 24,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="For each key and model.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(min=1, help="For each key and model.")] = None,
    concurrent: Annotated[int | None, typer.Option(min=1, help="Concurrent requests, for each key and model.")] = None,
    free: Annotated[int, typer.Option(min=0, help="Concurrent requests of a model at full speed.")] = 64,
    capacity: Annotated[int, typer.Option(min=1, help="Further requests that double the response time.")] = 64,
    most: Annotated[int | None, typer.Option(min=1, help="Concurrent requests at which a model is overloaded.")] = None,
    log: Annotated[int, typer.Option(min=1, help="The newest requests that the request log keeps.")] = 100_000,
    profiles: Annotated[str, typer.Option(metavar="JSON", help="Changes to the models' latency profiles.")] = "{}",
    senses: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Recognise text and speech, and synthesise it; FILE has phrases.",
        ),
    ] = None,
) -> None:
    """Serve the vendors' protocols on this machine, for tests and load without keys."""
    from cluster.cli.emulate import build_state, read_engines, read_profiles, run_emulator
    from cluster.lab.emulator import RateLimits, VendorLoad

    limits = RateLimits(
        requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute, concurrent=concurrent
    )
    load = VendorLoad(free=free, capacity=capacity, most=most)
    state = build_state(
        speed=speed,
        seed=seed,
        limits=limits,
        load=load,
        answer_tokens=answer_tokens,
        log_entries=log,
        profiles=read_profiles(profiles),
        engines=None if senses is None else read_engines(senses),
    )
    run_emulator(state, host, port, lambda line: print(line, flush=True))


def simulate_scenario(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one.")],
    policy: Annotated[str | None, typer.Option(help="ray, rooms-ahead, or module:attribute of a policy.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Replaces the scenario's seed.")] = None,
    out: Annotated[Path | None, typer.Option(help="The directory of the run.", show_default=False)] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value.")] = None,
    grid: Annotated[
        list[str] | None, typer.Option("--sweep", metavar="KEY=A..B|A,B,C", help="Try each value; A..B doubles.")
    ] = None,
    policies: Annotated[str | None, typer.Option("--compare", metavar="A,B", help="Policies, over --seeds.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="The number of seeds for --compare.")] = 5,
    processes: Annotated[int | None, typer.Option(min=1, help="Parallel processes; one a core by default.")] = None,
    config: Annotated[Path, typer.Option(help="The Serve configuration: its models, shares and limits.")] = Path(
        CONFIG
    ),
) -> None:
    """Run a scenario in virtual time under Ray's own autoscaler or another policy. Needs no cluster.

    A key is a path in the scenario (arrivals.rooms, scaling.vision.max_replicas), one of `scaling` alone
    (target_ongoing_requests: for vision and llm), or model.NAME for an assumption of the simulation.
    The exit status is 1 when a target was missed.
    """
    from cluster.lab.simulator.command import SimulateOptions, run_simulation

    options = SimulateOptions(
        scenario=scenario,
        config=config,
        command=" ".join(["rayroom", *sys.argv[1:]]),
        policy=policy,
        seed=seed,
        out=out,
        changes=tuple(changes or ()),
        grid=tuple(grid or ()),
        policies=policies,
        seeds=seeds,
        processes=processes,
    )
    raise typer.Exit(run_simulation(options, Console() if sys.stdout.isatty() else Console(width=140)))


def validate_runs(
    directories: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="Run directories of `rayroom load`.")],
    config: Annotated[Path, typer.Option(help="The Serve configuration the runs were made with.")] = Path(CONFIG),
) -> None:
    """Simulate live runs with their measured cold start and overhead, and compare the figures.

    The exit status is 1 when a figure is more than 10 % apart.
    """
    from cluster.lab.simulator.command import run_validation

    console = Console() if sys.stdout.isatty() else Console(width=140)
    raise typer.Exit(run_validation(directories, config, console))
