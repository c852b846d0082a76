"""One trusted certificate in place of the usual bundle, which takes each new client 25 ms of CPU to parse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

END = "-----END CERTIFICATE-----\n"


@pytest.fixture(scope="session", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust the first certificate of the bundle alone: the servers of the tests speak plain HTTP."""
    first, end, _ = Path(certifi.where()).read_text("utf-8").partition(END)
    file = tmp_path_factory.mktemp("certificates") / "one.pem"
    file.write_text(first + end, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield
