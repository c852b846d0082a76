"""The `rayroom` command: the list of its commands, and its exit on an error."""

from __future__ import annotations

import signal
import sys

import typer

from cluster.check.terminal import labelled
from cluster.cli import laboratory, product
from cluster.cli.requirements import missing_extra
from routing.errors import RayroomError
from routing.process import configure_logs

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
    from cluster.config.serve_env import CALM, FAST_PATH
    from cluster.config.validate import check_file

    check_file(config)
    # Serve reads these when it is imported, so they are set before it starts and inherited by all of Ray.
    os.environ.update({"RAY_AUTH_MODE": "disabled"} | CALM | os.environ | FAST_PATH)
    command = shutil.which("serve", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if command is None:
        errors.print("[red]The `serve` command of ray\\[serve] is not installed beside this one.[/red]")
        raise typer.Exit(1)
    os.execv(command, [command, "run", str(config)])


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="A Serve configuration.")] = Path(CONFIG)) -> None:
    """Check every key of a Serve configuration, rayroom's own and those Ray reads without complaint."""
    from cluster.app import check_models
    from cluster.config.validate import check_file

    settings = check_file(file)
    for warning in check_models(settings):
        errors.print(labelled("retires soon", "yellow", warning))
    simulated = sorted(name for name, vendor in settings.vendors.items() if vendor.simulated)
    names = f"models: {', '.join(settings.model_names())}; simulated vendors: {', '.join(simulated) or 'none'}"
    print(keyless(f"{file}: ok; {names}"))


