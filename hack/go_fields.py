"""Reads, from the Go sources of Kubernetes' API types, what the JSON schemas leave out.

That is, of every field that is a scalar itself (no pointer), whether it is left out of the encoded object when it is
zero; and the name of its type, or of its items' type, if it has one, as decoding errors show it.
``hack/go_fields.txt`` keeps that, one definition a line: its name, then ``field?`` (left out when zero),
``field:v1.PullPolicy``, or both; and of each named string that is an enumeration its values, sorted, in a line that
starts with ``enum``, between bars.
"""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path

_TYPE = re.compile(r"^type (\w+) (struct \{|=? ?[\w.]+)", re.MULTILINE)
_FIELD = re.compile(r"^\t(?:(\w+)\s+)?([\w.*\[\]{}]+)\s+`(.*?)`", re.MULTILINE)
_IMPORT = re.compile(r'^\s*(\w+)? ?"(k8s\.io/[\w./-]+)"', re.MULTILINE)
_ENUM = re.compile(r"^// \+enum\n(?://.*\n)*type (\w+) string$", re.MULTILINE)
_JSON = re.compile(r'json:"([^"]*)"')
SCALARS = {"string", "bool", "int", "int32", "int64", "float64"}
#: Named strings of packages that are not read.
OUTSIDE = {"types.UID", "types.NodeName"}
ROOTS = {"api": "io.k8s.api", "apimachinery": "io.k8s.apimachinery"}
ROOTS |= {"apiextensions-apiserver": "io.k8s.apiextensions-apiserver", "kube-aggregator": "io.k8s.kube-aggregator"}


class Package:
    """The types of one directory."""

    def __init__(self, directory: Path) -> None:
        text = "\n".join(path.read_text() for path in sorted(directory.glob("*types*.go")) if "_test" not in path.name)
        self.imports = {}
        for alias, path in _IMPORT.findall(text):
            self.imports[alias or path.rsplit("/", 1)[1]] = path
        self.structs: dict[str, str] = {}
        self.scalars: dict[str, str] = {}
        self.enums = {
            name: sorted(set(re.findall(rf'^\s*\w+\s+{name}\s*=\s*"([^"]*)"', text, re.MULTILINE)))
            for name in _ENUM.findall(text)
        }
        for found in _TYPE.finditer(text):
            name, shape = found.groups()
            if shape == "struct {":
                self.structs[name] = text[found.end() : text.index("\n}", found.end() - 1)]
            else:
                self.scalars[name] = shape.lstrip("= ")


def load(source: Path) -> dict[str, Package]:
    """Import path -> package, of checkouts of the four repositories side by side in ``source``."""
    found = {}
    for repository in ROOTS:
        for path in sorted((source / repository).rglob("types.go")):
            package = path.parent
            found[f"k8s.io/{package.relative_to(source)}"] = Package(package)
    return found


def definition(import_path: str, name: str) -> str:
    repository, _, rest = import_path.removeprefix("k8s.io/").partition("/")
    return ".".join([ROOTS[repository], *rest.split("/"), name])


def _resolve(packages: dict[str, Package], at: str, spelled: str) -> tuple[str, str]:
    """Import path and name of a type as ``at`` spells it."""
    alias, dot, name = spelled.rpartition(".")
    return (packages[at].imports.get(alias, ""), name) if dot else (at, spelled)


