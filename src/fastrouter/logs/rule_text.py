"""What msgspec says of data that break a rule of their type, as a person reads it: key, rule, what is possible."""

import re

import msgspec
from msgspec.inspect import LiteralType, StructType, Type, type_info

# `$.routes[0].route`: names of keys, and places in lists.
_STEP = re.compile(r"[^.\[\]]+")


def rule_text(error: Exception, kind: type[msgspec.Struct]) -> str:
    """Return the text of an error of decoding a `kind`: `routes[0].loadbalancing: RULE: it is one of …`."""
    message = str(error)
    rule, _, place = message.rpartition(" - at ")
    if not rule:
        return message + _possible(message, type_info(kind))
    key = place.strip("`").removeprefix("$").removeprefix(".")
    text = rule + _possible(rule, _type_at(key, kind))
    return f"{key}: {text}" if key else text


def _type_at(key: str, kind: type[msgspec.Struct]) -> Type | None:
    """Return the type of what is at `key`, None where it is neither in a struct nor in a list."""
    found: Type | None = type_info(kind)
    for step in _STEP.findall(key):
        if isinstance(found, StructType):
            found = next((field.type for field in found.fields if field.encode_name == step), None)
        else:
            found = getattr(found, "item_type", None)
    return found


def _possible(rule: str, found: Type | None) -> str:
    if isinstance(found, LiteralType) and rule.startswith("Invalid enum value"):
        return f": it is one of {', '.join(str(value) for value in found.values if value != '')}"
    if isinstance(found, StructType) and "unknown field" in rule:
        return (
            f": there are {', '.join(field.encode_name for field in found.fields)}"
            if found.fields
            else ": there is none"
        )
    return ""
