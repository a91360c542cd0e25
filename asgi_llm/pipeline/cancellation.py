"""A caller that leaves cancels the task that serves it; what that task belongs to must not notice."""

import asyncio

__all__ = ["forget_cancellation"]


def forget_cancellation() -> None:
    """The cancellation was the gateway's own (its caller left), so it ends here and the host's task goes on."""
    if (task := asyncio.current_task()) is not None:
        task.uncancel()
