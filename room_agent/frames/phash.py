"""Hashes a picture to 64 bits that near-duplicates share. Too coarse to detect a typed line."""

from __future__ import annotations

import threading

import numpy as np

from room_agent.frames.i420 import LumaScaler, Planes

_SIDE = 32
_BITS_SIDE = 8

_DCT = np.cos(np.pi / (2 * _SIDE) * np.outer(np.arange(_BITS_SIDE), 2 * np.arange(_SIDE) + 1))


def phash(planes: Planes) -> int:
    """Return the DCT hash of the luma: one bit for each of the 8x8 lowest of 32x32 frequencies above their median.

    Hashes of one picture differ by 0 to 2 bits after a codec, those of two pages by 18 to 34.
    """
    frequencies = _DCT @ _thread.scaler(planes.y) @ _DCT.T
    bits = frequencies > np.median(frequencies)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


class _HashThread(threading.local):
    """The scaler of each hashing thread: to set one up takes as long as to scale."""

    def __init__(self) -> None:
        self.scaler = LumaScaler(_SIDE, _SIDE)


_thread = _HashThread()
