"""An invalid setting is rejected with its key, its value and the allowed values."""

from __future__ import annotations

import copy
import datetime as dt
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.app import check
from cluster.config.settings import parse_settings
from cluster.config.validate import check_file
from routing.capabilities import effort_of, refused_options
from routing.catalogue import load_catalogue
from routing.chat import ChatOptions
from routing.errors import ConfigurationError
from routing.models import Usage

ROOT = Path(__file__).parents[4]
SHIPPED = yaml.safe_load((ROOT / "serve_config.yaml").read_text())


def args(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = copy.deepcopy(SHIPPED["applications"][0]["args"])
    for path, value in changes.items():
        *parts, last = path.split("__")
        inner = arguments
        for part in parts:
            inner = inner[part]
        inner[last] = value
    return arguments


def test_the_shipped_configuration_is_valid() -> None:
    settings = check_file(ROOT / "serve_config.yaml")
    check(settings)
    assert "gpt-6-luna" in settings.model_names()


def test_a_webhook_without_its_signing_key_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYROOM_WEBHOOK_KEY", raising=False)
    settings = parse_settings(args(costs__alert_webhook={"url": "https://hook.example"}))
    with pytest.raises(ConfigurationError, match=r"costs\.alert_webhook\.key_env: RAYROOM_WEBHOOK_KEY"):
        check(settings)


INVALID = {
    "an unknown key": ({"costs__flush_evry_s": 3}, "args.costs.flush_evry_s", "flush_every_s"),
    "a time zone of nowhere": (
        {"backend__local_tenants__acme__time_zone": "Mars/Olympus"},
        "args.backend.local_tenants.acme.time_zone",
        "no IANA time zone",
    ),
    "a threshold above the budget": ({"costs__budget_alerts": [0.5, 1.5]}, "args.costs.budget_alerts.1", "1.5"),
    "a tenant's threshold of nothing": (
        {"backend__local_tenants__acme__budget_alerts": [0]},
        "args.backend.local_tenants.acme.budget_alerts.0",
        "greater than 0",
    ),
    "an unknown part": ({"cost": {}}, "args.cost", "costs"),
    "a share above one": ({"vision__threshold": 7}, "args.vision.threshold", "7"),
    "no model": ({"llm__simple": []}, "args.llm.simple", "at least 1"),
    "an unknown protocol": ({"vendors__openai__api": "smtp"}, "args.vendors.openai.api", "'smtp'"),
    "a router at zero": ({"scaling__router__min_replicas": 0}, "args.scaling.router.min_replicas", "0"),
    "bounds crossed": ({"scaling__vision__max_replicas": 1, "scaling__vision__min_replicas": 3}, "vision", "3"),
    "a backend that is no URL": ({"backend__url": "localhost"}, "args.backend.url", "'localhost'"),
    "a vendor that is no URL": ({"vendors__openai__base_url": "api.x.com"}, "vendors.openai.base_url", "'api.x.com'"),
    "a heartbeat too rare": ({"rooms__heartbeat_every_s": 20.5}, "args.rooms.heartbeat_every_s", "20.5"),
    "no heartbeat": ({"rooms__heartbeat_every_s": 0}, "args.rooms.heartbeat_every_s", "0"),
    "a negative time": ({"costs__flush_every_s": -1}, "args.costs.flush_every_s", "-1"),
    "a word for a number": ({"llm__attempts": "two"}, "args.llm.attempts", "'two'"),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_setting_is_named(name: str) -> None:
    changes: Any
    changes, key, expected = INVALID[name]
    with pytest.raises(ConfigurationError) as excinfo:
        parse_settings(args(**changes))
    assert key in excinfo.value.message and expected in excinfo.value.message


PASTED: dict[str, dict[str, Any]] = {
    "a key of its own": {"vendors__openai__api_key": "sk-live-123456"},
    "in the variable's place": {"vendors__openai__api_key_env": "sk-live-123456"},
    "under a name that says nothing": {"vendors__openai__api": "sk-live-123456"},
    "deep in a row that is not known": {"vendorz": {"openai": {"api_key": "live-123456"}}},
    "as a row": {"vendors__openai": "sk-live-123456"},
    "a password": {"backend__password": "live-123456"},
}


@pytest.mark.parametrize("name", PASTED)
def test_a_key_pasted_into_the_file_is_not_shown(name: str) -> None:
    with pytest.raises(ConfigurationError) as excinfo:
        parse_settings(args(**PASTED[name]))
    assert "live-123456" not in excinfo.value.message and excinfo.value.message.startswith("args.")


@pytest.mark.parametrize("key", ["api_key", "api_key_env"])
def test_a_pasted_key_is_answered_with_a_hint(key: str) -> None:
    with pytest.raises(ConfigurationError, match="Put the key in the environment; write its variable's name here"):
        parse_settings(args(**{f"vendors__openai__{key}": "sk-live-123456"}))


def test_a_token_limit_is_shown() -> None:
    with pytest.raises(ConfigurationError, match=r"max_output_tokens.*\(seen: 99999\)"):
        parse_settings(args(llm__max_output_tokens=99_999))


def test_every_invalid_setting_is_reported_at_once() -> None:
    with pytest.raises(ConfigurationError) as excinfo:
        parse_settings(args(vision__threshold=7, llm__threshold=-1))
    assert len(excinfo.value.message.splitlines()) == 2


def test_a_retired_model_is_rejected_with_its_successor() -> None:
    settings = parse_settings(args(llm__simple=["claude-3-5-sonnet"]))
    with pytest.raises(ConfigurationError, match="claude-sonnet-5-5"):
        check(settings)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"llm__complex": ["gpt-9"]}, "args.llm.complex: the model 'gpt-9' is not in models.toml. Known: "),
        ({"vision__simple": ["voyage-multimodal-3.5"]}, "args.vision.simple: voyage-multimodal-3.5 answers embeddings"),
    ],
)
def test_the_error_for_an_unusable_model_names_its_setting(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError) as excinfo:
        check(parse_settings(args(**changes)))
    assert excinfo.value.message.startswith(expected)