@app.command()
def check(
    config: Annotated[Path, typer.Argument(help="The Serve configuration.")] = Path(CONFIG),
    live: Annotated[bool, typer.Option("--live", help="Check simulated vendors as if they were live.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, max=120, help="Seconds for each vendor.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Ask each vendor, with the keys of this environment, whether key, models, voice and quota will do.

    Nothing is bought but one embedding of one word. The exit status is 1 when something that is needed is missing.
    """
    from cluster.check.command import check_all, show
    from cluster.config.validate import check_file

    checked = check_all(check_file(config), os.environ, live, timeout_s)
    show(checked, Console() if sys.stdout.isatty() else Console(width=200), as_json)
    raise typer.Exit(1 if any(one.missing for one in checked) else 0)


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=5, max=3_600, help="How long the rooms stay open.")] = 45.0,
    rooms: Annotated[int, typer.Option(min=1, max=20, help="How many share screens; one more talks.")] = 5,
    directory: Annotated[Path, typer.Option(help="Where the run is left to be looked at.")] = Path(".demo"),
) -> None:
    """Run real rooms against simulated models on this machine, and reconcile the bill."""
    from cluster.lab.demo.command import run_demo

    raise typer.Exit(run_demo(seconds=seconds, rooms=rooms, directory=directory))


@app.command()
def compare(
    one: Annotated[Path, typer.Argument(metavar="A", help="The directory of a run.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="The directory of another.")],
    out: Annotated[Path, typer.Option(help="Where the comparison is written.")] = Path("comparison.html"),
) -> None:
    """Lay two runs side by side, in the terminal and in one HTML file: verdicts, figures with differences, charts."""
    from cluster.lab.report.comparison import compare as laid_side_by_side

    console = Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=140)
    print(f"left in {laid_side_by_side(one, other, out, console)}")


@app.command()
def load(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one.")],
    url: Annotated[str | None, typer.Option(help="An app that runs; without it one is started here.")] = None,
    key_env: Annotated[
        str, typer.Option("--agent-key-env", help="The variable with that app's agent key.")
    ] = "RAYROOM_AGENT_KEYS",
    keys: Annotated[Path, typer.Option(help="Or the file with its keys.")] = Path(".rayroom/keys.env"),
    metrics: Annotated[
        list[str] | None, typer.Option(help="Prometheus endpoints of that app's nodes, to watch its replicas.")
    ] = None,
    config: Annotated[Path, typer.Option(help="What the app started here is made from.")] = Path(CONFIG),
    replay: Annotated[
        bool, typer.Option("--replay", help="Send recorded frames: the driver costs next to nothing.")
    ] = False,
    webrtc: Annotated[int, typer.Option(min=0, max=50, help="Real LiveKit rooms beside the synthetic ones.")] = 0,
    find_max: Annotated[
        bool, typer.Option("--find-max", help="Search for the largest number of rooms that holds the targets.")
    ] = False,
    processes: Annotated[int | None, typer.Option(min=1, max=256, help="Of the driver.")] = None,
    ray_address: Annotated[
        str | None, typer.Option("--ray", help="Run the driver as tasks on the nodes of that app's Ray cluster.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the report goes; .rayroom/runs/NAME without it.")] = None,
) -> None:
    """Drive a scenario's rooms at an app, and report what became of their frames.

    The exit status is 0 when every target held, 1 when one did not, 2 when something is wrong before it begins.
    """
    from cluster.lab.load.command import LoadOptions, run_load

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


@app.command("route-eval")
def route_eval(
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines with prompt, weak_correct, strong_correct.")],
    share: Annotated[float, typer.Option(min=0.01, max=0.99, help="Share of the strong model to hold.")] = 0.3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure the complexity scorer on labelled prompts, beside length, chance and the oracle.

    The gap is what the strong model gets right beyond the weak one. APGR: the mean part of the gap recovered over all
    shares of strong calls (chance: 0.5). CPT50: the smallest share that recovers half of the gap.
    The oracle knows the labels, so it goes beyond 1: it keeps what only the weak model gets right.
    """
    from cluster.cli.route_eval import evaluate_file, show

    show(evaluate_file(file, share), Console(), as_json)


@app.command()
def models(
    config: Annotated[Path | None, typer.Option(help="A Serve configuration that has models of its own.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show every model of the catalogue: its tier, its price, its last day and its successor."""
    import datetime as dt

    from cluster.cli.models import show
    from cluster.config.validate import check_file
    from routing.catalogue import load_catalogue

    catalogue = load_catalogue() if config is None else check_file(config).catalogue()
    # A pipe has no width of its own, and a folded name is not one that can be searched for.
    console = Console() if sys.stdout.isatty() else Console(width=140)
    show(catalogue, dt.datetime.now(dt.UTC).date(), console, as_json)


@app.command()
def emulate(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Where to listen; 0 is any free port.")] = 9100,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(min=0, help="How much faster than the vendors; 0 is no waiting.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same times and answers.")] = 7,
    answer_tokens: Annotated[int, typer.Option(min=1, max=32_000, help="How long an answer is.")] = 24,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="For each key and model.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(min=1, help="For each key and model.")] = None,
    concurrent: Annotated[int | None, typer.Option(min=1, help="At once, for each key and model.")] = None,
    free: Annotated[int, typer.Option(min=0, help="How many a model serves at full speed.")] = 64,
    capacity: Annotated[int, typer.Option(min=1, help="How many more double the time it takes.")] = 64,
    most: Annotated[int | None, typer.Option(min=1, help="How many a model takes before it is overloaded.")] = None,
    profiles: Annotated[str, typer.Option(metavar="JSON", help="What of a model's latency is otherwise.")] = "{}",
    senses: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read, hear and speak; FILE has the phrases to hear, one a line."),
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
        profiles=read_profiles(profiles),
        engines=None if senses is None else read_engines(senses),
    )
    run_emulator(state, host, port, lambda line: print(line, flush=True))


@app.command("simulate")
def simulate_scenario(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one.")],
    policy: Annotated[str | None, typer.Option(help="ray, rooms-ahead, or module:attribute of a policy.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the scenario's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the run is kept.", show_default=False)] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key otherwise.")] = None,
    grid: Annotated[
        list[str] | None, typer.Option("--sweep", metavar="KEY=A..B|A,B,C", help="Try each value; A..B doubles.")
    ] = None,
    policies: Annotated[str | None, typer.Option("--compare", metavar="A,B", help="Policies, over --seeds.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="How many, for --compare.")] = 5,
    processes: Annotated[int | None, typer.Option(min=1, help="At once; as many as there are cores.")] = None,
    config: Annotated[Path, typer.Option(help="The Serve configuration: its models, shares and limits.")] = Path(
        CONFIG
    ),
) -> None:
    """Run a scenario in virtual time, with Ray's own autoscaler or another policy deciding. Needs no cluster.

    A key is a path in the scenario (arrivals.rooms, scaling.vision.max_replicas), one of `scaling` alone
    (target_ongoing_requests: for vision and llm), or model.NAME for what the simulation takes for granted.
    The exit status is 1 when a target was missed.
    """
    from cluster.lab.simulator.command import SimulateOptions, run_simulation

    asked = SimulateOptions(
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
    raise typer.Exit(run_simulation(asked, Console() if sys.stdout.isatty() else Console(width=140)))


@app.command("validate")
def validate_runs(
    directories: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="What `rayroom load` has kept.")],
    config: Annotated[Path, typer.Option(help="The Serve configuration the runs were made with.")] = Path(CONFIG),
) -> None:
    """Simulate what was run live, with the cold start and the overhead it showed, and compare the figures.

    The exit status is 1 when a figure is more than 10 % apart.
    """
    from cluster.lab.simulator.command import run_validation

    console = Console() if sys.stdout.isatty() else Console(width=140)
    raise typer.Exit(run_validation(directories, config, console))


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
