"""Asks each vendor what an account may use, as cheaply as its own SDK can. Decides nothing and prints nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from deployments.providers.failures import Reply, to_ours
from deployments.vectors import check_vectors
from routing.catalogue import Model
from routing.errors import ProviderError, ProviderRefused
from routing.messages import EmbedAsk, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom to ask, with which key, and what the configuration will want of it."""

    api: str
    key: str = field(repr=False)
    base_url: str | None = None
    api_version: str | None = None
    models: tuple[Model, ...] = ()
    voices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a vendor said: which models and voices it knows, and what is left to spend where it tells."""

    models: dict[str, bool]
    voices: dict[str, bool] = field(default_factory=dict)
    left: float | None = None
    unit: str = ""


@dataclass(slots=True)
class Watch:
    """Takes the time of a vendor's first answer: later ones go over a connection that is open."""

    clock: Callable[[], float] = time.monotonic
    started_s: float = field(init=False)
    first_s: float | None = None

    def __post_init__(self) -> None:
        self.started_s = self.clock()

    def answered(self) -> None:
        if self.first_s is None:
            self.first_s = self.clock() - self.started_s


Ask = Callable[[Account, Watch], Awaitable[Said]]


async def ask(asked: Ask, account: Account, watch: Watch, timeout_s: float) -> Said:
    """Return what the vendor says within `timeout_s`; raises ProviderError, which holds nothing of its answer."""
    try:
        async with asyncio.timeout(timeout_s):
            return await asked(account, watch)
    except Exception as error:
        ours = to_ours(error, "connect", _reply)
        if "vendor_status" in ours.facts:
            watch.answered()
        raise ours from None


def load(api: str) -> Ask:
    """Return what asks a vendor, its SDK imported, which takes seconds; raises ImportError without it."""
    return _LOADERS[api]()


def _openai() -> Ask:
    import openai

    async def asked(account: Account, watch: Watch) -> Said:
        async with openai.AsyncOpenAI(api_key=account.key, base_url=account.base_url, max_retries=0) as client:
            return await _one_by_one(account, watch, client.models.retrieve, client.models.list)

    return asked


def _anthropic() -> Ask:
    import anthropic

    async def asked(account: Account, watch: Watch) -> Said:
        async with anthropic.AsyncAnthropic(api_key=account.key, base_url=account.base_url, max_retries=0) as client:
            return await _one_by_one(account, watch, client.models.retrieve, client.models.list)

    return asked


def _gemini() -> Ask:
    from google import genai
    from google.genai import types

    from deployments.providers.sessions import Session

    async def asked(account: Account, watch: Watch) -> Said:
        session = Session()
        options = types.HttpOptions(
            base_url=account.base_url,
            api_version=account.api_version,
            retry_options=types.HttpRetryOptions(attempts=1),
            aiohttp_client=session.get(),
        )
        models = genai.Client(api_key=account.key, http_options=options).aio.models
        try:
            return await _one_by_one(account, watch, lambda name: models.get(model=name), models.list)
        finally:
            await session.aclose()

    return asked


def _voyage() -> Ask:
    from deployments.providers.voyage import VoyageProvider

    async def asked(account: Account, watch: Watch) -> Said:
        provider = VoyageProvider(account.key, account.base_url)

        async def embeds(model: Model) -> bool:
            asked = EmbedAsk(model=model.name, inputs=(Message(role="user", text="ping"),))
            try:
                vectors = await provider.embed(model, asked)
            except ProviderRefused:
                watch.answered()
                return False
            watch.answered()
            check_vectors(model, vectors, 1)
            return True

        try:
            return Said(models={model.name: await embeds(model) for model in account.models})
        finally:
            await provider.aclose()

    return asked


