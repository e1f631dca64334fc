"""Debian's OpenSMTPD as a backend."""

from .peer import DOMAIN, HOST, Peer, USERS

CONF = """
table users {{ {users} }}
listen on {host} port {port} hostname opensmtpd.{domain} {proxy}
action "deliver" maildir "/var/mail/%{{rcpt.user}}" virtual <users>
match from any for domain "{domain}" action "deliver"
"""


class OpenSMTPD(Peer):
    name = "opensmtpd"
    seen_pattern = r"smtp connected address=([0-9a-fA-F.:]+)"
    unknown_text = "Mailing list expansion problem"  # 524 5.2.4

    def __init__(self, directory, proxy=False):
        super().__init__(directory)
        self.proxy = proxy
        root = self.root
        root.write("/etc/smtpd.conf", CONF.format(
            host=HOST, port=self.port, domain=DOMAIN, proxy="proxy-v2" if proxy else "",
            users=", ".join(f"{user}@{DOMAIN} = mail" for user in USERS)))
        root.folder("/var/mail", uid=8)
        root.folder("/var/spool/smtpd", mode=0o711)
        root.folder("/var/lib/opensmtpd/empty")
        self.start("/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf")

    def log(self):
        return self.process.text()  # in the foreground it logs to standard error
