"""A certificate authority for one test run, and server certificates of it."""

import ssl
import subprocess


class Authority:
    def __init__(self, directory):
        self.directory = directory
        self.cert, self.key = directory / "ca.pem", directory / "ca.key"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", "/CN=postern test authority", "-keyout", self.key, "-out", self.cert)

    def openssl(self, *args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)

    def issue(self, *names):
        return Certificate(self, names)


class Certificate:
    """cert and key (PEM files), for DNS names or addresses."""

    def __init__(self, authority, names):
        self.cert, self.key, request, extensions = (
            authority.directory / f"{names[0]}.{suffix}" for suffix in ("pem", "key", "csr", "ext"))
        kinds = ("IP" if n[0].isdigit() else "DNS" for n in names)
        extensions.write_text("subjectAltName=" + ",".join(f"{k}:{n}" for k, n in zip(kinds, names)))
        authority.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                          "-subj", f"/CN={names[0]}", "-keyout", self.key, "-out", request)
        authority.openssl("x509", "-req", "-in", request, "-CA", authority.cert, "-CAkey", authority.key,
                          "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", self.cert)

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context
