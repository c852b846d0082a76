"""Read the credentials of tools' servers from files, so that a new one needs no restart."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from deployments.common.private_files import refuse_readable_by_others
from routing.errors import ConfigurationError, ToolError

MAX_BYTES = 4_096


class Credentials:
    """The credentials below one directory: `TENANT/NAME` holds a bearer token. No record ever holds one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def headers(self, tenant_id: str, name: str) -> Mapping[str, str]:
        """Return the headers that authenticate at a server; none for an empty name. Raises ToolError."""
        if not name:
            return {}
        token = await asyncio.to_thread(self._read, tenant_id, name)
        return {"authorization": f"Bearer {token}"}

    def _read(self, tenant_id: str, name: str) -> str:
        # Both are parts of a path: their grammars have no slash, and neither begins with a dot.
        file = self._directory / tenant_id / name
        try:
            refuse_readable_by_others(file, "tools.credentials_dir")
            with file.open("r", encoding="ascii") as stream:
                token = stream.read(MAX_BYTES).strip()
        except ConfigurationError as error:
            raise ToolError(error.message) from None
        except (OSError, ValueError):
            raise ToolError(f"The credential {name} of this tenant cannot be read.") from None
        if not token or not token.isprintable() or " " in token:
            raise ToolError(f"The credential {name} of this tenant is not one line without blanks.")
        return token
