"""SMTP smuggling: only CRLF.CRLF ends a message, in DATA and BDAT, however the bytes are cut. What pretends to be an
end is refused with 550 5.6.11, the connection is closed, and not one byte behind it is read as a command."""

import itertools

import pytest

from harness.client import Client
from harness.sink import EXTENSIONS

HEAD = b"Message-ID: <first@client.example>\r\nSubject: first\r\n\r\nbody"
EVIL = (b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"
        b"Message-ID: <smuggled@client.example>\r\n\r\nsmuggled\r\n.\r\nQUIT\r\n")

# All line ends around the dot but the one that counts, and some with NUL or more CRs.
ENDS = (b"\r\n", b"\n", b"\r")
FALSE_ENDS = [a + b"." + b for a, b in itertools.product(ENDS, ENDS) if (a, b) != (b"\r\n", b"\r\n")] + [
    b"\r\r\n.\r\n", b"\r\n.\r\r\n", b"\r\n.\n\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\0\n.\r\n", b"\r\n.\r\0\n", b"\n\r.\r\n",
]


@pytest.fixture
def pair(sink, postern):
    backend = sink()
    return backend, postern(backend, workers=1)


def opened(p):
    c = Client(p.port)
    c.ehlo()
    c.envelope()
    return c


def refused_and_closed(backend, c):
    code, text = c.reply()
    assert code == 550 and text.startswith("5.6.11 "), (code, text)
    assert c.rest() == [], "nothing behind it was read as a command"
    assert not backend.messages
    assert not [x for x in backend.commands() if b"evil@" in x]


def segmentations(data, start, end):
    """The data whole, byte by byte from start to end, and cut in two at each place between."""
    yield (data,)
    yield (data[:start], *(data[i:i + 1] for i in range(start, end)), data[end:])
    for i in range(start, end + 1):
        yield data[:i], data[i:]


@pytest.mark.parametrize("end", FALSE_ENDS, ids=repr)
def test_false_ends_of_data(pair, end):
    backend, p = pair
    with opened(p) as c:
        assert c.command("DATA")[0] == 354
        c.send(HEAD + end + EVIL)
        refused_and_closed(backend, c)


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r\0\n"], ids=repr)
def test_false_ends_however_cut(pair, end):
    backend, p = pair
    data = HEAD + end + EVIL
    for segments in segmentations(data, len(HEAD) - 1, len(HEAD + end) + 1):
        with opened(p) as c:
            assert c.command("DATA")[0] == 354
            c.send(*segments)
            refused_and_closed(backend, c)


@pytest.mark.parametrize("end", FALSE_ENDS, ids=repr)
def test_false_ends_in_a_chunk(pair, end):
    backend, p = pair
    chunk = HEAD + end + EVIL
    with opened(p) as c:
        c.send(b"BDAT %d LAST\r\n%s" % (len(chunk), chunk))
        refused_and_closed(backend, c)


@pytest.mark.parametrize("end", [b"\n.\r\n", b"\r\n.\r\0\n"], ids=repr)
def test_false_ends_across_chunks(pair, end):
    """A bare CR must not hide at the end of one chunk, nor its LF be read as bare at the start of the next."""
    backend, p = pair
    content = HEAD + end + EVIL
    for i in range(len(HEAD), len(HEAD + end) + 1):
        with opened(p) as c:
            c.send(b"BDAT %d\r\n%s" % (i, content[:i]), b"BDAT %d LAST\r\n%s" % (len(content) - i, content[i:]))
            code, text = c.reply()
            if code == 250:
                code, text = c.reply()
            assert code == 550 and text.startswith("5.6.11 "), (code, text)
            assert c.rest() == []
    assert not backend.messages


def test_true_ends_however_cut(pair):
    """The right end works wherever it is cut, also with CRLF split between chunks."""
    backend, p = pair
    data = HEAD + b"\r\n.\r\n"
    count = 0
    for segments in segmentations(data, len(HEAD) - 1, len(data) - 1):
        with opened(p) as c:
            assert c.command("DATA")[0] == 354
            c.send(*segments)
            assert c.reply()[0] == 250
            count += 1
    content = HEAD + b"\r\n"
    for i in range(len(HEAD) - 1, len(content)):
        with opened(p) as c:
            c.send(b"BDAT %d\r\n%s" % (i, content[:i]), b"BDAT %d LAST\r\n%s" % (len(content) - i, content[i:]))
            assert [c.reply()[0], c.reply()[0]] == [250, 250]
            count += 1
    assert len(backend.messages) == count
    assert all(m.body.endswith(b"\r\n\r\nbody\r\n") for m in backend.messages)


