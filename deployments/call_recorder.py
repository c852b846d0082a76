"""Record each vendor call of a model replica twice: as its request leaves, and when it has ended."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from deployments.providers.vendor_call import VendorCall
from routing.billing.charges import Charge, Tariff
from routing.billing.usage_means import UsageHistory
from routing.catalogue import Catalogue, Model
from routing.errors import ProviderError
from routing.models import CallRecord, CallRecords, EmbedRequest, ModelRequest, Usage

log = structlog.get_logger()


class CallRecorder:
    """The second witness of each attempt: the router may die, or lose this replica, before it settles."""

    def __init__(
        self,
        catalogue: Catalogue,
        records: CallRecords | None,
        today: Callable[[], dt.date],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`records` is None where nobody collects them, as in a check of the configuration."""
        self._clock = clock
        self._catalogue = catalogue
        self._records = records
        self._today = today
        self._history = UsageHistory()

    @contextmanager
    def call(self, model: Model, request: ModelRequest | EmbedRequest, most: Usage) -> Iterator[VendorCall]:
        """Yield the call of one attempt; its end is recorded however it ends, and its error carries the usage.

        `most` is the largest possible usage of the request.
        """
        tariff = Tariff(
            price=self._catalogue.price(model.name, self._today()),
            most=most,
            requested_tier=request.options.service_tier if isinstance(request, ModelRequest) else None,
            means=self._history.means(model.name, most),
        )
        call = VendorCall(lambda: self._add(request, False, tariff.expected()), self._clock)
        ended: BaseException | None = None
        try:
            yield call
        except BaseException as error:
            ended = error
            raise
        finally:
            charge = tariff.charge(call.received, ended, streamed=True, left=call.sent)
            if isinstance(ended, ProviderError):
                ended.spent = charge.usage
                log.warning("vendor call failed", vendor=model.vendor, model=model.name, error=ended.code)
            elif call.received.usage is not None:
                received = call.received
                self._history.add(model.name, most, received.text_bytes, call.received.usage, received.bytes_per_s)
            self._add(request, True, charge)

    def _add(self, request: ModelRequest | EmbedRequest, ended: bool, charge: Charge) -> None:
        if self._records is None or not request.event_id:
            return
        self._records.add(
            CallRecord(
                event_id=request.event_id,
                ended=ended,
                cost_nanousd=charge.cost_nanousd,
                estimated=charge.estimated,
                usage=charge.usage,
                tenant_id=request.tenant_id,
            )
        )