OWN_SERVER = {"api": "openai-compatible", "base_url": "http://127.0.0.1:8001/v1"}
OWN_MODEL = {
    "name": "llama-on-our-own",
    "vendor": "vllm",
    "services": ["llm"],
    "tier": "simple",
    "price": {"input_pico": 0, "output_pico": 0, "effective_from": "2026-01-01"},
}


def test_a_self_hosted_model_is_configured_by_a_row() -> None:
    server = OWN_SERVER | {"output_limit_field": "max_tokens"}
    settings = parse_settings(args(models=[OWN_MODEL], vendors__vllm=server, llm__simple=["llama-on-our-own"]))
    check(settings)
    price = settings.catalogue().price("llama-on-our-own", dt.date(2026, 11, 25))
    assert price.version == "llama-on-our-own@2026-01-01"
    assert price.cost_nanousd(Usage(input_tokens=9, cached_input_tokens=4, output_tokens=5)) == 0


def test_a_regional_address_charges_hundredths_of_the_listed_prices_but_not_of_the_accounts_own() -> None:
    own = {"model": "gpt-4o", "effective_from": "2026-11-01", "input_pico": 1_000_000, "output_pico": 1_000_000}
    catalogue = parse_settings(args(vendors__openai__price_percent=110, prices=[own])).catalogue()
    listed, usage = load_catalogue(), Usage(input_tokens=1_001, output_tokens=10)
    day = dt.date(2026, 11, 25)
    regional, plain = catalogue.price("gpt-6-luna", day), listed.price("gpt-6-luna", day)
    assert regional.cost_nanousd(usage) == round(plain.cost_nanousd(usage) * 1.1)
    assert regional.version == f"{plain.version}x110%"
    assert catalogue.price("gpt-4o", day).cost_nanousd(Usage(input_tokens=1_000)) == 1_000_000
    assert catalogue.price("claude-haiku-5-5", day) == listed.price("claude-haiku-5-5", day)


def test_an_accounts_price_is_configured_by_a_row() -> None:
    row = {"model": "nova-3", "effective_from": "2026-11-01", "audio_ms_pico": 70_000}
    settings = parse_settings(args(prices=[row]))
    check(settings)
    price = settings.catalogue().price("nova-3", dt.date(2026, 11, 25))
    assert price.cost_nanousd(Usage(audio_ms=60_000)) == 4_200_000


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"model": "nova-3", "effective_from": "2026-11-01", "audio_ms_pico": 0.5}, "args.prices.0.audio_ms_pico"),
        ({"model": "nova-3", "audio_ms_pico": 1}, "args.prices.0.effective_from"),
        ({"model": "nova-3", "effective_from": "2026-11-01", "usd": 1}, "args.prices.0.usd"),
        ({"model": "nova-9", "effective_from": "2026-11-01", "audio_ms_pico": 1}, "prices.0.model"),
    ],
)
def test_an_invalid_price_of_an_account_is_named(row: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError) as excinfo:
        check(parse_settings(args(prices=[row])))
    assert expected in excinfo.value.message


