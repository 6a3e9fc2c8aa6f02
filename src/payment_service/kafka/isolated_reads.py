"""Read records in a process of their own, where none of them can kill the service, and find those that cannot be read.

The service reads like this after a process died while it read the partition, and where the client reports a batch that it
cannot read ([decision 14](docs/decisions/0014-isolated-reads.md)).
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from payment_service.contracts.incoming import InboundRecord
from payment_service.domain.order import Reason, Rejected
from payment_service.kafka.consumer_settings import isolated_settings
from payment_service.kafka.inbound import Decoder
from payment_service.kafka.isolated_process import OUT_OF_MEMORY, Finished, Reached, Task, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from payment_service.config.config import Config
    from payment_service.kafka.isolated_process import Step

BATCH_RECORDS: Final = 500  # one transaction of some tens of milliseconds
RECORDS_MAX: Final = 5_000  # of one isolated read: more than the service reads ahead
# The ends of a process that a record causes: the kernel's, an assertion of the client, a crash, too much CPU time, no memory.
_DEADLY: Final = frozenset(
    {-signal.SIGKILL, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGXCPU, OUT_OF_MEMORY}
)
_DETAIL: Final = (
    "The record was not read: its batch is damaged, or unpacking it takes too much memory. Lower max.message.bytes of the "
    "topic. `attention retry` reads the record again."
)


@dataclass(frozen=True, slots=True)
class Died:
    """The process died at `offset`. `decoding`: while it decoded this record; otherwise while it fetched the batch."""

    offset: int
    decoding: bool


_Step: TypeAlias = "InboundRecord | Unreadable | Finished | Died"


class IsolatedReads:
    """Isolated reads of one partition."""

    def __init__(
        self, config: Config, topic: str, partition: int, *, run: Callable[[Task], Iterator[_Step]] | None = None
    ) -> None:
        self._properties = isolated_settings(config)
        self._decoder = Decoder.of(config)
        self._topic = topic
        self._partition = partition
        self._run = run or run_process

    def read(self, offset: int, until: int) -> Iterator[tuple[InboundRecord | None, int]]:
        """Yield each record from `offset` up to `until` with the offset that follows; a last step may have no record.

        A record that cannot be read comes as rejected, without key and value. Ends early if no broker answers.
        """
        position, death = offset, None
        while position < until:
            end: _Step | None = None
            for end in self._steps(position, until):
                match end:
                    case InboundRecord():
                        position = end.offset + 1
                        yield end, position
                    case Unreadable():
                        position = end.offset + 1
                        yield self._unread(end.offset), position
                    case Finished():
                        position = max(position, end.following)
                        yield None, position
                    case Died():
                        pass
            if not isinstance(end, Died):
                return
            # Twice at one place: a single death may have another cause.
            if end == death:
                for number in range(end.offset, self._offset_behind(end, until)):
                    position = number + 1
                    yield self._unread(number), position
            death = end

    def read_one(self, offset: int) -> InboundRecord | None:
        """Return the record at `offset`; None if it is not there, cannot be read, or no broker answers."""
        for step in self._steps(offset, offset + 1):
            return step if isinstance(step, InboundRecord) and step.offset == offset else None
        return None

    def _offset_behind(self, death: Died, until: int) -> int:
        """Return the first offset behind the batch that ended the process, found by halving."""
        bad, good = death.offset, death.offset + 1
        if death.decoding:
            return good
        while good < until and self._dies_at(good, until):
            bad, good = good, min(until, good + 2 * (good - death.offset))
        while good - bad > 1:
            middle = (bad + good) // 2
            bad, good = (middle, good) if self._dies_at(middle, until) else (bad, middle)
        return good

    def _dies_at(self, offset: int, until: int) -> bool:
        return isinstance(next(self._steps(offset, until), None), Died)

    def _steps(self, offset: int, until: int) -> Iterator[_Step]:
        return self._run(
            Task(
                properties=self._properties,
                decoder=self._decoder,
                topic=self._topic,
                partition=self._partition,
                offset=offset,
                until=until,
            )
        )

    def _unread(self, offset: int) -> InboundRecord:
        return InboundRecord(
            topic=self._topic,
            partition=self._partition,
            offset=offset,
            timestamp_ms=-1,
            key=None,
            value=None,
            decoded=Rejected(Reason.UNREADABLE, _DETAIL),
        )


def run_process(task: Task) -> Iterator[_Step]:
    """Run a task in a process. Its death, if a record caused it, is the last step."""
    # Not `-m`: the steps would be pickled as classes of `__main__`.
    command = [sys.executable, "-c", "from payment_service.kafka.isolated_process import main; main()"]
    position, decoding = task.offset, False
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None  # noqa: S101 - a pipe was requested
        assert process.stdout is not None  # noqa: S101
        try:
            pickle.dump(task, process.stdin)
            process.stdin.close()
            for step in _steps_from(process.stdout):
                position, decoding = _place(step, position), isinstance(step, Reached)
                if not isinstance(step, Reached):
                    yield step
            code = process.wait()
        finally:
            process.kill()  # the caller may need no more
    # An exception is the record's if it was being decoded, else it is the setup's.
    if code in _DEADLY or (decoding and code != 0):
        yield Died(position, decoding)


def _steps_from(pipe: IO[bytes]) -> Iterator[Step]:
    while True:
        try:
            yield pickle.load(pipe)  # noqa: S301 - from our own process
        except (EOFError, pickle.UnpicklingError):
            return


def _place(step: Step, position: int) -> int:
    match step:
        case Reached():
            return step.offset
        case Finished():
            return position
        case _:
            return step.offset + 1
