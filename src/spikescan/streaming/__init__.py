"""Live streams through a model, one time step at a time, for who wants no state in their hands."""

from spikescan.streaming.streams import Streams, stream

__all__ = ["Streams", "stream"]