def test_a_self_hosted_model_gets_every_option_unless_its_row_states_rules() -> None:
    rules = {"options": ["tools", "temperature"], "prefill": False}
    thinking = {"efforts": ["none", "low"], "default": "low", "tokens": {"none": 0, "low": 256}}
    ruled = OWN_MODEL | {"name": "ruled", "capabilities": rules | {"thinking": thinking}, "image_tokens": 256}
    catalogue = parse_settings(args(models=[OWN_MODEL, ruled], vendors__vllm=OWN_SERVER)).catalogue()
    options = ChatOptions(stop=("x",), reasoning_effort="max", logit_bias={"1": 1.0})
    assert refused_options(catalogue.get("llama-on-our-own").capabilities, options) == ()
    assert refused_options(catalogue.get("ruled").capabilities, options) == ("stop", "logit_bias", "reasoning_effort")
    assert effort_of(catalogue.get("ruled").capabilities, ChatOptions()) == "none"


@pytest.mark.parametrize("key", ["prices", "models"])
def test_the_documented_rows_are_valid(key: str) -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    block = re.search(rf"^    {key}:\n(?:      .*\n)+", page, re.MULTILINE)
    assert block is not None
    settings = parse_settings(args(vendors__vllm=OWN_SERVER, **yaml.safe_load(textwrap.dedent(block[0]))))
    check(settings)
    assert getattr(settings, key)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"price": None}, "args.models.0.price"),
        ({"price": {"output_pico": 0}}, "args.models.0.price.effective_from"),
        ({"name": "gpt-4o"}, "the name gpt-4o is taken"),
        ({"successor": "nobody"}, "names the successor nobody: no such row"),
        ({"teir": "simple"}, "args.models.0.teir"),
        ({"capabilities": {"options": ["tool"]}}, "args.models.0.capabilities.options"),
        ({"capabilities": {"thinking": {"efforts": ["low"]}}}, "args.models.0.capabilities.thinking.default"),
        ({"image_tokens": {"rule": "tiles"}}, "args.models.0.image_tokens.tiles.base"),
    ],
)
def test_an_invalid_row_of_a_self_hosted_model_is_named(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError) as excinfo:
        check(parse_settings(args(models=[OWN_MODEL | changes])))
    assert expected in excinfo.value.message


def test_a_live_vendor_without_a_key_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    live = args(vendors__openai={"api": "openai", "api_key_env": "OPENAI_API_KEY", "simulated": False})
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        check(parse_settings(live))


def test_a_model_whose_vendor_has_no_row_is_rejected() -> None:
    arguments = args()
    del arguments["vendors"]["voyage"]
    with pytest.raises(ConfigurationError, match=r"voyage-multimodal-3\.5 needs a row named voyage"):
        check(parse_settings(arguments))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("port: 8000", "prot: 8000", "http_options.prot: unknown key"),
        ("log_level: WARNING", "log_level: LOUD", "logging_config.log_level"),
        ("route_prefix: /", "route_prefx: /", "applications.rayroom.route_prefx: unknown key"),
        ("import_path: cluster.app:build", "import_path: cluster.app:biuld", "import_path cluster.app:build (seen: 0)"),
        ("proxy_location: EveryNode", "proxy_location: Nowhere", "proxy_location"),
        ("port: 8000", "port: 99999", "http_options.port: must be a port (seen: 99999)"),
        (
            "import_path:",
            "deployments: [{name: llm, autoscaling_config: {min: 1}}]\n    import_path:",
            "config.min: unknown",
        ),
        (
            "import_path:",
            "deployments: [{name: llm, autoscaling_config: {target_ongoing_requests: -1}}]\n    import_path:",
            "applications.rayroom.deployments.llm.autoscaling_config.target_ongoing_requests",
        ),
        ("applications:", "applications: []\nrest:", "applications"),
    ],
)
def test_keys_that_ray_would_ignore_are_rejected(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = (ROOT / "serve_config.yaml").read_text()
    assert old in text
    file = tmp_path / "serve_config.yaml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as excinfo:
        check_file(file)
    assert expected in excinfo.value.message


def test_a_yaml_error_gives_its_position_without_the_line(tmp_path: Path) -> None:
    file = tmp_path / "serve_config.yaml"
    file.write_text("a: [\n  api_key: live-123456\n}: ")
    with pytest.raises(ConfigurationError, match="is not YAML: line 3, column 1") as excinfo:
        check_file(file)
    assert "live-123456" not in excinfo.value.message


def test_a_directory_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        check_file(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"), [("a: [", "is not YAML"), ("- a", "must be a mapping"), (None, "no such")]
)
def test_an_unreadable_configuration_is_rejected(tmp_path: Path, content: str | None, expected: str) -> None:
    file = tmp_path / "serve_config.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=expected):
        check_file(file)
