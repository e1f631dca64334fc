"""ARC chains: postern's verdict beside those of dkimpy and Mail::DKIM, over messages that a seed makes and changes.

Where they differ, arc_rulings.txt has to say why. ARC_ORACLE="SEED CHAINS MUTATIONS" runs others than the fixed ones.
"""

import os
import random

import arc_chains
import arc_oracles

SEED, CHAINS, MUTATIONS = os.environ.get("ARC_ORACLE", "postern 90 3").split()


def cases():
    """[(name, how it was made, message)]"""
    made = []
    for k in range(int(CHAINS)):
        rng = random.Random(f"{SEED}/{k}")
        label, headers, content = arc_chains.chain(rng)
        made.append((f"{SEED}/{k}", label, b"".join(headers) + b"\r\n" + content))
        for m in range(int(MUTATIONS)):
            change, changed, body = arc_chains.mutation(rng, headers, content)
            made.append((f"{SEED}/{k}/{m}", f"{label} + {change}", b"".join(changed) + b"\r\n" + body))
    return made


def unruled(made, verdicts):
    """A line for each difference that no ruling is about, and the rulings that were needed."""
    rows, lines, used = arc_oracles.rulings(), [], set()
    for (name, label, message), (ours, *theirs) in zip(made, verdicts):
        for oracle, its in arc_oracles.differing(ours[0], theirs):
            found = arc_chains.features(label, message)
            row = arc_oracles.ruling_for(rows, oracle, found, ours[0], its)
            used.add(row)
            if not row:
                lines.append(f"{name}: postern {ours[0]} ({ours[3]}), {oracle} {its}: {', '.join(sorted(found))}")
    return lines, used


def test_every_difference_has_a_ruling():
    made = cases()
    verdicts = arc_oracles.verdicts([message for _, _, message in made])
    lines, _ = unruled(made, verdicts)
    assert not lines, "\n".join(lines)
    # Verdicts of all kinds, so that agreement says something.
    codes = [ours[0] for ours, *_ in verdicts]
    assert codes.count("pass") > len(codes) / 10 and codes.count("fail") > len(codes) / 10


def test_a_wrong_verdict_would_be_seen():
    made = [case for case in cases()[:40] if case[1] == "plain"]
    verdicts = arc_oracles.verdicts([message for _, _, message in made])
    wrong = [((("fail" if ours[0] == "pass" else "pass"), *ours[1:]), *theirs) for ours, *theirs in verdicts]
    lines, _ = unruled(made, wrong)
    assert made and lines