def fields(packages: dict[str, Package], at: str, struct: str) -> dict[str, str]:
    """Of the struct's fields that are scalars or structs themselves: JSON name -> the notation of the file."""
    found: dict[str, str] = {}
    body = packages[at].structs[struct]
    for name, spelled, tags in _FIELD.findall(body):
        tag = _JSON.search(tags)
        if tag is None:
            continue
        field, *options = tag[1].split(",")
        bare = spelled.removeprefix("*").removeprefix("[]")
        path, type_name = _resolve(packages, at, bare)
        package = packages.get(path)
        if "inline" in options or (not field and not name):
            if package is not None and type_name in package.structs:
                found |= fields(packages, path, type_name)
            continue
        if field in ("", "-", "apiVersion", "kind"):
            continue
        named = bare in OUTSIDE or (package is not None and package.scalars.get(type_name) in SCALARS)
        dropped = bare == spelled and "omitempty" in options and (named or bare in SCALARS)
        shown = bare if bare in OUTSIDE else f"{path.rsplit('/', 1)[1]}.{type_name}" if named else ""
        if dropped or shown:
            found[field] = ("?" if dropped else "") + (f":{shown}" if shown else "")
    return found


def render(source: Path, definitions: Container[str]) -> str:
    """The file's content for those of ``definitions`` that ``source`` has."""
    packages = load(source)
    lines = []
    for path, package in packages.items():
        lines += [
            f"enum {definition(path, name)} {'|'.join(values)}" for name, values in package.enums.items() if values
        ]
        for struct in package.structs:
            name, notes = definition(path, struct), fields(packages, path, struct)
            if notes and name in definitions:
                lines.append(" ".join([name, *(field + note for field, note in sorted(notes.items()))]))
    return "\n".join(sorted(lines)) + "\n"


def present(packages: dict[str, Package], at: str, struct: str) -> set[str]:
    """The JSON names of the struct's fields that always have a value in the encoded object: structs, and what is not
    left out when it is zero, unless it is a pointer."""
    found: set[str] = set()
    for name, spelled, tags in _FIELD.findall(packages[at].structs[struct]):
        tag = _JSON.search(tags)
        if tag is None or spelled.startswith("*"):
            continue
        field, *options = tag[1].split(",")
        path, type_name = _resolve(packages, at, spelled.removeprefix("[]"))
        package = packages.get(path)
        if "inline" in options or (not field and not name):
            if package is not None and type_name in package.structs:
                found |= present(packages, path, type_name)
            continue
        if field in ("", "-") or "omitzero" in options:
            continue
        collection = spelled.startswith(("[]", "map["))
        known = package is not None and type_name in package.scalars
        plain = collection or known or spelled in SCALARS or spelled in OUTSIDE or type_name == "ValidationRules"
        if "omitempty" not in options or not plain:
            found.add(field)
    return found


def render_present(source: Path, definitions: Container[str]) -> str:
    """``present.txt``: a definition a line, and those of its fields that are always there."""
    packages = load(source)
    lines = []
    for path, package in packages.items():
        for struct in package.structs:
            name, always = definition(path, struct), present(packages, path, struct)
            if always and name in definitions:
                lines.append(" ".join([name, *sorted(always)]))
    return "\n".join(sorted(lines)) + "\n"


Notes = dict[str, dict[str, tuple[bool, str]]]


def parse(text: str) -> tuple[Notes, dict[str, list[str]]]:
    """Definition -> field -> (left out when zero, Go type or ""); and Go type's full name -> its values."""
    found: Notes = {}
    enums: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, *words = line.split(" ")
        if name == "enum":
            enums[words[0]] = " ".join(words[1:]).split("|")
            continue
        notes = found[name] = {}
        for word in words:
            field, _, go_type = word.partition(":")
            notes[field.removesuffix("?")] = (field.endswith("?"), go_type)
    return found, enums


def values_of(enums: dict[str, list[str]], name: str, go_type: str) -> list[str]:
    """The values of the type that definition ``name`` calls ``go_type``: of its own package, or of core or meta."""
    version, _, kind = go_type.partition(".")
    own = name.rsplit(".", 1)[0]
    packages = [own] if own.endswith(f".{version}") else []
    packages += [f"io.k8s.api.core.{version}", f"io.k8s.apimachinery.pkg.apis.meta.{version}"]
    return next((enums[f"{at}.{kind}"] for at in packages if f"{at}.{kind}" in enums), [])
