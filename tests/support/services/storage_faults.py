"""Faults of blob storage: lost answers, and runs that die before or after an access."""

from collections.abc import Callable
from typing import Any

from azure.core.exceptions import ServiceResponseError
from azure.storage.blob import ContainerClient

from detection.state import State, Tag
from detection.state.blob import BlobStore
from tests.support.services.servers import Line
from tests.support.simulation import Fuse


class InterceptingLine(Line):
    """A transport that calls a function with each answer before it returns the answer."""

    def __init__(self, answered: Callable[[str], None]) -> None:
        super().__init__()
        self._answered = answered

    def send(self, request: Any, **options: Any) -> Any:
        """Send, wait for the answer, and return it unless the function raises."""
        answer = super().send(request, **options)
        self._answered(request.method)
        return answer


class LosingAnswers:
    """Loses the answers to the first writes, and calls `meanwhile` at each loss."""

    def __init__(self, losses: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.left = losses
        self.writes = 0
        self._meanwhile = meanwhile

    def __call__(self, method: str) -> None:
        """Handle a request that the server has answered."""
        if method != "PUT":
            return
        self.writes += 1
        if self.left:
            self.left -= 1
            self._meanwhile()
            raise ServiceResponseError("the line went dead")


class KillableStore(BlobStore):
    """A store whose run may be killed before and after each access."""

    def __init__(self, container: ContainerClient, workspace_id: str, fuse: Fuse) -> None:
        super().__init__(container=container, workspace_id=workspace_id)
        self._fuse = fuse

    def load(self) -> tuple[State, Tag]:
        """Load, with a boundary before and after."""
        self._fuse.cross()
        loaded = super().load()
        self._fuse.cross()
        return loaded

    def save(self, state: State, tag: Tag) -> Tag:
        """Save, with a boundary before and after."""
        self._fuse.cross()
        saved = super().save(state, tag)
        self._fuse.cross()
        return saved
