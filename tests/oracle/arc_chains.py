"""Messages with ARC chains, and what may happen to them on the way.

The sealer here is made for the test: it canonicalises by itself, and can do all that RFC 8617 and 6376 allow, which the
sealers of the libraries can't. Everything comes from a random.Random, so a seed names a message for ever.

A message is a list of header fields, raw with their CRLF, from the top, and a body.
"""

import base64
import hashlib
import re
from pathlib import Path

import dkim.crypto

HERE = Path(__file__).resolve().parent
KEYS = {file.stem: dkim.crypto.parse_pem_private_key(file.read_bytes()) for file in (HERE / "arc_keys").glob("*.pem")}
SIGNED_AT = 1700000000
KINDS = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")


# --- keys in DNS ---


def der(tag, content):
    length = len(content)
    head = bytes([length]) if length < 128 else bytes([0x82, length >> 8, length & 255])
    return bytes([tag]) + head + content


def number(value):
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bare(key):
    return der(0x30, number(key["modulus"]) + number(key["publicExponent"]))


def info(key):
    algorithm = der(0x30, bytes.fromhex("06092a864886f70d010101") + b"\x05\x00")
    return der(0x30, algorithm + der(3, b"\x00" + bare(key)))


def records():
    """name: (text, stem of its private key). A text of "!" is no answer, no entry no name."""
    names = {}

    def add(selector, domain, before, stem, after="", form=info):
        text = base64.b64encode(form(KEYS[stem])).decode()
        names[f"{selector}._domainkey.{domain}"] = (before + text + after, stem)

    add("sel", "one.example", "v=DKIM1; k=rsa; p=", "a")
    add("sel", "two.example", "p=", "b")
    add("s2048", "three.example", "v=DKIM1;k=rsa;p=", "c", ";")
    add("a.b", "list.one.example", "v=DKIM1; h=sha1:sha256; s=email; t=y:s; n=a%20note; p=", "b")
    add("bare", "one.example", "v=DKIM1; p=", "a", form=bare)
    add("any", "one.example", "v=DKIM1; s=*; p=", "a")
    # of no use
    add("short", "one.example", "v=DKIM1; p=", "short")
    add("sha1", "one.example", "v=DKIM1; h=sha1; p=", "a")
    add("other", "one.example", "v=DKIM1; s=tlsrpt; p=", "a")
    add("version", "one.example", "v=DKIM2; p=", "a")
    add("kind", "one.example", "v=DKIM1; k=ed25519; p=", "a")
    add("wrong", "one.example", "v=DKIM1; p=", "b")
    names["wrong._domainkey.one.example"] = (names["wrong._domainkey.one.example"][0], "a")
    names["empty._domainkey.one.example"] = ("v=DKIM1; p=", "a")
    names["text._domainkey.one.example"] = ("v=spf1 -all", "a")
    names["junk._domainkey.one.example"] = ("v=DKIM1; p=AAAA", "a")
    names["trouble._domainkey.one.example"] = ("!", "a")
    return names


RECORDS = records()
GOOD = [("sel", "one.example"), ("sel", "two.example"), ("s2048", "three.example"), ("a.b", "list.one.example"),
        ("any", "one.example")]
USELESS = ["short", "sha1", "other", "version", "kind", "wrong", "empty", "text", "junk", "trouble", "missing"]


def key_of(selector, domain):
    return KEYS[RECORDS.get(f"{selector}._domainkey.{domain}", (None, "a"))[1]]


# --- canonicalisation (RFC 6376 3.4) ---


def canon_field(field, how):
    if how == "simple":
        return field
    name, value = field.split(b":", 1)
    value = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b""))
    return name.rstrip(b" \t").lower() + b":" + value.strip(b" ") + b"\r\n"


def canon_body(body, how):
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    if how == "relaxed":
        body = re.sub(rb"[ \t]+", b" ", body)
        body = re.sub(rb" \r\n", b"\r\n", body)
    body = re.sub(rb"(\r\n)+\Z", b"\r\n", body)
    if how == "relaxed":
        return b"" if body == b"\r\n" else body
    return body or b"\r\n"


