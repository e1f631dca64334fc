"""Debian's Postfix: as a backend with virtual Maildirs, and as a client that relays to postern."""

import subprocess

from .peer import DOMAIN, HOST, Peer, USERS

MAIN_CF = """
compatibility_level = 3.7
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
shlib_directory = /usr/lib/postfix
maillog_file = /var/log/log
myhostname = postfix.{domain}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
mynetworks = {networks}
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtp_dns_support_level = disabled
smtp_host_lookup = native
in_flow_delay = 0
message_size_limit = 52428800
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = {domain}
virtual_mailbox_base = /var/mail
virtual_mailbox_maps = texthash:/etc/postfix/users
virtual_minimum_uid = 8
virtual_uid_maps = static:8
virtual_gid_maps = static:8
"""

MASTER_CF = """
{host}:{port} inet n - n - - smtpd
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

QUEUE = "active bounce corrupt defer deferred flush hold incoming private saved trace"
POSTFIX_UID, POSTDROP_GID = 401, 410


class Postfix(Peer):
    """settings: further main.cf lines by name; a line given twice: the later one holds.

    relay_port: all mail goes on to that port of 127.0.0.1 (the relaying client) instead of Maildirs.

    networks: who may relay. Only loopback's first address by default, so a test that comes from 127.0.0.7 sees
    whether Postfix knows the client or takes postern for it.
    """

    name = "postfix"
    seen_pattern = r"postfix/smtpd\[\d+\]: \w+: client=\S*\[([0-9a-fA-F.:]+)\]"
    unknown_text = "User unknown in virtual mailbox table"

    def __init__(self, directory, networks="127.0.0.1/32", relay_port=None, certificate=None, **settings):
        super().__init__(directory)
        if relay_port:
            settings = {"relayhost": f"[{HOST}]:{relay_port}", "virtual_mailbox_domains": "", **settings}
        self.proxy = settings.get("smtpd_upstream_proxy_protocol") == "haproxy"
        root = self.root
        if certificate:
            root.write("/etc/postfix/cert.pem", certificate.key.read_text() + certificate.cert.read_text())
            settings.setdefault("smtpd_tls_security_level", "may")
            settings["smtpd_tls_chain_files"] = "/etc/postfix/cert.pem"
        root.write("/etc/postfix/main.cf", MAIN_CF.format(domain=DOMAIN, networks=networks)
                   + "".join(f"{key} = {value}\n" for key, value in settings.items()))
        root.write("/etc/postfix/master.cf", MASTER_CF.format(host=HOST, port=self.port))
        root.write("/etc/postfix/users", "".join(f"{user}@{DOMAIN} {user}/\n" for user in USERS))
        root.folder("/var/mail", uid=8)
        root.folder("/var/spool/postfix/pid")
        for d in QUEUE.split():
            root.folder(f"/var/spool/postfix/{d}", POSTFIX_UID, 0o700)
        for d in ("maildrop", "public"):
            root.folder(f"/var/spool/postfix/{d}", POSTFIX_UID, 0o730)
        root.folder("/var/lib/postfix", POSTFIX_UID)
        self.start("/usr/lib/postfix/sbin/master", "-s")

    def inject(self, message, recipients, sender="sender@client.example"):
        """Hands a message (bytes) to its own sendmail: it travels by the queue to its relayhost."""
        self.root.run("/usr/sbin/sendmail", "-i", "-f", sender, *recipients, input=message)

    def smtp_source(self, port, *args, deadline=120):
        """Postfix's load client against 127.0.0.1:port."""
        return subprocess.run(self.root.command("/usr/sbin/smtp-source", *args, f"inet:{HOST}:{port}"),
                              capture_output=True, text=True, timeout=deadline)
