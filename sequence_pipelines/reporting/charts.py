"""Draws charts for the Dagster UI, as Markdown images with a PNG data URI.

A chart is drawn from counts and takes some tens of milliseconds. It has a few kilobytes, because every
materialization stores its own. Matplotlib is imported only by the runs that draw, not by schedule and sensor
ticks.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta, tzinfo
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.revocation import active
from sequence_pipelines.planning.engine.snapshot import PlanningSnapshot
from sequence_pipelines.planning.engine.windows import from_epoch_day

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, DOTS_PER_INCH = 7.2, 2.4, 80
COLOURS = 16  # in the palette of the PNG
MOST_BARS = 12
DONE, TO_COME, FREE, WRONG = "#2a9d8f", "#4f7cff", "#dfe4ec", "#d1495b"
HOUR = 3600
_TENTHS = 10


def charts_of_day(
    rows: pd.DataFrame, snapshot: PlanningSnapshot, zone: tzinfo
) -> dict[str, dg.MarkdownMetadataValue]:
    """Draw the day's mails by hour of `zone`, and the mailboxes' use; `rows` as PlanRepository.rows."""
    day, windows = snapshot.day, snapshot.windows
    today = rows["today"].to_numpy(bool)
    hours = (rows["send_at"].to_numpy()[today] - int(day.begins.timestamp())) // HOUR
    planned, every = (
        np.bincount(np.clip(some, 0, None), minlength=1)
        for some in (hours[rows["planned"].to_numpy(bool)[today]], hours)
    )
    planned = np.pad(planned, (0, len(every) - len(planned)))
    starts = [(day.begins + timedelta(hours=hour)).astimezone(zone) for hour in range(len(every))]
    return {
        "sends_by_hour": sends_by_hour([f"{start:%H:%M}" for start in starts], planned, every - planned),
        "mailbox_use": use_of_mailboxes(
            rows, windows[windows["mailbox_id"].isin(active(snapshot.mailboxes, "mailbox_id"))]
        ),
    }


def use_of_mailboxes(rows: pd.DataFrame, windows: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """Draw how many mails of each mailbox's limit are planned or sent today, the fullest mailbox first."""
    used, allowed = _mails_of(rows, windows), windows["allowed"].to_numpy()
    fullest = np.argsort(-used / np.maximum(allowed, 1), kind="stable")
    return mailbox_use(names_of(windows.iloc[fullest]), used[fullest], allowed[fullest])


def names_of(windows: pd.DataFrame) -> list[str]:
    """Name each window by its mailbox, and also by its local day if the mailbox has two windows."""
    twice = windows["mailbox_id"].duplicated(keep=False)
    each = zip(windows["mailbox_id"], windows["send_day"], twice, strict=True)
    return [
        f"mailbox {mailbox}, {from_epoch_day(day):%d %b}" if two else f"mailbox {mailbox}"
        for mailbox, day, two in each
    ]


def sends_by_hour(
    labels: Sequence[str], planned: np.ndarray, dispatched: np.ndarray
) -> dg.MarkdownMetadataValue:
    """Draw a day's mails by hour: `labels` name the hours; `dispatched` counts mails dispatched or sent."""
    return _stacked(
        "Mails by hour",
        labels,
        (dispatched, DONE, "dispatched or sent"),
        (planned, TO_COME, "planned"),
    )


def days_to_come(labels: Sequence[str], planned: np.ndarray, waiting: np.ndarray) -> dg.MarkdownMetadataValue:
    """Draw a forecast: each day's due contacts that get a slot, and those that wait."""
    return _stacked("Due contacts by day", labels, (planned, TO_COME, "planned"), (waiting, FREE, "waiting"))


def funnel(name: str, stages: Sequence[str], counts: Sequence[int]) -> dg.MarkdownMetadataValue:
    """Draw how many mails or enrolments reach each stage, the first stage on top."""
    title = f"Funnel of {name}"
    if not sum(counts):
        return dg.MetadataValue.md("There are no mails to show.")
    with _drawn(title, height=0.7 + 0.22 * len(stages)) as (figure, axes):
        bars = axes.barh(list(stages), list(counts), color=TO_COME)
        axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3, fontsize=8)
        axes.margins(x=0.15)
        axes.invert_yaxis()
    return _markdown(figure, title)