# --- sealing ---


def sign(content, key):
    return base64.b64encode(dkim.crypto.RSASSA_PKCS1_v1_5_sign(hashlib.sha256(content), key))


def fold(rng, text, width=60):
    gap = rng.choice([b"\r\n\t", b"\r\n  ", b" "])
    return gap.join(text[i:i + width] for i in range(0, len(text), width))


def tag_list(rng, tags, odd):
    """One way to write tags, in any order; the last is b=, still empty. Both libraries understand few ways."""
    first, rest = (tags[:0], tags[:]) if odd else (tags[:1], tags[1:])
    rng.shuffle(rest)
    tags = first + rest
    gap = rng.choice([b" ", b" ", b"\r\n\t", b"\r\n "] + [b""] * odd)
    equals = rng.choice([b"=", b" = ", b"= "]) if odd and b"\r" not in gap else b"="
    end = rng.choice([b";", b" ;"]) if odd else b";"
    return (end + gap).join(name + equals + value for name, value in tags) + end + gap + b"b="


def select(headers, names):
    """The fields that h= names, each the lowest that is left."""
    left, chosen = list(reversed(headers)), []
    for name in names:
        for field in left:
            if field.split(b":", 1)[0].rstrip().lower() == name.lower():
                chosen.append(field)
                left.remove(field)
                break
    return chosen


def names_for(rng, headers):
    names = [f.split(b":", 1)[0].rstrip() for f in headers]
    names = [n for n in names if n.lower() != b"arc-seal" and n.lower() != b"arc-message-signature"]
    rng.shuffle(names)
    names = names[:rng.randint(1, len(names))]
    if rng.random() < 0.4:
        names += rng.choices([b"Subject", b"X-Not-There", b"Reply-To", b"Cc"], k=rng.randint(1, 3))
    names = [n for n in names if n.lower() != b"from"]
    names.insert(rng.randint(0, len(names)), b"From")
    return [rng.choice([n, n.lower(), n.upper()]) for n in names]


def seal(rng, headers, body, i, options):
    """Adds a set at the top. options: selector, domain, canon, cv, and more for its twists."""
    selector, domain = options["signer"]
    odd = options["odd"]
    key = key_of(selector, domain)
    name = {kind: rng.choice([kind.title().replace(b"Arc", b"ARC"), kind.upper()]) for kind in KINDS}
    results = options.get("results", rng.choice([
        b" i=%d; mx%d.example; spf=pass smtp.mailfrom=joe@one.example;\r\n dkim=pass (ok) header.d=one.example; arc=%s",
        b" i=%d;mx%d.example 1; dmarc=fail (p=none) header.from=one.example; arc=%s",
        b"\r\n\ti=%d; \"mx%d.example\"; none (%s)"] + odd * [
        b" (a) i (b)=\r\n %d (;) ;mx%d.example; arc=%s", b"i=%02d;mx%d.example;arc=%s"]) % (i, i, options["cv"]))
    headers.insert(0, name[KINDS[0]] + b":" + results + b"\r\n")

    canon = options["canon"]
    parts = (canon or "relaxed/relaxed").split("/")
    how_headers, how_body = parts[0], parts[1] if len(parts) > 1 else "simple"
    names = options.get("names") or names_for(rng, headers)
    hashed = canon_body(body, how_body)
    if "length" in options:
        hashed = hashed[:options["length"]]
    tags = [(b"i", b"%d" % i), (b"a", b"rsa-sha256"), (b"d", domain.encode()), (b"s", selector.encode()),
            (b"h", rng.choice([b":", b" : ", b":\r\n\t"]).join(names)),
            (b"bh", base64.b64encode(hashlib.sha256(hashed).digest()))]
    if canon is not None:
        tags.append((b"c", canon.encode()))
    if rng.random() < 0.7:
        tags.append((b"t", b"%d" % SIGNED_AT))
    if "length" in options:
        tags.append((b"l", b"%d" % options["length"]))
    tags += options.get("message_tags", [])
    field = name[KINDS[1]] + b": " + tag_list(rng, tags, odd)
    signed = b"".join(canon_field(f, how_headers) for f in select(headers, names))
    signed += canon_field(field + b"\r\n", how_headers)[:-2]
    headers.insert(0, field + fold(rng, sign(signed, key)) + b"\r\n")

    tags = [(b"i", b"%d" % i), (b"a", b"rsa-sha256"), (b"d", domain.encode()), (b"s", selector.encode()),
            (b"cv", options["cv"])]
    if rng.random() < 0.7:
        tags.append((b"t", b"%d" % SIGNED_AT))
    tags += options.get("seal_tags", [])
    field = name[KINDS[2]] + b": " + tag_list(rng, tags, odd)
    covered = chain_of(headers, only=i if options["cv"] == b"fail" else None)
    signed = b"".join(canon_field(f, "relaxed") for f in covered)
    signed += canon_field(field + b"\r\n", "relaxed")[:-2]
    headers.insert(0, field + fold(rng, sign(signed, key)) + b"\r\n")


