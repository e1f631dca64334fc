"""Messages that are signed in all ways that RFC 6376 knows, and what may happen to them on their way.

Three sign: dkimpy, Mail::DKIM, and a signer here that is written from the RFC and shapes its field in ways in which
these two never do. Everything comes from a seed.
"""

import base64
import hashlib
import re
import subprocess
import time
from pathlib import Path

import dkim
import dkim.crypto
import nacl.encoding
import nacl.signing

FOUND, NODATA, NXDOMAIN, TROUBLE = range(4)  # enum answer_outcome
NOW = 1700000000  # when all is signed; it is verified when the test runs


class Key:
    """A key pair and its record."""

    def __init__(self, selector, path, kind):
        self.selector, self.path, self.kind = selector, path, kind
        if kind == "ed25519":
            self.private = nacl.signing.SigningKey(hashlib.sha256(selector.encode()).digest())
            self.public = bytes(self.private.verify_key)
            self.pem = self.private.encode(nacl.encoding.Base64Encoder)
        else:
            self.pem = Path(path).read_bytes()
            self.private = dkim.crypto.parse_pem_private_key(self.pem)
            self.public = openssl("rsa", "-in", path, "-pubout", "-outform", "DER")
            self.bare = openssl("rsa", "-in", path, "-RSAPublicKey_out", "-outform", "DER")

    def record(self):
        return b"v=DKIM1; k=%s; p=%s" % (self.kind.encode(), base64.b64encode(self.public))

    def sign(self, hasher):
        if self.kind == "ed25519":
            return self.private.sign(hasher.digest()).signature
        return dkim.crypto.RSASSA_PKCS1_v1_5_sign(hasher, self.private)


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=True).stdout


def make_keys(folder):
    """The keys of tests/data/dkim_keys.h, by selector. They are always the same, and so is all that a seed makes."""
    text = (Path(__file__).resolve().parents[1] / "data/dkim_keys.h").read_text()
    keys = [Key("ed", None, "ed25519")]
    for selector, bits in (("a", 1024), ("big", 2048)):
        pem = re.search(rf"dkim_key_rsa{bits}\[\] =([^;]*);", text)[1]
        path = Path(folder) / f"{selector}.pem"
        path.write_text("".join(line + "\n" for line in re.findall(r'"(.*)\\n"', pem)))
        keys.append(Key(selector, path, "rsa"))
    return {key.selector: key for key in keys}


class Message:
    """fields: without the CRLF at their end, top first; answers: {name: (outcome, records)}"""

    def __init__(self, fields, body):
        self.fields, self.body, self.answers = fields, body, {}

    def copy(self):
        other = Message(list(self.fields), self.body)
        other.answers = dict(self.answers)
        return other

    def section(self):
        return b"".join(field + b"\r\n" for field in self.fields)

    def bytes(self):
        return self.section() + b"\r\n" + self.body

    def signatures(self):
        return [i for i, field in enumerate(self.fields) if name_of(field) == b"dkim-signature"]


def name_of(field):
    return field.split(b":", 1)[0].rstrip(b" \t").lower()


# --- unsigned mail ---

WORDS = [b"minutes", b"of", b"the", b"meeting", b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", b"a@b.example", b"<x@y.example>",
         b"\"q\\\"s\"",
         b"(comment)", b"Gr\xc3\xbc\xc3\x9fe", b"\xff\xfe", b";", b"b=c;", b":", b"=", b"b=", b",", b"0", b"x" * 70,
         b"y" * 300, b"v\x0bt", b"f\x0cf"]
NAMES = [b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"Received", b"X-Mailer", b"List-Id", b"Reply-To",
         b"MIME-Version",
         b"Content-Type", b"References", b"X-A", b"x-a", b"X_under.dot", b"Authentication-Results", b"Return-Path"]


def blank(rng):
    return rng.choice([b" "] * 12 + [b"  ", b"\t", b" \t ", b"\r\n ", b"\r\n\t", b" \r\n  "])


def value(rng, words=None):
    n = rng.choice([0, 1, 1, 2, 3, 5, 8, 20]) if words is None else words
    text = b"".join(blank(rng) + rng.choice(WORDS) for _ in range(n))
    text += rng.choice([b""] * 6 + [b" ", b"\t", b"  \t"])
    # A line of nothing but blanks would be taken for the end of the section by some.
    return re.sub(rb"\r\n[ \t]+(?=\r\n|$)", b" ", text)


