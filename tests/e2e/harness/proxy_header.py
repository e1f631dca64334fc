"""PROXY headers as a load balancer sends them (https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt), and back."""

import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source, source_port=40000, destination=None, destination_port=25):
    family, here = ("TCP6", "::1") if ":" in source else ("TCP4", "127.0.0.1")
    destination = destination or here
    return f"PROXY {family} {source} {destination} {source_port} {destination_port}\r\n".encode()


def v2(source, source_port=40000, destination=None, destination_port=25):
    src = ipaddress.ip_address(source)
    dst = ipaddress.ip_address(destination or ("127.0.0.1" if src.version == 4 else "::1"))
    addresses = src.packed + dst.packed + struct.pack("!HH", source_port, destination_port)
    return SIGNATURE + bytes([0x21, 0x11 if src.version == 4 else 0x21]) + struct.pack("!H", len(addresses)) + addresses


def parse_v2(head, rest):
    """(address, port) of the client from the 16 bytes of the head and what follows; None for LOCAL."""
    if head[:12] != SIGNATURE or head[12] >> 4 != 2:
        raise ValueError(f"not a PROXY v2 header: {head!r}")
    if head[12] & 15 == 0:
        return None
    size = {1: 4, 2: 16}[head[13] >> 4]
    return str(ipaddress.ip_address(rest[:size])), struct.unpack("!H", rest[2 * size:2 * size + 2])[0]