def instance_of(field):
    found = re.search(rb"[:;\s]i(?: \(b\))?\s*=\s*(\d+)", field)
    return int(found[1]) if found else 0


def kind_of(field):
    name = field.split(b":", 1)[0].rstrip().lower()
    return KINDS.index(name) if name in KINDS else None


def chain_of(headers, only=None):
    """Fields of sets in the order in which a seal covers them."""
    fields = [f for f in headers if kind_of(f) is not None]
    return sorted((f for f in fields if only in (None, instance_of(f))), key=lambda f: (instance_of(f), kind_of(f)))


# --- messages ---


WORDS = [b"hello", b"the", b"quick  brown", b"fox\t", b"=20", b"a", b"list-unsubscribe", b"\xc3\xa9t\xc3\xa9", b"."]


def text_line(rng):
    line = rng.choice([b" ", b"  ", b"\t"]).join(rng.choices(WORDS, k=rng.randint(0, 8)))
    return line + rng.choice([b"", b"", b" ", b" \t"])


def body(rng, odd):
    how = rng.random()
    if how < 0.05:
        return b""
    if how < 0.08:
        return b"\r\n" * rng.randint(1, 3)
    if how < 0.1:
        return b" \t\r\n"
    lines = b"\r\n".join(text_line(rng) for _ in range(rng.randint(1, 30)))
    return lines + rng.choice([b"\r\n", b"\r\n", b"\r\n\r\n\r\n", b" \r\n \r\n"] + [b""] * odd)


def message(rng, odd):
    headers = [b"From: Joe <joe@one.example>\r\n", b"To: list@two.example\r\n",
               b"Subject: " + rng.choice([b"hello", b"a  folded\r\n\t subject ", b""]) + b"\r\n",
               b"Date: Mon, 23 Nov 2026 16:00:00 +0000\r\n"]
    extra = [b"Message-ID: <1@one.example>\r\n", b"Cc:other@three.example\r\n", b"MIME-Version: 1.0\r\n",
             b"X-Long: " + b"\r\n ".join(rng.choices(WORDS[:6], k=4)) + b"\r\n", b"X-Empty:\r\n",
             b"x-spaces" + odd * b" " + b":  a  b  \r\n",
             b"Received: from a by b;\r\n\tMon, 23 Nov 2026 16:00:00 +0000\r\n", b"Received: from b by c\r\n",
             b"DKIM-Signature: v=1; a=rsa-sha256; d=one.example; s=x; h=from; bh=; b=\r\n"]
    headers += rng.sample(extra, rng.randint(0, len(extra)))
    rng.shuffle(headers)
    return headers, body(rng, odd)


