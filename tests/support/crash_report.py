"""What a crash reporter can see of an error."""

from __future__ import annotations

import traceback


def shown(error: BaseException, *, but: str) -> str:
    """Text, attributes and traceback of `error` and its causes, with the variables of all frames but those in `but`."""
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    whole.stack = traceback.StackSummary.from_list([frame for frame in whole.stack if frame.filename != but])
    return f"{error!s} {error!r} {vars(error)} {''.join(whole.format())}"
