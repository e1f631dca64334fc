#!/usr/bin/python3
"""Format and static analysis, the work behind `./dev lint`. Exit status 1 if anything has something to say.

clang-format and shellcheck read every file of theirs; clang-tidy and cppcheck all C that isn't a test.
"""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("lib", "authn", "policy", "filters", "proxy", "admin", "tests", "bench")
SHELL = ("dev", ".ci/run", "tests/e2e/peers/fetch")
START = time.monotonic()


def sources(pattern):
    return sorted(str(f.relative_to(ROOT)) for folder in FOLDERS for f in (ROOT / folder).rglob(pattern))


def compiled():
    """The sources in the compilation database of build/clang, without those that are gone since, and tests."""
    database = json.loads((ROOT / "build/clang/compile_commands.json").read_text())
    files = {Path(entry["file"]) for entry in database}
    return sorted(str(f) for f in files if f.is_file() and ROOT / "tests" not in f.parents)


def run(command):
    """True if the program has nothing to say; otherwise its output is shown."""
    result = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode:
        print(result.stdout + result.stderr, end="", flush=True)
    return result.returncode == 0


def clang_format():
    """What it says is mended by clang-format -i."""
    return run(["clang-format", "--dry-run", "-Werror", *sources("*.[ch]")])


def layers():
    return run([sys.executable, "tests/layers/scan.py"])


def shellcheck():
    return run(["shellcheck", "-e", "SC2046,SC2086", *(f for f in SHELL if (ROOT / f).exists())])


def cppcheck():
    # Only what no compiler sees: the rest repeats clang-tidy, or takes tests' macros for mistakes.
    return run(["cppcheck", "--quiet", "--error-exitcode=1", "--inline-suppr", "--std=c11", "-j2", "-I.",
                "--enable=portability", "--suppress=missingIncludeSystem", "--suppress=internalAstError",
                *(f for f in sources("*.c") if not f.startswith("tests/"))])


def clang_tidy():
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return all(list(pool.map(lambda f: run(["clang-tidy", "--quiet", "-p", "build/clang", f]), compiled())))


def main():
    bad = []
    for check in (clang_format, layers, shellcheck, cppcheck, clang_tidy):
        start = time.monotonic()
        good = check()
        print(f"[{time.monotonic() - START:6.1f} s] {check.__name__.replace('_', '-')} "
              f"{'ok' if good else 'FAILED'} in {time.monotonic() - start:.0f} s", flush=True)
        if not good:
            bad.append(check.__name__.replace("_", "-"))
    if bad:
        print(f"lint: {', '.join(bad)} failed")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
