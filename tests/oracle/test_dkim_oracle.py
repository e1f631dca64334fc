"""DKIM beside dkimpy and Mail::DKIM: dkim_compare.py, with a seed that stays the same."""

import pytest

import dkim_compare


def test_verdicts_are_those_of_dkimpy_and_mail_dkim():
    comparison = dkim_compare.compare(seed=1, generated=800, mutated=3200)
    assert not comparison.unruled, comparison.report()
    assert comparison.ended == (0, 0)
    # The messages are worth comparing: about half of the signatures are good, and most rulings are needed.
    signatures, passed = comparison.counts["signatures"], comparison.counts["of them pass"]
    assert signatures > 4000 and 0.4 * signatures < passed < 0.7 * signatures
    assert len(comparison.ruled) > len(comparison.rulings) / 2


@pytest.mark.parametrize("wrong", ["always", "never"])
def test_a_wrong_verdict_of_ours_is_seen(wrong, monkeypatch):
    right = dkim_compare.Postern.answer

    def answer(postern):
        return [verdict._replace(passes=wrong == "always") for verdict in right(postern)]

    monkeypatch.setattr(dkim_compare.Postern, "answer", answer)
    assert dkim_compare.compare(seed=2, generated=20, mutated=20).unruled
