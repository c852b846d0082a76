"""Holds a picture with its cell grid: the one being judged, and the copy of a kept one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from room_agent.frames.cursors import MARGIN_PX, Pixels, RegionPixels
from room_agent.frames.grid import BlockMeans, CellGrid
from room_agent.frames.i420 import Plane, Planes
from room_agent.frames.regions import Region


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """The luma of a picture in full, and its grid of cells of `cell_px` pixels a side."""

    luma: Plane
    grid: CellGrid
    cell_px: int

    @classmethod
    def of(cls, planes: Planes, means: BlockMeans) -> Picture:
        """Return a view of `planes` with its grid, valid as long as `planes`."""
        return cls(luma=planes.y, grid=means.grid(planes), cell_px=means.cell_px)

    def copied(self) -> Picture:
        """Return the picture in memory of its own."""
        return Picture(luma=self.luma.copy(), grid=self.grid, cell_px=self.cell_px)

    @property
    def size_bytes(self) -> int:
        return self.luma.nbytes + 3 * self.grid.y.nbytes

    def layer_cell_px(self, width_px: int, height_px: int) -> int | None:
        """Return the side of a cell by which a smaller layer of this picture shares its grid, or None."""
        zoom = self.luma.shape[1] // width_px
        is_layer = zoom > 1 and self.luma.shape == (height_px * zoom, width_px * zoom)
        return self.cell_px // zoom if is_layer and self.cell_px % zoom == 0 else None

    def coarser(self, shape: tuple[int, int]) -> Picture:
        """Return this picture with a grid of `shape`, whose cells each take a square of this grid's."""
        step = self.grid.shape[1] // shape[1]
        if step <= 1 or self.grid.shape != (shape[0] * step, shape[1] * step):
            return self
        y, u, v = (
            plane.reshape(shape[0], step, shape[1], step).mean(axis=(1, 3)).round().astype(np.uint8)
            for plane in (self.grid.y, self.grid.u, self.grid.v)
        )
        return Picture(luma=self.luma, grid=CellGrid(y=y, u=u, v=v), cell_px=self.cell_px * step)

    def zoom(self, other: Picture) -> int | None:
        """Return how many times larger this picture is than `other`, or None where the two cannot be compared.

        They can where both share one grid and this picture is no smaller.
        """
        zoom = int(self.luma.shape[1] // other.luma.shape[1])
        same_picture = self.luma.shape == (other.luma.shape[0] * zoom, other.luma.shape[1] * zoom)
        return zoom if same_picture and self.grid.shape == other.grid.shape else None

    def pixels(self, region: Region, other: Picture) -> RegionPixels:
        """Return the pixels around a region in this picture and in `other`, both at this picture's size."""
        zoom = int(self.luma.shape[1] // other.luma.shape[1])
        top, left = (max(edge * self.cell_px - MARGIN_PX, 0) for edge in (region.top, region.left))
        bottom, right = (edge * self.cell_px + MARGIN_PX for edge in (region.bottom, region.right))
        before: Pixels = self.luma[top:bottom, left:right].astype(np.int16)
        cropped = other.luma[top // zoom : bottom // zoom, left // zoom : right // zoom].astype(np.int16)
        after: Pixels = cropped if zoom == 1 else cropped.repeat(zoom, axis=0).repeat(zoom, axis=1)
        # The tip of a pointer changes too few pixels of its cell to count, so the cells around the region are read too.
        core = (
            slice(max((region.top - 1) * self.cell_px - top, 0), (region.bottom + 1) * self.cell_px - top),
            slice(max((region.left - 1) * self.cell_px - left, 0), (region.right + 1) * self.cell_px - left),
        )
        return RegionPixels.of(before, after, core)

    def text_around(self, region: Region, margin_px: tuple[int, int]) -> tuple[Pixels, slice, slice]:
        """Return a crop with a margin (vertical, horizontal), and the region's rows and columns in it."""
        edges = (region.top, region.bottom, region.left, region.right)
        top, bottom, left, right = (edge * self.cell_px for edge in edges)
        first_row, first_column = max(top - margin_px[0], 0), max(left - margin_px[1], 0)
        crop = self.luma[first_row : bottom + margin_px[0], first_column : right + margin_px[1]].astype(np.int16)
        rows, columns = (min(crop.shape[0] - 1, bottom - first_row), min(crop.shape[1] - 1, right - first_column))
        return crop, slice(top - first_row, rows), slice(left - first_column, columns)
