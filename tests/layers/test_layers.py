"""The layer test: neither an include nor a call goes upward. Each check is also seen to fail."""

import os
import subprocess
from pathlib import Path

import pytest

import scan

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("POSTERN_BUILD", ROOT / "build/asan"))


def declared():
    """(library, folder, declared libraries) as CMake has them."""
    file = BUILD / "tests/layers/declared.txt"
    return [(line.split()[0], line.split()[1], line.split()[2:]) for line in file.read_text().splitlines()] \
        if file.exists() else []


def link(library):
    return subprocess.run(["cmake", "--build", BUILD, "--target", f"layer_{library}"], capture_output=True, text=True)


@pytest.mark.parametrize("library", [row[0] for row in declared()] or ["unconfigured"])
def test_links_whole_with_what_it_declares(library):
    result = link(library)
    assert result.returncode == 0, result.stdout + result.stderr


def test_an_upward_call_does_not_link():
    result = link("planted")
    assert result.returncode != 0
    assert "proxy_symbol_that_base_must_not_see" in result.stdout + result.stderr


def test_declared_dependencies_go_downward():
    folders = {library: folder for library, folder, _ in declared()}
    assert folders, "CMake wrote no declarations"
    for library, folder, depends in declared():
        for other in depends:
            if other in folders:
                assert folders[other] in scan.LAYERS[folder], f"{folder} declares {folders[other]}"


@pytest.mark.parametrize("layer", [layer for layer in scan.LAYERS if (ROOT / layer).is_dir()])
def test_includes_go_downward(layer):
    mistakes, files = scan.scan(ROOT)
    assert not [m for m in mistakes if m.startswith(layer + "/")]
    assert files[layer] or not list((ROOT / layer).glob("*.c"))


def tree(tmp_path, files):
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


HEADERS = {f"{layer}/x.h": "" for layer in scan.LAYERS} | {"policy/facts.h": "", "admin/control.h": ""}


@pytest.mark.parametrize("path, line, wrong", [
    ("lib/base/a.c", '#include "lib/mail/x.h"', True),
    ("lib/base/a.c", '#include "lib/base/x.h"', False),
    ("lib/mail/a.c", '#include "lib/net/x.h"', True),
    ("lib/mail/a.c", "#include <uv.h>", True),
    ("lib/mail/a.c", "  #  include <sys/socket.h>", True),
    ("lib/net/a.c", '#include "lib/mail/x.h"', True),
    ("lib/net/a.c", "#include <uv.h>", False),
    ("lib/store/a.c", '#include "lib/mail/x.h"', True),
    ("policy/a.c", '#include "lib/mail/x.h"', True),
    ("policy/a.c", '#include "filters/x.h"', True),
    ("filters/a.c", '#include "policy/x.h"', True),
    ("filters/a.c", '#include "policy/facts.h"', False),
    ("filters/a.c", '#include "proxy/x.h"', True),
    ("proxy/a.c", '#include "admin/x.h"', True),
    ("proxy/deep/a.h", '#include "admin/x.h"', True),
    ("proxy/a.c", '#include "filters/x.h"', False),
    ("proxy/a.c", '#include "spool.h"', True),
    ("proxy/config/a.c", '#include "proxy/session/x.h"', True),
    ("proxy/config/a.c", '#include "filters/x.h"', True),
    ("proxy/session/a.c", '#include "proxy/config/x.h"', False),
    ("proxy/session/a.c", '#include "filters/x.h"', False),
    ("proxy/session/a.c", '#include "authn/x.h"', True),
    ("proxy/process/a.c", '#include "authn/x.h"', False),
    ("authn/a.c", '#include "lib/net/x.h"', True),
    ("admin/a.c", '#include "proxy/x.h"', False),
    ("admin/command_status.c", '#include "proxy/x.h"', True),
    ("admin/command_status.c", '#include "admin/control.h"', False),
])
def test_scan_sees(tmp_path, path, line, wrong):
    mistakes, _ = scan.scan(tree(tmp_path, HEADERS | {path: f"/* a */\n{line}\n"}))
    assert bool(mistakes) == wrong, mistakes
    assert not wrong or mistakes[0].startswith(f"{path}:2: ")
