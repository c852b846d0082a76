"""All errors that a caller of rayroom can receive, in one tree.

RayroomError
├── BadInput                 the caller's request is wrong                 400
│   ├── NotAJpeg             the body is something else                    415
│   ├── TooLarge             bytes, pixels or tokens beyond the limit      413
│   ├── ContextTooLong       more tokens than the model takes              400
│   ├── UnknownParameter     the request has no such parameter             400
│   ├── UnsupportedOption    the model does not accept an option           400
│   ├── BodyTimeout          the body came too slowly                      408
│   ├── RequestRefused       the vendor rejects the request itself         400
│   ├── UnknownModel         no such row in the catalogue                  404
│   │   └── RetiredModel     the vendor has ended it; names its successor  410
│   └── RoomNameInvalid      outside tenant_{tenant_id}_{meeting_id}       400
├── Unauthorized             no key or token, or a bad one                 401
│   ├── ExpiredToken         the token's time is over                      401
│   └── RoomClosed           the token's room was closed                   401
├── Forbidden                a good token, for something else              403
│   └── TenantSuspended      this tenant is inactive in the backend        403
├── TenantUnknown            the backend has no such tenant                404
├── BudgetExceeded           the tenant's money is spent                   402
├── RateLimited              this tenant exceeds its request rate          429
├── Overloaded               every replica is busy                         503
├── CostsUnavailable         the cost journal did not answer in time       503
├── BackendError             the company's backend
│   ├── BackendUnavailable   no response, or a temporary failure           503
│   └── BackendRefused       it rejects our key or configuration           502
├── ToolUnknown              the room has no such tool                     404
├── ToolChanged              its source describes the tool otherwise now   409
├── ToolUnconfirmed          a tool that changes something, without a yes  403
├── ToolError                the source of a tool failed                   502
│   ├── ToolTimeout          it did not answer in time                     504
│   └── ToolAddressRefused   its address is not one that it may have       502
├── ProviderError            a vendor's attempt failed                     502
│   ├── ProviderTimeout      one of our timers expired                     504
│   ├── ProviderRateLimited  the vendor limits our request rate
│   ├── ProviderQuota        the vendor's credit is spent
│   ├── ProviderOverloaded   the vendor responds with 5xx or 529
│   ├── ProviderRefused      the vendor rejects the request itself         400
│   │   ├── ProviderContextTooLong  more tokens than the model takes       400
│   │   └── ProviderMisconfigured   its address or the model's name there  502
│   ├── ProviderAuth         the vendor rejects our key
│   ├── ProviderUnreachable  the connection broke
│   │   └── ProviderUnconnected  no connection was made: no request was sent
│   ├── ProviderTruncated    the answer ended without its finish marker
│   │   └── ThinkingExhausted  thinking took all of the output limit
│   └── ReplicaLost          the replica died with the request in it
└── ConfigurationError       a setting is wrong, reported at start         500
"""

from __future__ import annotations

from routing.errors.access import (
    BudgetExceeded,
    ExpiredToken,
    Forbidden,
    RateLimited,
    RoomClosed,
    TenantSuspended,
    TenantUnknown,
    Unauthorized,
)
from routing.errors.base import ConfigurationError, RayroomError
from routing.errors.providers import (
    ProviderAuth,
    ProviderContextTooLong,
    ProviderError,
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnconnected,
    ProviderUnreachable,
    ReplicaLost,
    ThinkingExhausted,
)
from routing.errors.requests import (
    BadInput,
    BodyTimeout,
    ContextTooLong,
    NotAJpeg,
    RequestRefused,
    RetiredModel,
    RoomNameInvalid,
    TooLarge,
    UnknownModel,
    UnknownParameter,
    UnsupportedOption,
)
from routing.errors.services import BackendError, BackendRefused, BackendUnavailable, CostsUnavailable, Overloaded
from routing.errors.tools import ToolAddressRefused, ToolChanged, ToolError, ToolTimeout, ToolUnconfirmed, ToolUnknown

__all__ = [
    "BackendError",
    "BackendRefused",
    "BackendUnavailable",
    "BadInput",
    "BodyTimeout",
    "BudgetExceeded",
    "ConfigurationError",
    "ContextTooLong",
    "CostsUnavailable",
    "ExpiredToken",
    "Forbidden",
    "NotAJpeg",
    "Overloaded",
    "ProviderAuth",
    "ProviderContextTooLong",
    "ProviderError",
    "ProviderMisconfigured",
    "ProviderOverloaded",
    "ProviderQuota",
    "ProviderRateLimited",
    "ProviderRefused",
    "ProviderTimeout",
    "ProviderTruncated",
    "ProviderUnconnected",
    "ProviderUnreachable",
    "RateLimited",
    "RayroomError",
    "ReplicaLost",
    "RequestRefused",
    "RetiredModel",
    "RoomClosed",
    "RoomNameInvalid",
    "TenantSuspended",
    "TenantUnknown",
    "ThinkingExhausted",
    "TooLarge",
    "ToolAddressRefused",
    "ToolChanged",
    "ToolError",
    "ToolTimeout",
    "ToolUnconfirmed",
    "ToolUnknown",
    "Unauthorized",
    "UnknownModel",
    "UnknownParameter",
    "UnsupportedOption",
]
