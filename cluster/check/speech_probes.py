"""Query the speech vendors, through their own SDKs, for the models, voices and quota of an account."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any
from urllib.parse import quote

from cluster.check.types import Probe, ProbeResult, ProbeTimer, VendorAccount, status_of
from routing.catalogue import Model
from routing.errors import ProviderError, ProviderTruncated
from routing.vendor_keys import hide_keys

# ElevenLabs' codes in the `detail` of an error. A key limited to speech gets the first, with a bad key's status, 401.
_NOT_PERMITTED = "missing_permissions"
_NO_SUCH_VOICE = frozenset({"voice_not_found", "voice_does_not_exist", "invalid_uid"})


def deepgram(account: VendorAccount) -> Probe:
    import httpx
    from deepgram import AsyncDeepgramClient
    from deepgram.environment import DeepgramClientEnvironment

    root = account.base_url or "https://api.deepgram.com"
    environment = DeepgramClientEnvironment(
        base=root, production=root.replace("http", "ws", 1), agent="", agent_rest=""
    )
    http = httpx.AsyncClient()
    client = AsyncDeepgramClient(api_key=account.key, environment=environment, httpx_client=http, max_retries=0)
    manage = client.manage.v1.projects

    async def probe(timer: ProbeTimer) -> ProbeResult:
        async with http:
            projects = (await manage.list()).projects or []
            timer.mark_response()
            if not projects:
                raise ProviderError("The key belongs to no project.")
            project = str(projects[0].project_id)
            models = await manage.models.list(project)
            balances = await _if_allowed(manage.billing.balances.list(project))
        names = {name for row in models.stt or [] for name in _names(row)}
        rows = [row for row in (balances and balances.balances) or [] if row.amount is not None]
        balance = sum(row.amount for row in rows) if rows else None
        availability = _availability_of(names, account.models)
        return ProbeResult(models=availability, quota_left=balance, quota_unit=str(rows[0].units) if rows else "")

    return probe


def elevenlabs(account: VendorAccount) -> Probe:
    import httpx
    from elevenlabs.client import AsyncElevenLabs
    from elevenlabs.core.request_options import RequestOptions

    no_retries = RequestOptions(max_retries=0)
    http = httpx.AsyncClient()
    root = account.base_url or "https://api.elevenlabs.io"
    client = AsyncElevenLabs(api_key=account.key, base_url=root, httpx_client=http)
    # The SDK imports its resources at first use: import them here, before the timer starts.
    _ = client.models, client.voices, client.user.subscription

    async def probe(timer: ProbeTimer) -> ProbeResult:
        async with http:
            models = await _if_permitted(client.models.list(request_options=no_retries))
            timer.mark_response()
            # Their list omits legacy voices, and some voices of an account with very many: query each by its id.
            voices = {voice: await _voice_available(client, voice, no_retries) for voice in account.voices}
            plan = await _if_permitted(client.user.subscription.get(request_options=no_retries))
        return ProbeResult(
            models=_tts_models(models, account.models),
            voices=voices,
            quota_left=None if plan is None else plan.character_limit - plan.character_count,
            quota_unit="characters",
        )

    return probe


def _names(row: Any) -> set[str]:
    """Return the names of a Deepgram model: a general model also has the name of its architecture."""
    names = {row.name, row.canonical_name, row.architecture, str(row.canonical_name or "").removesuffix("-general")}
    return {str(name) for name in names if name}


def _tts_models(models: Any, configured: Iterable[Model]) -> dict[str, bool | None]:
    if models is None:
        return {model.name: None for model in configured}
    return dict(_availability_of({model.model_id for model in models if model.can_do_text_to_speech}, configured))


async def _voice_available(client: Any, voice: str, no_retries: Any) -> bool | None:
    """Return whether the account has a voice, or None when its key lacks the permission."""
    if hide_keys(voice) != voice:
        # The configured voice looks like a key, perhaps another vendor's: do not send it.
        return False
    try:
        voice_info = await _if_permitted(client.voices.get(quote(voice, safe=""), request_options=no_retries))
    except Exception as error:
        if status_of(error) not in (400, 404) or _NO_SUCH_VOICE.isdisjoint(_detail(error)):
            raise
        return False
    if voice_info is not None and getattr(voice_info, "voice_id", None) != voice:
        raise ProviderTruncated("The vendor's answer cannot be read: it names no voice.", phase="parse")
    return None if voice_info is None else True


async def _if_permitted(call: Awaitable[Any]) -> Any:
    """Return the result of `call`, or None when ElevenLabs accepts the key but not for this call."""
    try:
        answer = await call
    except Exception as error:
        if _NOT_PERMITTED not in _detail(error):
            raise
        return None
    if answer is None:
        raise ProviderTruncated("The vendor's answer cannot be read: it is empty.", phase="parse")
    return answer


def _detail(error: Exception) -> tuple[str, ...]:
    """Return the error codes in an error of ElevenLabs' SDK."""
    body = getattr(error, "body", None)
    detail = body.get("detail") if isinstance(body, dict) else None
    codes = (detail.get("status"), detail.get("code")) if isinstance(detail, dict) else ()
    return tuple(code for code in codes if isinstance(code, str))


async def _if_allowed(call: Awaitable[Any]) -> Any:
    """Return the result of `call`, or None when the key lacks the permission."""
    try:
        return await call
    except Exception as error:
        if status_of(error) not in (401, 403):
            raise
        return None


def _availability_of(names: Iterable[str], models: Iterable[Model]) -> dict[str, bool]:
    available = set(names)
    return {model.name: model.vendor_name in available for model in models}
