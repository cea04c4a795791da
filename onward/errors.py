"""Every error a user can meet: what went wrong, where, and what to do.

    OnwardError                      exit 1
    ├── UsageError                   exit 3   a wrong name, flag or order of commands
    │   └── SettingsError            exit 3   params.yaml: key, value, nearest match
    ├── DataError                             a file or row that cannot be taken
    │   ├── FormatError                       the container itself is not what it says
    │   └── ValidationFailed                  an expectation failed: which, how many, sample ids
    ├── IntegrityError                        bytes differ from what a manifest names
    ├── MissingFiles                          named but not on this machine: `dvc pull`
    ├── Busy                                  another process holds the lock
    ├── NotPermitted                          a file that this user may not read or write
    ├── DiskFull                              path, needed and free bytes
    ├── TrainingError
    │   ├── NotFinite                         loss, gradient or weight is NaN or infinite
    │   └── OutOfMemory
    ├── ExportError
    │   └── ParityError                       the ONNX graph does not answer as torch does
    ├── ProviderError                         the asked-for execution provider is not there
    ├── Conflict                              the champion changed since it was read
    ├── Withdrawn                    exit 2   a withdrawn candidate or episode was named
    ├── Cancelled                    exit 4   somebody cancelled the run on the dashboard
    ├── ServerError                           the Prefect server does not answer
    └── InternalError                         a defect of ours; the traceback is kept

>>> error = Busy("Another run is going", where=".onward/run.lock", fix="wait, or use --wait")
>>> OnwardError.from_json(error.to_json())
Busy('Another run is going')
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar


class OnwardError(Exception):
    """What went wrong, where (file, row, key), and what to do about it."""

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        fix: str = "",
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix
        self.details = details or {}

    def lines(self) -> list[str]:
        """One line what, one line where, one line what to do."""
        return [line for line in (self.what, self.where, self.fix) if line]

    def to_json(self) -> dict[str, Any]:
        """A form that crosses a process border; `from_json` restores the same class."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "fix": self.fix,
            "details": self.details,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> OnwardError:
        """The error that `to_json` described; an unknown class becomes InternalError."""
        kinds = {kind.__name__: kind for kind in _tree(OnwardError)}
        kind = kinds.get(str(data.get("error")), InternalError)
        return kind(
            str(data.get("what", "an error without a text")),
            where=str(data.get("where", "")),
            fix=str(data.get("fix", "")),
            details=dict(data.get("details") or {}),
        )


def _tree(kind: type[OnwardError]) -> Iterator[type[OnwardError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


class UsageError(OnwardError):
    """A wrong name, flag or order of commands."""

    exit_code = 3


class SettingsError(UsageError):
    """params.yaml cannot be used: the key, its value and the nearest match."""


class DataError(OnwardError):
    """A file or row that cannot be taken."""


class FormatError(DataError):
    """The container is not what it says it is."""


class ValidationFailed(DataError):
    """An expectation failed: which one, on how many rows, and sample ids."""


class IntegrityError(OnwardError):
    """Bytes differ from what a manifest or the turn names."""


class MissingFiles(OnwardError):
    """Named by a pointer but not on this machine."""


class Busy(OnwardError):
    """Another process holds the lock: who, and since when."""


class NotPermitted(OnwardError):
    """The system does not let this user read or write a file."""


class DiskFull(OnwardError):
    """Not enough space: the path, bytes needed and bytes free."""


class TrainingError(OnwardError):
    """Training stopped."""


class NotFinite(TrainingError):
    """A loss, gradient or weight is NaN or infinite: step and batch."""


class OutOfMemory(TrainingError):
    """Memory did not suffice, also at half the micro-batch."""


class ExportError(OnwardError):
    """The model could not be exported."""


class ParityError(ExportError):
    """The ONNX graph does not answer as torch does."""


class ProviderError(OnwardError):
    """The asked-for execution provider is not available."""


class Conflict(OnwardError):
    """The champion changed between reading and promoting."""


class Withdrawn(OnwardError):
    """A withdrawn candidate or episode was named."""

    exit_code = 2


class Cancelled(OnwardError):
    """Somebody cancelled the run on the dashboard."""

    exit_code = 4


class ServerError(OnwardError):
    """The Prefect server does not answer."""


class InternalError(OnwardError):
    """A defect of ours; the traceback is kept beside the error."""
