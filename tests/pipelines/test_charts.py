"""Tests the labels of charts; the tests of the assets and of the browser check that charts are drawn."""

from __future__ import annotations

from datetime import date

import pandas as pd

from sequence_pipelines.planning.engine.windows import epoch_day
from sequence_pipelines.reporting.charts import names_of


def test_two_local_days_of_a_mailbox_are_two_bars_each_with_its_day() -> None:
    days = [epoch_day(date(2026, 6, day)) for day in (15, 16, 15)]
    windows = pd.DataFrame({"mailbox_id": [5, 5, 7], "send_day": days})
    assert names_of(windows) == ["mailbox 5, 15 Jun", "mailbox 5, 16 Jun", "mailbox 7"]
