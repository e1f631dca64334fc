/* The commands that are processes of the daemon. */
#include "admin/command.h"
#include "admin/keeper.h"
#include "proxy/process/authn_child.h"
#include "proxy/process/child.h"
#include "proxy/process/supervisor.h"

int cli_run(const struct invocation *invocation)
{
	return supervisor_run(invocation->config_path, invocation->title);
}

int cli_worker(const struct invocation *invocation)
{
	return child_run(invocation->title);
}

int cli_keeper(const struct invocation *invocation)
{
	return keeper_run(invocation->title);
}

int cli_authn(const struct invocation *invocation)
{
	return authn_child_run(invocation->title);
}
