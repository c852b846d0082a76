"""Make one attempt at one model: the replica class of the three model deployments."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from ray.serve import metrics as serve_metrics

from deployments.call_recorder import CallRecorder
from deployments.common.instruments import Instruments, instrument_of
from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.common.streaming import coalesce
from deployments.providers.base import Provider
from deployments.providers.image_conversion import ImageConverter, need_conversion
from deployments.providers.registry import connect
from deployments.vendor_spans import describe_usage, vendor_span
from routing.catalogue import Catalogue, Model
from routing.errors import ConfigurationError
from routing.estimates import estimate_chat, estimate_embedding
from routing.models import Answer, CallRecords, Delta, EmbeddingResult, EmbedRequest, ModelRequest
from routing.process import configure_logs, freeze_startup_objects
from routing.retry import Deadline
from routing.telemetry.router_metrics import LOOP_TASKS, ROUTER_METRICS, SPANS_LOST
from routing.telemetry.trace_export import configure_tracing, flush_traces


class ModelReplica:
    """The vendors of one deployment, each connected once for the replica's life."""

    def __init__(
        self,
        vendors: dict[str, VendorSettings],
        simulation: SimulationSettings,
        catalogue: Catalogue,
        records: CallRecords | None = None,
        clock: Callable[[], float] = time.perf_counter,
        today: Callable[[], dt.date] = lambda: dt.datetime.now(dt.UTC).date(),
    ) -> None:
        configure_logs()
        self._calls = CallRecorder(catalogue, records, today)
        self._clock = clock
        self._catalogue = catalogue
        self._images = ImageConverter()
        self._providers: dict[str, Provider] = {
            name: connect(name, vendor, simulation) for name, vendor in vendors.items()
        }

    def warm_up(self) -> None:
        """Prepare every vendor's client, so that its first request is as fast as its second."""
        for provider in self._providers.values():
            provider.warm_up()

    async def answer(self, request: ModelRequest) -> Answer:
        """Return a whole answer with the seconds that its vendor took; raises ProviderError."""
        started_s = self._clock()
        provider, model = self._at(request.model)
        with (
            vendor_span("chat", model, request) as span,
            self._calls.call(model, request, estimate_chat(model, request)) as call,
        ):
            if need_conversion(request.messages, model.capabilities):
                request = await self._with_converted_images(model, request)
            answer = await provider.answer(model, request, call)
            describe_usage(span, answer.usage, answer.finish, answer.model)
        return replace(answer, vendor_s=self._clock() - started_s)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Yield an answer's deltas, the first with the seconds until it came; raises ProviderError."""
        started_s, begun = self._clock(), False
        provider, model = self._at(request.model)
        with (
            vendor_span("chat", model, request) as span,
            self._calls.call(model, request, estimate_chat(model, request)) as call,
        ):
            if need_conversion(request.messages, model.capabilities):
                request = await self._with_converted_images(model, request)
            # Closed here, not when it is collected: a cancelled reader must end the vendor's call at once.
            async with aclosing(coalesce(provider.stream(model, request, call))) as joined:
                async for delta in joined:
                    if not begun:
                        span.event("first token")
                    if delta.finish is not None or delta.usage is not None:
                        describe_usage(span, delta.usage, delta.finish)
                    yield delta if begun else replace(delta, vendor_s=self._clock() - started_s)
                    begun = True

    async def embed(self, request: EmbedRequest) -> EmbeddingResult:
        """Return one vector for each input; raises ProviderError."""
        provider, model = self._at(request.model)
        with (
            vendor_span("embeddings", model, request) as span,
            self._calls.call(model, request, estimate_embedding(request)) as call,
        ):
            if need_conversion(request.inputs, model.capabilities):
                deadline = Deadline.after(request.timeout_s, self._clock())
                inputs = await self._images.convert(request.inputs, model.capabilities, deadline, self._clock)
                request = replace(request, inputs=inputs, timeout_s=deadline.remaining_s(self._clock()))
            embeddings = await provider.embed(model, request, call)
            call.received.add_whole(embeddings.usage)
            describe_usage(span, embeddings.usage)
        return embeddings

    async def check_health(self) -> None:
        """Raise Overloaded if the thread that converts images is stuck: only a new replica has another one."""
        self._images.check()

    async def aclose(self) -> None:
        self._images.close()
        for provider in self._providers.values():
            await provider.aclose()

    async def _with_converted_images(self, model: Model, request: ModelRequest) -> ModelRequest:
        """Return the request with its images in formats that the model accepts, and the time left for the vendor."""
        deadline = Deadline.after(request.timeout_s, self._clock())
        messages = await self._images.convert(request.messages, model.capabilities, deadline, self._clock)
        return replace(request, messages=messages, timeout_s=deadline.remaining_s(self._clock()))

    def _at(self, name: str) -> tuple[Provider, Model]:
        """Return the vendor of a model, and the model; raises UnknownModel or ConfigurationError."""
        model = self._catalogue.get(name)
        if model.vendor not in self._providers:
            vendor = model.vendor
            raise ConfigurationError(f"vendors: {name} needs a row for {vendor}.", f"vendors.{vendor}")
        return self._providers[model.vendor], model


class ServedReplica(ModelReplica):
    """A model replica as Ray Serve starts and ends it; `vision`, `llm` and `embeddings` deploy this class."""

    def __init__(
        self,
        vendors: dict[str, VendorSettings],
        simulation: SimulationSettings,
        catalogue: Catalogue,
        records: CallRecords | None = None,
    ) -> None:
        super().__init__(vendors, simulation, catalogue, records)
        self.warm_up()
        self._instruments = _instruments()
        configure_tracing("rayroom-model-replica", partial(self._instruments.add_now, SPANS_LOST))
        self._records = records
        if records is not None:
            records.start()
        freeze_startup_objects()

    async def check_health(self) -> None:
        """Count the event loop's tasks, and raise Overloaded as above; Serve calls it every few seconds."""
        self._instruments.set(LOOP_TASKS, len(asyncio.all_tasks()))
        await super().check_health()

    async def ready(self) -> None:
        """Return at once: the call shows that a replica runs."""

    async def __del__(self) -> None:
        # Ray Serve awaits this when it stops the replica.
        await self.aclose()
        if self._records is not None:
            await self._records.aclose()
        await asyncio.to_thread(flush_traces)


def _instruments() -> Instruments:
    """Return the instruments of the metrics that a model replica shares with the routers; both begin at zero."""
    listed = [metric for metric in ROUTER_METRICS if metric.name in (SPANS_LOST, LOOP_TASKS)]
    return Instruments(listed, make=lambda metric: instrument_of(metric, serve_metrics))
