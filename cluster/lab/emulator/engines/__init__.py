"""The OCR, ASR, answering and TTS engines. They need the extra `senses`."""

from cluster.lab.emulator.core.engines import Engines
from cluster.lab.emulator.engines.load import load_engines

__all__ = ["Engines", "load_engines"]