def on_the_way(rng, headers, content):
    """What a list or a relay does between two sealers. Older message signatures may break by it, no seal does."""
    headers.insert(0, b"Received: from x by y; Tue, 24 Nov 2026 10:00:00 +0000\r\n")
    if rng.random() < 0.2:
        headers[:] = [b"Subject: [list] hello\r\n" if f.lower().startswith(b"subject:") else f for f in headers]
    if rng.random() < 0.2:
        content += b"-- \r\nunsubscribe\r\n"
    if rng.random() < 0.2:
        headers.append(b"List-Id: <list.two.example>\r\n")
    return content


CANONS = ["relaxed/relaxed"] * 4 + ["relaxed/simple", "simple/simple", "simple/relaxed", "relaxed", "simple", None]


def twist(rng, options):
    """Makes a sealer do what few do. Returns what it is called."""
    what = rng.choice(["key", "key", "length", "expired", "expires", "unknown tag", "version", "query", "query other",
                       "seal h", "seal expired", "names seal", "names no from", "ams named", "cv", "future", "cv case",
                       "x before t"])
    if what == "key":
        selector = rng.choice(USELESS)
        options["signer"] = (selector, "one.example")
        return f"key {selector}"
    pick = {
        "length": ("length", rng.choice([0, 1, 10, 100, 100000])),
        "expired": ("message_tags", [(b"x", b"1700000100")]),
        "expires": ("message_tags", [(b"x", b"4000000000")]),
        "x before t": ("message_tags", [(b"x", b"4000000000"), (b"t", b"4000000001")]),
        "unknown tag": ("message_tags", [(b"zz", b"any thing"), (b"r", b"")]),
        "version": ("message_tags", [(b"v", b"1")]),
        "query": ("message_tags", [(b"q", b"dns/txt")]),
        "query other": ("message_tags", [(b"q", b"carrier/pigeon")]),
        "seal h": ("seal_tags", [(b"h", b"from")]),
        "seal expired": ("seal_tags", [(b"x", b"1700000100")]),
        "names seal": ("names", [b"From", b"ARC-Seal"]),
        "names no from": ("names", [b"To", b"Subject"]),
        "ams named": ("names", [b"From", b"ARC-Message-Signature", b"ARC-Message-Signature"]),
        "cv": ("cv", rng.choice([b"pass", b"none", b"fail"])),
        "cv case": ("cv", rng.choice([b"PASS", b"None", b"", b"x"])),
        "future": ("message_tags", [(b"x", b"4000000001")]),
    }[what]
    options[pick[0]] = pick[1]
    return what


def chain(rng, sets=None):
    """(label, headers, body): a message with so many sets, from 1 to 10."""
    n = sets or rng.choice([1, 1, 1, 2, 2, 3, 4, 5, 7, 10])
    odd = rng.random() < 0.2
    headers, content = message(rng, odd)
    twisted = rng.randint(1, n) if rng.random() < 0.25 else 0
    label = "plain"
    for i in range(1, n + 1):
        if i > 1:
            content = on_the_way(rng, headers, content)
        options = {"signer": rng.choice(GOOD + odd * [("bare", "one.example")]), "canon": rng.choice(CANONS),
                   "cv": b"none" if i == 1 else b"pass", "odd": odd}
        if i == twisted:
            label = twist(rng, options) + (" at the end" if i == n else " below")
        seal(rng, headers, content, i, options)
    return ("odd " if odd else "") + label, headers, content


# --- mutations ---


def part_of(field, at):
    """Where in a field a byte stands: "name", or the tag in whose name or value it is."""
    colon = field.index(b":")
    if at <= colon:
        return "name"
    before = field[colon + 1:at + 1]
    tag = before.rsplit(b";", 1)[-1] + field[at + 1:].split(b";", 1)[0]
    name = re.match(rb"\s*([A-Za-z]*)\s*=", tag)
    return name[1].decode() if name else "gap"


