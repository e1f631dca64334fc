"""What can go wrong at a backend. Each fault is a coroutine over the sink's connection; true: it took the reply's place."""

import asyncio


class Stop(Exception):
    """The session is over."""


def reply(text):
    """Another reply than the usual one; bytes go out as they are. The command has no effect."""
    async def act(connection):
        connection.say(text)
        return True
    return act


def reply_and_close(text):
    async def act(connection):
        connection.say(text)
        await connection.flush()
        raise Stop
    return act


def close():
    """Ends the connection; what was to be said before is still said."""
    async def act(connection):
        await connection.flush()
        raise Stop
    return act


def reset():
    """Ends it by a TCP reset."""
    async def act(connection):
        connection.writer.transport.abort()
        raise Stop
    return act


def hang():
    """Never answers; ends when the other side does."""
    async def act(connection):
        while True:
            await connection.fill()
            connection.buffer.clear()
    return act


def slow(seconds):
    """The usual reply, late."""
    async def act(connection):
        await connection.flush()
        await asyncio.sleep(seconds)
        return False
    return act


def endless(line=b"250-and so on\r\n"):
    """One line for ever, as fast as the other side reads."""
    async def act(connection):
        while True:
            connection.writer.write(line * 1000)
            await connection.writer.drain()
    return act
