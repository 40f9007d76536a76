"""What Chargebee accepts, read from the SDK's own source: paths, parameters, nesting, enums.

The SDK is read as text (never imported), so that the simulator starts fast and cannot inherit the SDK's behaviour.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

FILTER_OPERATORS: dict[str, dict[str, str]] = {
    "StringFilter": {"is": "str", "is_not": "str", "starts_with": "str", "in": "list", "not_in": "list", "is_present": "bool"},
    "BooleanFilter": {"is": "bool", "is_present": "bool"},
    "EnumFilter": {"is": "str", "is_not": "str", "is_present": "bool", "in": "list", "not_in": "list"},
    "NumberFilter": {
        "is": "int",
        "is_not": "int",
        "lt": "int",
        "lte": "int",
        "gt": "int",
        "gte": "int",
        "between": "list",
        "is_present": "bool",
    },
    "SortFilter": {"asc": "str", "desc": "str"},
    "TimestampFilter": {"after": "int", "before": "int", "on": "int", "between": "list", "is_present": "bool"},
    "DateFilter": {"after": "str", "before": "str", "on": "str", "between": "list", "is_present": "bool"},
}


@dataclass(frozen=True)
class Shape:
    """One parameter's form. `kind`: str, int, float, bool, enum, map, list, object, filter, any."""

    kind: str
    choices: frozenset[str] = frozenset()
    item: Shape | None = None
    fields: dict[str, Shape] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    filter_name: str = ""


@dataclass(frozen=True)
class Operation:
    """One call of the API: `resource` and `name` as the SDK has them, path segments with None where an id goes."""

    resource: str
    name: str
    method: str
    segments: tuple[str | None, ...]
    shape: Shape
    is_list: bool
    is_idempotent: bool
    is_json: bool
    json_keys: dict[str, int]

    @property
    def key(self) -> str:
        return f"{self.resource}.{self.name}"


