"""The picture of a learning rate range test: the loss over a rising rate, and the rate chosen."""

from pathlib import Path

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from regraft.figures.canvas import INK, SOFT, STAR, drawing

NAME = "lr_range.png"


def draw(
    rates: np.ndarray, losses: np.ndarray, smooth: np.ndarray, path: Path, *, rate: float
) -> None:
    """Loss of each step and smoothed loss, all (steps,), over the head's rates (steps,)."""
    at = float(np.interp(np.log(rate), np.log(rates), smooth))
    lowest = int(np.nanargmin(smooth))
    first = float(smooth[0])
    with drawing(path, 6.0, 3.4, 130) as figure:
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        axes.plot(rates, losses, ".", color=SOFT, ms=4, label="loss of each step")
        axes.plot(rates, smooth, color=INK, lw=1.5, label="smoothed")
        low = f"lowest, at {rates[lowest]:.2g}"
        axes.plot(rates[lowest], smooth[lowest], "o", mfc="white", mec=INK, ms=7, label=low)
        axes.axvline(rate, color=INK, lw=0.8, ls="--")
        axes.plot(rate, at, **STAR, ls="", label=f"chosen: {rate:g}, halfway down")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
        axes.set_xlabel("learning rate of the head (log scale)")
        axes.set_ylabel("training loss (nats)")
        bottom = min(float(np.nanmin(losses)), smooth[lowest])
        axes.set_ylim(bottom - 0.05 * (first - bottom), first + 0.35 * (first - bottom))
        axes.grid(axis="y", color="#dddddd", lw=0.6)
        axes.legend(frameon=False, fontsize=8, loc="lower left")
