"""Find or install Chromium, and open a local page in it without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, Page, async_playwright

from routing.errors import ConfigurationError

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-dejavu-core")
INSTALL_TIMEOUT_S = 900.0
TIMEOUT_MS = 120_000
CHROMIUM_FLAGS = (
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
    path_found = _find(path)
    if path_found is None and os.geteuid() == 0 and shutil.which("apt-get", path=path) is not None:
        print("installing Chromium, a minute or two", file=sys.stderr, flush=True)
        _apt("update", "-qq")
        _apt("install", "-y", "-qq", "--no-install-recommends", *PACKAGES)
        path_found = _find(path)
    if path_found is None:
        raise ConfigurationError(
            f"Chromium is missing: install it (Debian: apt-get install {' '.join(PACKAGES)}), or put one on the PATH."
        )
    return path_found


def _find(path: str | None) -> Path | None:
    return next((Path(path_found) for name in NAMES if (path_found := shutil.which(name, path=path))), None)


def _apt(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", *arguments], env=environment, stdout=subprocess.DEVNULL, timeout=INSTALL_TIMEOUT_S)


@dataclass(slots=True)
class OpenPage:
    """An open page, and its requests and messages, none of which a report may have."""

    page: Page
    requested_urls: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@asynccontextmanager
async def running_chromium() -> AsyncIterator[Browser]:
    """Yield a running Chromium."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=find_chromium(), args=CHROMIUM_FLAGS, timeout=TIMEOUT_MS
        )
        try:
            yield chromium
        finally:
            await chromium.close()


@asynccontextmanager
async def open_page(
    chromium: Browser, file: Path, *, width_px: int = 1_280, scheme: Literal["light", "dark"] = "light"
) -> AsyncIterator[OpenPage]:
    """Yield a local page, without a network and with an empty profile."""
    context = await chromium.new_context(viewport={"width": width_px, "height": 900}, color_scheme=scheme, offline=True)
    try:
        context.set_default_timeout(TIMEOUT_MS)
        opened = OpenPage(await context.new_page())
        opened.page.on("request", lambda request: opened.requested_urls.append(request.url))
        opened.page.on("console", lambda message: opened.messages.append(message.text))
        opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
        opened.page.on("dialog", lambda dialog: opened.messages.append(dialog.type))
        await opened.page.goto(file.as_uri())
        yield opened
    finally:
        await context.close()
