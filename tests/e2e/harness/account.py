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


FINAL = {"accept": 250, "discard": 250, "quarantine": 250, "reject": 550, "defer": 451}


def mistakes_by_verdict(outcomes, delivered, held, audits, dropped):
    """The same where a message's subject is the verdict that rules give it: (id, subject, code, text, what is wrong).

    delivered, held: how often each id is at the backend and in the quarantine. A verdict keeps a message out of where it
    doesn't belong, whatever the client was told; 250 and 550 are told only by it (or by the backend, where it is
    accept); and the log has one record that says so. dropped: lines that the log admits to have lost.
    """
    passed = [o for o in outcomes if o["subject"] == "accept"]
    known = {o["id"] for o in passed}
    elsewhere = [(ident, "delivered", None, "", n) for ident, n in delivered.items() if ident not in known]
    wrong = elsewhere + [(w[0], "accept", *w[1:]) for w in mistakes(
        passed, {i: n for i, n in delivered.items() if i in known}, in_doubt(audits))]
    records = {}
    for r in audits:
        if r.get("msgid"):
            records.setdefault(r["msgid"].strip("<>").split("@")[0], []).append(r["verdict"])
    missing = 0
    for o in outcomes:
        verdict, code, kept, said = o["subject"], o["code"], held.get(o["id"], 0), records.get(o["id"], [])
        if verdict != "quarantine":
            fine = kept == 0
        else:
            fine = kept == 1 if code == 250 else kept == 0 or kept == 1 and code is None and o["sent"]
        if not fine:
            wrong.append((o["id"], verdict, code, o["text"], f"{kept} in the quarantine"))
        if verdict != "accept" and code is not None and code != FINAL[verdict] and not 400 <= code < 500:
            wrong.append((o["id"], verdict, code, o["text"], "is not its answer"))
        if code == 250 or code == 550 and verdict == "reject":
            missing += not said
            if said not in ([], [verdict]):
                wrong.append((o["id"], verdict, code, o["text"], f"the log says {said}"))
    if missing > dropped:
        wrong.append(("the log", "", None, "", f"lacks {missing} records and admits {dropped}"))
    return wrong + [(ident, "held", None, "", n) for ident, n in held.items() if ident not in {o["id"] for o in outcomes}]


def summary(outcomes, delivered):
    codes = Counter(o["code"] for o in outcomes)
    return f"{len(outcomes)} tried, replies {dict(codes)}, {sum(delivered.values())} at the backend"