def name_cased(rng, name):
    return rng.choice([name] * 4 + [name.lower(), name.upper(), name.swapcase()])


def field(rng, name):
    return name_cased(rng, name) + b":" + value(rng)


def line(rng):
    kind = rng.randrange(12)
    if kind < 2:
        return b""
    if kind == 2:
        return rng.choice([b" ", b"\t", b"   \t ", b" " * 40])
    if kind == 3:
        return b"long " + b"z" * rng.choice([70, 998, 1200, 4090, 4096, 5000])
    text = b"".join(rng.choice([b"", b" ", b"  ", b"\t"]) + rng.choice(WORDS) for _ in range(rng.randrange(1, 9)))
    return text + rng.choice([b""] * 4 + [b" ", b"\t", b" \t "])


def body(rng):
    kind = rng.randrange(20)
    if kind == 0:
        return b""
    if kind == 1:
        return b"\r\n" * rng.randrange(1, 5)
    if kind == 2:
        return rng.choice([b" \r\n", b"\t\r\n\r\n", b" ", b"x", b"\r\nx\r\n", b" \r\n \r\n", b".\r\n"])
    text = b"".join(line(rng) + b"\r\n" for _ in range(rng.choice([1, 2, 3, 5, 8, 30])))
    if kind == 3:
        text += b"\r\n" * rng.randrange(1, 4)
    elif kind == 4:
        text = text[:-2]
    elif kind == 5 and rng.randrange(8) == 0:
        text *= 200
    return text


def unsigned(rng):
    fields = [field(rng, rng.choice(NAMES)) for _ in range(rng.randrange(0, 14))]
    froms = 1 if rng.randrange(25) else rng.choice([0, 2, 3])
    for _ in range(froms):
        at = rng.randrange(len(fields) + 1)
        text = rng.choice([b"a@d.example", b"A <a@d.example>", b"<>", b"x"])
        fields.insert(at, name_cased(rng, b"From") + b": " + text)
    if rng.randrange(40) == 0 and fields:  # RFC 5322 4.5.8: a blank before the colon
        at = rng.randrange(len(fields))
        fields[at] = fields[at].replace(b":", rng.choice([b" :", b"\t:", b"  :"]), 1)
    return Message(fields, body(rng))


# --- the RFC's own words, as a signer (3.4, 3.7, 5.4) ---


def relaxed_field(text):
    name, rest = text.split(b":", 1)
    return name.rstrip(b" \t").lower() + b":" + re.sub(rb"[ \t]+", b" ", rest.replace(b"\r\n", b"")).strip(b" \t")


def canonical_body(text, how):
    if text and not text.endswith(b"\r\n"):
        text += b"\r\n"
    if how == "relaxed":
        text = re.sub(rb"[ \t]+\r\n", b"\r\n", re.sub(rb"[ \t]+", b" ", text))
    while text.endswith(b"\r\n\r\n"):
        text = text[:-2]
    if text == b"\r\n" or not text:
        return b"\r\n" if how == "simple" else b""
    return text


def select(fields, names):
    taken, chosen = set(), []
    for name in names:
        for at in range(len(fields) - 1, -1, -1):
            if at not in taken and name_of(fields[at]) == name.lower():
                taken.add(at)
                chosen.append(fields[at])
                break
    return chosen


def fold(rng, text, every=None):
    """Base64 with folds in it."""
    every = every or rng.choice([0, 0, 8, 40, 64, 72])
    if not every:
        return text
    mark = rng.choice([b"\r\n ", b"\r\n\t", b" "])
    return mark.join(text[i:i + every] for i in range(0, len(text), every))


def tag_text(rng, name, text):
    before = rng.choice([b" "] * 8 + [b"", b"\r\n ", b"\t", b"  "])
    around = rng.choice([(b"", b"")] * 8 + [(b"", b" "), (b" ", b""), (b" ", b" ")])
    if name == b"b":  # set off from its sign it is a tag that libopendkim can't cut out; see dkim_rulings.txt
        around = (b"" if rng.randrange(40) else b" ", around[1])
    after = rng.choice([b""] * 10 + [b" ", b"\r\n\t"])
    return before + name + around[0] + b"=" + around[1] + text + after


