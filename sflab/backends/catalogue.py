"""What AWS's services have, for whoever writes a definition: names, actions and parameters, from botocore's models."""

from __future__ import annotations

from typing import Any

from sflab.asl import model
from sflab.backends import http, shapes


class Catalogue:
    """Names of services, actions and parameters, as Step Functions spells them (see `sflab.asl.complete.Catalogue`)."""

    def services(self) -> list[str]:
        """Return the services that ``aws-sdk:`` tasks may name."""
        return shapes.services()

    def actions(self, service: str) -> list[str]:
        """Return the actions of *service*: ``putItem``; none where there is no such service."""
        name = shapes.botocore_name(service)
        known = shapes.service_model(name) if name else None
        return [each[:1].lower() + each[1:] for each in known.operation_names] if known else []

    def members(self, resource: str, path: tuple[str | int, ...] = ()) -> list[str]:
        """Return the members of a task's parameters, those it must have first; *path* leads to an object inside them.

        There are none where *resource* takes what it likes (a function by its ARN, an activity), and inside a map.
        """
        called = model.resource(resource)
        if called.kind != "task":
            return []
        sdk, service = called.type.startswith("aws-sdk:"), called.type.removeprefix("aws-sdk:")
        if not sdk and service in http.FIELDS:
            return [] if path else sorted(http.FIELDS[service])
        found = shapes.operation(service, called.action.partition(".")[0])
        spelled = shapes.java_member if sdk else shapes.capital
        shape = _inside(found.input_shape, path, spelled) if found else None
        if shape is None or shape.type_name != "structure":
            return []
        return [spelled(name) for name in sorted(shape.members, key=lambda name: name not in shape.required_members)]


def _inside(shape: Any, path: tuple[str | int, ...], spelled: Any) -> Any:
    """Return the shape at *path* inside another; None where there is none."""
    for name in path:
        match shape.type_name if shape is not None else "":
            case "structure":
                members = {spelled(member): inner for member, inner in shape.members.items()}
                shape = members.get(str(name).removesuffix(".$"))
            case "list":
                shape = shape.member
            case "map":
                shape = shape.value
            case _:
                return None
    return shape
