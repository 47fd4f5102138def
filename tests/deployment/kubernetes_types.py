"""Kubernetes objects held to the types of Kubernetes' own client, key by key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kubernetes.client import models

_SIMPLE: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "object": (object,),
    "IntOrString": (int, str),
}


def oddities(item: Any, kind: str, at: str = "") -> Iterator[str]:
    """Each key that `kind` (V1Pod, list[V1Volume], …) does not know, each value of another type."""
    parts = re.fullmatch(r"(list|dict)[\[(](?:str, )?(.*)[\])]", kind)
    if kind in _SIMPLE:
        if not isinstance(item, _SIMPLE[kind]) or (kind == "int" and isinstance(item, bool)):
            yield f"{at} is {item!r}, wanted {kind}"
    elif parts is None:
        yield from _of_model(item, getattr(models, kind), at)
    elif not isinstance(item, list if parts[1] == "list" else dict):
        yield f"{at} is {item!r}, wanted {kind}"
    else:
        for key, value in item.items() if isinstance(item, dict) else enumerate(item):
            yield from oddities(value, parts[2], f"{at}.{key}")


def _of_model(item: Any, model: Any, at: str) -> Iterator[str]:
    if not isinstance(item, dict):
        yield f"{at} is {item!r}, wanted {model.__name__}"
        return
    names = {shown: name for name, shown in model.attribute_map.items()}
    for key, value in item.items():
        if key in names:
            yield from oddities(value, model.openapi_types[names[key]], f"{at}.{key}")
        else:
            yield f"{at}.{key} is no field of {model.__name__}"
