"""Describes what the search for shared contacts and the proof read of an allocation."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.network import Network


class CandidateState(Protocol):
    """The candidates in the order of service, and who is served so far."""

    network: Network
    mailboxes: pd.DataFrame
    intervals: pd.DataFrame
    sequence: np.ndarray  # of each candidate: a position in sequence_ids
    sequence_ids: np.ndarray
    contact: np.ndarray  # of each candidate: a number below contact_count
    contact_count: int
    new_left: np.ndarray  # of each sequence: first mails that may still begin
    begun: np.ndarray  # of each sequence: first mails of the day
    class_of: np.ndarray  # of each candidate
    class_names: pd.DataFrame  # priority, follow_up, overdue of each class
    order: np.ndarray  # the candidates in the order of service
    group: np.ndarray  # of each candidate, in the network; -1: it has no way
    open: np.ndarray  # whether a candidate has a way of positive capacity
    served: np.ndarray  # whether a candidate is served
