"""Debian's Dovecot as an LMTP backend."""

from .peer import DOMAIN, HOST, Peer, USERS

CONF = """
protocols = lmtp
listen = {host}
ssl = no
hostname = dovecot.{domain}
log_path = /var/log/log
auth_verbose = yes
mail_location = maildir:/var/mail/%n
mail_uid = mail
mail_gid = mail
first_valid_uid = 8
login_trusted_networks = {trusted}
haproxy_trusted_networks = 127.0.0.0/8
userdb {{
  driver = passwd-file
  args = username_format=%n /etc/dovecot/users
}}
passdb {{
  driver = passwd-file
  args = username_format=%n /etc/dovecot/users
}}
service lmtp {{
  inet_listener lmtp {{
    port = {port}
    haproxy = {haproxy}
  }}
}}
service stats {{
  chroot =
}}
"""


class DovecotLMTP(Peer):
    """proxy: a PROXY header is required. trusted: who may use XCLIENT."""

    name = "dovecot"
    protocol = "lmtp"
    seen_pattern = r"lmtp\(\d+\): Info: (?:Connect|Disconnect) from ([0-9a-fA-F.:]*[0-9a-fA-F])"  # after XCLIENT the last only
    unknown_text = "User doesn't exist"

    def __init__(self, directory, proxy=False, trusted=""):
        super().__init__(directory)
        self.proxy = proxy
        root = self.root
        root.write("/etc/dovecot/dovecot.conf", CONF.format(
            host=HOST, port=self.port, domain=DOMAIN, trusted=trusted, haproxy="yes" if proxy else "no"))
        root.write("/etc/dovecot/users", "".join(f"{user}:{{plain}}unused:8:8::/var/mail/{user}\n" for user in USERS))
        root.folder("/var/mail", uid=8)
        root.folder("/run/dovecot")
        self.start("/usr/sbin/dovecot", "-F")
