"""What the API's clients know and its description cannot say."""

import re
import uuid

import schemathesis
from schemathesis.core.parameters import ParameterLocation

NAME = "Idempotency-Key"
KEY = re.compile(r"""[ \t]*("([ !#-\[\]-~]|\\["\\])+"|[A-Za-z0-9!#$%&'*+.^_`|~:/=@-]+)[ \t]*""")


def is_key(case):
    """Whether the header is a key as the description has it, whatever it was meant to be: in a header 17 and "17" are the same."""
    return KEY.fullmatch(str(case.headers.get(NAME, ""))) is not None


@schemathesis.hook
def before_call(context, case, kwargs):
    """A key is new for every request; and one that is wrong by its type alone, which a header does not show, is made wrong."""
    header = case.meta.components.get(ParameterLocation.HEADER) if case.meta else None
    if is_key(case):
        is_wrong = header is not None and header.mode.is_negative
        case.headers[NAME] = "no, key" if is_wrong else str(uuid.uuid4())