def curve_of_days(
    labels: Sequence[str], lines: Sequence[tuple[str, Sequence[float]]]
) -> dg.MarkdownMetadataValue:
    """Draw rates by day in percent; each line is a name and a value for each label, which may be NaN."""
    title = "Rates by day of the mail, in percent"
    if not len(labels):
        return dg.MetadataValue.md("There are no mails to show.")
    with _drawn(title) as (figure, axes):
        for (name, values), colour in zip(lines, (TO_COME, DONE, WRONG), strict=False):
            axes.plot(list(labels), list(values), marker="o", markersize=3, color=colour, label=name)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=3)
    return _markdown(figure, title)


def _stacked(
    title: str,
    labels: Sequence[str],
    below: tuple[np.ndarray, str, str],
    above: tuple[np.ndarray, str, str],
) -> dg.MarkdownMetadataValue:
    """Draw two stacked counts for each label; each of them is counts, colour, name."""
    if not below[0].sum() + above[0].sum():
        return dg.MetadataValue.md("There are no mails to show.")
    with _drawn(title) as (figure, axes):
        slots = np.arange(len(labels))
        for (counts, colour, name), bottom in ((below, 0), (above, below[0])):
            axes.bar(slots, counts, bottom=bottom, color=colour, label=name)
        each = max(1, len(labels) // MOST_BARS)
        axes.set_xticks(slots[::each], list(labels)[::each])
        axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2)
    return _markdown(figure, title)


def _mails_of(rows: pd.DataFrame, windows: pd.DataFrame) -> np.ndarray:
    """Return the number of rows of each window, which is a mailbox and a send_day."""
    if windows.empty or rows.empty:
        return np.zeros(len(windows), dtype=np.int64)
    box, day = windows["mailbox_id"].to_numpy(), windows["send_day"].to_numpy()
    span, boxes = np.ptp(day) + 1, box.max() + 1
    boxes_of, days_of = rows["mailbox_id"].to_numpy(), rows["send_day"].to_numpy() - day.min()
    known = (days_of >= 0) & (days_of < span) & (boxes_of < boxes)
    code = boxes_of * span + days_of  # one number for mailbox and day, so that bincount counts both at once
    return np.bincount(code if known.all() else code[known], minlength=boxes * span)[
        box * span + day - day.min()
    ]


def mailbox_use(names: Sequence[str], used: np.ndarray, allowed: np.ndarray) -> dg.MarkdownMetadataValue:
    """Draw the use of mailboxes: one bar per mailbox, or a histogram of the used share if there are many."""
    if not len(names):
        return dg.MetadataValue.md("No mailbox is open today.")
    few = len(names) <= MOST_BARS
    title = "Mails and limit of each mailbox" if few else "Number of mailboxes by used share of their limit"
    with _drawn(title, height=0.7 + 0.22 * len(names) if few else HEIGHT) as (figure, axes):
        if few:
            _draw_each(axes, names, used, allowed)
        else:
            _draw_tenths(axes, used, allowed)
    return _markdown(figure, title)


def _draw_each(axes: Axes, names: Sequence[str], used: np.ndarray, allowed: np.ndarray) -> None:
    axes.barh(list(names), allowed, color=FREE)
    bars = axes.barh(list(names), used, color=TO_COME)
    axes.bar_label(bars, [f"{u} of {a}" for u, a in zip(used, allowed, strict=True)], padding=3, fontsize=8)
    axes.margins(x=0.15)
    axes.invert_yaxis()


def _draw_tenths(axes: Axes, used: np.ndarray, allowed: np.ndarray) -> None:
    share = np.clip(used / np.maximum(allowed, 1), 0, 1)
    mailboxes = np.bincount(np.minimum((share * _TENTHS).astype(int), _TENTHS - 1), minlength=_TENTHS)
    axes.bar(np.arange(_TENTHS) + 0.5, mailboxes, width=0.9, color=TO_COME)
    axes.set_xticks(range(_TENTHS + 1), [f"{tenth * 10} %" for tenth in range(_TENTHS + 1)])


@contextmanager
def _drawn(title: str, height: float = HEIGHT) -> Iterator[tuple[Figure, Axes]]:
    from matplotlib.figure import Figure  # not pyplot, which keeps global state and opens windows
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(WIDTH, height), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, fontsize=9, loc="left")
    yield figure, axes


def _markdown(figure: Figure, title: str) -> dg.MarkdownMetadataValue:
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", facecolor="white")
    Image.open(drawn).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(
        small, "png", optimize=True
    )
    return dg.MetadataValue.md(
        f"![{title}](data:image/png;base64,{base64.b64encode(small.getvalue()).decode()})"
    )