def sign_by_hand(rng, message, key, domain, names, canon, **extra):
    """Signs, with a field in any shape that the grammar allows. extra: tags that replace or come on top."""
    head, tail = canon
    hashed = canonical_body(message.body, tail)
    limit = extra.get("l")
    if limit is not None:
        hashed = hashed[:int(limit)]
    algorithm = hashlib.sha1 if extra.get("a") == b"rsa-sha1" and key.kind == "rsa" else hashlib.sha256
    bh = base64.b64encode(algorithm(hashed).digest())
    tags = {b"v": b"1", b"a": b"ed25519-sha256" if key.kind == "ed25519" else b"rsa-sha256", b"d": domain,
            b"s": key.selector.encode(),
            b"h": rng.choice([b":", b": ", b" : ", b":\r\n\t"]).join(names), b"bh": fold(rng, bh, 0)}
    if canon != ("simple", "simple") or rng.randrange(2):
        tags[b"c"] = b"/".join(c.encode() for c in canon) if tail != "simple" or rng.randrange(2) else head.encode()
    tags.update({name.encode(): text for name, text in extra.items()})
    order = list(tags) + [b"b"]
    rng.shuffle(order)
    if rng.randrange(3):  # most put it first
        order.remove(b"v")
        order.insert(0, b"v")
    tags[b"b"] = b"\0"
    text = name_cased(rng, b"DKIM-Signature") + b":" + b";".join(tag_text(rng, name, tags[name]) for name in order)
    text += rng.choice([b"", b"", b";", b" ; "])
    text = re.sub(rb"\s+$", b"", text)
    empty = re.sub(rb"[ \t\r\n]*\0[ \t\r\n]*", b"", text)
    hasher = algorithm()
    for chosen in select(message.fields, names):
        hasher.update((relaxed_field(chosen) if head == "relaxed" else chosen) + b"\r\n")
    hasher.update(relaxed_field(empty) if head == "relaxed" else empty)
    value = base64.b64encode(key.sign(hasher))
    if rng.randrange(30) == 0:
        value = value.rstrip(b"=")
    return text.replace(b"\0", fold(rng, value))


# --- signing ---


def choose_names(rng, message):
    present = [name_of(f) for f in message.fields]
    names = [n for n in sorted(set(present)) if rng.randrange(3) and n not in (b"from", b"dkim-signature")]
    rng.shuffle(names)
    names += [b"from"] * rng.choice([1, 1, 1, 2, 3])
    if rng.randrange(3) == 0:
        names += [rng.choice(present + [b"absent", b"X-Absent"]) for _ in range(rng.randrange(4))]
    if b"dkim-signature" in present and rng.randrange(4) == 0:
        names += [b"dkim-signature"] * present.count(b"dkim-signature")
    names = [n for n in names if n and b";" not in n]
    rng.shuffle(names)
    return [name_cased(rng, n) for n in names]