def field_label(field):
    kind = kind_of(field)
    return ("AAR", "AMS", "AS")[kind] if kind is not None else "other"


def mutate_byte(rng, headers, content):
    size = sum(map(len, headers))
    if rng.random() < 0.15 and content:
        at = rng.randrange(len(content))
        new = rng.choice([b"", b"x", b" ", b"\t", b"\r\n", bytes([rng.randint(33, 126)])])
        while content[at] in b"\r\n":
            at = (at - 1) % len(content)
            if not content.strip(b"\r\n"):
                return "byte body", headers, content + new
        return "byte body", headers, content[:at] + new + content[at + 1:]
    at, n = rng.randrange(size), 0
    while at >= len(headers[n]):
        at -= len(headers[n])
        n += 1
    field = headers[n]
    at = min(at, len(field) - 3)
    while field[at] in b"\r\n":
        at -= 1
    new = rng.choice([b"", b"x", b" ", b";", b"=", b"\t", b"\r\n ", b"0", b"A", bytes([rng.randint(33, 126)]),
                      bytes([field[at] ^ 32])])
    if new in (b"\n", b"\r", b"\0"):  # dkimpy mends lone ones, and SMTP carries none
        new = b"x"
    if at == 0 and new[:1] in (b" ", b"\t", b"\r"):
        new = b"y"
    label = f"byte {field_label(field)} {part_of(field, at)}" if kind_of(field) is not None else "byte other"
    headers = headers[:n] + [field[:at] + new + field[at + 1:]] + headers[n + 1:]
    return label, headers, content


def mutate_fields(rng, headers, content):
    arc = [n for n, f in enumerate(headers) if kind_of(f) is not None]
    n = rng.choice(arc)
    other = rng.randrange(len(headers))
    what = rng.choice(["removed", "doubled", "swapped", "moved", "set removed", "set removed", "any removed",
                       "any doubled", "from added"])
    headers = list(headers)
    label = f"{what} {field_label(headers[n])}"
    if what == "removed":
        del headers[n]
    elif what == "doubled":
        headers.insert(rng.randint(0, len(headers)), headers[n])
    elif what == "swapped":
        m = rng.choice(arc)
        headers[n], headers[m] = headers[m], headers[n]
        label = what
    elif what == "moved":
        headers.insert(rng.randint(0, len(headers) - 1), headers.pop(n))
    elif what == "set removed":
        i = instance_of(headers[n])
        last = max(instance_of(headers[k]) for k in arc)
        headers = [f for f in headers if kind_of(f) is None or instance_of(f) != i]
        label = what + (" last" if i == last else "")
    elif what == "any removed":
        label = what + " " + field_label(headers.pop(other))
    elif what == "any doubled":
        label = what + " " + field_label(headers[other])
        headers.insert(0, headers[other])
    else:
        headers.insert(0, b"From: Eve <eve@evil.example>\r\n")
        label = what
    return label, headers, content


def edit_tag(rng, field):
    """Another value for a tag of a signature, or none, or two."""
    colon = field.index(b":")
    tags = field[colon + 1:].rstrip(b"\r\n").split(b";")
    n = rng.randrange(len(tags))
    name, _, value = tags[n].partition(b"=")
    what = rng.choice(["gone", "twice", "empty", "renamed", "case", "spaced", "instance", "cv"])
    label = f"tag {what} {name.strip().decode(errors='replace')}"
    if what == "gone":
        del tags[n]
    elif what == "twice":
        tags.insert(rng.randint(0, len(tags)), tags[n])
    elif what == "empty":
        tags[n] = name + b"="
    elif what == "renamed":
        tags[n] = name + b"x=" + value
    elif what == "case":
        tags[n] = name + b"=" + value.swapcase()
    elif what == "spaced":
        tags[n] = rng.choice([name + b"  = " + value + b" ", name + b"=" + value + b"\r\n\t"])
    else:
        label = f"tag {what}"
        tag = b"i" if what == "instance" else b"cv"
        new = rng.choice([b"0", b"1", b"2", b"01", b"51", b"99999999999", b"-1", b"x"] if tag == b"i" else
                         [b"none", b"pass", b"fail", b"Pass", b"x"])
        for k, text in enumerate(tags):
            if text.partition(b"=")[0].strip() == tag:
                tags[k] = text.partition(b"=")[0] + b"=" + new
    return label, field[:colon + 1] + b";".join(tags) + b"\r\n"


