"""Find or install Chromium, and open a local page in it without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Page, async_playwright

from routing.errors import ConfigurationError

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-dejavu-core")
INSTALL_TIMEOUT_S = 900.0
PATIENCE_MS = 120_000
ALONE = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium(path: str | None = None) -> Path:
    """Return the Chromium of the PATH, installed by apt if there is none; `path` is searched in place of the PATH.

    Raises ConfigurationError when it has to be installed and cannot be.
    """
    found = _found(path)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get", path=path) is not None:
        print("installing Chromium, a minute or two", file=sys.stderr, flush=True)
        _apt("update", "-qq")
        _apt("install", "-y", "-qq", "--no-install-recommends", *PACKAGES)
        found = _found(path)
    if found is None:
        raise ConfigurationError(
            f"Chromium is missing: install it (Debian: apt-get install {' '.join(PACKAGES)}), or put one on the PATH."
        )
    return found


def _found(path: str | None) -> Path | None:
    return next((Path(found) for name in NAMES if (found := shutil.which(name, path=path))), None)


def _apt(*words: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", *words], env=environment, stdout=subprocess.DEVNULL, timeout=INSTALL_TIMEOUT_S)


@dataclass(slots=True)
class Opened:
    """An open page, and its requests and messages, none of which a report may have."""

    page: Page
    asked_for: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@asynccontextmanager
async def opened(
    file: Path, *, width_px: int = 1_280, scheme: Literal["light", "dark"] = "light"
) -> AsyncIterator[Opened]:
    """Yield a local page in a new Chromium, without a network and with an empty profile."""
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        async with async_playwright() as playwright:
            options: dict[str, Any] = {"viewport": {"width": width_px, "height": 900}, "color_scheme": scheme}
            context = await playwright.chromium.launch_persistent_context(
                profile, executable_path=find_chromium(), args=ALONE, offline=True, timeout=PATIENCE_MS, **options
            )
            try:
                context.set_default_timeout(PATIENCE_MS)
                one = Opened(await context.new_page())
                one.page.on("request", lambda request: one.asked_for.append(request.url))
                one.page.on("console", lambda message: one.complaints.append(message.text))
                one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
                one.page.on("dialog", lambda dialog: one.complaints.append(dialog.type))
                await one.page.goto(file.as_uri())
                yield one
            finally:
                await context.close()
