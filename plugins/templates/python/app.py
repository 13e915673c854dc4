"""The row with the longer text in a column is right. Where both are as long, the later edit is; where that is not known, a person decides.

`Resolver` is the interface `resolver` of wit/strategy.wit; `wit_world` is made of it by componentize-py.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.resolver import (
    Answer,
    Decision_Manual,
    Decision_Take,
    Description,
    Operation,
    Scope,
    Side,
    Value_Text,
    Wanted,
)

# What a spec says under `config:`, for the host: specs are held against it before anything runs.
CONFIG_SCHEMA = {
    "type": "object",
    "properties": {"column": {"type": "string", "description": "The column."}},
    "required": ["column"],
    "additionalProperties": False,
}


def length(holding, value):
    """How long a side's text is. A side without a live row has nothing to say."""
    if holding.operation in (Operation.DELETED, Operation.REMOVED) or not isinstance(value, Value_Text):
        return 0
    return len(value.value)


def decide(conflict, column):
    field = next(field for field in conflict.fields if field.column == column)
    cloud, local = length(conflict.cloud, field.cloud), length(conflict.local, field.local)
    if cloud == local:
        times = [held.edited_at and (held.edited_at.seconds, held.edited_at.nanoseconds) for held in (conflict.cloud, conflict.local)]
        if None in times or times[0] == times[1]:
            return Decision_Manual("both texts are as long, and neither edit is known to be the later one")
        cloud, local = times
    return Decision_Take(Side.CLOUD if cloud > local else Side.LOCAL)


class Resolver(exports.Resolver):
    def describe(self):
        # It looks at the column that the configuration names, and treats both sides alike.
        wanted = Wanted(Scope.NAMED, [], ["/column"])
        return Description("my-strategy", "0.1.0", json.dumps(CONFIG_SCHEMA), False, True, wanted)

    def resolve(self, context, batch):
        name = json.loads(context.config)["column"]
        column = next((place for place, column in enumerate(context.columns) if column.name == name), None)
        if column is None:
            raise Err(f"the table has no column {name}")
        return Answer([decide(conflict, column) for conflict in batch], [])