class SdkSource:
    """The SDK's operations, one module at a time."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("chargebee")
        if found is None or found.origin is None:
            raise RuntimeError("the chargebee package is not installed: the simulator checks requests against its parameter types")
        self._models = Path(found.origin).parent / "models"
        self._classes: dict[str, dict[str, ast.ClassDef]] = {}
        self._resource_class: dict[str, ast.ClassDef] = {}
        self._shapes: dict[tuple[str, str], Shape] = {}
        self._enums = {node.name: _enum_values(node) for node in _parsed(self._models / "enums.py").body if isinstance(node, ast.ClassDef)}

    def operations(self) -> list[Operation]:
        """Every operation of every resource in the SDK."""
        found: list[Operation] = []
        for path in sorted(self._models.glob("*/operations.py")):
            resource = path.parent.name
            top = self._load(resource)
            found += [
                operation
                for node in (top.body if top else [])
                if isinstance(node, ast.FunctionDef) and (operation := self._operation(resource, node)) is not None
            ]
        return found

    def enum_for(self, resource: str, attribute: str) -> frozenset[str]:
        """Values of the enum that the SDK names after an attribute (`dunning_status` → `DunningStatus`), or nothing."""
        name = "".join(part.capitalize() for part in attribute.split("_"))
        self._load(resource)
        node = self._classes.get(resource, {}).get(name)
        return _enum_values(node) if node is not None else self._enums.get(name, frozenset())

    def _load(self, resource: str) -> ast.ClassDef | None:
        if resource not in self._resource_class:
            path = self._models / resource / "operations.py"
            if not path.exists():
                return None
            tops = [node for node in _parsed(path).body if isinstance(node, ast.ClassDef)]
            if not tops:
                return None
            self._resource_class[resource] = tops[0]
            self._classes[resource] = {node.name: node for node in tops[0].body if isinstance(node, ast.ClassDef)}
        return self._resource_class[resource]

    def _operation(self, resource: str, node: ast.FunctionDef) -> Operation | None:
        call = next((n.value for n in node.body if isinstance(n, ast.Return) and isinstance(n.value, ast.Call)), None)
        if call is None or not isinstance(call.func, ast.Attribute) or call.func.attr not in ("send", "send_list_request"):
            return None
        path_call = call.args[1]
        if not isinstance(path_call, ast.Call):
            return None
        segments = tuple(str(arg.value) if isinstance(arg, ast.Constant) else None for arg in path_call.args)
        literals = {n.targets[0].id: n.value for n in node.body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)}
        annotation = next((arg.annotation for arg in node.args.args if arg.arg == "params"), None)
        shape = self._shape_of(resource, annotation) if annotation is not None else Shape("object")
        return Operation(
            resource=resource,
            name=node.name,
            method=str(ast.literal_eval(call.args[0])).upper(),
            segments=segments,
            shape=shape,
            is_list=call.func.attr == "send_list_request",
            is_idempotent=bool(ast.literal_eval(literals["options"]).get("isIdempotent")) if "options" in literals else False,
            is_json=bool(ast.literal_eval(call.args[7])),
            json_keys=ast.literal_eval(literals["jsonKeys"]) if "jsonKeys" in literals else {},
        )

    def _shape_of(self, resource: str, node: ast.expr) -> Shape:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self._shape_of(resource, ast.parse(node.value, mode="eval").body)
        if isinstance(node, ast.Subscript):
            outer = _dotted(node.value)
            if outer in ("Required", "NotRequired"):
                return self._shape_of(resource, node.slice)
            if outer == "List":
                return Shape("list", item=self._shape_of(resource, node.slice))
            return Shape("map")
        name = _dotted(node)
        if name in ("str", "int", "float", "bool"):
            return Shape(name)
        if name.startswith("Filters."):
            return Shape("filter", filter_name=name.removeprefix("Filters."))
        if name.startswith("enums."):
            return Shape("enum", choices=self._enums.get(name.removeprefix("enums."), frozenset()))
        parts = name.split(".")
        owner = parts[0] if len(parts) == 3 else resource
        return self._class_shape(owner, parts[-1])

    def _class_shape(self, resource: str, name: str) -> Shape:
        known = self._shapes.get((resource, name))
        if known is not None:
            return known
        self._load(resource)
        node = self._classes.get(resource, {}).get(name)
        if node is None:
            return Shape("any")
        if any(_dotted(base) == "Enum" for base in node.bases):
            shape = Shape("enum", choices=_enum_values(node))
        else:
            fields: dict[str, Shape] = {}
            required: set[str] = set()
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    fields[line.target.id] = self._shape_of(resource, line.annotation)
                    if isinstance(line.annotation, ast.Subscript) and _dotted(line.annotation.value) == "Required":
                        required.add(line.target.id)
            shape = Shape("object", fields=fields, required=frozenset(required))
        self._shapes[(resource, name)] = shape
        return shape


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Constant):
        return str(node.value)
    return ""


def _enum_values(node: ast.ClassDef) -> frozenset[str]:
    return frozenset(str(n.value.value) for n in node.body if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant))


class Routes:
    """Finds the operation for a method and path; literal segments win over ids."""

    def __init__(self, operations: list[Operation]) -> None:
        self._by_length: dict[tuple[str, int], list[Operation]] = {}
        self.by_key = {operation.key: operation for operation in operations}
        for operation in operations:
            self._by_length.setdefault((operation.method, len(operation.segments)), []).append(operation)
        for group in self._by_length.values():
            group.sort(key=lambda o: tuple(segment is None for segment in o.segments))

    def match(self, method: str, parts: list[str]) -> tuple[Operation, list[str]] | None:
        """The operation and the ids in its path."""
        for operation in self._by_length.get((method, len(parts)), []):
            if all(want is None or want == got for want, got in zip(operation.segments, parts, strict=True)):
                return operation, [got for want, got in zip(operation.segments, parts, strict=True) if want is None]
        return None

    def known_path(self, parts: list[str]) -> bool:
        return any(self.match(method, parts) for method in ("GET", "POST"))
