"""Messages of the two queues. Both only wake a consumer: the row in `sends` decides. They hold no address."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from sequence_store.domain.states import Outcome
from sequence_store.errors import MalformedMessageError

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Round = Annotated[int, Field(ge=1, le=2**15 - 1)]
Attempt = Annotated[int, Field(ge=1, le=2**31 - 1)]


class SendKey(NamedTuple):
    """Key of one step of one enrolment: the primary key of `sends` and the idempotency key of its mail."""

    sequence_id: int
    contact_id: int
    step_id: int
    round: int


class _Message(BaseModel):
    # A newer version may add a field; an older reader ignores it instead of dead-lettering the message.
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    v: Literal[1] = 1
    sequence_id: Id
    contact_id: Id
    sequence_step_id: Id
    round: Round
    attempt: Attempt

    @property
    def key(self) -> SendKey:
        return SendKey(self.sequence_id, self.contact_id, self.sequence_step_id, self.round)


class SendMessage(_Message):
    """Wakes a worker at `send_at`."""

    mailbox_id: Id
    send_at: AwareDatetime
    not_after: AwareDatetime
    environment: str


class DeliveryResult(_Message):
    """Wakes the results job after a send got an outcome."""

    outcome: Outcome
    at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))


AnyMessage = TypeVar("AnyMessage", bound=_Message)


def parse_message(kind: type[AnyMessage], body: str) -> AnyMessage:
    """Parse a message body; raise MalformedMessageError, whose text holds nothing of the body."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MalformedMessageError(f"{where or 'body'}: {first['msg']}") from None
    except (UnicodeError, ValueError) as error:
        raise MalformedMessageError(f"body: {type(error).__name__}") from None
