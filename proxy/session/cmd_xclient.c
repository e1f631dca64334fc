/*
 * XCLIENT: a trusted proxy before us tells who the client is. Only from listed peers, never in a
 * transaction; afterwards the session is as after the greeting.
 */
#include "proxy/session/session.h"

static void take_attributes(struct session *s, const struct xclient_command *x)
{
	struct client *client = &s->client;

	if (x->has_addr)
		client->remote.ip = x->addr;
	if (x->has_port)
		client->remote.port = x->port;
	if (x->has_destaddr)
		client->local.ip = x->destaddr;
	if (x->has_destport)
		client->local.port = x->destport;
	if (x->has_name)
		client->name = session_keep(s, x->name);
	if (x->has_login)
		client->login = session_keep(s, x->login);
	if (x->has_helo)
		client->helo = session_keep(s, x->helo);
	if (x->has_proto)
		client->esmtp = x->esmtp;
}

enum step cmd_xclient(struct session *s, struct span argument)
{
	struct xclient_command x;
	struct reply why;

	if (!cidr_set_contains(&s->listen->xclient_from, &s->peer_address.ip))
		return session_say(s, 550, "5.7.1", "XCLIENT is not for you");
	if (s->transaction)
		return session_say(s, 503, "5.5.1", "A transaction is under way, RSET ends it");
	if (!xclient_command_parse(argument, &x, &why)) {
		session_reply(s, &why);
		return STEP_NEXT;
	}
	backend_bond_close(&s->bond);
	session_uncount_client(s);
	session_forget_helo(s);
	judge_forget_client(s);
	take_attributes(s, &x);
	if (session_count_client(s))
		session_set_state(s, SESSION_GREETING);
	return STEP_NEXT;
}
