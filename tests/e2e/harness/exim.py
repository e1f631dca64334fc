"""Debian's Exim (the heavy build: only it knows the PROXY protocol): as a backend, and as a client that relays."""

from .peer import DOMAIN, HOST, Peer, USERS

CONF = """
primary_hostname = exim.{domain}
local_interfaces = {host}
daemon_smtp_ports = {port}
log_file_path = /var/log/exim4/%s
log_selector = +incoming_port
message_size_limit = 50M
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts =
smtp_accept_max = 200
pipelining_advertise_hosts = *
chunking_advertise_hosts = *
prdr_enable = true
smtputf8_advertise_hosts = *
dns_ipv4_lookup = *
{settings}
domainlist here = {domain}
localpartlist users = {users}
hostlist relay_from = {networks}
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
begin acl
rcpt:
  accept domains = +here
         local_parts = +users
  deny   domains = +here
         message = {unknown}
  accept hosts = +relay_from
  deny   message = relay not permitted
begin routers
{routers}
begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = /var/mail/$local_part_data
  create_directory
  user = mail
  group = mail
smarthost:
  driver = smtp
  port = {relay_port}
  hosts_try_fastopen =
  hosts_avoid_tls = *
  allow_localhost
begin retry
* * F,1h,1m
"""

LOCAL = """
local:
  driver = accept
  domains = +here
  local_parts = +users
  transport = maildir
"""

RELAY = """
relay:
  driver = manualroute
  route_list = * 127.0.0.1 byname
  self = send
  transport = smarthost
"""


class Exim(Peer):
    """relay_port: all mail goes on to that port of 127.0.0.1 (the relaying client) instead of Maildirs.
    settings: further main options, e.g. hosts_proxy="127.0.0.1"."""

    name = "exim"
    seen_pattern = r"<= \S+ H=.*?\[([0-9a-fA-F.:]+)\]"
    unknown_text = "no such user here"
    log_path = "/var/log/exim4/main"

    def __init__(self, directory, networks="127.0.0.1", relay_port=None, **settings):
        super().__init__(directory)
        self.proxy = "hosts_proxy" in settings
        root = self.root
        root.write("/etc/exim4/exim4.conf", CONF.format(
            domain=DOMAIN, host=HOST, port=self.port, networks=networks, users=" : ".join(USERS),
            routers=RELAY if relay_port else LOCAL, relay_port=relay_port or 25, unknown=self.unknown_text,
            settings="".join(f"{key} = {value}\n" for key, value in settings.items())))
        root.folder("/var/mail", uid=8)
        for d in ("/var/spool/exim4", "/var/log/exim4", "/run/exim4"):
            root.folder(d, uid=402)
        self.start("/usr/sbin/exim4", "-bdf", "-q1m")

    def inject(self, message, recipients, sender="sender@client.example"):
        """Hands a message (bytes) to its own sendmail interface."""
        self.root.run("/usr/sbin/exim4", "-i", "-f", sender, *recipients, input=message)
