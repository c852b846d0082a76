"""Makes a kept frame ready to send: its JPEG, and the headers that say what was measured of it."""

from __future__ import annotations

from room_agent.frames.encoder import encode
from room_agent.frames.features import features
from room_agent.frames.i420 import Planes
from room_agent.frames.phash import phash
from room_agent.video.forward import KeptFrame
from room_agent.video.frame_gate import GateDecision
from room_agent.video.selection import Source


def packed(
    planes: Planes, decision: GateDecision, track_sid: str, source: Source, long_side_px: int, captured_at_s: float
) -> KeptFrame:
    """Return a frame that the gate keeps, as the router is sent it."""
    measured = features(planes, decision.judgement)
    headers = {
        "x-frame-captured-at": f"{captured_at_s:.3f}",
        "x-frame-track": track_sid,
        "x-frame-source": source,
        "x-frame-phash": f"{phash(planes):016x}",
        "x-frame-text-density": f"{measured.text_density:.4f}",
        "x-frame-edge-energy": f"{measured.edge_energy:.4f}",
        "x-frame-changed-share": f"{measured.changed_share:.4f}",
        "x-frame-novelty": f"{measured.novelty:.4f}",
    }
    jpeg = encode(planes, long_side_px=long_side_px).jpeg
    return KeptFrame(jpeg=jpeg, headers=headers, why=decision.why, captured_at_s=captured_at_s)
