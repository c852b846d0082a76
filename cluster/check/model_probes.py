"""Query each vendor, through its own SDK and at the least cost, for the models of an account."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from cluster.check.speech_probes import deepgram, elevenlabs
from cluster.check.types import Probe, ProbeResult, ProbeTimer, VendorAccount, status_of
from deployments.providers.embedding_check import check_vectors
from deployments.providers.errors import VendorResponse, to_ours
from deployments.providers.http_session import LIMITS, Session
from routing.catalogue import Model
from routing.chat import Message
from routing.errors import ProviderRefused, ProviderTruncated
from routing.models import EmbedRequest

UNREADABLE = "The vendor's answer cannot be read:"


async def run_probe(probe: Probe, timer: ProbeTimer, timeout_s: float) -> ProbeResult:
    """Return the probe's result within `timeout_s`; raises ProviderError, which holds no text of the vendor."""
    timer.start()
    try:
        async with asyncio.timeout(timeout_s):
            return await probe(timer)
    except Exception as error:
        translated = to_ours(error, "connect", _reply)
        if "vendor_status" in translated.facts or isinstance(translated, ProviderTruncated):
            timer.mark_response()
        raise translated from None


def make_probe(account: VendorAccount) -> Probe:
    """Return a vendor's probe with its client constructed; importing the SDK takes seconds.

    Raises ImportError without the SDK, ProviderError when the account's values allow no client.
    """
    make = _PROBES[account.api]
    try:
        return make(account)
    except ImportError:
        raise
    except Exception as error:
        raise to_ours(error, "connect", _reply) from None


def _openai(account: VendorAccount) -> Probe:
    import openai

    http = openai.DefaultAioHttpClient(limits=LIMITS, follow_redirects=False)
    return _by_sdk(
        account, openai.AsyncOpenAI(api_key=account.key, base_url=account.base_url, max_retries=0, http_client=http)
    )


def _anthropic(account: VendorAccount) -> Probe:
    import anthropic

    http = anthropic.DefaultAioHttpClient(limits=LIMITS, follow_redirects=False)
    return _by_sdk(
        account,
        anthropic.AsyncAnthropic(api_key=account.key, base_url=account.base_url, max_retries=0, http_client=http),
    )


def _by_sdk(account: VendorAccount, client: Any) -> Probe:
    """Return a probe through an OpenAI or Anthropic client, which have the same interface."""

    async def probe(timer: ProbeTimer) -> ProbeResult:
        async with client:
            return await _probe_each(account, timer, client.models.retrieve, client.models.list)

    return probe


def _gemini(account: VendorAccount) -> Probe:
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

    async def probe(timer: ProbeTimer) -> ProbeResult:
        try:
            return await _probe_each(account, timer, lambda name: models.get(model=name), models.list)
        finally:
            await session.aclose()

    return probe


def _voyage(account: VendorAccount) -> Probe:
    from deployments.providers.voyage import VoyageProvider

    provider = VoyageProvider(account.key, account.base_url)

    async def embeds(model: Model, timer: ProbeTimer) -> bool:
        request = EmbedRequest(model=model.name, inputs=(Message(role="user", content=("ping",)),))
        try:
            vectors = await provider.embed(model, request)
        except ProviderRefused as error:
            # Voyage returns 400 for an unknown model; nothing else in this request can be wrong.
            if error.facts.get("vendor_status") != 400:
                raise
            timer.mark_response()
            return False
        timer.mark_response()
        check_vectors(model, vectors, 1)
        return True

    async def probe(timer: ProbeTimer) -> ProbeResult:
        try:
            return ProbeResult(models={model.name: await embeds(model, timer) for model in account.models})
        finally:
            await provider.aclose()

    return probe


_PROBES: dict[str, Callable[[VendorAccount], Probe]] = {
    "openai": _openai,
    "openai-compatible": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "voyage": _voyage,
    "deepgram": deepgram,
    "elevenlabs": elevenlabs,
}


async def _probe_each(
    account: VendorAccount,
    timer: ProbeTimer,
    get: Callable[[str], Awaitable[Any]],
    list_all: Callable[[], Awaitable[Any]],
) -> ProbeResult:
    """Query each model by its name, since a list omits aliases; without models, query the list."""
    if not account.models:
        page = await list_all()
        timer.mark_response()
        if not _model_names(page):
            raise ProviderTruncated(f"{UNREADABLE} it names no model.", phase="parse")
    return ProbeResult(
        models={model.name: await _exists(get, list_all, model.vendor_name, timer) for model in account.models}
    )


async def _exists(
    get: Callable[[str], Awaitable[Any]], list_all: Callable[[], Awaitable[Any]], name: str, timer: ProbeTimer
) -> bool:
    try:
        model = await get(name)
    except Exception as error:
        if status_of(error) != 404:
            raise
        timer.mark_response()
        # A wrong base_url also returns 404, but then the list raises. Some self-hosted servers have only a list.
        return name in _model_names(await list_all())
    timer.mark_response()
    _model_name(model)
    return True


def _model_names(page: Any) -> list[str]:
    """Return the names in a vendor's list of models, or in its first page; raises ProviderTruncated."""
    rows = getattr(page, "data", None) if hasattr(page, "data") else getattr(page, "page", None)
    if not isinstance(rows, list):
        raise ProviderTruncated(f"{UNREADABLE} it is no list of models.", phase="parse")
    return [_model_name(row).removeprefix("models/") for row in rows]


def _model_name(answer: Any) -> str:
    """Return the vendor's name of a model; raises ProviderTruncated: an SDK parses even an HTML page as a model."""
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
    """Yield the reasons in Google's error details: the status 400 alone does not distinguish a wrong key."""
    if isinstance(details, dict):
        if isinstance(details.get("reason"), str):
            yield details["reason"]
        for value in details.values():
            yield from _reasons(value)
    elif isinstance(details, list):
        for value in details:
            yield from _reasons(value)