def mutate_tag(rng, headers, content):
    n = rng.choice([n for n, f in enumerate(headers) if kind_of(f) in (1, 2)])
    label, field = edit_tag(rng, headers[n])
    label = label.replace("tag", f"tag {field_label(headers[n])}", 1)
    return label, headers[:n] + [field] + headers[n + 1:], content


def mutate_shape(rng, headers, content):
    """What relaxed canonicalisation does not see, and ends of bodies."""
    headers = list(headers)
    n = rng.randrange(len(headers))
    name, value = headers[n].split(b":", 1)
    kind = field_label(headers[n])
    what = rng.choice(["case", "blank", "colon", "refolded", "trailing", "appended", "cut", "lines", "no end"])
    if what == "case":
        headers[n] = name.swapcase() + b":" + value
    elif what == "blank":
        headers[n] = name + b":" + value.replace(b" ", b"  ")
    elif what == "colon":
        headers[n] = name + b" : " + value
    elif what == "refolded":
        headers[n] = name + b":" + value[:-2].replace(b" ", b"\r\n ", 1) + b"\r\n"
    elif what == "trailing":
        headers[n] = headers[n][:-2] + b" \t\r\n"
    elif what == "appended":
        content += b"more\r\n"
    elif what == "cut":
        content = content[:len(content) // 2]
    elif what == "lines":
        content += b"\r\n" * rng.randint(1, 3)
    elif content.endswith(b"\r\n"):
        content = content[:-2]
    if what in ("appended", "cut", "lines", "no end"):
        return f"body {what}", headers, content
    return f"shape {what} {kind}", headers, content


def mutation(rng, headers, content):
    """(label, headers, body), changed in one way."""
    how = rng.choice([mutate_byte] * 5 + [mutate_fields] * 2 + [mutate_tag] * 2 + [mutate_shape])
    return how(rng, headers, content)


# --- what a message is like, for rulings ---


def features(label, message):
    """Words that say what is special about a message; label: how it was made."""
    head, _, content = message.partition(b"\r\n\r\n")
    fields = [f + b"\r\n" for f in re.split(rb"\r\n(?![ \t])", head)]
    found = {part.strip() for part in re.split(r"[,+]", label)}
    chain_fields = [(instance_of(f), kind_of(f)) for f in fields if kind_of(f) is not None]
    if chain_fields != sorted(chain_fields, reverse=True):
        found.add("chain not in order")
    if sum(f.lower().startswith(b"from:") for f in fields) > 1:
        found.add("two From")
    if content and not content.endswith(b"\r\n"):
        found.add("body without end")
    for f in fields:
        name, colon, value = f.partition(b":")
        if not colon or re.search(rb"[^!-~]", name):
            blank = colon and re.fullmatch(rb"[!-~]+\s*", name)
            found.add("blank before a colon" if blank else "line that is no field")
        if kind_of(f) == 1:
            tags = dict((t.partition(b"=")[0].strip(), t.partition(b"=")[2].strip()) for t in value.split(b";"))
            found |= {word for tag, word in ((b"l", "has l="), (b"v", "has v="), (b"x", "has x=")) if tag in tags}
            if b"c" not in tags:
                found.add("no c=")
            if not re.search(rb"(^|:)\s*from\s*(:|$)", tags.get(b"h", b"").lower()):
                found.add("h= without From")
            if re.search(rb"arc-message-signature", tags.get(b"h", b"").lower()):
                found.add("h= names ARC-Message-Signature")
    return found
