"""Loss accounting: what clients were told, against what stands at the backend, against what the log admits."""

from collections import Counter


def in_doubt(audits):
    """Ids of the messages that the log lists as in doubt: the backend died after the final dot."""
    doubtful = (r for r in audits if "in_doubt" in (r.get("verdict"), *(to.get("verdict") for to in r["to"])))
    return {(r.get("msgid") or "").strip("<>").split("@")[0] for r in doubtful}


def mistakes(outcomes, delivered, doubtful):
    """Every id whose story doesn't add up: (id, what the client was told, how often it is at the backend).

    250: exactly once. A refusal: never, or at most once if listed as in doubt. No reply because the connection died:
    at most once, and never if the message had not been sent whole.
    """
    wrong = []
    for o in outcomes:
        there, ident = delivered.get(o["id"], 0), o["id"]
        if o["code"] == 250:
            fine = there == 1
        elif o["code"] is not None:
            fine = there == 0 or there == 1 and ident in doubtful
        else:
            fine = there == 0 or there == 1 and o["sent"]
        if not fine:
            wrong.append((ident, o["code"], o["text"], there))
    known = {o["id"] for o in outcomes}
    wrong += [(ident, "never sent", "", n) for ident, n in delivered.items() if ident not in known]
    return wrong


def summary(outcomes, delivered):
    codes = Counter(o["code"] for o in outcomes)
    return f"{len(outcomes)} tried, replies {dict(codes)}, {sum(delivered.values())} at the backend"
