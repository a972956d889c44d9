"""TensorBoard: each figure is a scalar `EVENT/FIGURE`, such as `train/loss`; the resolved spec is the text `spec`.

Events are written as they are defined by TensorBoard's own protocol buffers; of TensorBoard, that needs neither TensorFlow nor
torch.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from specforge.trackers.tensorboard.config import TensorBoardConfig
from specforge.trackers.tracker import Point, TrackedRun, Tracker

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter


class TensorBoard(Tracker):
    """Writes event files. Each start writes a file of its own, and TensorBoard reads all files of a folder as one run."""

    def __init__(self) -> None:
        self._writer: EventFileWriter | None = None

    def start(self, run: TrackedRun) -> None:
        """Open the event file; the first one of a training begins with the spec."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = run.folder / run.id
        is_new = not folder.exists()
        self._writer = EventFileWriter(str(folder))
        if is_new:
            self._write_text("spec", f"```toml\n{run.text}\n```")

    def record(self, point: Point) -> None:
        """Write the figures; they can be seen at once."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        assert self._writer is not None
        values = [
            Summary.Value(tag=f"{point.event}/{name}", simple_value=value) for name, value in point.figures.items()
        ]
        self._writer.add_event(Event(wall_time=point.time, step=point.updates, summary=Summary(value=values)))
        self._writer.flush()

    def close(self, *, done: bool) -> None:
        """Close the event file."""
        del done
        assert self._writer is not None
        self._writer.close()

    def _write_text(self, tag: str, markdown: str) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING
        from tensorboard.plugins.text.metadata import create_summary_metadata

        assert self._writer is not None
        text = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()])
        value = Summary.Value(tag=tag, tensor=text, metadata=create_summary_metadata(None, None))
        self._writer.add_event(Event(wall_time=time.time(), step=0, summary=Summary(value=[value])))


def build(config: TensorBoardConfig) -> TensorBoard:
    """Return the tracker that a spec asks for."""
    del config
    return TensorBoard()
