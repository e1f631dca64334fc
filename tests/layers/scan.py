#!/usr/bin/python3
"""Includes go downward only: reads every source and names each include that does not.

    scan.py [ROOT]      exit status 1 with a line for each mistake

What a folder may see stands in LAYERS, and nowhere else. The rule is docs/ARCHITECTURE.md's; the link test beside it
finds calls that need no include.
"""

import re
import sys
from pathlib import Path

BASE, LIST, MAIL, NET, AUTHN, STORE = "lib/base", "lib/list", "lib/mail", "lib/net", "lib/authn", "lib/store"
LIBRARIES = {BASE, LIST, MAIL, NET, AUTHN, STORE}
PROXY = ["config", "message", "backend", "session", "process"]  # each sees those before it
CARRIER = LIBRARIES | {"policy", "filters", "proxy"} | {f"proxy/{room}" for room in PROXY}

# folder: the folders, or single headers, that it may include. Itself always.
LAYERS = {
    BASE: set(),
    LIST: {BASE},
    MAIL: {BASE},
    NET: {BASE},
    AUTHN: {BASE, NET},
    STORE: {BASE, LIST, NET},
    "authn": {BASE, MAIL, AUTHN},
    "policy": {BASE, LIST},
    "filters": LIBRARIES | {"policy/facts.h"},
    **{f"proxy/{room}": LIBRARIES | {"policy"} | {f"proxy/{lower}" for lower in PROXY[:i]}
       | ({"filters"} if i >= PROXY.index("session") else set())
       | ({"authn"} if room == "process" else set())
       for i, room in enumerate(PROXY)},
    "proxy": CARRIER,
    "admin": CARRIER,
    "tests": CARRIER | {"admin", "authn"},
    "bench": set(),  # measures from outside
}

# Files that may see less than their folder: the control protocol knows nothing of the daemon behind it, and commands that
# talk to the daemon know that protocol only, so that they work whatever state the rest is in. Some of bench see more: rules,
# signatures and the store can't be measured from outside.
NARROW = {
    "admin/control.[ch]": {BASE, "admin/control.h"},
    "admin/json.[ch]": {BASE, "admin/json.h"},
    "admin/table.[ch]": {BASE, "admin/table.h"},
    "admin/command_status.c": {BASE, "admin/command.h", "admin/control.h", "admin/json.h", "admin/table.h"},
    "bench/policy.c": {BASE, "policy"},
    "bench/sample.[ch]": {BASE, "bench"},
    "bench/sender.c": {BASE, "bench"},
    "bench/dkim.c": {BASE, AUTHN, "authn", "bench"},
    "bench/auth.c": LIBRARIES | {"filters", "bench", "tests/unit/authn_play.h"},
    "bench/lookup.c": {BASE, LIST},
    "bench/memory.c": {BASE, NET, STORE},
    "bench/redis.c": {BASE, LIST, NET, STORE},
    "admin/command_control.c": {BASE, "admin/command.h", "admin/control.h", "proxy/process/version.h"},
}

# Folders that do no input or output and so never see what does it.
PURE = {BASE: "uv.h openssl/", LIST: "uv.h openssl/ sys/socket.h", MAIL: "uv.h openssl/ sys/socket.h", "policy": "uv.h openssl/ sys/socket.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def folder_of(path):
    """The layer that a path from the root belongs to, or None."""
    return next((layer for layer in sorted(LAYERS, key=len, reverse=True) if path.startswith(layer + "/")), None)


def allowed(path):
    """What the file at `path` may include besides its own folder; None: all of its folder's."""
    return next((seen for glob, seen in NARROW.items() if Path(path).match(glob)), None)


def mistake(path, quote, target, root):
    """Why `path` may not include `target`; None if it may."""
    folder = folder_of(path)
    if quote == "<":
        impure = [p for p in PURE.get(folder, "").split() if target.startswith(p)]
        return f"{folder} is pure and includes <{target}>" if impure else None
    narrow = allowed(path)
    there = folder_of(target)
    if there is None or not (root / target).is_file():
        return None if folder in ("tests", "bench") else f'"{target}" is not written from the root'
    if narrow is not None:
        return None if there in narrow or target in narrow else f'{path} may not see "{target}"'
    if there == folder or there in LAYERS[folder] or target in LAYERS[folder]:
        return None
    return f'{folder} may not see {there} ("{target}")'


def scan(root):
    """All mistakes below `root`, as file:line: text, and how many files were read for each layer."""
    mistakes, files = [], dict.fromkeys(LAYERS, 0)
    for file in sorted({file for layer in LAYERS for file in (root / layer).rglob("*.[ch]")}):
        path = file.relative_to(root).as_posix()
        files[folder_of(path)] += 1
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
            found = INCLUDE.match(line)
            why = found and mistake(path, *found.groups(), root)
            if why:
                mistakes.append(f"{path}:{number}: {why}")
    return mistakes, files


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2])
    mistakes, files = scan(root)
    print("\n".join(mistakes) if mistakes else f"{sum(files.values())} files include downward only")
    sys.exit(1 if mistakes or not sum(files.values()) else 0)


if __name__ == "__main__":
    main()
