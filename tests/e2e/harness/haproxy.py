"""Debian's HAProxy in TCP mode, in front of postern: it tells the client's address by a PROXY header."""

from .peer import HOST, Peer

CONF = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen smtp
    bind {host}:{port}
    server postern {host}:{target} {send}
"""


class HAProxy(Peer):
    """target: the port that it passes connections on to. version: of the PROXY header, 1 or 2."""

    name = "haproxy"

    def __init__(self, directory, target, version=2):
        super().__init__(directory)
        self.root.write("/etc/haproxy/haproxy.cfg", CONF.format(
            host=HOST, port=self.port, target=target, send="send-proxy-v2" if version == 2 else "send-proxy"))
        self.start("/usr/sbin/haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg")
