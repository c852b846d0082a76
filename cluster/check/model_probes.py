"""Asks each vendor what an account may use, as cheaply as its own SDK can. Decides nothing and prints nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from cluster.check.speech_probes import deepgram, elevenlabs
from cluster.check.types import Ask, ProbeResult, ProbeTimer, VendorAccount, status_of
from deployments.providers.embedding_check import check_vectors
from deployments.providers.errors import VendorResponse, to_ours
from deployments.providers.http_session import LIMITS, Session
from routing.catalogue import Model
from routing.errors import ProviderRefused, ProviderTruncated
from routing.models import EmbedRequest, Message

UNREADABLE = "The vendor's answer cannot be read:"


async def ask(asked: Ask, watch: ProbeTimer, timeout_s: float) -> ProbeResult:
    """Return what the vendor says within `timeout_s`; raises ProviderError, which holds nothing of its answer."""
    watch.start()
    try:
        async with asyncio.timeout(timeout_s):
            return await asked(watch)
    except Exception as error:
        ours = to_ours(error, "connect", _reply)
        if "vendor_status" in ours.facts or isinstance(ours, ProviderTruncated):
            watch.answered()
        raise ours from None


def load(account: VendorAccount) -> Ask:
    """Return what asks a vendor, its client made, whose SDK takes seconds to import.

    Raises ImportError without the SDK, ProviderError where no client can be made for the account.
    """
    make = _LOADERS[account.api]
    try:
        return make(account)
    except ImportError:
        raise
    except Exception as error:
        raise to_ours(error, "connect", _reply) from None


def _openai(account: VendorAccount) -> Ask:
    import openai

    http = openai.DefaultAioHttpClient(limits=LIMITS, follow_redirects=False)
    return _by_sdk(
        account, openai.AsyncOpenAI(api_key=account.key, base_url=account.base_url, max_retries=0, http_client=http)
    )


def _anthropic(account: VendorAccount) -> Ask:
    import anthropic

    http = anthropic.DefaultAioHttpClient(limits=LIMITS, follow_redirects=False)
    return _by_sdk(
        account,
        anthropic.AsyncAnthropic(api_key=account.key, base_url=account.base_url, max_retries=0, http_client=http),
    )


def _by_sdk(account: VendorAccount, client: Any) -> Ask:
    """Ask through a client of OpenAI's or Anthropic's, which are made alike."""

    async def asked(watch: ProbeTimer) -> ProbeResult:
        async with client:
            return await _one_by_one(account, watch, client.models.retrieve, client.models.list)

    return asked


def _gemini(account: VendorAccount) -> Ask:
    from google import genai
    from google.genai import types

    session = Session()
    options = types.HttpOptions(
        base_url=account.base_url,
        api_version=account.api_version,
        retry_options=types.HttpRetryOptions(attempts=1),
        aiohttp_client=session.get(),
    )
    models = genai.Client(api_key=account.key, vertexai=False, http_options=options).aio.models

    async def asked(watch: ProbeTimer) -> ProbeResult:
        try:
            return await _one_by_one(account, watch, lambda name: models.get(model=name), models.list)
        finally:
            await session.aclose()

    return asked


def _voyage(account: VendorAccount) -> Ask:
    from deployments.providers.voyage import VoyageProvider

    provider = VoyageProvider(account.key, account.base_url)

    async def embeds(model: Model, watch: ProbeTimer) -> bool:
        asked = EmbedRequest(model=model.name, inputs=(Message(role="user", text="ping"),))
        try:
            vectors = await provider.embed(model, asked)
        except ProviderRefused as error:
            # Voyage answers so for a model it does not know; nothing else of this request can be wrong.
            if error.facts.get("vendor_status") != 400:
                raise
            watch.answered()
            return False
        watch.answered()
        check_vectors(model, vectors, 1)
        return True

    async def asked(watch: ProbeTimer) -> ProbeResult:
        try:
            return ProbeResult(models={model.name: await embeds(model, watch) for model in account.models})
        finally:
            await provider.aclose()

    return asked


_LOADERS: dict[str, Callable[[VendorAccount], Ask]] = {
    "openai": _openai,
    "openai-compatible": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "voyage": _voyage,
    "deepgram": deepgram,
    "elevenlabs": elevenlabs,
}


async def _one_by_one(
    account: VendorAccount,
    watch: ProbeTimer,
    get: Callable[[str], Awaitable[Any]],
    every: Callable[[], Awaitable[Any]],
) -> ProbeResult:
    """Ask for each model by its name, for a list knows no aliases; where none is wanted, ask for the list."""
    if not account.models:
        listing = await every()
        watch.answered()
        if not _named(listing):
            raise ProviderTruncated(f"{UNREADABLE} it names no model.", phase="parse")
    return ProbeResult(
        models={model.name: await _is_there(get, every, model.vendor_name, watch) for model in account.models}
    )


async def _is_there(
    get: Callable[[str], Awaitable[Any]], every: Callable[[], Awaitable[Any]], name: str, watch: ProbeTimer
) -> bool:
    try:
        answer = await get(name)
    except Exception as error:
        if status_of(error) != 404:
            raise
        watch.answered()
        # A wrong path is not found either, and its list is not; some servers of one's own have a list only.
        return name in _named(await every())
    watch.answered()
    _name_of(answer)
    return True


def _named(listing: Any) -> list[str]:
    """Return the names in a vendor's list of models, or in its first page; raises ProviderTruncated."""
    rows = getattr(listing, "data", None) if hasattr(listing, "data") else getattr(listing, "page", None)
    if not isinstance(rows, list):
        raise ProviderTruncated(f"{UNREADABLE} it is no list of models.", phase="parse")
    return [_name_of(row).removeprefix("models/") for row in rows]


def _name_of(answer: Any) -> str:
    """Return the name a vendor gives a model; raises ProviderTruncated: an SDK takes a page of HTML for a model too."""
    name = getattr(answer, "id", None) or getattr(answer, "name", None)
    if not isinstance(name, str) or not name:
        raise ProviderTruncated(f"{UNREADABLE} it names no model.", phase="parse")
    return name


def _reply(error: Exception) -> VendorResponse | None:
    status = status_of(error)
    return (
        None if status is None else VendorResponse(status=status, codes=(*_reasons(getattr(error, "details", None)),))
    )


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
