"""Name the extra or the file that a command lacks, so that an installation without them fails with one sentence."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from routing.errors import ConfigurationError

# The modules that each extra of pyproject.toml installs, as import statements name them.
EXTRAS = {
    "agent": ("av", "deepgram", "elevenlabs", "livekit", "simplejpeg"),
    "senses": ("espeakng_loader", "pocketsphinx", "rapidocr_onnxruntime", "soxr"),
    "lab": ("altair", "jinja2", "pyarrow", "vl_convert"),
}
CHECKOUT_FILES = ("serve_config.yaml", "examples/trpc_backend/server.js")


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Return the sentence that names the extra of a missing module, or None for a module of no extra."""
    module = (error.name or "").partition(".")[0]
    for extra, modules in EXTRAS.items():
        if module in modules:
            return (
                f"This command needs the extra `{extra}`: pip install 'rayroom[{extra}]' ({module} is not installed)."
            )
    return None


def check_demo(root: Path) -> None:
    """Raise ConfigurationError naming everything that the demo needs and that `root` or this machine lacks."""
    missing = [f"{name} of a checkout" for name in CHECKOUT_FILES if not (root / name).exists()]
    missing += [f"{tool} of Node.js 20 or newer" for tool in ("node", "npm") if shutil.which(tool) is None]
    missing += [f"the extra `{name}`" for name, modules in EXTRAS.items() if not all(map(find_spec, modules))]
    if missing:
        raise ConfigurationError(f"rayroom demo runs in a checkout of the repository; missing: {', '.join(missing)}.")
