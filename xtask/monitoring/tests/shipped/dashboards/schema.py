"""Reads the dashboards named with Grafana's published model of them, writes them again from it, and
says what got lost on the way or has a value that the model does not know."""

import enum
import json
import sys
import typing

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

# What an annotation has for its data source, here Prometheus' own: the model leaves that open.
OF_PROMETHEUS = {"titleFormat", "textFormat", "step", "useValueForTime"}


def lost(before, after, place):
    """What is in `before` and not, or not so, in `after`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name in after:
                yield from lost(value, after[name], f"{place}/{name}")
            elif not (place.startswith("/annotations/list/") and name in OF_PROMETHEUS):
                yield f"{place}/{name}: no such field"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for at, (one, other) in enumerate(zip(before, after)):
            yield from lost(one, other, f"{place}/{at}")
    elif before != after:
        yield f"{place}: {before!r} became {after!r}"


def words(annotation):
    """The closed set of values that a type annotation allows, if it is one."""
    for one in [annotation, *typing.get_args(annotation)]:
        if isinstance(one, type) and issubclass(one, enum.Enum):
            return {member.value for member in one}
    return None


def unknown(model, place):
    """The values in a part of the model that are none of those its type allows."""
    if isinstance(model, (list, dict)):
        items = model.items() if isinstance(model, dict) else enumerate(model)
        for name, value in items:
            yield from unknown(value, f"{place}/{name}")
    elif hasattr(model, "to_json"):
        allowed_by_name = typing.get_type_hints(type(model))
        for name, value in vars(model).items():
            allowed = words(allowed_by_name.get(name))
            if allowed is not None and value is not None and value not in allowed:
                yield f"{place}/{name}: {value!r} is none of {sorted(map(str, allowed))}"
            yield from unknown(value, f"{place}/{name}")



def main(files):
    register_default_plugins()
    complaints = []
    for file in files:
        with open(file, encoding="utf-8") as opened:
            before = json.load(opened)
        model = Dashboard.from_json(before)
        after = json.loads(json.dumps(model, cls=JSONEncoder))
        complaints += [f"{file}: {one}" for one in [*lost(before, after, ""), *unknown(model, "")]]
    print("\n".join(complaints))
    return 1 if complaints else 0


sys.exit(main(sys.argv[1:]))
