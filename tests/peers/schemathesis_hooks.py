"""What schemathesis sends along links is changed in one thing: no Idempotency-Key is used twice.

A key of before is answered with what was made then, which a later step may have deleted. That keys hold is
tested elsewhere (tests/engine/access.rs); a key that is none stays as it is.
"""

import itertools
import re

import schemathesis
from schemathesis.generation.meta import TestPhase

KEY = "Idempotency-Key"
VALID = re.compile(r"[!-~]{1,255}")
numbers = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.phase.name != TestPhase.STATEFUL:
        return
    key = (case.headers or {}).get(KEY)
    if isinstance(key, str) and VALID.fullmatch(key):
        case.headers[KEY] = f"{key[:200]}-{next(numbers)}"
