"""Part of the third step, for targets whose workers have different models: does any of them have the one that is
asked for?"""

from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.fleet.discovery import look_again
from asgi_llm.runtime import Runtime

from .course import Course
from .plan import Leg

__all__ = ["is_there"]


async def is_there(runtime: Runtime, course: Course, leg: Leg) -> bool:
    """Whether a worker of ``leg`` may have its model, once they were asked again where it was not known of any. If not,
    the failure says so, unless there is another."""
    if leg.crew.has(leg.model) or await look_again(leg.crew, leg.model, runtime.loop.time()):
        return True
    course.failure = course.failure or UpstreamError(
        "no worker has this model", cause=Cause.UNAVAILABLE, kind=Kind.NOT_FOUND, code="model_not_found", param="model"
    )
    return False
