/* The commands that are processes of the daemon. */
#include "admin/command.h"
#include "admin/keeper.h"
#include "proxy/child.h"
#include "proxy/supervisor.h"

int command_run(const struct invocation *invocation)
{
	return supervisor_run(invocation->config_path, invocation->title);
}

int command_worker(const struct invocation *invocation)
{
	return child_run(invocation->title);
}

int command_keeper(const struct invocation *invocation)
{
	return keeper_run(invocation->title);
}