def extra_tags(rng, message, tail):
    extra = {}
    if rng.randrange(8) == 0:
        full = len(canonical_body(message.body, tail))
        extra["l"] = b"%d" % rng.choice([full, full, 0, full // 2, max(0, full - 1), full + 1])
    if rng.randrange(5) == 0:
        extra["i"] = rng.choice([b"@d.example", b"me@d.example", b"me@sub.d.example", b"=6De@D.example",
                                 b"m e@d.example"])
    if rng.randrange(5) == 0:
        extra["q"] = rng.choice([b"dns/txt", b"dns/txt", b"dns/txt:x-other"])
    if rng.randrange(5) == 0:
        extra["t"] = b"%d" % (NOW - rng.choice([10, 1000, 100000]))
        if rng.randrange(2):
            extra["x"] = b"%d" % (NOW + 10 ** 9)
    if rng.randrange(40) == 0:
        extra["a"] = b"rsa-sha1"
    if rng.randrange(8) == 0:
        extra["z"] = b"From:a@d.example|\r\n Subject:x"
    if rng.randrange(12) == 0:
        extra[rng.choice(["unknown", "y_1"])] = rng.choice([b"", b"some thing", b"a=b"])
    if rng.randrange(30) == 0:
        extra[rng.choice(["ab", "xb"])] = rng.choice([b"value", b""])
    return extra


def signed(rng, keys, perl):
    """A message with up to three signatures, and how it was made, in a word."""
    message = unsigned(rng)
    made = []
    for _ in range(rng.choice([1, 1, 1, 1, 2, 2, 3])):
        key = keys[rng.choice(["a"] * 7 + ["big", "ed"])]  # dkimpy calculates in Python
        canon = (rng.choice(["simple", "relaxed"]), rng.choice(["simple", "relaxed"]))
        domain = rng.choice([b"d.example"] * 5 + [b"D.Example", b"sub.d.example", b"other.example"])
        signer = rng.choice(["hand", "hand", "dkimpy", "perl"])
        names = choose_names(rng, message)
        if signer == "dkimpy":
            text = sign_by_dkimpy(rng, message, key, domain, names, canon)
        elif signer == "perl" and key.kind == "rsa":
            text = perl.sign(message.bytes(), key.path, "/".join(canon), domain.decode(), key.selector,
                             rng.choice(["", "", "me@" + domain.decode()]), "")
        else:
            signer = "hand"
            text = sign_by_hand(rng, message, key, domain, names, canon, **extra_tags(rng, message, canon[1]))
        if text is None:
            continue
        message.fields.insert(rng.choice([0, 0, 0, rng.randrange(len(message.fields) + 1)]), text)
        message.answers[(key.selector + "._domainkey." + domain.decode()).lower()] = (FOUND, [key.record()])
        made.append(signer)
    return message, "+".join(made)


class Clock:
    """For dkimpy, that its signatures are the same in each run."""

    @staticmethod
    def time():
        return NOW


def sign_by_dkimpy(rng, message, key, domain, names, canon):
    try:
        signer = dkim.DKIM(message.bytes(),
                           signature_algorithm=b"ed25519-sha256" if key.kind == "ed25519" else b"rsa-sha256")
        signer.should_not_sign = set()
        dkim.time = Clock  # for t=
        text = signer.sign(key.selector.encode(), domain, key.pem, canonicalize=tuple(c.encode() for c in canon),
                           include_headers=[n.lower() for n in names], length=rng.randrange(8) == 0)
        return text[:-2] if text.endswith(b"\r\n") else text
    except (dkim.DKIMException, IndexError):
        return None  # it can't read such a message
    finally:
        dkim.time = time


# --- what happens on the way ---


def mutate_byte(rng, m):
    text = bytearray(m.section())
    at = rng.randrange(len(text))
    if text[at] in b"\r\n":
        return False
    text[at] = rng.choice([text[at] ^ 0x20, text[at] ^ 1, rng.randrange(33, 127), 0x20, 0xc3, 0x09])
    return rebuild(m, bytes(text))


def rebuild(m, section):
    """Takes the section apart again. False: it is none any more."""
    fields = re.split(rb"\r\n(?![ \t])", section.rstrip(b"\r\n"))
    if re.search(rb"\r(?!\n)|(?<!\r)\n|\0|(?:^|\r\n)[ \t]*\r\n[ \t]", section) or not fields[0]:
        return False
    m.fields = fields
    return True


def mutate_body(rng, m):
    if not m.body:
        m.body = rng.choice([b"\r\n", b"x\r\n", b" \r\n", b"x"])
        return True
    at = rng.randrange(len(m.body))
    if m.body[at:at + 1] in b"\r\n":
        return False
    more = rng.choice([b"", b" ", b"  ", b"\t", b"x", b"\r\n", b" \r\n", b"\xc3"])
    m.body = m.body[:at] + more + m.body[at + rng.randrange(2):]
    return not re.search(rb"\r(?!\n)|(?<!\r)\n", m.body)


def mutate_body_end(rng, m):
    m.body += rng.choice([b"\r\n", b"\r\n\r\n", b"more\r\n", b" ", b"\t\r\n", b" \r\n\r\n", b"x"])
    return True


def mutate_body_cut(rng, m):
    if m.body.endswith(b"\r\n"):
        m.body = m.body[:-2]
        return True
    return False


def mutate_blanks(rng, m):
    at = rng.randrange(len(m.fields))
    text = m.fields[at]
    spots = [x.start() for x in re.finditer(rb"(?<=:|.)[ \t]+", text) if x.start() > text.find(b":")]
    if not spots:
        return False
    spot = rng.choice(spots)
    m.fields[at] = text[:spot] + rng.choice([b" ", b"\t", b"\r\n ", b"  "]) + text[spot:]
    return rebuild(m, m.section())


def mutate_refold(rng, m):
    at = rng.randrange(len(m.fields))
    m.fields[at] = re.sub(rb"\r\n[ \t]+", b" ", m.fields[at])
    return True


def mutate_case(rng, m):
    at = rng.randrange(len(m.fields))
    name, colon, rest = m.fields[at].partition(b":")
    m.fields[at] = name.swapcase() + colon + rest
    return True


def mutate_add_field(rng, m):
    m.fields.insert(rng.randrange(len(m.fields) + 1), field(rng, rng.choice(NAMES + [b"From", b"DKIM-Signature"])))
    return True


def mutate_repeat_field(rng, m):
    m.fields.insert(rng.randrange(len(m.fields) + 1), rng.choice(m.fields))
    return True


def mutate_drop_field(rng, m):
    del m.fields[rng.randrange(len(m.fields))]
    return bool(m.fields)


def mutate_move_field(rng, m):
    m.fields.insert(rng.randrange(len(m.fields)), m.fields.pop(rng.randrange(len(m.fields))))
    return True


def mutate_no_field(rng, m):
    text = rng.choice([b"no colon", b"a name: x", b"X-Tab\t: y", b"From nobody", b": empty"])
    m.fields.insert(rng.randrange(1, len(m.fields) + 1), text)
    return True


TAGS = [b"v", b"a", b"b", b"bh", b"d", b"h", b"s", b"c", b"i", b"l", b"q", b"t", b"x", b"zz"]
VALUES = {
    b"v": [b"1", b"2", b"0.5", b"", b"1 ", b"1.0"],
    b"a": [b"rsa-sha256", b"rsa-sha1", b"RSA-SHA256", b"ed25519-sha256", b"rsa-md5", b"", b"rsa-sha 256"],
    b"b": [b"", b"AAAA", b"A", b"AA==", b"====", b"!!!!", b"A" * 1000],
    b"bh": [b"", b"AAAA", b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"],
    b"d": [b"d.example", b"D.EXAMPLE", b"example", b"", b"d..example", b".d.example", b"d.example.", b"a b.example",
           b"x" * 300, b"sub.d.example",
           b"\xc3\xbc.example"],
    b"h": [b"from", b"From", b"from:from", b"subject", b"", b"from:", b":from", b"from::to", b"fr om",
           b"from:" * 100 + b"to", b"from;to",
           b"from:" + b":".join(b"n%d" % i for i in range(120))],
    b"s": [b"a", b"A", b"big", b"", b"none", b"a.b", b"a/b", b"-a", b"x" * 64],
    b"c": [b"simple", b"relaxed", b"relaxed/relaxed", b"Relaxed/Simple", b"simple/simple/simple", b"", b"nofws",
           b"relaxed/"],
    b"i": [b"@d.example", b"@D.EXAMPLE", b"x@d.example", b"d.example", b"@e.example", b"@xd.example",
           b"@x.d.example", b"=4@d.example", b"a@b@d.example",
           b"x" * 300 + b"@d.example", b"=", b"@", b""],
    b"l": [b"0", b"1", b"99999999", b"-1", b"x", b"", b"1" * 80, b"18446744073709551615", b"00005"],
    b"q": [b"dns/txt", b"dns", b"x", b"x:dns/txt", b"", b"dns/txt:x", b"DNS/TXT"],
    b"t": [b"1", b"0", b"x", b"", b"-1", b"9" * 30, b"%d" % (NOW + 10 ** 9), b"0000001"],
    b"x": [b"1", b"0", b"x", b"", b"-1", b"9" * 30, b"%d" % (NOW + 10 ** 9), b"%d" % (NOW - 10 ** 6)],
    b"zz": [b"", b"x"],
}


def tags_of(text):
    return text.split(b":", 1)[1].split(b";")


def with_tags(text, tags):
    return text.split(b":", 1)[0] + b":" + b";".join(tags)


def some_signature(rng, m):
    spots = m.signatures()
    return rng.choice(spots) if spots else None


def mutate_tag_value(rng, m):
    at = some_signature(rng, m)
    if at is None:
        return False
    name = rng.choice(TAGS)
    tags = [t for t in tags_of(m.fields[at]) if t.split(b"=")[0].strip() != name]
    tags.insert(rng.randrange(len(tags) + 1), b" " + name + b"=" + rng.choice(VALUES[name]))
    m.fields[at] = with_tags(m.fields[at], tags)
    return True


def mutate_tag_drop(rng, m):
    at = some_signature(rng, m)
    if at is None:
        return False
    tags = tags_of(m.fields[at])
    del tags[rng.randrange(len(tags))]
    m.fields[at] = with_tags(m.fields[at], tags)
    return bool(tags)


def mutate_tag_more(rng, m):
    at = some_signature(rng, m)
    if at is None:
        return False
    tags = tags_of(m.fields[at])
    more = rng.choice([b"", b" ", b" x", b" =", b" b=AAAA", b" B=AAAA", b" C=relaxed/relaxed", b" new=tag", b" 1=2",
                       b" a b=c", rng.choice(tags)])
    tags.insert(rng.randrange(len(tags) + 1), more)
    m.fields[at] = with_tags(m.fields[at], tags)
    return True


def mutate_tag_swap(rng, m):
    at = some_signature(rng, m)
    if at is None:
        return False
    tags = tags_of(m.fields[at])
    i, j = rng.randrange(len(tags)), rng.randrange(len(tags))
    tags[i], tags[j] = tags[j], tags[i]
    m.fields[at] = with_tags(m.fields[at], tags)
    return not m.fields[at].endswith(b"\r\n ")


def mutate_b_blanks(rng, m):
    """Blanks inside of b= are no part of what is signed."""
    at = some_signature(rng, m)
    found = at is not None and re.search(rb"([;\s]b=)([^;]+)", m.fields[at])
    if not found:
        return False
    text = re.sub(rb"\s+", b"", found[2])
    spot = rng.randrange(1, len(text)) if len(text) > 1 else 0
    text = text[:spot] + rng.choice([b" ", b"\r\n ", b"\t"]) + text[spot:]
    m.fields[at] = m.fields[at][:found.start(2)] + text + m.fields[at][found.end(2):]
    return rebuild(m, m.section())


def mutate_key(rng, m):
    if not m.answers:
        return False
    name = rng.choice(sorted(m.answers))
    outcome, records = m.answers[name]
    record = records[0] if records else b""
    p = record.split(b"p=")[-1]
    ed = b"ed25519" in record
    kind = b"k=ed25519; " if ed else b""
    whole = kind + b"p=" + p
    records = [
        b"v=DKIM1; p=", whole, b"v=DKIM1; t=y; " + whole, b"v=DKIM1; t=s; " + whole, b"v=DKIM1; t=y:s; " + whole,
        b"v=DKIM1; h=sha1; " + whole, b"v=DKIM1; h=sha1:sha256; " + whole, b"v=DKIM1; s=email; " + whole,
        b"v=DKIM1; s=*; " + whole, b"v=DKIM1; s=other; " + whole, b"v=DKIM1; s=other:email; " + whole,
        b"v=DKIM2; " + whole, whole + b"; v=DKIM1", b"k=dsa; p=" + p, b"v=DKIM1; n=a note; " + whole + b";",
        b"v=DKIM1;" + kind + b"p=" + p[:20] + b" " + p[20:], b"v=DKIM1; " + whole.rstrip(b"="),
        b"v=DKIM1; " + whole[:-9], b"v=DKIM1; " + kind + b"p=!!!!" + p, b"v=spf1 -all", b"",
        b"v=DKIM1; g=*; " + whole, b"v=DKIM1; " + whole + b";;", b"v=DKIM1\\; " + whole, b"v=DKIM1; k=RSA; p=" + p,
        b"v=DKIM1; k=ed25519; p=" + p, b"v=DKIM1; p=" + p, b"v=DKIM1; " + whole + b"; p=" + p,
    ]
    outcomes = [(TROUBLE, []), (NXDOMAIN, []), (NODATA, [])] + [(FOUND, [record]) for record in records]
    m.answers[name] = rng.choice(outcomes)
    return True


MUTATIONS = [mutate_byte, mutate_byte, mutate_byte, mutate_body, mutate_body, mutate_body_end, mutate_body_cut,
             mutate_blanks, mutate_blanks, mutate_refold, mutate_case, mutate_add_field, mutate_repeat_field,
             mutate_drop_field, mutate_move_field, mutate_no_field, mutate_tag_value, mutate_tag_value,
             mutate_tag_value, mutate_tag_drop, mutate_tag_more, mutate_tag_swap, mutate_b_blanks, mutate_key,
             mutate_key]


def mutated(rng, message):
    """Another message, and what was done to it."""
    while True:
        other, done = message.copy(), []
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            mutation = rng.choice(MUTATIONS)
            if not mutation(rng, other) or not other.fields:
                break
            done.append(mutation.__name__.removeprefix("mutate_"))
        else:
            return other, "+".join(done)
