"""The statements of the ledger. Each reads by a key, and joins only the rows of one page."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CompoundSelect,
    Connection,
    Row,
    Select,
    and_,
    cast,
    exists,
    func,
    literal,
    null,
    select,
    true,
    tuple_,
    union_all,
)

from crud_api.paging import Key
from crud_api.sends.schemas import WAITING
from crud_api.tables import (
    contacts,
    mailboxes,
    plan_deferrals,
    sends,
    sequences,
    sequences_contacts,
    steps,
)
from sequence_store.states import OPEN, EnrolmentStatus

enrolment = sequences_contacts.c
_EPOCH = cast(func.extract("epoch", sends.c.send_at), BigInteger)