def _deepgram() -> Ask:
    import httpx
    from deepgram import AsyncDeepgramClient
    from deepgram.environment import DeepgramClientEnvironment

    async def asked(account: Account, watch: Watch) -> Said:
        root = account.base_url or "https://api.deepgram.com"
        places = DeepgramClientEnvironment(base=root, production=root.replace("http", "ws", 1), agent="", agent_rest="")
        async with httpx.AsyncClient() as http:
            client = AsyncDeepgramClient(api_key=account.key, environment=places, httpx_client=http, max_retries=0)
            projects = (await client.manage.v1.projects.list()).projects or []
            watch.answered()
            if not projects:
                raise ProviderError("The key belongs to no project.")
            project = str(projects[0].project_id)
            models = await client.manage.v1.projects.models.list(project)
            balances = await _if_allowed(client.manage.v1.projects.billing.balances.list(project))
        names = {str(name) for row in models.stt or [] for name in (row.canonical_name, row.name) if name}
        rows = [row for row in (balances and balances.balances) or [] if row.amount is not None]
        left = sum(row.amount for row in rows) if rows else None
        known = _among(names, account.models)
        return Said(models=known, left=left, unit=str(rows[0].units) if rows else "")

    return asked


def _elevenlabs() -> Ask:
    import httpx
    from elevenlabs.client import AsyncElevenLabs
    from elevenlabs.core.request_options import RequestOptions

    once = RequestOptions(max_retries=0)

    async def asked(account: Account, watch: Watch) -> Said:
        root = account.base_url or "https://api.elevenlabs.io"
        async with httpx.AsyncClient() as http:
            client = AsyncElevenLabs(api_key=account.key, base_url=root, httpx_client=http)
            models = await client.models.list(request_options=once)
            watch.answered()
            voices = await client.voices.get_all(request_options=once)
            # A key may be made for speech alone.
            plan = await _if_allowed(client.user.subscription.get(request_options=once))
        voice_ids = {voice.voice_id for voice in voices.voices}
        return Said(
            models=_among({model.model_id for model in models if model.can_do_text_to_speech}, account.models),
            voices={voice: voice in voice_ids for voice in account.voices},
            left=None if plan is None else plan.character_limit - plan.character_count,
            unit="characters",
        )

    return asked


_LOADERS: dict[str, Callable[[], Ask]] = {
    "openai": _openai,
    "openai-compatible": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "voyage": _voyage,
    "deepgram": _deepgram,
    "elevenlabs": _elevenlabs,
}


async def _one_by_one(
    account: Account,
    watch: Watch,
    get: Callable[[str], Awaitable[Any]],
    every: Callable[[], Awaitable[Any]],
) -> Said:
    """Ask for each model by its name, for a list knows no aliases; where none is wanted, ask for the list."""
    if not account.models:
        await every()
        watch.answered()
    return Said(models={model.name: await _is_there(get, model.vendor_name, watch) for model in account.models})


async def _is_there(get: Callable[[str], Awaitable[Any]], name: str, watch: Watch) -> bool:
    try:
        await get(name)
    except Exception as error:
        if status_of(error) != 404:
            raise
        watch.answered()
        return False
    watch.answered()
    return True


async def _if_allowed(call: Awaitable[Any]) -> Any:
    """Return what `call` returns, or None where the key may not ask it."""
    try:
        return await call
    except Exception as error:
        if status_of(error) not in (401, 403):
            raise
        return None


def _among(names: Iterable[str], models: Iterable[Model]) -> dict[str, bool]:
    known = set(names)
    return {model.name: model.vendor_name in known for model in models}


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status in an error of any of the SDKs, or None where there is none."""
    values = (getattr(error, name, None) for name in ("status_code", "http_status", "code"))
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)


def _reply(error: Exception) -> Reply | None:
    status = status_of(error)
    return None if status is None else Reply(status=status, codes=(*_reasons(getattr(error, "details", None)),))


def _reasons(details: Any) -> Iterator[str]:
    """Yield the reasons in Google's details: it answers a wrong key as it does a wrong request."""
    if isinstance(details, dict):
        if isinstance(details.get("reason"), str):
            yield details["reason"]
        for value in details.values():
            yield from _reasons(value)
    elif isinstance(details, list):
        for value in details:
            yield from _reasons(value)