@pytest.mark.parametrize("lacks", ["", "CHUNKING"])
def test_a_dot_line_in_a_chunk_is_content(sink, postern, lacks):
    """By BDAT CRLF.CRLF is content like any other: it arrives as such, also at a backend that only knows DATA."""
    backend = sink(extensions=[e for e in EXTENSIONS if e != lacks])
    p = postern(backend)
    content = HEAD + b"\r\n.\r\n" + EVIL
    with opened(p) as c:
        c.send(b"BDAT %d LAST\r\n%s" % (len(content), content))
        assert c.reply()[0] == 250
        assert c.command("NOOP")[0] == 250
    message, = backend.messages
    assert message.body.endswith(content)
    assert not [x for x in backend.commands() if b"evil@" in x]


@pytest.mark.parametrize("size", ["-1", "x", "5x", "0x10", "", "18446744073709551616", "99999999999999999999999", "5 FIRST"])
def test_a_chunk_of_nonsense_size_ends_the_session_or_the_transaction(pair, size):
    """Nobody knows where such a chunk ends, so what follows must not be read as commands."""
    backend, p = pair
    with opened(p) as c:
        c.send(f"BDAT {size}\r\n".encode() + EVIL)
        code, _ = c.reply()
        assert code is None or code >= 500
        assert 250 not in c.rest() and 354 not in c.rest()
    assert not backend.messages and not [x for x in backend.commands() if b"evil@" in x]


def test_a_chunk_out_of_order_is_swallowed(sink, postern):
    """Without MAIL, without recipients, behind DATA's refusal: the chunk is read and thrown away, never as commands."""
    backend = sink(users=set())
    p = postern(backend, workers=1)
    chunk = b"BDAT %d LAST\r\n%s" % (len(EVIL), EVIL)
    with Client(p.port) as c:
        c.ehlo()
        c.send(chunk + b"NOOP\r\n")
        assert [c.reply()[0], c.reply()[0]] == [503, 250]
        c.command("MAIL FROM:<sender@client.example>")
        c.send(chunk + b"NOOP\r\n")
        assert [c.reply()[0], c.reply()[0]] == [503, 250]
        c.command("RSET")
        c.command("MAIL FROM:<sender@client.example>")
        assert c.command("RCPT TO:<alice@example.com>")[0] == 550
        c.send(chunk + b"NOOP\r\n")
        assert [c.reply()[0], c.reply()[0]] == [554, 250]
    assert not backend.messages and not [x for x in backend.commands() if b"evil@" in x]


def test_data_between_chunks_is_out_of_order(pair):
    backend, p = pair
    with opened(p) as c:
        c.send(b"BDAT 5\r\nhello")
        assert c.reply()[0] == 250
        assert c.command("DATA")[0] == 503
    assert not backend.messages


def test_normalize_makes_crlf_and_ends_only_at_crlf_dot_crlf(sink, postern):
    backend = sink()
    p = postern(backend, listen="tls none bare_newline normalize")
    with opened(p) as c:
        assert c.command("DATA")[0] == 354
        c.send(b"Subject: old\n\none\n.\ntwo\n.\r\nthree\r\n.\nfour\r\n.\r\n")
        assert c.reply()[0] == 250
        assert c.command("NOOP")[0] == 250
    message, = backend.messages
    assert message.body.endswith(b"\r\nfour\r\n")
    lines = message.body[message.body.index(b"Subject: old"):].split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    words = [line for line in lines if line.strip(b".")]  # whether a dot behind a bare LF was stuffing is not said
    assert words == [b"Subject: old", b"one", b"two", b"three", b"four"]


def test_normalize_from_listed_clients_only(sink, postern):
    backend = sink()
    p = postern(backend, listen="tls none bare_newline normalize from { 127.0.0.7 }")
    for source, code in (("127.0.0.7", 250), ("127.0.0.8", 550)):
        with Client(p.port, source=source) as c:
            c.ehlo()
            c.envelope()
            assert c.command("DATA")[0] == 354
            c.send(b"Subject: old\n\nbody\r\n.\r\n")
            assert c.reply()[0] == code
    assert len(backend.messages) == 1
